//! The state folder: made, private, writable and ours alone before anything is served from it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is not there and cannot be made.
    #[error("the state folder {} cannot be made; make it, or set `state` in edge.toml or EDGE_STATE", .0.display())]
    Make(PathBuf, #[source] io::Error),
    /// It cannot be written to.
    #[error("the state folder {} cannot be written to; give it to the user that runs edge: chown -R USER {}", .0.display(), .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// There is no room in it.
    #[error("the disk of the state folder {} is full; make room there", .0.display())]
    Full(PathBuf, #[source] io::Error),
    /// It is open to others and holds what is not ours.
    #[error("the state folder {} is open to others and holds other files; name a folder of its own in `state`, or chmod 700 it", .0.display())]
    Foreign(PathBuf),
    /// Another edge has it.
    #[error("another edge uses the state folder {}; stop it first, or give this one a `state` of its own", .0.display())]
    Taken(PathBuf),
}

/// A state folder that this process holds; released when dropped.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    _lock: File,
}

impl State {
    /// Makes and takes the folder.
    ///
    /// # Errors
    /// See [`StateError`].
    pub(super) fn open(folder: &Path) -> Result<Self, StateError> {
        if !folder.is_dir() {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| match refused(folder, error) {
                StateError::Write(folder, error) => StateError::Make(folder, error),
                full => full,
            })?;
        }
        let write = |error| refused(folder, error);
        let mode = std::fs::metadata(folder).map_err(write)?.permissions().mode();
        if mode & 0o077 != 0 {
            // It holds keys: nobody else's business. But a folder of others must not be closed to them.
            let is_ours = folder.join("lock").exists() || std::fs::read_dir(folder).map_err(write)?.next().is_none();
            if !is_ours {
                return Err(StateError::Foreign(folder.into()));
            }
            std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).map_err(write)?;
        }
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join("lock"));
        let lock = lock.map_err(write)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StateError::Taken(folder.into())),
            Err(TryLockError::Error(error)) => Err(write(error)),
        }
    }

    /// A place in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn refused(folder: &Path, error: io::Error) -> StateError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StateError::Full(folder.into(), error),
        _ => StateError::Write(folder.into(), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_matter_of_the_owner() {
        let said = |kind: io::ErrorKind| refused(Path::new("/state"), kind.into()).to_string();
        assert_eq!(said(io::ErrorKind::StorageFull), "the disk of the state folder /state is full; make room there");
        assert!(said(io::ErrorKind::PermissionDenied).contains("chown"));
    }

    #[test]
    fn the_folder_is_made_private_and_held_by_one() {
        let base = tempfile::tempdir().expect("a folder");
        let folder = base.path().join("a/state");
        let state = State::open(&folder).expect("made");
        let mode = std::fs::metadata(&folder).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(matches!(State::open(&folder), Err(StateError::Taken(taken)) if taken == folder));
        drop(state);
        assert!(State::open(&folder).is_ok());
    }

    #[test]
    fn a_folder_of_others_is_not_closed_to_them() {
        let base = tempfile::tempdir().expect("a folder");
        let open = || std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o755)).expect("allowed");
        open();
        std::fs::write(base.path().join("theirs"), "").expect("written");
        assert!(matches!(State::open(base.path()), Err(StateError::Foreign(_))));
        std::fs::remove_file(base.path().join("theirs")).expect("removed");
        drop(State::open(base.path()).expect("an empty one may be taken"));
        open();
        assert!(State::open(base.path()).is_ok(), "what was ours is closed again");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let base = tempfile::tempdir().expect("a folder");
        let file = base.path().join("file");
        std::fs::write(&file, "").expect("written");
        let error = State::open(&file.join("state")).expect_err("below a file");
        assert!(error.to_string().contains("file/state cannot be made"), "{error}");
    }
}
