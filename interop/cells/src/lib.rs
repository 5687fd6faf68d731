//! What the interoperation tests stand on: the reference as a child process, kinds of identity, the table of
//! results, the payload of the portal cells.

mod oracle;
mod shape;
mod table;
mod transfer;

pub use oracle::{Oracle, OracleError, Pending};
pub use shape::{Shape, now, rng};
pub use table::cell;
pub use transfer::{Target, TransferError, transfer};

/// What a cell's body may fail with.
pub type CellError = Box<dyn std::error::Error + Send + Sync>;
