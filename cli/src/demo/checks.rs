//! The checks of the demo. Each says what was observed, whether it is good or bad; none believes what it has not seen.

use std::time::{Duration, Instant};

use sealway_core::channel::Suite;

use super::fetch::Got;
use super::handshakes;
use super::proxy::{Deed, Mischief};
use super::service::{GREETING, HELLO};
use super::stage::{self, READY, Stage, hex, said};
use super::story::Story;
use super::tape;

/// How long a fetch of the whole file may take.
const FETCH: Duration = Duration::from_secs(90);
/// How long a fetch of the short text may take.
const SHORT: Duration = Duration::from_secs(30);
/// How long the path may take to come back.
const RECOVERY: Duration = Duration::from_secs(40);
/// How long a counter may take to show what has happened.
const COUNTED: Duration = Duration::from_secs(20);
/// A frame of at least so many bytes carries a piece of the file.
const DATA_FRAME: usize = 2_048;

/// What was observed: good or bad.
pub(super) type Observed = Result<String, String>;

/// The file comes through the relay, which delivers some frames out of order, and is equal.
pub(super) async fn file_fetched(stage: &mut Stage, story: &mut Story) -> Observed {
    stage.client_side.sent.begin(Mischief {
        deed: Deed::Swap,
        min_len: DATA_FRAME,
        skip: 20,
        count: 5,
    });
    let fetched = stage.fetch_file(FETCH).await;
    let swapped = stage.client_side.sent.end();
    let body = fetched?;
    story.say(&format!(
        "sent     {} bytes, SHA-256 {}",
        stage.file.len,
        hex(&stage.file.sha256)
    ));
    story.say(&format!(
        "fetched  {} bytes, SHA-256 {}",
        body.len,
        hex(&body.sha256)
    ));
    story.control(body.hits);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Ok(format!(
        "{:.0} MiB in {:.2} s through the relay, SHA-256 equal, though {swapped} frames were swapped on the way",
        mib(body.len),
        body.took.as_secs_f64()
    ))
}

/// Nothing of the file, of the requests or of the answers is in what the relay received and sent.
pub(super) fn relay_saw_no_plaintext(stage: &Stage, story: &Story) -> Observed {
    let sides = [&stage.exposer_side, &stage.client_side];
    let sum = |count: fn(&tape::Tape) -> u64| -> (u64, u64) {
        let received = sides.iter().map(|side| side.received.tape(count)).sum();
        let sent = sides.iter().map(|side| side.sent.tape(count)).sum();
        (received, sent)
    };
    let (received, sent) = sum(tape::Tape::bytes);
    let (frames_in, frames_out) = sum(tape::Tape::frames);
    let (hits_in, hits_out) = sum(tape::Tape::hits);
    let seen = format!(
        "the relay received {received} bytes in {frames_in} frames and sent {sent} in {frames_out}; of {} pieces of plaintext searched for",
        stage.needles.count()
    );
    if hits_in + hits_out > 0 {
        return Err(format!("{seen}, {} were met", hits_in + hits_out));
    }
    if received < stage.file.len || sent < stage.file.len {
        return Err(format!(
            "{seen}, none was met, but the file of {} bytes did not pass",
            stage.file.len
        ));
    }
    match story.found_at_client() {
        0 => Err(format!(
            "{seen}, none was met, but neither in what the client got: the search proves nothing"
        )),
        found => Ok(format!(
            "{seen}, none was met (the same search met {found} in what the client got)"
        )),
    }
}

/// Shows what the relay sees of a piece of the file.
pub(super) fn show_example(stage: &Stage, story: &mut Story) {
    let Some(rows) = stage
        .exposer_side
        .received
        .tape(|t| t.example().map(|e| tape::hex_dump(&e[..192])))
    else {
        return;
    };
    story.say("what the relay sees of a piece of the file (its first 192 bytes, addresses first):");
    for row in rows {
        story.say(&format!("  {row}"));
    }
}

