//! The settings of the proxy engine, and the file in which it wants the system's roots.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::disk::{PRIVATE, RealDisk, write_atomic};
use pingora::server::configuration::ServerConf;

use crate::upstream::SystemRoots;

/// Tries of one request that the engine allows; routes decide on fewer.
const MAX_TRIES: usize = 16;

/// The engine's settings, and what has to live until an engine is made with them.
pub(super) struct Engine {
    pub(super) conf: Arc<ServerConf>,
    /// The roots, if they are in memory only.
    _memory: Option<File>,
}

/// The engine's own settings: everything about connections is ours. `ca_file` is where the roots are put.
///
/// # Errors
/// When the system has neither room on the disk nor memory for the roots.
pub(super) fn settings(ca_file: &Path, roots: &SystemRoots) -> io::Result<Engine> {
    let (ca_file, memory) = place(ca_file, roots.pem().as_bytes())?;
    let conf = ServerConf {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        max_retries: MAX_TRIES,
        // Filtered: the engine panics at start if one certificate of the system cannot be read.
        ca_file: Some(ca_file.display().to_string()),
        ..ServerConf::default()
    };
    Ok(Engine { conf: Arc::new(conf), _memory: memory })
}

/// Where the roots are: in the file, which is written only if it says something else, or in memory, as a full disk must not
/// keep an edge from starting.
fn place(path: &Path, pem: &[u8]) -> io::Result<(PathBuf, Option<File>)> {
    if std::fs::read(path).is_ok_and(|there| there == pem) {
        return Ok((path.to_owned(), None));
    }
    let Err(error) = write_atomic(&RealDisk, path, pem, PRIVATE) else { return Ok((path.to_owned(), None)) };
    tracing::warn!(%error, "the roots for upstream servers are not saved; they are used from memory");
    let memory = rustix::fs::memfd_create("upstream-roots", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut memory = File::from(memory);
    memory.write_all(pem)?;
    Ok((format!("/proc/self/fd/{}", memory.as_raw_fd()).into(), Some(memory)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_that_are_on_disk_are_not_written_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("roots.pem");
        assert_eq!(place(&path, b"one").expect("written").0, path);
        let before = std::fs::metadata(&path).expect("there").modified().expect("known");
        assert_eq!(place(&path, b"one").expect("there").0, path);
        assert_eq!(std::fs::metadata(&path).expect("there").modified().expect("known"), before);
        assert_eq!(place(&path, b"two").expect("written").0, path);
        assert_eq!(std::fs::read(&path).expect("there"), b"two");
    }

    #[test]
    fn roots_that_cannot_be_written_are_in_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("roots.pem");
        std::fs::create_dir_all(path.join("in the way")).expect("made");
        let (used, memory) = place(&path, b"one").expect("in memory");
        assert_eq!(std::fs::read(&used).expect("readable while it is open"), b"one");
        drop(memory);
    }
}
