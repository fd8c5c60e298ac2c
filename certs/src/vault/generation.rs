//! The files of one generation: chain, key, what is known about them, and the sums that prove them whole.
//! Names to bytes and back; where the folder lies and which generation is served is the vault's business.

use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, DiskError, PRIVATE, Told as _};
use crate::entry::{Entry, EntryError, Issuer, PemPair};

const CHAIN: &str = "fullchain.pem";
const KEY: &str = "privkey.pem";
const META: &str = "meta.json";
const SUMS: &str = "SHA256SUMS";

/// What is known about a certificate beside its text: `meta.json`. Unknown fields of a later version are kept out of
/// the way, so that going back a version still reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The names that were ordered; the certificate must have them all.
    pub names: Vec<String>,
    /// Which authority, as its folder is called, such as `letsencrypt`.
    pub ca: String,
    /// The profile that was asked for, or empty.
    #[serde(default)]
    pub profile: String,
    /// When it was obtained, in seconds since 1970.
    pub obtained: u64,
}

impl Meta {
    /// [`Meta::obtained`] as a moment.
    #[must_use]
    pub fn obtained_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.obtained)).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// Why a generation is not whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerationError {
    /// A file cannot be read. If it is missing the generation is bad; else the disk has the fault.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// `SHA256SUMS` does not list a file, or not with the sum that it has.
    #[error("the sum of {0} is not the one in SHA256SUMS")]
    Sum(&'static str),
    /// `meta.json` is not what we write.
    #[error("meta.json cannot be read: {0}")]
    Meta(#[from] serde_json::Error),
    /// Chain and key are no certificate.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A name of `meta.json` is not in the certificate.
    #[error("the certificate is not for {0}, although meta.json says so")]
    Name(String),
}

impl GenerationError {
    /// Whether the content is bad, and will be at the next try too; a disk that could not be read is another matter.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Disk(error) => error.is_not_found(),
            Self::Sum(_) | Self::Meta(_) | Self::Entry(_) | Self::Name(_) => true,
        }
    }
}

/// Writes all files of a generation into a folder and flushes them, the sums last.
pub(crate) fn write(disk: &dyn Disk, folder: &Path, pair: &PemPair, meta: &Meta) -> Result<(), DiskError> {
    let meta = serde_json::to_vec_pretty(meta).map_err(std::io::Error::from);
    let meta = meta.told("write", &folder.join(META))?;
    let files = [(CHAIN, pair.chain.as_bytes()), (KEY, pair.key.as_bytes()), (META, &meta)];
    let mut sums = String::new();
    for (name, bytes) in files {
        put(disk, folder, name, bytes)?;
        sums.push_str(&sum_line(name, bytes));
    }
    put(disk, folder, SUMS, sums.as_bytes())?;
    disk.sync_dir(folder).told("flush", folder)
}

fn put(disk: &dyn Disk, folder: &Path, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let path = folder.join(name);
    disk.write_new(&path, bytes, PRIVATE).told("write", &path)
}

/// Reads a generation and checks everything about it: sums, key against certificate, names.
pub(crate) fn read(
    disk: &dyn Disk,
    folder: &Path,
    issuer: Issuer,
    source: &str,
) -> Result<(Entry, Meta), GenerationError> {
    let sums = get(disk, folder, SUMS)?;
    let chain = summed(disk, folder, CHAIN, &sums)?;
    let key = summed(disk, folder, KEY, &sums)?;
    let meta: Meta = serde_json::from_slice(&summed(disk, folder, META, &sums)?)?;
    let pair = PemPair {
        chain: String::from_utf8_lossy(&chain).into_owned(),
        key: String::from_utf8_lossy(&key).into_owned(),
    };
    let entry = Entry::from_pem(&pair, issuer, source)?;
    match meta.names.iter().find(|name| !entry.names().iter().any(|has| **has == ***name)) {
        Some(missing) => Err(GenerationError::Name(missing.clone())),
        None => Ok((entry, meta)),
    }
}

fn get(disk: &dyn Disk, folder: &Path, name: &str) -> Result<Vec<u8>, DiskError> {
    let path = folder.join(name);
    disk.read(&path).told("read", &path)
}

fn summed(disk: &dyn Disk, folder: &Path, name: &'static str, sums: &[u8]) -> Result<Vec<u8>, GenerationError> {
    let bytes = get(disk, folder, name)?;
    let line = sum_line(name, &bytes);
    let listed = sums.split_inclusive(|byte| *byte == b'\n').any(|have| have == line.as_bytes());
    if listed { Ok(bytes) } else { Err(GenerationError::Sum(name)) }
}

/// A line as `sha256sum` writes and checks it.
fn sum_line(name: &str, bytes: &[u8]) -> String {
    format!("{}  {name}\n", HEXLOWER.encode(digest(&SHA256, bytes).as_ref()))
}
