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
    /// What is on disk, to write nothing twice; none before it is known.
    written: Option<HashMap<PathBuf, String>>,
}

/// Says in each file what it is, for somebody who finds it.
const HEAD: &str = "# The last version of these routes that served. Kept by edge; edits here are lost.\n\n";

impl History {
    /// History in `folder`, which need not be there yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, written: None }
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
        // What an earlier run left of files that are gone would come back with the next broken file of that name.
        let mut written = self.written.take().unwrap_or_else(|| on_disk(&self.folder));
        let mut outcome = Ok(());
        written.retain(|path, _| {
            let removed = if files.contains_key(path) { Ok(()) } else { remove(path) };
            let kept = removed.is_err() || files.contains_key(path);
            outcome = std::mem::replace(&mut outcome, Ok(())).and(removed);
            kept
        });
        for (path, text) in files {
            if written.get(&path) != Some(&text) {
                match write(&path, &text) {
                    Ok(()) => drop(written.insert(path, text)),
                    Err(error) => outcome = outcome.and(Err(error)),
                }
            }
        }
        self.written = Some(written);
        outcome
    }

    /// Where the history of a file is: its own path below the folder, whatever it began with.
    fn place(&self, file: &str) -> Option<PathBuf> {
        let inside: PathBuf =
            Path::new(file).components().filter(|part| matches!(part, Component::Normal(_))).collect();
        (inside.file_name().is_some()).then(|| self.folder.join(inside))
    }
}

/// All files below a folder with their texts. What cannot be read is written again when it is due.
fn on_disk(folder: &Path) -> HashMap<PathBuf, String> {
    let (mut found, mut folders) = (HashMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.insert(path, text);
            }
        }
    }
    found
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

#[cfg(test)]
mod tests {
    use routes::check::Checked;

    use super::*;

    /// Checks nothing: each text is one route's name.
    struct Nothing;

    impl RouteSource for Nothing {
        fn read(&self) -> Checked {
            Checked::default()
        }

        fn check_again(&self, _: &str, _: &str) -> Checked {
            Checked::default()
        }
    }

    #[test]
    fn what_is_gone_goes_from_disk_too_even_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = folder.path().join("routes/old.toml");
        std::fs::create_dir_all(old.parent().expect("has one")).expect("made");
        std::fs::write(&old, "# of an earlier run").expect("written");
        let mut history = History::new(folder.path().to_owned());
        history.save(std::iter::empty()).expect("removable");
        assert!(!old.exists());
        assert!(history.routes(&Nothing, "routes/old.toml").is_empty());
    }

    #[test]
    fn a_file_stays_below_the_folder_whatever_its_path() {
        let history = History::new(PathBuf::from("/state/history"));
        assert_eq!(history.place("../../etc/passwd"), Some(PathBuf::from("/state/history/etc/passwd")));
        assert_eq!(history.place("/"), None);
    }
}
