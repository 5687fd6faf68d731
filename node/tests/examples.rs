//! Each program in `examples/` does what its own documentation says: it prints that, and ends by itself with exit code 0.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Where cargo puts examples, beside the directory that this test lies in. `cargo test` builds both.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a test has a path");
    let profile = this.parent().and_then(|deps| deps.parent());
    let program = profile.expect("deps lies in it").join("examples");
    let program = program.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is missing: plain `cargo test` builds it; for this test alone, `cargo build --examples` first",
        program.display()
    );
    program
}

/// Runs an example to its end and returns its lines.
async fn lines(name: &str) -> Vec<String> {
    const DEADLINE: Duration = Duration::from_secs(60);
    let mut program = Command::new(program(name));
    program
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, program.output())
        .await
        .expect("it ends by itself")
        .expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{name}");
    let text = String::from_utf8(output.stdout).expect("examples print text");
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn echo_prints_what_came_back() {
    assert_eq!(lines("echo").await, ["hello, echo"]);
}

#[tokio::test]
async fn hop_prints_the_routes_that_the_last_worker_saw() {
    assert_eq!(
        lines("hop").await,
        ["a letter came to 0#witness, back by 0#hop => 0#hop => .."]
    );
}

#[tokio::test]
async fn two_hops_prints_the_answer_from_behind_the_middle_node() {
    assert_eq!(lines("two_hops").await, ["TWO HOPS AWAY"]);
}

#[tokio::test]
async fn secure_channel_over_two_hops_prints_who_proved_to_be_at_each_end() {
    let lines = lines("secure_channel_over_two_hops").await;
    let [met, said] = lines.as_slice() else {
        panic!("two lines, not {lines:?}");
    };
    let bob = met.strip_prefix("alice met I").expect(met);
    let alice = said.strip_prefix("bob said: welcome, I").expect(said);
    assert!(bob.len() == 64 && alice.len() == 64 && alice != bob);
}

#[tokio::test]
async fn relay_prints_the_name_and_the_answer_from_behind_it() {
    assert_eq!(
        lines("relay").await,
        ["registered as 0#forward_to_alice", "THROUGH THE RELAY"]
    );
}

#[tokio::test]
async fn portal_prints_what_the_service_said() {
    assert_eq!(lines("portal").await, ["good morning, world"]);
}

#[tokio::test]
async fn expose_prints_that_one_redeemed_the_ticket() {
    assert_eq!(
        lines("expose").await,
        [
            "a ticket for database",
            "1 redeemed it; the first is in: true"
        ]
    );
}

#[tokio::test]
async fn connect_prints_the_service_by_the_ticket_and_then_without_it() {
    assert_eq!(
        lines("connect").await,
        ["good morning, ticket", "good morning, greeter"]
    );
}

#[tokio::test]
async fn own_transport_carries_a_secure_channel() {
    assert_eq!(lines("own_transport").await, ["SENT BY MY OWN POST"]);
}
