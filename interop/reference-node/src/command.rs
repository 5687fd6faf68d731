//! The commands, as they stand on a line of standard input.

use serde::Deserialize;

/// One line of input.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    /// Returned with the answer.
    pub(crate) id: u64,
    /// What to do.
    #[serde(flatten)]
    pub(crate) command: Command,
}

/// Kind of an identity's primary key.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyType {
    /// Ed25519.
    #[default]
    Ed25519,
    /// ECDSA over P-256 with SHA-256.
    P256,
}

/// Kind of worker that `start` starts.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WorkerKind {
    /// Returns every payload unchanged.
    Echo,
    /// Forwards to the next hop and puts itself on the return route.
    Hop,
    /// Replies with the identifier of the channel peer who sent the message, or `none`.
    Whoami,
}

/// What the node can be told. Routes are texts `0#a => 0#b`; addresses and identifiers are texts.
///
/// Whatever is started here is reachable from every listener, connection and channel of the node, started before
/// or after it: the reference's flow control is set up so, since the cells try the protocols and not that policy.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Command {
    /// Creates an identity, with as many rotations, each to a new key of the same type or of `rotate_to`.
    /// Answers `identifier` and `history` (hexadecimal).
    CreateIdentity {
        #[serde(default)]
        key: KeyType,
        #[serde(default)]
        rotations: u32,
        #[serde(default)]
        rotate_to: Option<KeyType>,
    },
    /// Verifies an exported change history (hexadecimal). Answers `identifier` and `changes`.
    VerifyIdentity { history: String },
    /// Listens for TCP connections. Answers `port`.
    Listen {
        #[serde(default = "loopback")]
        bind: String,
    },
    /// Connects to `peer` (`host:port`). Answers `address`, the first hop of routes through it.
    Connect { peer: String },
    /// Closes the connection whose first hop is `address`.
    Disconnect { address: String },
    /// Starts a worker.
    Start { worker: WorkerKind, address: String },
    /// Stops whatever runs at the address.
    Stop { address: String },
    /// Accepts secure channels at `address`, from everyone or from one `peer`.
    ChannelListener {
        identity: String,
        address: String,
        #[serde(default)]
        peer: Option<String>,
    },
    /// Opens a secure channel over `route`, whose last hop is the listener, to everyone or to one `peer`.
    /// Answers `address` (first hop of routes through it) and `peer` (the identifier that was proven).
    Channel {
        identity: String,
        route: String,
        #[serde(default)]
        peer: Option<String>,
        #[serde(default = "patience")]
        timeout_ms: u64,
    },
    /// Answers `channels`: `address`, `initiator`, `mine`, `peer` of each open one.
    Channels,
    /// Waits until a channel with `peer` is open. Answers its `address` and `initiator`.
    AwaitChannel {
        peer: String,
        #[serde(default = "patience")]
        timeout_ms: u64,
    },
    /// Waits until the channel at `address` is gone.
    AwaitClosed {
        address: String,
        #[serde(default = "patience")]
        timeout_ms: u64,
    },
    /// Closes the channel at `address`; the reference then sends Close.
    CloseChannel { address: String },
    /// Sends `text` as a string message and awaits the reply. Answers `text` and `return_route`.
    Request {
        route: String,
        text: String,
        #[serde(default = "patience")]
        timeout_ms: u64,
    },
    /// Sends `count` different strings of at least `length` bytes one after the other, each when the echo of the
    /// one before it has come back equal. Answers `count`. The timeout is for each.
    Exchange {
        route: String,
        count: u64,
        #[serde(default)]
        length: usize,
        #[serde(default = "patience")]
        timeout_ms: u64,
    },
    /// Starts the relay services `forwarding_service` and `static_forwarding_service`.
    RelayService {
        #[serde(default)]
        prefix: String,
    },
    /// Registers at the relay node at the end of `route`: by name with `alias`, else ephemerally. Answers
    /// `relay` (the relay's address there) and `route` (from this node to it).
    Register {
        route: String,
        #[serde(default)]
        alias: Option<String>,
    },
    /// Starts an outlet at `address` to `target` (`host:port`).
    Outlet { address: String, target: String },
    /// Starts an inlet whose connections go to the outlet at the end of `route`. Answers `port`.
    Inlet {
        route: String,
        #[serde(default = "loopback")]
        bind: String,
    },
    /// Ends the process.
    Shutdown,
}

fn loopback() -> String {
    "127.0.0.1:0".to_owned()
}

fn patience() -> u64 {
    10_000
}
