//! The oracle against itself: two nodes of the reference do everything that the cells ask of one.
//!
//! A cell that fails is then Sealway's fault or the cell's, and not that of the program at the other end.

use interop_cells::{CellError, Oracle, Target, transfer};
use serde_json::json;
use std::net::SocketAddr;

const MB: u64 = 1_000_000;

/// A listening node with an echo worker, and a node connected to it: the first hop of routes from the second.
fn connected() -> Result<(Oracle, Oracle, String), CellError> {
    let server = Oracle::start()?;
    let port = server.call_for("listen", json!({}), "port")?;
    server.call("start", json!({"worker": "echo", "address": "echo"}))?;
    let client = Oracle::start()?;
    let peer = format!("127.0.0.1:{port}");
    let first = client.call_for("connect", json!({"peer": peer}), "address")?;
    Ok((server, client, first))
}

fn identity(node: &Oracle) -> Result<String, CellError> {
    Ok(node.call_for("create_identity", json!({}), "identifier")?)
}

/// Opens a channel from `client` to a listener `api` at `server`; the channel's address on the client's side.
fn channel(server: &Oracle, client: &Oracle, over: &str) -> Result<String, CellError> {
    let (server_id, client_id) = (identity(server)?, identity(client)?);
    server.call(
        "channel_listener",
        json!({"identity": server_id, "address": "api", "peer": client_id}),
    )?;
    let route = format!("{over} => api");
    let opened = json!({"identity": client_id, "route": route, "peer": server_id});
    Ok(client.call_for("channel", opened, "address")?)
}

#[test]
fn echo_comes_back_over_tcp() -> Result<(), CellError> {
    let (_server, client, first) = connected()?;
    let request = json!({"route": format!("{first} => echo"), "text": "hello"});
    assert_eq!(client.call_for("request", request, "text")?, "hello");
    Ok(())
}

#[test]
fn hop_forwards_to_a_third_node() -> Result<(), CellError> {
    let (middle, client, first) = connected()?;
    let far = Oracle::start()?;
    let port = far.call_for("listen", json!({}), "port")?;
    far.call("start", json!({"worker": "echo", "address": "far_echo"}))?;
    middle.call("start", json!({"worker": "hop", "address": "hop"}))?;
    let peer = format!("127.0.0.1:{port}");
    let second = middle.call_for("connect", json!({"peer": peer}), "address")?;
    let route = format!("{first} => hop => {second} => far_echo");
    client.call("exchange", json!({"route": route, "count": 20}))?;
    Ok(())
}

#[test]
fn thousand_messages_pass_through_a_channel_across_rekeys() -> Result<(), CellError> {
    let (server, client, first) = connected()?;
    let channel = channel(&server, &client, &first)?;
    let route = format!("{channel} => echo");
    client.call("exchange", json!({"route": route, "count": 1000}))?;
    Ok(())
}

#[test]
fn channel_names_its_peer_to_workers() -> Result<(), CellError> {
    let (server, client, first) = connected()?;
    server.call("start", json!({"worker": "whoami", "address": "whoami"}))?;
    let channel = channel(&server, &client, &first)?;
    let listed = client.call("channels", json!({}))?;
    let mine = listed["channels"][0]["mine"].as_str().unwrap_or_default();
    let request = json!({"route": format!("{channel} => whoami"), "text": ""});
    assert_eq!(client.call_for("request", request, "text")?, mine);
    let plain = json!({"route": format!("{first} => whoami"), "text": ""});
    assert_eq!(client.call_for("request", plain, "text")?, "none");
    Ok(())
}

#[test]
fn unexpected_identity_is_refused() -> Result<(), CellError> {
    let (server, client, first) = connected()?;
    let (server_id, client_id) = (identity(&server)?, identity(&client)?);
    server.call(
        "channel_listener",
        json!({"identity": server_id, "address": "api"}),
    )?;
    let route = format!("{first} => api");
    let fields =
        json!({"identity": client_id, "route": route, "peer": client_id, "timeout_ms": 2000});
    assert!(client.call("channel", fields).is_err());
    Ok(())
}

