//! Where the processes of a home can be asked, for those who would look in another directory.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::Store;
use super::fault::StoreFault;
use super::writer::{After, Pending};

impl Store {
    /// The sockets that processes have entered, with the processes; dead ones too.
    pub(crate) fn control_sockets(&self) -> Result<Vec<(PathBuf, u32)>, StoreFault> {
        let connection = self.read();
        let mut statement = connection.prepare_cached("SELECT path, pid FROM control_sockets")?;
        let rows = statement.query_map([], |row| {
            let path: String = row.get(0)?;
            Ok((PathBuf::from(path), row.get(1)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Enters a socket of this process. One whose path is no text is not entered.
    pub(crate) fn enter_control_socket(&self, path: &Path, pid: u32) -> Pending<(), StoreFault> {
        let Ok(path) = std::str::from_utf8(path.as_os_str().as_bytes()).map(str::to_owned) else {
            return Pending::ready(Ok(()));
        };
        self.write(After::Nothing, move |transaction| {
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO control_sockets (path, pid) VALUES (?1, ?2)",
                )?
                .execute((path, pid))?;
            Ok(())
        })
    }

    /// Takes a socket out that is gone.
    pub(crate) fn strike_control_socket(&self, path: &Path) -> Pending<(), StoreFault> {
        let path = path.to_string_lossy().into_owned();
        self.write(After::Nothing, move |transaction| {
            transaction
                .prepare_cached("DELETE FROM control_sockets WHERE path = ?1")?
                .execute([path])?;
            Ok(())
        })
    }
}
