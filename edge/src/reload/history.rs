//! The last good version of every route on disk, file by file as the operator has them, for the start after a bad edit.
//!
//! Written after each publish, only where something changed; read only at a start and only for routes that fail.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use certs::disk::{PRIVATE, RealDisk, write_atomic};
use routes::route::Route;

use super::RouteSource;

/// The folder `history/` of the state.
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
    /// What was written, to write nothing twice.
    written: HashMap<PathBuf, String>,
}

/// Says in each file what it is, for somebody who finds it.
const HEAD: &str = "# The last version of these routes that served. Kept by edge; edits here are lost.\n\n";

impl History {
    /// History in `folder`, which need not be there yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, written: HashMap::new() }
    }

    /// The last good version of the route `name` of `file`, if it is still good in today's world.
    pub fn route(&self, source: &dyn RouteSource, file: &str, name: &str) -> Option<Arc<Route>> {
        self.routes(source, file).into_iter().find(|route| route.name == name)
    }

    /// The last good versions of all routes of `file`, or of every file below it if it was a folder.
    pub fn routes(&self, source: &dyn RouteSource, file: &str) -> Vec<Arc<Route>> {
        let Some(path) = self.place(file) else { return Vec::new() };
        if let Ok(entries) = std::fs::read_dir(&path) {
            let names = entries.flatten().map(|entry| Path::new(file).join(entry.file_name()));
            return names.flat_map(|below| self.routes(source, &below.display().to_string())).collect();
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => source.check_again(file, &text).routes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the last good routes of a file cannot be read");
                Vec::new()
            }
        }
    }

    /// Writes what serves now.
    ///
    /// # Errors
    /// The first file that cannot be written; the others are tried all the same.
    pub fn save<'r>(&mut self, routes: impl Iterator<Item = &'r Arc<Route>>) -> io::Result<()> {
        let mut files = BTreeMap::<PathBuf, String>::new();
        for route in routes {
            if let Some(path) = self.place(&route.file) {
                let text = files.entry(path).or_insert_with(|| HEAD.to_owned());
                text.push_str(&route.text);
                text.push('\n');
            }
        }
        let mut outcome = Ok(());
        for path in self.written.keys().filter(|path| !files.contains_key(*path)) {
            outcome = outcome.and(remove(path));
        }
        for (path, text) in &files {
            if self.written.get(path) != Some(text) {
                outcome = outcome.and(write(path, text));
            }
        }
        self.written = files.into_iter().collect();
        outcome
    }

    /// Where the history of a file is: its own path below the folder, whatever it began with.
    fn place(&self, file: &str) -> Option<PathBuf> {
        let inside: PathBuf =
            Path::new(file).components().filter(|part| matches!(part, Component::Normal(_))).collect();
        (inside.file_name().is_some()).then(|| self.folder.join(inside))
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        // Routes name hosts and inner addresses, like all of the state folder.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    write_atomic(&RealDisk, path, text.as_bytes(), PRIVATE).map_err(io::Error::other)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
