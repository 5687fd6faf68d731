//! What users type wrong.

use crate::support::{run, sealway};
use crate::table::{Case, NOBODY, case, check, snapshot};

fn usage_cases() -> Vec<Case> {
    let to = "/ip4/127.0.0.1/tcp/9/service/echo";
    let mut cases = vec![
        case("nothing at all", 2, "command", &[]),
        case("a command that is none", 2, "no command", &["nod"]),
        case(
            "a name with an escape as command",
            2,
            "no command",
            &["\u{1b}[2J"],
        ),
        case(
            "an option that is none",
            2,
            "--lisen",
            &["relay", "--lisen", "127.0.0.1:0"],
        ),
        case(
            "an option twice",
            2,
            "once only",
            &["inlet", "--to", to, "--to", to, "--listen", "127.0.0.1:0"],
        ),
        case(
            "an argument too many",
            2,
            "unexpected",
            &["call", to, "a", "b"],
        ),
        case(
            "a value is missing",
            2,
            "needs a value",
            &["relay", "--listen"],
        ),
        case("nothing to listen at", 2, "--listen", &["node"]),
        case("a relay that listens nowhere", 2, "--listen", &["relay"]),
        case(
            "an alias without a relay",
            2,
            "--via",
            &["node", "--listen", "127.0.0.1:0", "--alias", "a"],
        ),
        case(
            "a log filter that is none",
            2,
            "--log",
            &["identity", "list", "--log", "[="],
        ),
        case(
            "an empty home",
            2,
            "needs a value",
            &["identity", "list", "--home", ""],
        ),
        case(
            "a shell that is none",
            2,
            "dosshell",
            &["completions", "dosshell"],
        ),
        case(
            "a service that is none",
            2,
            "teleport",
            &["node", "--listen", "127.0.0.1:0", "--service", "teleport"],
        ),
        case(
            "two outlets of one name",
            2,
            "two outlets",
            &[
                "node",
                "--listen",
                "127.0.0.1:0",
                "--outlet",
                "a=127.0.0.1:1",
                "--outlet",
                "a=127.0.0.1:2",
            ],
        ),
        case(
            "a plain service that is none",
            2,
            "no such service",
            &[
                "node",
                "--listen",
                "127.0.0.1:0",
                "--plain-service",
                "files",
            ],
        ),
        case(
            "an identifier that is none",
            2,
            "64 hex digits",
            &["node", "--listen", "127.0.0.1:0", "--trust", "alice"],
        ),
        case(
            "an identifier too short",
            2,
            "64 hex digits",
            &["call", to, "--expect", "I00"],
        ),
        case(
            "expecting everyone",
            2,
            "anyone",
            &["call", to, "--expect", "everyone"],
        ),
        case(
            "trusting anyone",
            2,
            "everyone",
            &["node", "--listen", "127.0.0.1:0", "--trust", "anyone"],
        ),
        case("no pings at all", 2, "0", &["ping", to, "--count", "0"]),
        case("minus one ping", 2, "-1", &["ping", to, "--count=-1"]),
        case(
            "a million million pings",
            2,
            "1000000000000",
            &["ping", to, "--count", "1000000000000"],
        ),
        case(
            "a kind of key that is none",
            2,
            "rsa",
            &["identity", "create", "--key", "rsa"],
        ),
        case(
            "a backup to the terminal",
            2,
            "--output",
            &["identity", "export", "--secret"],
        ),
        case("half a command", 2, "command is missing", &["identity"]),
    ];
    for (what, cause, text) in [
        ("a duration without a unit", "unit", "5"),
        ("a duration of nothing", "nothing", "0s"),
        ("a duration that is none", "whole number", "soon"),
        ("a duration below zero", "whole number", "-5s"),
        ("a duration of a thousand years", "366d", "365000d"),
        (
            "a duration beyond numbers",
            "366d",
            "99999999999999999999999h",
        ),
    ] {
        cases.push(case(
            what,
            2,
            cause,
            &["call", to, &format!("--timeout={text}")],
        ));
    }
    for (what, cause, address) in [
        ("an address without a port", "port is missing", "localhost"),
        ("an address without a host", "host is missing", ":4100"),
        ("a port beyond 65535", "65535", "127.0.0.1:65536"),
        ("a port that is a word", "not a port", "127.0.0.1:http"),
        ("an IPv6 address without brackets", "brackets", "::1:4100"),
        ("an IPv6 address half in brackets", "]", "[::1:4100"),
        ("an IPv4 address that is none", "IPv4", "300.1.1.1:4100"),
        (
            "an address like a web page's",
            "scheme",
            "http://127.0.0.1:4100",
        ),
        ("a host with a line feed", "host name", "a\nb:4100"),
        ("a socket without a path", "path of the socket", "unix:"),
        ("an abstract socket", "abstract", "unix:@sealway"),
    ] {
        cases.push(case(what, 2, cause, &["relay", "--listen", address]));
    }
    cases.push(case(
        "a relay at port 0",
        2,
        "port 0",
        &["node", "--via", "127.0.0.1:0"],
    ));
    let long = format!("unix:/{}", "s".repeat(200));
    cases.push(case(
        "a socket path too long",
        2,
        "exceeds",
        &["relay", "--listen", &long],
    ));
    let host = format!("{}.example:1", "h".repeat(64));
    cases.push(case(
        "a host name too long",
        2,
        "exceeds",
        &["relay", "--listen", &host],
    ));
    for (what, cause, outlet) in [
        ("an outlet without a target", "NAME=HOST:PORT", "files"),
        ("an outlet without a name", "empty", "=127.0.0.1:80"),
        ("an outlet to port 0", "port 0", "files=127.0.0.1:0"),
        (
            "an outlet with the listener's name",
            "keeps the name",
            "api=127.0.0.1:80",
        ),
        (
            "an outlet with a path as name",
            "not '/'",
            "../files=127.0.0.1:80",
        ),
    ] {
        cases.push(case(
            what,
            2,
            cause,
            &["node", "--listen", "127.0.0.1:0", "--outlet", outlet],
        ));
    }
    cases.extend(route_cases());
    cases.extend(service_cases());
    cases
}

