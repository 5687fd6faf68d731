//! The tables, and how they came to be: numbered migrations, each applied once, in order.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// Marks the file as ours, in SQLite's `application_id`: "SLWY".
pub(crate) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"SLWY");

/// The migrations; number `n` (from 1) leads from version `n - 1` to version `n`. Never edit one that
/// was released: add the next.
const MIGRATIONS: &[&str] = &[VERSION_1, VERSION_2, VERSION_3, VERSION_4];

/// The version that this program reads and writes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a handful of migrations"
)]
pub(crate) const LATEST: i32 = MIGRATIONS.len() as i32;

/// Times are seconds since the Unix epoch; identifiers and hashes are 32 bytes.
const VERSION_1: &str = "
CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- Our own identities. `secret_key` is the primary key that signs for the latest change of `history`.
CREATE TABLE identities (
    name       TEXT PRIMARY KEY,
    identifier BLOB NOT NULL UNIQUE CHECK (length(identifier) = 32),
    history    BLOB NOT NULL,
    key_type   INTEGER NOT NULL,
    secret_key BLOB NOT NULL CHECK (length(secret_key) = 32),
    created    INTEGER NOT NULL,
    is_default INTEGER NOT NULL CHECK (is_default IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX one_default ON identities (is_default) WHERE is_default = 1;

-- Keys that the primary key has attested. They end with the change that attested them.
CREATE TABLE purpose_keys (
    identifier  BLOB NOT NULL REFERENCES identities (identifier) ON DELETE CASCADE,
    purpose     INTEGER NOT NULL,
    secret      BLOB NOT NULL CHECK (length(secret) = 32),
    attestation BLOB NOT NULL,
    PRIMARY KEY (identifier, purpose)
) STRICT, WITHOUT ROWID;

-- Histories of others, the longest that was verified. Only those with a rotation: the identifier is
-- the hash of the first change, so a history of one change cannot be older or other than known.
CREATE TABLE known_histories (
    identifier BLOB PRIMARY KEY CHECK (length(identifier) = 32),
    history    BLOB NOT NULL,
    seen       INTEGER NOT NULL
) STRICT;
CREATE INDEX known_histories_by_age ON known_histories (seen);

-- Names that the operator gave to peers.
CREATE TABLE peers (
    identifier BLOB PRIMARY KEY CHECK (length(identifier) = 32),
    name       TEXT UNIQUE,
    added      INTEGER NOT NULL
) STRICT;

-- What a peer may reach here (direction 0), or we may reach at it (direction 1).
CREATE TABLE pins (
    peer      BLOB NOT NULL REFERENCES peers (identifier) ON DELETE CASCADE,
    direction INTEGER NOT NULL CHECK (direction IN (0, 1)),
    resource  TEXT NOT NULL,
    origin    INTEGER NOT NULL,
    added     INTEGER NOT NULL,
    PRIMARY KEY (peer, direction, resource)
) STRICT, WITHOUT ROWID;

-- Aliases at our relay: the first owner keeps one until it expires.
CREATE TABLE relay_names (
    alias   TEXT PRIMARY KEY,
    owner   BLOB NOT NULL CHECK (length(owner) = 32),
    claimed INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX relay_names_by_owner ON relay_names (owner);
CREATE INDEX relay_names_by_expiry ON relay_names (expires);

-- Where the live processes of this home can be asked; rows of dead ones are swept.
CREATE TABLE control_sockets (
    path TEXT PRIMARY KEY,
    pid  INTEGER NOT NULL
) STRICT;
";

/// Exposures, and the tickets that lead to them.
const VERSION_2: &str = "
-- What is offered to whoever redeems a ticket. `listen` is the address that is kept for it.
CREATE TABLE exposures (
    resource TEXT PRIMARY KEY,
    target   TEXT NOT NULL,
    listen   TEXT,
    created  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Tickets, by the hash of their secret: this file redeems none.
CREATE TABLE tickets (
    secret   BLOB PRIMARY KEY CHECK (length(secret) = 32),
    resource TEXT NOT NULL REFERENCES exposures (resource) ON DELETE CASCADE,
    uses     INTEGER NOT NULL CHECK (uses > 0),
    expires  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tickets_by_resource ON tickets (resource, expires);

CREATE TABLE redemptions (
    ticket   BLOB NOT NULL REFERENCES tickets (secret) ON DELETE CASCADE,
    peer     BLOB NOT NULL CHECK (length(peer) = 32),
    redeemed INTEGER NOT NULL,
    PRIMARY KEY (ticket, peer)
) STRICT, WITHOUT ROWID;
";

/// Suite floors.
const VERSION_3: &str = "
-- The weakest suite in which the peer may be met, by its number on the wire.
ALTER TABLE peers ADD COLUMN suite_floor INTEGER NOT NULL DEFAULT 0;
";

/// What was connected to by tickets.
const VERSION_4: &str = "
-- Enough to connect again without the ticket. A peer that is removed takes its connections along.
CREATE TABLE connections (
    name           TEXT PRIMARY KEY,
    peer           BLOB NOT NULL REFERENCES peers (identifier) ON DELETE CASCADE,
    resource       TEXT NOT NULL,
    minimum_change BLOB NOT NULL CHECK (length(minimum_change) = 32),
    listen         TEXT NOT NULL,
    UNIQUE (peer, resource)
) STRICT, WITHOUT ROWID;

-- The ways to its channel listener, as multiaddrs, the preferred one first.
CREATE TABLE connection_ways (
    connection TEXT NOT NULL REFERENCES connections (name) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    way        TEXT NOT NULL,
    PRIMARY KEY (connection, position)
) STRICT, WITHOUT ROWID;
";

/// What a state file turned out to be, before anything was changed in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No table and no mark: a file that was just created.
    Empty,
    /// Ours, of this version, which may be older than [`LATEST`] or newer.
    Version(i32),
    /// A database of another program.
    Foreign,
}

/// Tells what the open database is.
pub(crate) fn inspect(connection: &Connection) -> rusqlite::Result<Found> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let version = pragma("user_version")?;
    if pragma("application_id")? == APPLICATION_ID {
        return Ok(Found::Version(version));
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(if tables == 0 && version == 0 {
        Found::Empty
    } else {
        Found::Foreign
    })
}

/// Applies what is missing, each migration in a transaction of its own with its number.
///
/// A process killed in between leaves a complete older version, from which the next one goes on.
pub(crate) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    for (number, migration) in (1i32..).zip(MIGRATIONS) {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        let version: i32 =
            transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version < number {
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", number)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_gets_the_latest_schema_and_the_mark() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(inspect(&connection).unwrap(), Found::Empty);
        migrate(&mut connection).unwrap();
        assert_eq!(inspect(&connection).unwrap(), Found::Version(LATEST));
        migrate(&mut connection).unwrap();
        assert_eq!(inspect(&connection).unwrap(), Found::Version(LATEST));
    }

    #[test]
    fn a_database_of_another_program_is_told_apart() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE bookmarks (url TEXT)")
            .unwrap();
        assert_eq!(inspect(&connection).unwrap(), Found::Foreign);
    }

    #[test]
    fn what_an_older_version_holds_is_kept() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(VERSION_1).unwrap();
        let peer = "INSERT INTO peers (identifier, added) VALUES (zeroblob(32), 7)";
        connection.execute(peer, []).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        migrate(&mut connection).unwrap();
        assert_eq!(inspect(&connection).unwrap(), Found::Version(LATEST));
        let added = connection.query_row("SELECT added FROM peers", [], |row| row.get(0));
        assert_eq!(added, Ok(7));
        let floor = connection.query_row("SELECT suite_floor FROM peers", [], |row| row.get(0));
        assert_eq!(floor, Ok(0));
        let ticket = "SELECT count(*) FROM tickets";
        assert_eq!(connection.query_row(ticket, [], |row| row.get(0)), Ok(0));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        // A table that stands in the way makes the batch fail half-way.
        connection
            .execute_batch("CREATE TABLE pins (x TEXT)")
            .unwrap();
        migrate(&mut connection).unwrap_err();
        let tables: i64 = connection
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table'",
                [],
                |r| r.get(0),
            )
            .unwrap();
        assert_eq!(tables, 1, "nothing of the migration is left");
    }
}
