//! `sealway demo`: the whole story on one machine, with real processes, and checks of what was really seen.

mod checks;
mod fetch;
mod handshakes;
mod keep;
mod listening;
mod process;
mod proxy;
mod scan;
mod service;
mod stage;
mod story;
mod tape;

use std::path::Path;
use std::time::Duration;

use crate::args::DemoArgs;
use crate::error::{CliError, Result};
use crate::output::Output;
use crate::signals::Signals;
use keep::Kept;
use stage::{Directory, PrivateFile, Stage};
use story::Story;

/// How long all of it may take.
const DEADLINE: Duration = Duration::from_secs(300);

/// Runs the demo.
///
/// # Errors
/// A check is not true, or the stage could not be set.
pub(crate) async fn run(args: &DemoArgs, output: Output) -> Result<()> {
    let mut signals = Signals::new()
        .map_err(|error| CliError::failed(format!("cannot catch signals: {error}")))?;
    if let Some(file) = &args.serve {
        return keep::serve(file, output, &mut signals).await;
    }
    let (directory, file) = prepare(args)?;
    // Whatever ends the play, its value is dropped: the processes are killed by their ids, the directory is removed.
    tokio::select! {
        told = tokio::time::timeout(DEADLINE, play(args, output, directory, file)) => told.unwrap_or_else(|_| {
            Err(CliError::failed(format!("the demo did not end within {} s", DEADLINE.as_secs())))
        }),
        () = signals.end() => Err(CliError::failed("interrupted before the end of the demo")),
    }
}

fn prepare(args: &DemoArgs) -> Result<(Directory, PrivateFile)> {
    if let Some(path) = &args.file {
        std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    }
    let directory = Directory::new(args.keep).map_err(|error| {
        CliError::failed(format!(
            "cannot make a directory in {}: {error}",
            std::env::temp_dir().display()
        ))
        .hint("set TMPDIR to a directory with 200 MB of free space")
    })?;
    match PrivateFile::prepare(args.file.as_deref(), &directory.path) {
        Ok(file) => Ok((directory, file)),
        Err(error) => {
            let path = args.file.as_deref().unwrap_or(&directory.path);
            Err(unreadable(path, &error))
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::failed(format!(
        "cannot use {} as the private file: {error}",
        path.display()
    ))
    .hint("give a regular file that you can read and that is not empty")
}

async fn play(
    args: &DemoArgs,
    output: Output,
    directory: Directory,
    file: PrivateFile,
) -> Result<()> {
    let mut story = Story::new(output);
    story.step("A private service, a relay that is not trusted, a client");
    let mut stage = match Stage::set(directory, file).await {
        Ok(stage) => stage,
        Err(why) => return story.end(&why),
    };
    introduce(&stage, &mut story);

    story.step("1. The client fetches the private file through the relay");
    let observed = checks::file_fetched(&mut stage, &mut story).await;
    story.check("file_fetched", observed);
    story.step("2. What the relay saw");
    checks::show_example(&stage, &mut story);
    story.check(
        "relay_saw_no_plaintext",
        checks::relay_saw_no_plaintext(&stage, &story),
    );
    story.step("3. What the two ends speak");
    let observed = checks::hybrid_suite_used(&stage, &mut story).await;
    story.check("hybrid_suite_used", observed);
    story.step("4. Somebody alters what is relayed");
    let observed = checks::tampered_frame_refused(&mut stage, &mut story).await;
    story.check("tampered_frame_refused", observed);
    story.step("5. Somebody sends recorded frames again");
    let observed = checks::replayed_frame_refused(&mut stage, &mut story).await;
    story.check("replayed_frame_refused", observed);
    story.step("6. A stranger with an identity of its own tries");
    let observed = checks::stranger_refused(&mut stage, &mut story).await;
    story.check("stranger_refused", observed);
    story.step("7. The stranger finds the ticket, which is spent");
    let observed = checks::spent_ticket_refused(&mut stage, &mut story).await;
    story.check("spent_ticket_refused", observed);
    story.step("8. The relay is killed and started again");
    let observed = checks::recovered_after_relay_restart(&mut stage, &mut story).await;
    story.check("recovered_after_relay_restart", observed);
    // The relay went on seeing frames since step 2.
    let again = checks::relay_saw_no_plaintext(&stage, &story);
    story.settle_again("relay_saw_no_plaintext", again);

    let kept = args.keep.then(|| Kept::new(&stage));
    let (ended, directory) = stage.strike().await;
    for (what, in_order) in ended {
        if !in_order {
            story.say(&format!("{what} had to be killed"));
        }
    }
    if let Some(kept) = kept {
        let left = match kept {
            Ok(kept) => kept.start(&directory.path, &mut story).await,
            Err(why) => Err(why),
        };
        story.keep(left.map_err(CliError::failed)?);
    }
    story.end("")
}

fn introduce(stage: &Stage, story: &mut Story) {
    let file = &stage.file;
    story.say(&format!(
        "service  {}  {} bytes, private (process {})",
        stage.service.address,
        file.len,
        std::process::id()
    ));
    story.say(&format!(
        "relay    process {}, {}",
        stage.relay.id(),
        stage.relay_address
    ));
    story.say(&format!(
        "expose   process {}, {}: {}",
        stage.exposer.id(),
        stage.ticket.exposer,
        ports(stage.exposer.id())
    ));
    story.say(&format!(
        "         sealway expose {} --via {}  printed a ticket for one use",
        stage.service.address, stage.exposer_side.address
    ));
    story.say(&format!(
        "connect  process {}, {}, suite {}",
        stage.connector.id(),
        stage.entry,
        stage.ticket.suite
    ));
    story.say("         sealway connect @ticket");
    story.say("service <- expose -> [recorder] -> relay <- [recorder] <- connect <- client");
}

/// How many TCP ports a process listens on, as far as the system tells.
fn ports(id: u32) -> String {
    match listening::count(id) {
        Ok(0) => "listens on no port".to_owned(),
        Ok(n) => format!("listens on {n} ports"),
        Err(_) => "connects out only".to_owned(),
    }
}
