//! Certificates that somebody else keeps in files: read, and read again when they change. The caller asks when it
//! likes, once a second or after a notice; there is no watcher here. A bad new pair never replaces a good old one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use crate::disk::{Disk, DiskError, Told as _};
use crate::entry::{Entry, EntryError, Issuer, PemPair};

/// A `[[certificate]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePair {
    /// PEM chain, the leaf first.
    pub cert: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// Why a pair of files is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// A file cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file is not text.
    #[error("{} is not PEM text; convert it with openssl x509 or openssl pkey", .0.display())]
    NotText(PathBuf),
    /// The texts do not make a certificate.
    #[error("{} with {}: {why}", .pair.cert.display(), .pair.key.display())]
    Entry {
        /// The files.
        pair: FilePair,
        /// What does not fit.
        why: EntryError,
    },
}

/// The content of both files in short. The content and not its date, as tools that copy certificates keep dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp([u8; 32]);

/// Reads a pair once.
///
/// # Errors
/// [`FilesError`] names the file and what is wrong.
pub fn load(disk: &dyn Disk, pair: &FilePair) -> Result<Entry, FilesError> {
    entry(pair, read(disk, &pair.cert)?, read(disk, &pair.key)?)
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, DiskError> {
    disk.read(path).told("read the certificate file", path)
}

fn entry(pair: &FilePair, chain: Vec<u8>, key: Vec<u8>) -> Result<Entry, FilesError> {
    let text = |bytes, path: &Path| String::from_utf8(bytes).map_err(|_| FilesError::NotText(path.into()));
    let pem = PemPair { chain: text(chain, &pair.cert)?, key: text(key, &pair.key)? };
    Entry::from_pem(&pem, Issuer::Files, &pair.cert.to_string_lossy())
        .map_err(|why| FilesError::Entry { pair: pair.clone(), why })
}

/// What a poll found out about a pair. Nothing is said of a pair that is as it was.
#[derive(Debug)]
pub enum Change {
    /// A new content that is good: publish it.
    Loaded(Arc<Entry>),
    /// A new content that is not, or files that cannot be read any more: what was loaded before stays. Said once per
    /// content or failure.
    Kept {
        /// Whether a certificate of this pair was loaded before.
        serving: bool,
        /// What is wrong now.
        why: FilesError,
    },
}

/// All pairs of the configuration, and what was last seen of each.
#[derive(Debug, Default)]
pub struct Files {
    pairs: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    pair: FilePair,
    seen: Seen,
    serving: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Content(Stamp),
    Unreadable(String),
}

impl Files {
    /// Pairs of which nothing has been seen: the first poll tells about each.
    #[must_use]
    pub fn new(pairs: impl IntoIterator<Item = FilePair>) -> Self {
        let watched = |pair| Watched { pair, seen: Seen::Nothing, serving: false };
        Self { pairs: pairs.into_iter().map(watched).collect() }
    }

    /// Looks at every pair. A pair that is being written (new certificate, old key) is a bad pair now and a good one
    /// at a later poll.
    pub fn poll(&mut self, disk: &dyn Disk) -> Vec<Change> {
        self.pairs.iter_mut().filter_map(|watched| watched.poll(disk)).collect()
    }
}

impl Watched {
    fn poll(&mut self, disk: &dyn Disk) -> Option<Change> {
        let read = read(disk, &self.pair.cert).and_then(|chain| Ok((chain, read(disk, &self.pair.key)?)));
        let seen = match &read {
            Ok((chain, key)) => Seen::Content(stamp(chain, key)),
            Err(error) => Seen::Unreadable(error.to_string()),
        };
        if seen == self.seen {
            return None;
        }
        self.seen = seen;
        let loaded = read.map_err(FilesError::from).and_then(|(chain, key)| entry(&self.pair, chain, key));
        Some(match loaded {
            Ok(entry) => {
                self.serving = true;
                Change::Loaded(Arc::new(entry))
            }
            Err(why) => Change::Kept { serving: self.serving, why },
        })
    }
}

fn stamp(chain: &[u8], key: &[u8]) -> Stamp {
    let mut context = Context::new(&SHA256);
    context.update(&(chain.len() as u64).to_be_bytes());
    context.update(chain);
    context.update(key);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Stamp(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::RealDisk;
    use crate::testing;

    fn world() -> (tempfile::TempDir, FilePair) {
        let folder = tempfile::tempdir().unwrap();
        let pair = FilePair { cert: folder.path().join("wild.pem"), key: folder.path().join("wild.key") };
        (folder, pair)
    }

    fn write(pair: &FilePair, text: &PemPair) {
        fs::write(&pair.cert, &text.chain).unwrap();
        fs::write(&pair.key, &text.key).unwrap();
    }

    #[test]
    fn a_changed_pair_is_loaded_once_and_an_unchanged_one_is_not_told() {
        let (_folder, pair) = world();
        write(&pair, &testing::pair(&["a.test"]));
        let mut files = Files::new([pair.clone()]);
        assert!(matches!(files.poll(&RealDisk)[..], [Change::Loaded(_)]));
        assert!(files.poll(&RealDisk).is_empty());
        write(&pair, &testing::pair(&["b.test"]));
        let changes = files.poll(&RealDisk);
        assert!(matches!(&changes[..], [Change::Loaded(entry)] if entry.covers("b.test")));
    }

    #[test]
    fn a_pair_caught_between_its_two_writes_keeps_the_old_one_and_then_loads() {
        let (_folder, pair) = world();
        write(&pair, &testing::pair(&["a.test"]));
        let mut files = Files::new([pair.clone()]);
        files.poll(&RealDisk);
        let next = testing::pair(&["a.test"]);
        fs::write(&pair.cert, &next.chain).unwrap();
        let changes = files.poll(&RealDisk);
        assert!(
            matches!(&changes[..], [Change::Kept { serving: true, why }] if why.to_string().contains("does not belong"))
        );
        assert!(files.poll(&RealDisk).is_empty());
        fs::write(&pair.key, &next.key).unwrap();
        assert!(matches!(files.poll(&RealDisk)[..], [Change::Loaded(_)]));
    }

    #[test]
    fn a_missing_file_is_told_once_with_its_path_and_again_when_it_vanishes_later() {
        let (_folder, pair) = world();
        let mut files = Files::new([pair.clone()]);
        let changes = files.poll(&RealDisk);
        assert!(matches!(&changes[..], [Change::Kept { serving: false, why }] if why.to_string().contains("wild.pem")));
        assert!(files.poll(&RealDisk).is_empty());
        write(&pair, &testing::pair(&["a.test"]));
        assert!(matches!(files.poll(&RealDisk)[..], [Change::Loaded(_)]));
        fs::remove_file(&pair.key).unwrap();
        assert!(matches!(files.poll(&RealDisk)[..], [Change::Kept { serving: true, .. }]));
    }

    #[test]
    fn files_that_are_not_text_are_named() {
        let (_folder, pair) = world();
        fs::write(&pair.cert, [0x30, 0x82, 0xff]).unwrap();
        fs::write(&pair.key, "x").unwrap();
        let error = load(&RealDisk, &pair).unwrap_err().to_string();
        assert!(error.contains("wild.pem") && error.contains("openssl"), "{error}");
    }
}
