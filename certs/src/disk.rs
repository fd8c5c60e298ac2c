//! The few things that saving needs of a disk, as a trait, so that tests can fill it up or pull the plug at any step.
//! Also the one way to write a single state file. Layouts of folders belong to whoever owns them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Mode of a file that only we read.
pub const PRIVATE: u32 = 0o600;
/// Mode of a folder that only we enter.
pub const PRIVATE_DIR: u32 = 0o700;

/// What could not be done on the disk, and where.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {path}: {source}{hint}", path = .path.display(), hint = hint(.source))]
pub struct DiskError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl DiskError {
    /// The path it happened at.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the thing is simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    fn is_occupied(&self) -> bool {
        use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty};
        matches!(self.source.kind(), AlreadyExists | DirectoryNotEmpty)
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "; make room on that file system",
        io::ErrorKind::QuotaExceeded => "; raise the quota of the user that edge runs as",
        io::ErrorKind::PermissionDenied => "; give it to the user that edge runs as",
        io::ErrorKind::ReadOnlyFilesystem => "; mount that file system writable",
        _ => "",
    }
}

/// One thing in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name; names that are not UTF-8 are not ours and are left out.
    pub name: String,
    /// Whether it is a folder itself (a link is not).
    pub is_dir: bool,
}

/// A disk. Each call is one step that can fail or be the last one before a crash; nothing is retried below it.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Makes a folder and those above it, mode 0700; no error if it is there.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Writes a file that is not there yet, with this mode, and flushes it to the device.
    fn write_new(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()>;
    /// Flushes a folder, so that the names in it survive a power cut.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Gives a file or folder another name, replacing a file or an empty folder there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes a symbolic link.
    fn symlink(&self, target: &str, link: &Path) -> io::Result<()>;
    /// Removes a file or link, or a folder with all in it; no error if it is gone.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Reads a file whole.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Where a symbolic link points.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;
    /// What is in a folder, by name.
    fn list(&self, path: &Path) -> io::Result<Vec<Item>>;
    /// A word that no other temporary name has: `[a-z0-9]+`.
    fn unique(&self) -> String;
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(path)
    }

    fn write_new(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn symlink(&self, target: &str, link: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, link)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        fs::read_link(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Item>> {
        let mut items = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                let is_dir = entry.file_type()?.is_dir();
                items.push(Item { name, is_dir });
            }
        }
        items.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(items)
    }

    fn unique(&self) -> String {
        let mut bytes = [0; 10];
        // Only uniqueness is asked for; if the system has no randomness the process and the time must do.
        if aws_lc_rs::rand::fill(&mut bytes).is_err() {
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            return format!("{}n{}", std::process::id(), now.as_nanos());
        }
        data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
    }
}

/// The same steps with the path and the deed in the error.
pub(crate) trait Told {
    type Done;
    fn told(self, doing: &'static str, path: &Path) -> Result<Self::Done, DiskError>;
}

impl<T> Told for io::Result<T> {
    type Done = T;

    fn told(self, doing: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError { doing, path: path.to_owned(), source })
    }
}

/// [`Disk::rename`] to a place that may be taken; whether it was free.
pub(crate) fn rename_if_free(disk: &dyn Disk, from: &Path, to: &Path) -> Result<bool, DiskError> {
    match disk.rename(from, to).told("rename to", to) {
        Ok(()) => Ok(true),
        Err(error) if error.is_occupied() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Replaces a file so that a crash at any moment leaves the old or the new content, whole. Makes its folder if missing.
///
/// # Errors
/// [`DiskError`] with the step that failed; the old file is then still there.
pub fn write_atomic(disk: &dyn Disk, path: &Path, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = folder.join(format!(".tmp-{}", disk.unique()));
    disk.create_dir(folder).told("make the folder", folder)?;
    let written = disk
        .write_new(&temporary, bytes, mode)
        .told("write", &temporary)
        .and_then(|()| disk.rename(&temporary, path).told("replace", path));
    if let Err(error) = written {
        // The first failure is the one to tell; a leftover is only a name that nobody reads.
        let _ = disk.remove(&temporary);
        return Err(error);
    }
    disk.sync_dir(folder).told("flush", folder)
}

/// [`Disk::read`] with the path in the error.
///
/// # Errors
/// [`DiskError`] for every failure.
pub fn read_whole(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, DiskError> {
    disk.read(path).told("read", path)
}

/// [`read_whole`] of a file that may be missing.
///
/// # Errors
/// [`DiskError`] for every other failure.
pub fn read_if_there(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    match read_whole(disk, path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::testing::{FaultyDisk, Plug};

    #[test]
    fn a_state_file_is_old_or_new_after_a_failure_or_a_crash_at_every_step() {
        for plug in [Plug::Full, Plug::Killed] {
            for step in 0.. {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("acme/account.json");
                write_atomic(&RealDisk, &path, b"old", PRIVATE).unwrap();
                let disk = FaultyDisk::new(plug, step);
                let outcome = write_atomic(&disk, &path, b"newer", PRIVATE);
                let content = fs::read(&path).unwrap();
                assert!(content == b"old" || content == b"newer", "step {step}");
                if outcome.is_ok() {
                    assert_eq!(content, b"newer");
                    break;
                }
            }
        }
    }

    #[test]
    fn state_files_are_ours_alone_and_leave_no_temporary_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme/account.json");
        write_atomic(&RealDisk, &path, b"secret", PRIVATE).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(RealDisk.list(path.parent().unwrap()).unwrap().len(), 1);
    }

    #[test]
    fn a_full_disk_is_told_with_the_path_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let error = write_atomic(&FaultyDisk::new(Plug::Full, 1), &path, b"x", PRIVATE).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("make room") && text.contains(folder.path().to_str().unwrap()), "{text}");
    }
}
