//! Addresses where nobody is, where somebody else is, and nodes that say no.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use rustix::process::Signal;

use crate::support::running::Running;
use crate::support::{run, sealway};
use crate::table::{Case, NOBODY, case, check};

/// Serves every connection in a way that is no node's.
fn serve(answer: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            answer(socket);
        }
    });
    port
}

/// A port where nobody listens: it was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn identifier(directory: &Path, home: &str) -> String {
    let made = run(sealway(directory).args(["identity", "create", "--home", home]));
    assert_eq!(made.code, Some(0), "{made:?}");
    made.stdout.trim().to_owned()
}

/// The arguments of a call along a route that fails after two seconds at the latest.
fn call(what: &'static str, code: i32, cause: &'static str, route: &str) -> Case {
    case(
        what,
        code,
        cause,
        &["call", route, "hello", "--timeout", "2s"],
    )
}

fn nobody_there(directory: &Path) -> Vec<Case> {
    let free = free_port();
    let closing = serve(drop);
    let silent = serve(|socket| {
        // Kept open for as long as the tests run.
        std::mem::forget(socket);
    });
    let web = serve(|mut socket| {
        let _ = socket.read(&mut [0; 1_024]);
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let secure = |port: u16| format!("/ip4/127.0.0.1/tcp/{port}/secure/api/service/echo");
    let local = |port: u16| format!("127.0.0.1:{port}");
    let inlet = |what, code, cause, port: u16| {
        case(
            what,
            code,
            cause,
            &["inlet", "--listen", "127.0.0.1:0", "--to", &secure(port)],
        )
    };
    fs_file(directory);
    vec![
        call(
            "calling where nobody listens",
            4,
            "cannot be reached",
            &secure(free),
        ),
        call(
            "calling a name that is none",
            4,
            "cannot be resolved",
            "/dnsaddr/nobody.invalid/tcp/9/secure/api/service/echo",
        ),
        call("calling somebody who hangs up", 4, "", &secure(closing)),
        call(
            "calling somebody who says nothing",
            4,
            "within",
            &secure(silent),
        ),
        call("calling a web server", 4, "", &secure(web)),
        call(
            "calling a bare service of a web server",
            4,
            "",
            &format!("/ip4/127.0.0.1/tcp/{web}/service/echo"),
        ),
        call(
            "calling a socket file that is not there",
            4,
            "cannot be reached",
            "/unix/%2Fno%2Fsuch%2Fsocket/service/echo",
        ),
        call(
            "calling a file as if it were a socket",
            4,
            "cannot be reached",
            "/unix/file/service/echo",
        ),
        inlet(
            "an inlet to where nobody listens",
            4,
            "cannot be reached",
            free,
        ),
        inlet("an inlet to somebody who hangs up", 4, "", closing),
        case(
            "a relay where nobody listens",
            4,
            "cannot be reached",
            &["node", "--via", &local(free)],
        ),
        case(
            "a relay that cannot be resolved",
            4,
            "cannot be resolved",
            &["node", "--via", "nobody.invalid:4100"],
        ),
        case(
            "a relay that hangs up",
            4,
            "",
            &["node", "--via", &local(closing)],
        ),
        case(
            "pinging where nobody listens",
            4,
            "cannot be reached",
            &["ping", &secure(free), "--timeout", "2s"],
        ),
        case(
            "pinging a web server",
            4,
            "",
            &["ping", &secure(web), "--timeout", "2s"],
        ),
    ]
}

fn fs_file(directory: &Path) {
    std::fs::write(directory.join("file"), "no socket").unwrap();
}

fn cannot_listen(taken: &str) -> Vec<Case> {
    let relay = |what, cause, address: &str| case(what, 1, cause, &["relay", "--listen", address]);
    vec![
        relay("a port in use", "in use", taken),
        relay(
            "an address of another machine",
            "cannot listen",
            "203.0.113.7:0",
        ),
        case(
            "a host to listen at that cannot be resolved",
            4,
            "nobody.invalid",
            &["relay", "--listen", "nobody.invalid:0"],
        ),
        relay(
            "a socket in a directory that is not there",
            "cannot listen",
            "unix:/no/such/directory/socket",
        ),
        relay("a socket where a file is", "cannot listen", "unix:file"),
        case(
            "a node at a port in use",
            1,
            "in use",
            &["node", "--listen", taken],
        ),
        case(
            "an identity that is not there",
            1,
            "no identity named",
            &["node", "--listen", "127.0.0.1:0", "--identity", "x"],
        ),
    ]
}

#[test]
fn where_nobody_is_is_exit_code_4_and_what_cannot_be_had_is_1() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases = [nobody_there(directory.path()), cannot_listen(&taken)].concat();
    for mut case in cases.clone() {
        case.may_print = case.arguments[0] == "ping";
        check(directory.path(), &case);
    }
    println!("nobody there, cannot listen: {} cases", cases.len());
}

#[test]
fn nodes_that_say_no_are_exit_code_3() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let friend = identifier(path, "friend");
    let own = identifier(path, "host");
    let node = Running::start(
        path,
        &[
            "node",
            "--home",
            "host",
            "--listen",
            "127.0.0.1:0",
            "--relay",
            "--trust",
            &friend,
            "--service",
            "echo",
        ],
    );
    let address = node.address("listening");
    let port = address.rsplit(':').next().unwrap();
    let route = |tail: &str| format!("/ip4/127.0.0.1/tcp/{port}{tail}");
    let echo = route("/secure/api/service/echo");
    let with = |what, code, cause, home: &str, route: &str, expect: &str| {
        let arguments = [
            "call",
            route,
            "hi",
            "--timeout",
            "2s",
            "--home",
            home,
            "--expect",
            expect,
        ];
        case(what, code, cause, &arguments)
    };
    let cases = [
        with(
            "a stranger calls",
            3,
            "admits us to nothing",
            "stranger",
            &echo,
            &own,
        ),
        with(
            "a stranger calls somebody it does not know",
            3,
            "admits us to nothing",
            "stranger",
            &echo,
            "anyone",
        ),
        with(
            "a friend expects somebody else",
            3,
            "met I",
            "friend",
            &echo,
            NOBODY,
        ),
        case(
            "a friend expects nobody in particular",
            3,
            "neither pinned",
            &["call", &echo, "--home", "friend"],
        ),
        with(
            "a friend calls a service that is not offered",
            4,
            "",
            "friend",
            &route("/secure/api/service/uppercase"),
            &own,
        ),
        with(
            "a friend calls a listener that is not there",
            4,
            "",
            "friend",
            &route("/secure/apo/service/echo"),
            &own,
        ),
        call(
            "anybody calls a service without a channel",
            4,
            "",
            &route("/service/echo"),
        ),
        with(
            "a friend calls a name that the relay does not know",
            4,
            "",
            "friend",
            &route("/service/forward_to_x/secure/api/service/echo"),
            &own,
        ),
        case(
            "an inlet of a stranger's",
            3,
            "admits us to nothing",
            &[
                "inlet",
                "--quiet",
                "--listen",
                "127.0.0.1:0",
                "--to",
                &route("/secure/api/service/files"),
                "--expect",
                &own,
                "--home",
                "stranger",
            ],
        ),
        case(
            "a stranger pings",
            3,
            "admits us to nothing",
            &[
                "ping",
                &echo,
                "--expect",
                &own,
                "--home",
                "stranger",
                "--timeout",
                "2s",
            ],
        ),
    ];
    for mut case in cases.clone() {
        // An inlet may have become ready, and ping may have shown hops, before the refusal came.
        case.may_print = matches!(case.arguments[0].as_str(), "inlet" | "ping");
        check(path, &case);
    }
    assert_eq!(node.end(Signal::TERM), Some(0));
    println!("nodes that say no: {} cases", cases.len());
}