fn route_cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("an empty route", "begins with an address", ""),
        (
            "a route without an address",
            "begins with an address",
            "/service/echo",
        ),
        ("a route that is a word", "protocol", "echo"),
        (
            "a route with a part that is none",
            "protocol",
            "/ip4/127.0.0.1/tcp/9/quic/1",
        ),
        (
            "a route without a port",
            "port is missing",
            "/ip4/127.0.0.1/service/echo",
        ),
        (
            "a route to port 0",
            "port 0",
            "/ip4/127.0.0.1/tcp/0/service/echo",
        ),
        (
            "a route to a port beyond 65535",
            "tcp",
            "/ip4/127.0.0.1/tcp/65536/service/echo",
        ),
        (
            "a route to an address that is none",
            "ip4",
            "/ip4/1.2.3/tcp/9/service/echo",
        ),
        (
            "a route that connects twice",
            "not ip4",
            "/ip4/127.0.0.1/tcp/9/service/a/ip4/127.0.0.1/tcp/9/service/b",
        ),
        (
            "a route to a project",
            "not with project",
            "/project/alpha/service/echo",
        ),
        (
            "a route with a name missing",
            "missing",
            "/ip4/127.0.0.1/tcp/9/service",
        ),
        (
            "a route that ends at a listener",
            "before a service",
            "/ip4/127.0.0.1/tcp/9/secure/api",
        ),
        (
            "a route with empty parts",
            "protocol",
            "/ip4/127.0.0.1/tcp/9//",
        ),
        (
            "a route to a host that is none",
            "host name",
            "/dnsaddr/a b/tcp/9/service/echo",
        ),
    ]
    .into_iter()
    .map(|(what, cause, route)| case(what, 2, cause, &["call", route]))
    .collect();
    let loops = format!("/ip4/127.0.0.1/tcp/9{}", "/service/hop".repeat(8_000));
    cases.push(case(
        "a route of thousands of hops",
        2,
        "exceeds",
        &["call", &loops],
    ));
    let name = format!("/ip4/127.0.0.1/tcp/9/service/{}", "n".repeat(100_000));
    cases.push(case(
        "a route with a name of 100 kB",
        2,
        "exceeds",
        &["call", &name],
    ));
    cases.push(case(
        "expecting somebody where nobody proves anything",
        2,
        "/secure/",
        &[
            "call",
            "/ip4/127.0.0.1/tcp/9/service/echo",
            "--expect",
            NOBODY,
        ],
    ));
    cases
}