/// Bits flipped on the way to the client and on the way to the exposer are noticed; no wrong file arrives.
pub(super) async fn tampered_frame_refused(stage: &mut Stage, story: &mut Story) -> Observed {
    let client_before = stage.counters("client", &["frames_refused"]).await?;
    let min_len = if stage.file.len < 1 << 16 {
        0
    } else {
        DATA_FRAME
    };
    stage.client_side.sent.begin(Mischief {
        deed: Deed::Flip,
        min_len,
        skip: 8,
        count: 3,
    });
    let got = stage.get(super::service::FILE, FETCH).await;
    let flipped = stage.client_side.sent.end();
    let outcome = match got {
        Got::Whole(body) if body.sha256 != stage.file.sha256 => {
            return Err(format!(
                "{flipped} frames were altered, and a wrong file of {} bytes arrived as whole",
                body.len
            ));
        }
        Got::Whole(_) => "the right file arrived".to_owned(),
        Got::Broken { received, why } => {
            format!("the client saw an error after {received} bytes ({why})")
        }
    };
    story.say(&format!(
        "one bit flipped in each of {flipped} frames to the client: {outcome}"
    ));
    let client_after = stage
        .counters_reach("client", &["frames_refused"], client_before + 1, COUNTED)
        .await?;

    let healed = wait_for_path(stage, RECOVERY).await?;
    story.say(&format!(
        "the next request was answered {:.1} s later",
        healed.as_secs_f64()
    ));
    let exposer_before = stage.counters("exposer", &["frames_refused"]).await?;
    let (_, requests_before) = stage.service.visits.seen();
    stage.exposer_side.sent.begin(Mischief {
        deed: Deed::Flip,
        min_len: 0,
        // The request may come in one frame, with the opening of its stream.
        skip: 0,
        count: 1,
    });
    let got = stage.get(HELLO, SHORT).await;
    let flipped_request = stage.exposer_side.sent.end();
    if let Got::Whole(body) = &got
        && body.len != GREETING.len() as u64
    {
        return Err("an altered request was answered with something else".to_owned());
    }
    let exposer_after = stage
        .counters_reach("exposer", &["frames_refused"], exposer_before + 1, COUNTED)
        .await?;
    let requests = stage.service.visits.seen().1 - requests_before;
    story.say(&format!(
        "one bit flipped in each of {flipped_request} frames to the exposer: {requests} requests reached the service"
    ));
    let (at_client, at_exposer) = (client_after - client_before, exposer_after - exposer_before);
    if flipped == 0 || flipped_request == 0 {
        return Err("no frame passed that could be altered".to_owned());
    }
    if at_client == 0 || at_exposer == 0 {
        return Err(format!(
            "altered frames were not refused: the client counts {at_client} refusals, the exposer {at_exposer}"
        ));
    }
    let took = wait_for_path(stage, RECOVERY).await?;
    stage
        .fetch_file(FETCH)
        .await
        .map_err(|why| format!("afterwards {why}"))?;
    Ok(format!(
        "the client refused {at_client} of {flipped} altered frames, the exposer {at_exposer} of {flipped_request}; {outcome}; \
         a fetch {:.1} s later was complete and equal",
        took.as_secs_f64()
    ))
}

/// Recorded frames that are sent again, to the exposer and to the client, change nothing.
pub(super) async fn replayed_frame_refused(stage: &mut Stage, story: &mut Story) -> Observed {
    const REFUSED: [&str; 2] = ["frames_replayed", "frames_refused"];
    wait_for_path(stage, RECOVERY).await?;
    // The client opens another path beside the one in use. A handshake that is sent again begins another: no refusal is to be seen of it.
    stage.channels_reach("client", 2, RECOVERY).await?;
    stage.exposer_side.sent.begin_capture();
    stage.client_side.sent.begin_capture();
    let got = stage.get(HELLO, SHORT).await;
    let to_exposer = stage.exposer_side.sent.end_capture();
    let to_client = stage.client_side.sent.end_capture();
    let Got::Whole(_) = got else {
        return Err(format!("the exchange to be replayed failed: {got:?}"));
    };
    let visits_before = stage.service.visits.seen();
    let exposer_before = stage.counters("exposer", &REFUSED).await?;
    let client_before = stage.counters("client", &REFUSED).await?;
    let sent_to_exposer = stage.exposer_side.sent.inject(&to_exposer) as u64;
    let sent_to_client = stage.client_side.sent.inject(&to_client) as u64;
    if sent_to_exposer == 0 || sent_to_client == 0 {
        return Err("there was nothing to send again".to_owned());
    }
    story.say(&format!(
        "{sent_to_exposer} recorded frames sent again to the exposer, {sent_to_client} to the client"
    ));
    let at_exposer = stage
        .counters_reach(
            "exposer",
            &REFUSED,
            exposer_before + sent_to_exposer,
            COUNTED,
        )
        .await?
        - exposer_before;
    let at_client = stage
        .counters_reach("client", &REFUSED, client_before + sent_to_client, COUNTED)
        .await?
        - client_before;
    let visits = stage.service.visits.seen();
    let seen = format!(
        "sent again: {sent_to_exposer} frames to the exposer, which refused {at_exposer}, {sent_to_client} to the client, which refused {at_client}"
    );
    if visits != visits_before {
        let (connections, requests) = (visits.0 - visits_before.0, visits.1 - visits_before.1);
        return Err(format!(
            "{seen}; the service saw {connections} more connections and {requests} more requests"
        ));
    }
    if at_exposer < sent_to_exposer || at_client < sent_to_client {
        return Err(format!("{seen}: some were taken"));
    }
    match stage.get(HELLO, SHORT).await {
        Got::Whole(_) => Ok(format!(
            "{seen}; the service saw no further connection; the next request was answered"
        )),
        Got::Broken { why, .. } => Err(format!("{seen}; but the next request failed: {why}")),
    }
}

