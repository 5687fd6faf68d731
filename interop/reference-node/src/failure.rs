//! Why a command failed.

/// Every way a command can fail; rendered into the answer's `error` field.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The reference itself refused or failed.
    #[error("reference: {0}")]
    Reference(#[from] ockam::Error),
    /// The line was no command.
    #[error("not a command: {0}")]
    BadCommand(serde_json::Error),
    /// The text is no route: addresses `type#value` joined by `=>`.
    #[error("not a route: {0:?}")]
    BadRoute(String),
    /// The text is no hexadecimal string.
    #[error("not hexadecimal: {0:?}")]
    BadHex(String),
    /// An echo came back changed.
    #[error("message {index} came back as {got:?}, sent was {sent:?}")]
    WrongEcho {
        /// Which message of the exchange, from 0.
        index: u64,
        /// What was sent.
        sent: String,
        /// What came back.
        got: String,
    },
    /// The awaited state did not come about in time.
    #[error("{awaited} not seen within {timeout_ms} ms")]
    Timeout {
        /// What was awaited.
        awaited: &'static str,
        /// How long.
        timeout_ms: u64,
    },
    /// Standard input or output failed.
    #[error("standard input or output: {0}")]
    Io(#[from] std::io::Error),
}
