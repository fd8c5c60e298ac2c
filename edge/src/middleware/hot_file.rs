//! A value that is parsed from a file and follows it while the edge runs: users, tokens, keys.
//!
//! It is looked at when a request needs it, at most once a second, off the threads that serve; a request is never judged
//! by what is older than that. What cannot be read or parsed leaves the last good value in use, and says so.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;

use crate::telemetry::LastGood;

/// How long a look is good for.
const FRESH: Duration = Duration::from_secs(1);
/// How long a look may take: a network disk may hang.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest file that is read.
const LONGEST: u64 = 8 * 1024 * 1024;

/// The value of a file.
pub(crate) struct HotFile<T> {
    file: Arc<Watched<T>>,
    value: ArcSwap<T>,
    began: Instant,
    /// When it was last looked at, in milliseconds since the beginning.
    looked: AtomicU64,
    /// One look at a time; who waits for it uses what it found.
    look: AsyncMutex<Option<JoinHandle<Look<T>>>>,
    last_good: LastGood,
}

/// A new value, or none if the file did not change.
type Look<T> = Result<Option<T>, FileError>;
type Parse<T> = Box<dyn Fn(&str) -> Result<T, String> + Send + Sync>;

struct Watched<T> {
    path: PathBuf,
    parse: Parse<T>,
    /// The file of the value that is in use.
    known: Mutex<Known>,
}

struct Known {
    stamp: Option<Stamp>,
    digest: Digest,
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is longer than any such file should be.
    #[error("{} has more than {LONGEST} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It is not UTF-8.
    #[error("{} is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// What reads it has a defect.
    #[error("reading {} ended by a panic", path.display())]
    Panic {
        /// The file.
        path: PathBuf,
    },
    /// It does not hold what it should.
    #[error("{}: {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line and what is wrong with it.
        why: String,
    },
}

impl<T: Send + Sync + 'static> HotFile<T> {
    /// Reads the file for the first time. Blocks.
    ///
    /// # Errors
    /// When it cannot be used: there is no last good value yet.
    pub(crate) fn open(
        path: PathBuf,
        last_good: LastGood,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, FileError> {
        let (text, known) = content(&path)?;
        let value = parse(&text).map_err(|why| FileError::Content { path: path.clone(), why })?;
        let file = Arc::new(Watched { path, parse: Box::new(parse), known: Mutex::new(known) });
        let (value, look) = (ArcSwap::from_pointee(value), AsyncMutex::new(None));
        Ok(Self { file, value, began: Instant::now(), looked: AtomicU64::new(0), look, last_good })
    }

    /// The value, if the last look is good for now. None: [`Self::get`] is to be waited for.
    pub(crate) fn fresh(&self) -> Option<Arc<T>> {
        let age = self.now().saturating_sub(self.looked.load(Ordering::Acquire));
        (u128::from(age) < FRESH.as_millis()).then(|| self.value.load_full())
    }

    /// Looks at the file, if nobody has within the last second.
    async fn look(&self) -> Arc<T> {
        let mut slot = self.look.lock().await;
        if let Some(value) = self.fresh() {
            return value;
        }
        // One that hangs was waited for once; it is no reason to hold up more requests, nor to start another.
        let patience = if slot.is_some() { Duration::ZERO } else { PATIENCE };
        let file = Arc::clone(&self.file);
        let look = slot.get_or_insert_with(|| tokio::task::spawn_blocking(move || file.look()));
        match tokio::time::timeout(patience, look).await {
            Ok(found) => {
                *slot = None;
                self.found(found.unwrap_or_else(|_| Err(FileError::Panic { path: self.path().to_owned() })));
            }
            Err(_) => self.last_good.kept(&format!("{} cannot be read in time", self.path().display())),
        }
        self.looked.store(self.now(), Ordering::Release);
        self.value.load_full()
    }

    fn found(&self, look: Look<T>) {
        match look {
            Ok(Some(value)) => {
                self.value.store(Arc::new(value));
                self.last_good.renewed();
            }
            Ok(None) => self.last_good.well(),
            Err(error) => self.last_good.kept(&error.to_string()),
        }
    }

    /// The value, as fresh as a request must have it.
    pub(crate) async fn get(&self) -> Arc<T> {
        match self.fresh() {
            Some(value) => value,
            None => self.look().await,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl<T> Watched<T> {
    /// Blocks.
    fn look(&self) -> Look<T> {
        let stamp = fs::metadata(&self.path).map(|metadata| Stamp::of(&metadata)).map_err(unread(&self.path))?;
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp.is_some() && stamp == known().stamp {
            return Ok(None);
        }
        let (text, now) = content(&self.path)?;
        if now.digest.as_ref() == known().digest.as_ref() {
            *known() = now;
            return Ok(None);
        }
        let value = (self.parse)(&text).map_err(|why| FileError::Content { path: self.path.clone(), why })?;
        *known() = now;
        Ok(Some(value))
    }
}

/// The text of a file, and how it is known again.
fn content(path: &Path) -> Result<(String, Known), FileError> {
    let file = File::open(path).map_err(unread(path))?;
    let stamp = file.metadata().map(|metadata| Stamp::of(&metadata)).map_err(unread(path))?;
    let mut bytes = Vec::new();
    let count = file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unread(path))?;
    if count as u64 > LONGEST {
        return Err(FileError::TooLong { path: path.to_owned() });
    }
    let digest = digest(&SHA256, &bytes);
    let text = String::from_utf8(bytes).map_err(|_| FileError::NotText { path: path.to_owned() })?;
    Ok((text, Known { stamp, digest }))
}

fn unread(path: &Path) -> impl Fn(io::Error) -> FileError {
    move |source| FileError::Read { path: path.to_owned(), source }
}

impl Stamp {
    /// None for a file that was written a moment ago: the clock of the disk may be too coarse to tell a next write from it.
    fn of(metadata: &Metadata) -> Option<Self> {
        let settled = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        settled.filter(|age| *age > 2 * FRESH).map(|_| Self {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl<T> HotFile<T> {
    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }
}

impl<T> fmt::Debug for HotFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotFile").field("path", &self.path()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
