//! The socket in the state folder: made so that nobody else can ever open it, and removed by who
//! made it only.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody listens on it.
    #[error("another edge is running with this state folder: it listens on {}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// There is something else of that name.
    #[error("{} is in the way: it is no socket; move it away", path.display())]
    NoSocket {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error("the admin socket {} cannot be made: {source}", path.display())]
    Make {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Listens on `path`; whatever an edge that was killed has left there is replaced.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
    look(path)?;
    made(path).map_err(|source| SocketError::Make { path: path.to_owned(), source })
}

/// Whether `path` is free, or a socket that nobody listens on.
fn look(path: &Path) -> Result<(), SocketError> {
    let path_buf = || path.to_owned();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(SocketError::Make { path: path_buf(), source }),
        Ok(found) if !found.file_type().is_socket() => Err(SocketError::NoSocket { path: path_buf() }),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(source) => Err(SocketError::Make { path: path_buf(), source }),
            Ok(_) => Err(SocketError::InUse { path: path_buf() }),
        },
    }
}

/// Under another name until its permissions are set, then moved into place.
fn made(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    let inode = fs::symlink_metadata(path)?.ino();
    Ok((listener, SocketFile { path: path.to_owned(), inode }))
}

/// The socket's file; removed by drop, unless it is another's by now.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if ours {
            // A file that stays is found to be unused by the next edge.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("edge.sock");
        (folder, path)
    }

    #[tokio::test]
    async fn the_socket_is_for_its_owner_only_and_goes_with_its_listener() {
        let (_folder, path) = folder();
        let (listener, file) = bind(&path).expect("the folder is writable");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        drop((listener, file));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_is_listened_on_is_not_taken() {
        let (_folder, path) = folder();
        let _first = bind(&path).expect("the folder is writable");
        assert!(matches!(bind(&path), Err(SocketError::InUse { .. })));
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[tokio::test]
    async fn a_socket_left_by_a_killed_edge_is_replaced() {
        let (_folder, path) = folder();
        drop(std::os::unix::net::UnixListener::bind(&path).expect("the folder is writable"));
        assert!(path.exists() && UnixStream::connect(&path).is_err());
        let _bound = bind(&path).expect("nobody listens");
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let (_folder, path) = folder();
        fs::write(&path, "precious").expect("the folder is writable");
        assert!(matches!(bind(&path), Err(SocketError::NoSocket { .. })));
        assert_eq!(fs::read(&path).expect("it is there"), b"precious");
        let nowhere = Path::new("/nonexistent/edge.sock");
        let error = bind(nowhere).expect_err("no such folder").to_string();
        assert!(error.starts_with("the admin socket /nonexistent/edge.sock cannot be made"), "{error}");
    }

    #[tokio::test]
    async fn the_socket_of_a_successor_is_not_removed() {
        let (_folder, path) = folder();
        let (listener, file) = bind(&path).expect("the folder is writable");
        drop(listener);
        let (_listener, _file) = bind(&path).expect("nobody listens");
        drop(file);
        assert!(UnixStream::connect(&path).is_ok());
    }
}
