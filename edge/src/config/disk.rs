//! The real disk as the check of routes looks at it. It opens what it looks at, for a look at the permissions alone
//! misses read-only mounts, access lists and the like; it reads nothing.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use routes::world::{Disk, Seen};

/// The disk of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn look(&self, path: &Path) -> Seen {
        look(path).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Seen::Missing,
            _ => Seen::Unreadable(error.to_string()),
        })
    }
}

fn look(path: &Path) -> io::Result<Seen> {
    let found = fs::metadata(path)?;
    if found.is_dir() {
        return fs::read_dir(path).map(|_| Seen::Folder);
    }
    if !found.is_file() {
        // Opening a pipe would wait for somebody to write into it.
        return Ok(Seen::Unreadable("it is neither a file nor a folder".to_owned()));
    }
    File::open(path).map(|_| Seen::File)
}