/// Somebody with an identity of its own, who knows the route, reaches nothing.
pub(super) async fn stranger_refused(stage: &mut Stage, story: &mut Story) -> Observed {
    const TIMEOUT: &str = "30s";
    let stranger = stage::create_identity(&stage.program, "stranger").await?;
    let before = stage.service.visits.seen();
    let to_echo = stage.route("echo");
    let to_service = stage.route_to_service();
    let exposer = stage.ticket.exposer.to_string();
    let arguments = [
        "call",
        &to_echo,
        "let me in",
        "--expect",
        &exposer,
        "--timeout",
        TIMEOUT,
    ];
    let called = stage
        .program
        .run("stranger", &arguments, READY)
        .await
        .map_err(said("the stranger's call"))?;
    let error: serde_json::Value = serde_json::from_str(&called.stderr).unwrap_or_default();
    let said_why = error["error"]["message"]
        .as_str()
        .unwrap_or("it said nothing")
        .to_owned();
    story.say(&format!("stranger {stranger}"));
    story.say(&format!(
        "calls, with the right route: exit code {}, \"{said_why}\"",
        called.code.unwrap_or(-1)
    ));
    let through_inlet = stranger_inlet(stage, &to_service).await?;
    story.say(&format!(
        "opens an inlet of its own: {}",
        through_inlet.as_deref().unwrap_or_else(|why| why)
    ));
    let visits = stage.service.visits.seen();
    if visits != before {
        return Err(format!(
            "the stranger reached the service: {} connections",
            visits.0 - before.0
        ));
    }
    if called.code != Some(3) {
        return Err(format!(
            "the stranger's call ended with {:?} instead of exit code 3: {said_why}",
            called.code
        ));
    }
    let refused = through_inlet?;
    Ok(format!(
        "the stranger's call was refused (exit code 3), its inlet too ({refused}); the service saw 0 connections"
    ))
}

/// What an inlet of the stranger's gives it: `Ok` if it is refused.
async fn stranger_inlet(stage: &Stage, to: &str) -> Result<Observed, String> {
    const LABEL: &str = "stranger";
    let mut inlet = stage::start_inlet(
        &stage.program,
        "stranger",
        LABEL,
        to,
        &stage.ticket.exposer.to_string(),
    )?;
    let address = match stage::address_of(&mut inlet, "ready").await {
        Ok(address) => address,
        Err(why) => {
            inlet.end().await;
            return Ok(Ok(stage.program.last_failure(LABEL).unwrap_or(why)));
        }
    };
    let got = super::fetch::get(address, HELLO, &stage.needles, SHORT).await;
    inlet.end().await;
    Ok(match got {
        Got::Whole(_) => Err("it got an answer".to_owned()),
        Got::Broken { why, .. } => Ok(why),
    })
}

/// The stranger comes into possession of the ticket, which the client has redeemed.
pub(super) async fn spent_ticket_refused(stage: &mut Stage, story: &mut Story) -> Observed {
    const LABEL: &str = "spent";
    const REFUSED: [&str; 1] = ["redemptions_refused"];
    let visits_before = stage.service.visits.seen();
    let refused_before = stage.counters("exposer", &REFUSED).await?;
    let (program, ticket) = (&stage.program, &stage.ticket_file);
    let mut attempt = stage::start_connect(program, "stranger", LABEL, ticket, false)?;
    if let Ok(address) = stage::address_of(&mut attempt, "ready").await {
        let got = super::fetch::get(address, HELLO, &stage.needles, SHORT).await;
        attempt.end().await;
        return Err(match got {
            Got::Whole(_) => "the stranger redeemed the spent ticket and got an answer".to_owned(),
            Got::Broken { why, .. } => {
                format!("the stranger redeemed the spent ticket, and then: {why}")
            }
        });
    }
    let code = attempt
        .ended(READY)
        .await
        .map_err(said("the stranger's connect"))?;
    let why = program
        .last_failure(LABEL)
        .unwrap_or_else(|| "it said nothing".to_owned());
    story.say(&format!(
        "the stranger connects with the client's ticket: exit code {}, \"{why}\"",
        code.unwrap_or(-1)
    ));
    let refused = stage
        .counters_reach("exposer", &REFUSED, refused_before + 1, COUNTED)
        .await?
        - refused_before;
    let visits = stage.service.visits.seen().0 - visits_before.0;
    let seen = format!("exit code {code:?}, \"{why}\"; the exposer refused {refused} redemptions");
    if visits != 0 {
        return Err(format!("{seen}; the service saw {visits} connections"));
    }
    if code != Some(3) || refused == 0 {
        return Err(format!("{seen}: not a refusal with exit code 3"));
    }
    match stage.get(HELLO, SHORT).await {
        Got::Whole(_) => Ok(format!(
            "the stranger's connect ended with exit code 3 (\"{why}\"); the service saw 0 connections; who redeemed it still gets in"
        )),
        Got::Broken { why, .. } => Err(format!("{seen}; but who redeemed it: {why}")),
    }
}

