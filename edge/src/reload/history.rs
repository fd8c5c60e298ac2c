//! The last good version of every route on disk, file by file as the operator has them, for the start after a bad edit.
//!
//! What is wanted there is noted by each load and written by whoever has the time, only where something changed; read only
//! at a start and only for routes that fail.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use certs::disk::PRIVATE;
use routes::check::Checked;
use tokio::sync::Notify;

use super::{RouteSource, Serving};

/// The folder `history/` of the state.
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
    wanted: Mutex<Wanted>,
    /// Held during a save: one at a time.
    written: Mutex<Written>,
    due: Notify,
}

type Files = BTreeMap<PathBuf, Arc<str>>;

/// What is to be on disk.
#[derive(Debug, Default, Clone)]
struct Wanted {
    /// How often it was noted; 0 is never.
    version: u64,
    files: Arc<Files>,
    /// Files and folders that are left alone if they are not among `files`.
    held: Vec<PathBuf>,
}

/// What is on disk, to write nothing twice.
#[derive(Debug, Default)]
struct Written {
    /// The version that is there whole.
    version: u64,
    /// None before it is known.
    files: Option<HashMap<PathBuf, Arc<str>>>,
}

/// Says in each file what it is, for somebody who finds it.
const HEAD: &str = "# The last version of these routes that served. Kept by edge; edits here are lost.\n\n";

/// Ends each file. Nothing is flushed to the device, as thousands of files would take minutes: a file that a power cut left
/// without its end is not believed, as a route without its last lines could let in more than the whole one.
const TAIL: &str = "# All of it is above this line.\n";

impl History {
    /// History in `folder`, which need not be there yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, wanted: Mutex::default(), written: Mutex::default(), due: Notify::new() }
    }

    /// The last good versions of all routes of `file`, or of every file below it if it was a folder.
    pub fn routes(&self, source: &dyn RouteSource, file: &str) -> Serving {
        let Some(path) = self.place(file) else { return Serving::default() };
        if let Ok(entries) = std::fs::read_dir(&path) {
            let mut all = Serving::default();
            for name in entries.flatten().map(|entry| Path::new(file).join(entry.file_name())) {
                let Serving { routes, streams } = self.routes(source, &name.display().to_string());
                all.routes.extend(routes);
                all.streams.extend(streams);
            }
            return all;
        }
        match std::fs::read_to_string(&path) {
            Ok(text) if text.ends_with(TAIL) => {
                let Checked { routes, streams, .. } = source.check_again(file, &text);
                Serving { routes, streams }
            }
            Ok(_) => {
                tracing::warn!(path = %path.display(), "the last good routes of a file were not written to their end");
                Serving::default()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Serving::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the last good routes of a file cannot be read");
                Serving::default()
            }
        }
    }

    /// Notes what serves now: files and texts of routes. Of `held` files not everything serves; what is there of them stays,
    /// for the day on which it can be used again.
    pub fn want<'r>(
        &self,
        routes: impl Iterator<Item = (&'r str, &'r str)>,
        held: impl Iterator<Item = &'r str>,
    ) -> &Self {
        let held: Vec<PathBuf> = held.map(|file| self.place(file).unwrap_or_else(|| self.folder.clone())).collect();
        let mut texts = BTreeMap::<PathBuf, String>::new();
        for (file, text) in routes {
            if let Some(path) = self.place(file).filter(|path| !is_held(&held, path)) {
                let whole = texts.entry(path).or_insert_with(|| HEAD.to_owned());
                whole.push_str(text);
                whole.push('\n');
            }
        }
        let mut files: Files = texts.into_iter().map(|(path, text)| (path, (text + TAIL).into())).collect();
        let mut wanted = lock(&self.wanted);
        let before = wanted.files.iter().filter(|(path, _)| is_held(&held, path));
        files.extend(before.map(|(path, text)| (path.clone(), Arc::clone(text))));
        *wanted = Wanted { version: wanted.version + 1, files: Arc::new(files), held };
        self
    }

    /// Tells whoever waits in [`History::due`]. Told twice is told once.
    pub fn tell(&self) {
        self.due.notify_one();
    }

    /// Waits until there may be something to save.
    pub async fn due(&self) {
        self.due.notified().await;
    }

    /// Writes what was noted last, unless it is there. Blocks on the disk.
    ///
    /// # Errors
    /// The first file that cannot be written; the others are tried all the same, and the next call tries again.
    pub fn save(&self) -> io::Result<()> {
        let mut written = lock(&self.written);
        let wanted = lock(&self.wanted).clone();
        if written.version == wanted.version {
            return Ok(());
        }
        // What an earlier run left of files that are gone would come back with the next broken file of that name.
        let mut files = written.files.take().unwrap_or_else(|| on_disk(&self.folder));
        let outcome = self.remove_others(&mut files, &wanted).and(self.write_all(&mut files, &wanted.files));
        written.files = Some(files);
        if outcome.is_ok() {
            written.version = wanted.version;
        }
        outcome
    }

    fn remove_others(&self, written: &mut HashMap<PathBuf, Arc<str>>, wanted: &Wanted) -> io::Result<()> {
        let mut outcome = Ok(());
        written.retain(|path, _| {
            let is_wanted = wanted.files.contains_key(path) || is_held(&wanted.held, path);
            let removed = if is_wanted { Ok(()) } else { remove(path) };
            let kept = is_wanted || removed.is_err();
            outcome = std::mem::replace(&mut outcome, Ok(())).and(removed);
            kept
        });
        outcome
    }

    fn write_all(&self, written: &mut HashMap<PathBuf, Arc<str>>, files: &Files) -> io::Result<()> {
        let mut outcome = Ok(());
        for (path, text) in files {
            if written.get(path) != Some(text) {
                match self.write(path, text) {
                    Ok(()) => drop(written.insert(path.clone(), Arc::clone(text))),
                    Err(error) => outcome = outcome.and(Err(error)),
                }
            }
        }
        outcome
    }

    /// Whole or not at all, except for a power cut, for which there is the tail.
    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            // Routes name hosts and inner addresses, like all of the state folder.
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        // Outside of the folder, so that what a crash leaves of it is no history.
        let new = self.folder.with_extension("new");
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(&new)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        std::fs::rename(&new, path)
    }

    /// Where the history of a file is: its own path below the folder, whatever it began with.
    fn place(&self, file: &str) -> Option<PathBuf> {
        let inside: PathBuf =
            Path::new(file).components().filter(|part| matches!(part, Component::Normal(_))).collect();
        (inside.file_name().is_some()).then(|| self.folder.join(inside))
    }
}