#[test]
fn rotated_and_p256_identities_open_channels() -> Result<(), CellError> {
    for shape in [
        json!({"key": "p256"}),
        json!({"key": "ed25519", "rotations": 2}),
        json!({"key": "p256", "rotations": 1, "rotate_to": "ed25519"}),
    ] {
        let (server, client, first) = connected()?;
        let server_id = server.call_for("create_identity", shape.clone(), "identifier")?;
        let created = client.call("create_identity", shape)?;
        let history = created["history"].clone();
        let verified =
            server.call_for("verify_identity", json!({"history": history}), "identifier")?;
        assert_eq!(Some(verified.as_str()), created["identifier"].as_str());
        server.call(
            "channel_listener",
            json!({"identity": server_id, "address": "api", "peer": verified}),
        )?;
        let route = format!("{first} => api");
        let fields = json!({"identity": verified, "route": route, "peer": server_id});
        let channel = client.call_for("channel", fields, "address")?;
        let route = format!("{channel} => echo");
        client.call("exchange", json!({"route": route, "count": 3}))?;
    }
    Ok(())
}

#[test]
fn close_is_seen_by_the_other_side() -> Result<(), CellError> {
    let (server, client, first) = connected()?;
    let at_client = channel(&server, &client, &first)?;
    let listed = client.call("channels", json!({}))?;
    let mine = listed["channels"][0]["mine"].clone();
    let at_server = server.call_for("await_channel", json!({"peer": mine}), "address")?;
    client.call("close_channel", json!({"address": at_client}))?;
    server.call("await_closed", json!({"address": at_server}))?;
    Ok(())
}

#[test]
fn relayed_channel_reaches_a_node_without_a_port() -> Result<(), CellError> {
    for alias in [None, Some("home")] {
        let relay = Oracle::start()?;
        let port = relay.call_for("listen", json!({}), "port")?;
        relay.call("relay_service", json!({"prefix": "forward_to_"}))?;
        let peer = format!("127.0.0.1:{port}");

        let private = Oracle::start()?;
        private.call("start", json!({"worker": "echo", "address": "echo"}))?;
        let to_relay = private.call_for("connect", json!({"peer": peer}), "address")?;
        let fields = json!({"route": to_relay, "alias": alias});
        let address = private.call_for("register", fields, "relay")?;
        assert!(address.starts_with("forward_to_"), "{address}");

        let client = Oracle::start()?;
        let first = client.call_for("connect", json!({"peer": peer}), "address")?;
        let channel = channel(&private, &client, &format!("{first} => {address}"))?;
        let route = format!("{channel} => echo");
        client.call("exchange", json!({"route": route, "count": 100}))?;
    }
    Ok(())
}

#[test]
fn registration_inside_a_channel_relays_too() -> Result<(), CellError> {
    let relay = Oracle::start()?;
    let port = relay.call_for("listen", json!({}), "port")?;
    let peer = format!("127.0.0.1:{port}");
    let private = Oracle::start()?;
    private.call("start", json!({"worker": "echo", "address": "echo"}))?;
    let to_relay = private.call_for("connect", json!({"peer": peer}), "address")?;
    let inside = channel(&relay, &private, &to_relay)?;
    relay.call("relay_service", json!({"prefix": "forward_to_"}))?;
    let fields = json!({"route": inside, "alias": "home"});
    let address = private.call_for("register", fields, "relay")?;

    let client = Oracle::start()?;
    let first = client.call_for("connect", json!({"peer": peer}), "address")?;
    let channel = channel(&private, &client, &format!("{first} => {address}"))?;
    let route = format!("{channel} => echo");
    client.call("exchange", json!({"route": route, "count": 10}))?;
    Ok(())
}

#[test]
fn portal_in_a_channel_brings_bytes_across_unchanged() -> Result<(), CellError> {
    let target = Target::start()?;
    let (server, client, first) = connected()?;
    let channel = channel(&server, &client, &first)?;
    server.call(
        "outlet",
        json!({"address": "outlet", "target": target.address().to_string()}),
    )?;
    let inlet = json!({"route": format!("{channel} => outlet")});
    let port: u16 = client.call_for("inlet", inlet, "port")?.parse()?;
    transfer(SocketAddr::from(([127, 0, 0, 1], port)), 100 * MB)?;
    Ok(())
}