/// Both ends say that their channels are hybrid, and what the recorders saw of the handshakes fits.
pub(super) async fn hybrid_suite_used(stage: &Stage, story: &mut Story) -> Observed {
    let hybrid = Suite::Hybrid.name();
    let mut channels = Vec::new();
    for home in ["exposer", "client"] {
        let mut counts = [0; 2];
        for process in stage.processes(home).await? {
            for (count, suite) in counts.iter_mut().zip(Suite::ALL) {
                *count += process["suites"][suite.name()].as_u64().unwrap_or(0);
            }
        }
        let [weaker, strong] = counts;
        if weaker > 0 || strong == 0 {
            return Err(format!(
                "the {home} says: {strong} channels of the suite {hybrid}, {weaker} of a weaker one"
            ));
        }
        channels.push(format!("{home} {strong}"));
    }
    let [exposer, client] = &stage.suites;
    let said = [exposer.as_str(), client.as_str(), stage.ticket.suite.name()];
    if said != [hybrid; 3] {
        return Err(format!(
            "the events of both ends and the ticket say {said:?}"
        ));
    }
    story.say(&format!(
        "channels of the suite {hybrid} (X25519 and ML-KEM-768): {}; of a weaker one: none",
        channels.join(", ")
    ));
    let recorded = suites_recorded(stage)?;
    story.say(&recorded);
    Ok(format!(
        "both ends, their events and the ticket say {hybrid}; {recorded}"
    ))
}

/// What the relay saw of the handshakes between the two ends.
fn suites_recorded(stage: &Stage) -> Observed {
    let lanes = [&stage.client_side.received, &stage.exposer_side.sent];
    let [from_client, to_exposer] =
        lanes.map(|lane| lane.tape(|tape| handshakes::opened(tape.beginning())));
    let answer = stage
        .client_side
        .sent
        .tape(|tape| handshakes::first_len(tape.beginning()))
        .unwrap_or(0);
    let seen = format!(
        "the relay saw {} first messages of {} bytes from the client and passed on {}, others {}; the first answer had {answer} bytes",
        from_client.hybrid,
        handshakes::hybrid_first(),
        to_exposer.hybrid,
        from_client.other + to_exposer.other
    );
    let is_hybrid = from_client.hybrid > 0
        && to_exposer.hybrid > 0
        && from_client.other + to_exposer.other == 0
        && answer >= handshakes::hybrid_second();
    if is_hybrid { Ok(seen) } else { Err(seen) }
}

/// The relay is killed and comes back on its port; the path heals, and the file is fetched again.
pub(super) async fn recovered_after_relay_restart(
    stage: &mut Stage,
    story: &mut Story,
) -> Observed {
    let killed = stage.relay.id();
    stage.relay.kill().await.map_err(said("the relay"))?;
    let without = stage.get(HELLO, Duration::from_secs(1)).await;
    if matches!(without, Got::Whole(_)) {
        return Err("a request was answered while the relay was away".to_owned());
    }
    let listen = stage.relay_address.to_string();
    stage.relay = stage
        .program
        .start("relay", "relay", &["relay", "--listen", &listen], false)
        .map_err(said("the relay"))?;
    stage::address_of(&mut stage.relay, "listening").await?;
    let started = stage.relay.id();
    story.say(&format!(
        "relay {killed} killed, a request meanwhile failed; relay {started} started at {listen}"
    ));
    let took = wait_for_path(stage, RECOVERY).await?;
    stage.fetch_file(FETCH).await?;
    Ok(format!(
        "relay killed with SIGKILL and restarted; both ends came back by themselves after {:.1} s, and the file was equal",
        took.as_secs_f64()
    ))
}

/// Asks for the short text until it comes; how long that took.
async fn wait_for_path(stage: &Stage, deadline: Duration) -> Result<Duration, String> {
    let start = Instant::now();
    let mut last = "nothing was tried".to_owned();
    while start.elapsed() < deadline {
        match stage.get(HELLO, Duration::from_secs(5)).await {
            Got::Whole(_) => return Ok(start.elapsed()),
            Got::Broken { why, .. } => last = why,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(format!(
        "the path did not come back within {} s: {last}",
        deadline.as_secs()
    ))
}
