//! A manager in a folder of its own, with everything around it that a test may want to look at or break.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by panicking")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acme::backoff::Notes;
use acme::manager::{Event, Report};
use acme::{Ca, Challenges, Clock, Handle, Manager, Parts};
use certs::disk::Item;
use certs::{Disk, RealDisk, Store, Vault};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// The folder of a state, and the disk under it.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) disk: Arc<MoodyDisk>,
    pub(crate) store: Arc<Store>,
    pub(crate) challenges: Challenges,
    pub(crate) heard: Arc<Heard>,
}

/// A manager at work.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) wanted: watch::Sender<Arc<[String]>>,
    stop: oneshot::Sender<()>,
    task: JoinSet<()>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            disk: Arc::default(),
            store: Arc::default(),
            challenges: Challenges::new(),
            heard: Arc::default(),
        }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn start(&self, ca: Arc<dyn Ca>, clock: Arc<dyn Clock>, names: &[&str]) -> Running {
        let (wanted, follow) = watch::channel(list(names));
        let (manager, handle) = Manager::open(Parts {
            ca,
            profile: None,
            challenges: self.challenges.clone(),
            vault: Vault::new(self.path("certs"), self.disk.clone()),
            notes: Notes::new(self.path("acme/retry"), self.disk.clone()),
            store: self.store.clone(),
            clock,
            report: self.heard.clone(),
            wanted: follow,
        });
        let (stop, stopped) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(manager.run(async move {
            let _ = stopped.await;
        }));
        Running { handle, wanted, stop, task }
    }

    /// The serial number of what is served for a name.
    pub(crate) fn served(&self, name: &str) -> Option<String> {
        self.store.snapshot().lookup(name).map(|entry| entry.serial().to_owned())
    }
}

impl Running {
    /// Stops it as the program does, and sees to it that it ends.
    pub(crate) async fn stop(mut self) {
        self.stop.send(()).expect("the manager runs until it is told to stop");
        self.task.join_next().await.expect("there is one task").expect("the manager does not panic");
    }
}

pub(crate) fn list(names: &[&str]) -> Arc<[String]> {
    names.iter().map(ToString::to_string).collect()
}

/// Waits until something is true; the bound is only there for a test that would hang.
pub(crate) async fn within(bound: Duration, what: &str, mut is: impl FnMut() -> bool) {
    let wait = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(bound, wait).await.is_ok(), "never: {what}");
}

/// All events, as words.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Vec<String>>);

impl Heard {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, words: &str) -> usize {
        self.all().iter().filter(|line| line.contains(words)).count()
    }
}

impl Report for Heard {
    fn report(&self, event: Event<'_>) {
        let line = match event {
            Event::Obtained { name, .. } => format!("obtained {name}"),
            Event::Renewed { name, .. } => format!("renewed {name}"),
            Event::Failed { name, kind, sentence, .. } => format!("failed {name} {kind}: {sentence}"),
            Event::Saved { name, generation } => format!("saved {name} {generation}"),
            Event::SaveFailed { name, what, why } => format!("unsaved {name} {}: {why}", what.as_str()),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

/// The real disk, until it is full.
#[derive(Debug, Default)]
pub(crate) struct MoodyDisk {
    full: AtomicBool,
}

impl MoodyDisk {
    pub(crate) fn fill(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    fn room(&self) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Disk for MoodyDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.room()?;
        RealDisk.create_dir(path)
    }

    fn write_new(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.room()?;
        RealDisk.write_new(path, bytes, mode)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn symlink(&self, target: &str, link: &Path) -> io::Result<()> {
        self.room()?;
        RealDisk.symlink(target, link)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        RealDisk.read_link(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Item>> {
        RealDisk.list(path)
    }

    fn unique(&self) -> String {
        RealDisk.unique()
    }
}