fn is_held(held: &[PathBuf], path: &Path) -> bool {
    held.iter().any(|held| path.starts_with(held))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked has at worst not noted what it wrote, which is then written again.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All files below a folder with their texts. What cannot be read is written again when it is due.
fn on_disk(folder: &Path) -> HashMap<PathBuf, Arc<str>> {
    let (mut found, mut folders) = (HashMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.insert(path, text.into());
            }
        }
    }
    found
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

    /// Says of every text that it is asked for it, by a broken file.
    struct Asked;

    impl RouteSource for Asked {
        fn read(&self, _: &Serving) -> Checked {
            Checked::default()
        }

        fn check_again(&self, file: &str, _: &str) -> Checked {
            panic!("{file} was asked for")
        }
    }

    fn history() -> (tempfile::TempDir, History) {
        let folder = tempfile::tempdir().expect("a folder");
        let history = History::new(folder.path().join("history"));
        (folder, history)
    }

    fn text(history: &History, file: &str) -> Option<String> {
        std::fs::read_to_string(history.place(file).expect("a file")).ok()
    }

    #[test]
    fn what_is_gone_goes_from_disk_too_even_after_a_restart() {
        let (_folder, history) = history();
        history.want([("routes/old.toml", "old")].into_iter(), [].into_iter()).save().expect("writable");
        assert_eq!(text(&history, "routes/old.toml"), Some(format!("{HEAD}old\n{TAIL}")));
        let next = History::new(history.folder);
        next.want([].into_iter(), [].into_iter()).save().expect("removable");
        assert_eq!(text(&next, "routes/old.toml"), None);
        assert!(next.routes(&Asked, "routes/old.toml").routes.is_empty());
    }

    #[test]
    fn what_is_there_of_a_file_with_faults_stays_over_a_restart() {
        let (_folder, history) = history();
        let files = [("r/a.toml", "a"), ("r/team/b.toml", "b1"), ("r/team/b.toml", "b2"), ("r/c.toml", "c")];
        history.want(files.into_iter(), [].into_iter()).save().expect("writable");
        let whole = text(&history, "r/team/b.toml");
        let next = History::new(history.folder);
        let held = ["r/a.toml", "r/team"];
        next.want([("r/team/b.toml", "b1")].into_iter(), held.into_iter()).save().expect("writable");
        assert_eq!(text(&next, "r/a.toml"), Some(format!("{HEAD}a\n{TAIL}")));
        assert_eq!(text(&next, "r/team/b.toml"), whole, "not without b2");
        assert_eq!(text(&next, "r/c.toml"), None);
    }

    #[test]
    fn a_good_version_that_was_not_saved_before_the_file_broke_is_saved_after() {
        let (_folder, history) = history();
        history.want([("a.toml", "good")].into_iter(), [].into_iter());
        history.want([("a.toml", "good")].into_iter(), ["a.toml"].into_iter()).save().expect("writable");
        assert_eq!(text(&history, "a.toml"), Some(format!("{HEAD}good\n{TAIL}")));
    }

    #[test]
    fn a_save_that_failed_is_done_by_the_next_although_nothing_new_is_wanted() {
        let (_folder, history) = history();
        std::fs::write(&history.folder, "in the way").expect("written");
        history.want([("a.toml", "a")].into_iter(), [].into_iter()).save().expect_err("no folder");
        std::fs::remove_file(&history.folder).expect("removed");
        history.save().expect("writable");
        assert!(text(&history, "a.toml").is_some());
        std::fs::remove_file(history.folder.join("a.toml")).expect("removed");
        history.save().expect("nothing to do");
        assert_eq!(text(&history, "a.toml"), None, "what is saved is not written again");
    }

    #[test]
    fn a_file_without_its_end_is_not_believed() {
        let (_folder, history) = history();
        let path = history.place("a.toml").expect("a file");
        std::fs::create_dir_all(&history.folder).expect("made");
        let whole = format!("{HEAD}a\n{TAIL}");
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).expect("written");
            assert!(history.routes(&Asked, "a.toml").routes.is_empty(), "{end}");
        }
    }

    #[test]
    fn a_file_stays_below_the_folder_whatever_its_path() {
        let history = History::new(PathBuf::from("/state/history"));
        assert_eq!(history.place("../../etc/passwd"), Some(PathBuf::from("/state/history/etc/passwd")));
        assert_eq!(history.place("/"), None);
    }
}
