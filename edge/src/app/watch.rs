//! Notices edits of the route files and of `edge.toml`, and lets a burst of them settle into one load.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Editors write a file in several steps; a load in between would show a fault that is gone a moment later.
const SETTLE: Duration = Duration::from_millis(150);
/// How long a burst may go on before it is loaded all the same.
const LONGEST: Duration = Duration::from_millis(600);

/// How often the name of the folder is looked at, for one that came or was replaced.
const FOLLOW: Duration = Duration::from_millis(500);

/// What was edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edited {
    /// Something in the folder of routes.
    Routes,
    /// `edge.toml`.
    Settings,
}

/// Watches, and calls `edited` after each burst until `stop`.
///
/// # Errors
/// When the system cannot watch.
pub(super) async fn watch(
    routes: &Path,
    settings: &Path,
    edited: impl Fn(Edited) + Send + Sync,
    stop: CancellationToken,
) -> notify::Result<()> {
    // One place is enough: what matters is that something changed, not how often.
    let (told, mut changes) = mpsc::channel(1);
    let watched = Arc::new(Mutex::new(routes.to_owned()));
    let (folder, name) = (Arc::clone(&watched), settings.file_name().map(ToOwned::to_owned));
    let tell = move |event: notify::Result<notify::Event>| {
        let folder = folder.lock().unwrap_or_else(PoisonError::into_inner);
        // Full means that a load is due anyway.
        let _ = edited_by(&event, &folder, name.as_deref()).map(|what| told.try_send(what));
    };
    let mut watcher = notify::recommended_watcher(tell)?;
    let folder = settings.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The folder, not the file: editors replace files. Routes below it are watched already.
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    let mut routes = Routes { path: routes, watched, identity: None, warned: false };
    routes.follow(&mut watcher);
    // What was edited between the load of the start and now has told nobody.
    edited(Edited::Routes);
    loop {
        let next = tokio::time::timeout(FOLLOW, changes.recv());
        let first = match stop.run_until_cancelled(next).await {
            None | Some(Ok(None)) => return Ok(()),
            Some(Ok(Some(first))) => first,
            Some(Err(_)) if routes.follow(&mut watcher) => Edited::Routes,
            Some(Err(_)) => continue,
        };
        let settings_too = settle(&mut changes).await || first == Edited::Settings;
        if settings_too {
            edited(Edited::Settings);
        }
        // Before the load, so that no edit falls between.
        routes.follow(&mut watcher);
        edited(Edited::Routes);
    }
}

/// Waits for the end of a burst; whether the settings were edited within it.
async fn settle(changes: &mut mpsc::Receiver<Edited>) -> bool {
    let mut settings_too = false;
    let burst = async {
        while let Ok(Some(next)) = tokio::time::timeout(SETTLE, changes.recv()).await {
            settings_too |= next == Edited::Settings;
        }
    };
    let _ = tokio::time::timeout(LONGEST, burst).await;
    settings_too
}

/// The watch over the folder of routes. The system watches a folder, not its name: one that comes late or is replaced
/// must be found by looking.
struct Routes<'a> {
    path: &'a Path,
    /// Its real path, as events name it.
    watched: Arc<Mutex<PathBuf>>,
    /// Device and inode of the folder that is watched.
    identity: Option<(u64, u64)>,
    /// Whether it has been said that it cannot be watched.
    warned: bool,
}

impl Routes<'_> {
    /// Watches the folder that has the name now; whether it is another one than before. One that the system does not watch,
    /// as when it has no more watches to give, is tried again by the next call.
    fn follow(&mut self, watcher: &mut impl Watcher) -> bool {
        let found = std::fs::metadata(self.path).ok().filter(std::fs::Metadata::is_dir);
        let identity = found.map(|found| (found.dev(), found.ino()));
        if identity == self.identity {
            return false;
        }
        let before = std::mem::replace(&mut self.identity, identity);
        let real = self.path.canonicalize().unwrap_or_else(|_| self.path.to_owned());
        // Not held while the watcher is told: its thread may be waiting for it.
        let old = std::mem::replace(&mut *self.watched.lock().unwrap_or_else(PoisonError::into_inner), real.clone());
        if before.is_some() {
            // The watch of a folder that is gone has ended by itself.
            let _ = watcher.unwatch(&old);
        }
        if identity.is_some() {
            let refused = watcher.watch(&real, RecursiveMode::Recursive).err();
            self.note(refused.as_ref());
            if refused.is_some() {
                self.identity = None;
                // What was edited by the time of the first failure is loaded; later edits are when it can be watched.
                return before.is_some();
            }
        }
        true
    }

    /// Warns once of each time that it cannot be watched.
    fn note(&mut self, refused: Option<&notify::Error>) {
        if let Some(error) = refused.filter(|_| !self.warned) {
            let folder = self.path.display();
            tracing::warn!(%folder, %error, "the folder of routes cannot be watched now; it is tried again, use edge reload after an edit");
        }
        self.warned = refused.is_some();
    }
}

