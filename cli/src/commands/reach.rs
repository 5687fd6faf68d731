//! Failures to reach somebody: who was not reachable, who refused, whom we did not expect.

use std::io;

use sealway::channel::floors::FloorError;
use sealway::channel::{CloseReason, OpenError};
use sealway::relay::RegisterError;
use sealway::transport::TransportError;
use sealway::{PathError, RequestError};
use sealway_core::channel::{Suite, Trust};

use crate::error::{CliError, Kind};

impl From<TransportError> for CliError {
    fn from(error: TransportError) -> Self {
        match &error {
            TransportError::Listen { source, .. } => listen_failed(&error, source),
            TransportError::Unresolvable { .. } => CliError::new(Kind::Unreachable, &error)
                .hint("check the name, and whether this machine can resolve names"),
            TransportError::Unreachable { .. } => CliError::new(Kind::Unreachable, &error).hint(
                "check the address, that the other end runs, and that no firewall stands between",
            ),
            _ => {
                CliError::failed(&error).hint("addresses are HOST:PORT, tcp:HOST:PORT or unix:PATH")
            }
        }
    }
}

fn listen_failed(error: &TransportError, source: &io::Error) -> CliError {
    let hint = match source.kind() {
        io::ErrorKind::AddrInUse => {
            "choose another port (0 picks a free one), or end the process that listens there"
        }
        io::ErrorKind::AddrNotAvailable => {
            "use an address of this machine, such as 127.0.0.1 or 0.0.0.0"
        }
        io::ErrorKind::PermissionDenied => "use a port above 1023, or a path where you can write",
        _ => "choose another address to listen at",
    };
    CliError::failed(error).hint(hint)
}

impl From<PathError> for CliError {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Transport(error) => error.into(),
            PathError::Channel {
                error: OpenError::Unexpected { met },
                listener,
                ..
            } => CliError::new(
                Kind::Refused,
                format!("met {met} at /secure/{listener}, who is neither pinned here nor expected"),
            )
            .hint(format!(
                "if its owner has told you this identifier: --expect {met}, or: sealway peer add NAME {met}"
            )),
            PathError::Channel {
                error: OpenError::Send(_),
                listener,
                ..
            } => hung_up(&format!("no channel with /secure/{listener}")),
            PathError::Channel {
                error: error @ OpenError::Deadline { .. },
                listener,
                suite,
            } => CliError::new(Kind::Unreachable, format!("/secure/{listener}: {error}"))
                .hint(silence_hint(Some(suite), "see how far it is: sealway ping")),
            PathError::Channel {
                error: OpenError::Floor(error),
                ..
            } => below_floor(&error),
            error if error.is_refusal() => refused(&error),
            error if error.is_unreachable() => CliError::new(Kind::Unreachable, &error)
                .hint("check the route and that its nodes run; see how far it leads: sealway ping"),
            error => CliError::failed(&error).hint("check the route"),
        }
    }
}

/// Why there is no path, for a caller who meant to reach `expected`. Whoever was met instead is not recommended: a relay that
/// leads callers to itself would be.
pub(super) fn unreached(error: PathError, expected: &Trust) -> CliError {
    let PathError::Channel {
        error: OpenError::Unexpected { met },
        listener,
        ..
    } = &error
    else {
        return error.into();
    };
    let meant = match expected {
        Trust::Identifier(one) => one.to_string(),
        Trust::AnyOf(several) => match several.as_slice() {
            [] => return error.into(),
            [one] => one.to_string(),
            several => format!("one of {} pinned identities", several.len()),
        },
        _ => return error.into(),
    };
    CliError::new(
        Kind::Refused,
        format!("expected {meant}, met {met} at /secure/{listener}"),
    )
    .hint(format!(
        "the relay or the network may have led you to somebody else; go on only if the owner of {met} has told you this \
         identifier by another way"
    ))
}

/// What to try when nobody answers at a listener: it may speak another suite, which only its operator, or ours, can decide.
pub(super) fn silence_hint(suite: Option<Suite>, else_try: &str) -> String {
    let other = match suite {
        Some(Suite::Hybrid) => {
            "; if it is an Ockam node, which speaks no hybrid, say so: /secure/api"
        }
        Some(Suite::Classical) => "; if it speaks hybrid alone, say so: /secure/sealway_xx1",
        None => "",
    };
    format!(
        "a wrong name is met with silence: check that its node runs and that a relay on the way knows its name, or {else_try}{other}"
    )
}

/// A peer that may not be met in this suite.
fn below_floor(error: &FloorError) -> CliError {
    let hint = match error {
        FloorError::Below { peer, suite, floor } => format!(
            "go by /secure/{}; if it can speak {suite} alone from now on: sealway peer suite {peer} {suite}",
            floor.listener()
        ),
        _ => "repair the home, then try again".to_owned(),
    };
    CliError::new(Kind::Refused, error).hint(hint)
}

/// Whoever accepted the connection does not speak the protocol, or has just ended.
fn hung_up(what: &str) -> CliError {
    CliError::new(
        Kind::Unreachable,
        format!("{what}: the connection was closed before an answer came"),
    )
    .hint("check that a node listens at that address, and not another kind of server")
}

fn refused(why: &dyn std::fmt::Display) -> CliError {
    CliError::new(Kind::Refused, why).hint(
        "ask there for trust in your identifier (sealway identity show): --trust, or sealway peer add",
    )
}

impl From<RegisterError> for CliError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Transport(error) => error.into(),
            RegisterError::Channel(OpenError::Unexpected { met }) => CliError::new(
                Kind::Refused,
                format!("the relay is {met} now, and was another when it was met first"),
            )
            .hint(
                "if that is right, forget the former one: sealway peer list, sealway peer remove",
            ),
            RegisterError::Channel(OpenError::Floor(error)) => below_floor(&error),
            RegisterError::Channel(error @ OpenError::Deadline { .. }) => CliError::new(
                Kind::Unreachable,
                format!("no channel with the relay: {error}"),
            )
            .hint(
                "check that a relay runs at that address: sealway relay --listen ADDR; if it is an Ockam relay, say so: --suite ockam",
            ),
            RegisterError::Channel(OpenError::Send(_)) | RegisterError::Send(_) => {
                hung_up("no channel with the relay")
            }
            RegisterError::Unconfirmed | RegisterError::Refused(_) | RegisterError::Closed(_) => {
                CliError::new(Kind::Refused, &error)
                    .hint("choose another --alias, or ask the relay's operator")
            }
            error => CliError::new(Kind::Unreachable, &error)
                .hint("check that a relay runs at that address: sealway relay --listen ADDR"),
        }
    }
}

/// The failure that the end of a path is.
pub(super) fn ended(reason: CloseReason) -> CliError {
    match reason {
        CloseReason::Refused => {
            refused(&"the other end closed the channel before any answer: it admits us to nothing")
        }
        reason => CliError::new(
            Kind::Unreachable,
            format!("the path ended before an answer came: {reason}"),
        )
        .hint("check that the nodes on the route run, then try again"),
    }
}

impl From<RequestError> for CliError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Deadline(_) => CliError::new(Kind::Unreachable, &error).hint(
                "a wrong name is met with silence: check the name at the relay and the service or outlet that the route ends at (sealway ping shows how far it leads), or give more --timeout",
            ),
            RequestError::Send(_) => hung_up("the message was not sent"),
            error => CliError::new(Kind::Unreachable, &error)
                .hint("check that the nodes on the route run, then try again"),
        }
    }
}