fn service_cases() -> Vec<Case> {
    let tickets: serde_json::Value =
        serde_json::from_str(include_str!("../../../vectors/tickets.json")).unwrap();
    let ticket = tickets["tickets"][0]["text"].as_str().unwrap();
    let mut cases: Vec<Case> = [
        ("a service of nothing", "COMMAND", &[][..]),
        (
            "a service of a command that is none",
            "no command",
            &["nod"],
        ),
        (
            "a service with a typing error",
            "port is missing",
            &["relay", "--listen", "localhost"],
        ),
        (
            "a service of a command that ends",
            "by itself",
            &["identity", "list"],
        ),
        ("a service of a service", "by itself", &["service", "show"]),
        ("a service of a help text", "help", &["node", "--help"]),
        (
            "a service whose outlets have one name",
            "two outlets",
            &[
                "node",
                "--listen",
                "127.0.0.1:1",
                "--outlet",
                "a=b:1",
                "--outlet",
                "a=b:2",
            ],
        ),
        (
            "a service that names its home itself",
            "behind the --",
            &["relay", "--listen", "127.0.0.1:1", "--home", "h"],
        ),
        (
            "a service at a socket that is relative",
            "relative",
            &["relay", "--listen", "unix:s"],
        ),
        (
            "a service at a socket in /tmp",
            "/tmp of its own",
            &["relay", "--listen", "unix:/tmp/s"],
        ),
        (
            "a service with a line feed in an argument",
            "more than one line",
            &["relay", "--listen", "unix:/run/a\nUser=root/s"],
        ),
        (
            "a service with a ticket in it",
            "secret",
            &["node", "--log", ticket],
        ),
    ]
    .into_iter()
    .map(|(what, cause, words)| {
        let head = ["service", "install", "--user", "--"];
        case(what, 2, cause, &[&head[..], words].concat())
    })
    .collect();
    let relay = ["--", "relay", "--listen", "127.0.0.1:1"];
    for (what, cause, options) in [
        (
            "a service of everybody's",
            "cannot be used",
            &["--user", "--system"][..],
        ),
        (
            "a service by a path",
            "not '/'",
            &["--user", "--name", "../x"],
        ),
        (
            "a service printed and started",
            "cannot be used",
            &["--print", "--now"],
        ),
    ] {
        let words = [&["service", "install"][..], options, &relay].concat();
        cases.push(case(what, 2, cause, &words));
    }
    cases
}

fn name_cases() -> Vec<Case> {
    [
        ("an empty name", "empty", String::new()),
        (
            "a name that is a path",
            "not '/'",
            "../../etc/passwd".to_owned(),
        ),
        (
            "a name that is the directory above",
            "start with",
            "..".to_owned(),
        ),
        ("a name like an option", "unexpected", "-rf".to_owned()),
        (
            "a name with a line feed",
            "not '\\n'",
            "a\nerror: b".to_owned(),
        ),
        (
            "a name with an escape sequence",
            "not '\\u{1b}'",
            "\u{1b}]0;owned\u{7}".to_owned(),
        ),
        (
            "a name that reorders text",
            "not '\\u{202e}'",
            "a\u{202e}b".to_owned(),
        ),
        ("a name of 65 bytes", "exceeds 64", "n".repeat(65)),
    ]
    .into_iter()
    .map(|(what, cause, name)| case(what, 2, cause, &["identity", "create", &name]))
    .collect()
}

#[test]
fn wrong_usage_is_exit_code_2_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let cases: Vec<Case> = usage_cases().into_iter().chain(name_cases()).collect();
    for case in &cases {
        check(directory.path(), case);
    }
    assert_eq!(
        snapshot(directory.path()).len(),
        1,
        "wrong usage made files"
    );
    assert!(cases.len() >= 60, "{}", cases.len());
    println!("wrong usage: {} cases", cases.len());
}

#[test]
fn a_node_that_is_reached_by_nobody_is_told_of_both_ways() {
    let directory = tempfile::tempdir().unwrap();
    let ran = check(
        directory.path(),
        &case("neither way", 2, "--listen", &["node"]),
    );
    assert!(ran.stderr.contains("--via ADDR"), "{ran:?}");
}

#[test]
fn wrong_usage_is_json_where_json_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    for case in usage_cases().into_iter().chain(name_cases()) {
        let ran = run(sealway(directory.path())
            .arg("--json")
            .args(&case.arguments));
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(2), ""),
            "{}: {ran:?}",
            case.what
        );
        let value: serde_json::Value = serde_json::from_str(&ran.stderr).expect(case.what);
        assert_eq!(value["error"]["kind"], "usage", "{}", case.what);
        assert!(value["error"]["hint"].is_string(), "{}", case.what);
    }
}