/// What an event of the system is about, if it is about anything of ours: logs and state may be in the same folder.
///
/// Without a place it can be: an error, or a queue of events that ran over. A load that finds nothing costs little.
fn edited_by(event: &notify::Result<notify::Event>, routes: &Path, settings: Option<&OsStr>) -> Option<Edited> {
    let Ok(event) = event else { return Some(Edited::Routes) };
    if event.need_rescan() || (event.paths.is_empty() && !matches!(event.kind, EventKind::Access(_))) {
        return Some(Edited::Routes);
    }
    if matches!(event.kind, EventKind::Access(_)) {
        return None;
    }
    if event.paths.iter().any(|path| path.starts_with(routes)) {
        return Some(Edited::Routes);
    }
    let is_settings = event.paths.iter().any(|path| path.file_name() == settings);
    is_settings.then_some(Edited::Settings)
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, Flag, ModifyKind};

    use super::*;

    #[test]
    fn what_has_no_place_may_be_an_edit_of_routes() {
        let about = |event| edited_by(&event, Path::new("/etc/edge/routes"), Some(OsStr::new("edge.toml")));
        let change = || notify::Event::new(EventKind::Modify(ModifyKind::Any));
        assert_eq!(about(Err(notify::Error::generic("lost"))), Some(Edited::Routes));
        assert_eq!(about(Ok(notify::Event::new(EventKind::Other).set_flag(Flag::Rescan))), Some(Edited::Routes));
        assert_eq!(about(Ok(change())), Some(Edited::Routes));
        assert_eq!(about(Ok(change().add_path("/etc/edge/log".into()))), None);
        assert_eq!(about(Ok(change().add_path("/etc/edge/edge.toml".into()))), Some(Edited::Settings));
        assert_eq!(about(Ok(notify::Event::new(EventKind::Access(AccessKind::Any)))), None);
    }

    /// Watches nothing until it is told to.
    #[derive(Debug, Default)]
    struct Refusing {
        willing: bool,
    }

    impl Watcher for Refusing {
        fn new<F: notify::EventHandler>(_: F, _: notify::Config) -> notify::Result<Self> {
            Ok(Self::default())
        }

        fn watch(&mut self, _: &Path, _: RecursiveMode) -> notify::Result<()> {
            if self.willing { Ok(()) } else { Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch)) }
        }

        fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
            Ok(())
        }

        fn kind() -> notify::WatcherKind {
            notify::WatcherKind::NullWatcher
        }
    }

    #[test]
    fn a_folder_that_cannot_be_watched_is_tried_again_and_loaded_then() {
        let folder = tempfile::tempdir().expect("a folder");
        let watched = Arc::new(Mutex::new(folder.path().to_owned()));
        let mut routes = Routes { path: folder.path(), watched, identity: None, warned: false };
        let mut watcher = Refusing::default();
        assert!(!routes.follow(&mut watcher) && routes.warned);
        assert!(!routes.follow(&mut watcher) && routes.warned);
        watcher.willing = true;
        assert!(routes.follow(&mut watcher) && !routes.warned, "what was edited meanwhile is loaded");
        assert!(!routes.follow(&mut watcher));
    }

    #[tokio::test]
    async fn an_edit_is_told_once_it_has_settled() {
        let folder = tempfile::tempdir().expect("a folder");
        let (routes, settings) = (folder.path().join("routes"), folder.path().join("edge.toml"));
        std::fs::create_dir(&routes).expect("made");
        std::fs::write(&settings, "").expect("written");
        let (sender, mut told) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let ended = stop.clone();
        let edits = move |edited| sender.send(edited).expect("somebody listens");
        let (place, file) = (routes.clone(), settings.clone());
        let watching = async move { watch(&place, &file, edits, ended).await.expect("watchable") };
        let editing = async {
            // The watch begins some time after this: edit until it is noticed.
            let mut round = 0;
            while told.is_empty() {
                round += 1;
                std::fs::write(routes.join("a.toml"), format!("# {round}")).expect("written");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            while told.recv().await != Some(Edited::Routes) {}
            std::fs::write(&settings, "# edited").expect("written");
            while told.recv().await != Some(Edited::Settings) {}
            stop.cancel();
        };
        tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(watching, editing) })
            .await
            .expect("in time");
    }
}
