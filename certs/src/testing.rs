//! Certificates and a failing disk for the tests of this crate. Not part of the library.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use crate::disk::{Disk, Item, RealDisk};
use crate::entry::{Entry, Issuer, PemPair, Validity};

/// A moment so many seconds after 1970.
pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) fn validity(from: u64, to: u64) -> Validity {
    Validity { not_before: at(from), not_after: at(to) }
}

/// Good from 1970 + 1,000 s to the year 2100.
pub(crate) fn pair(names: &[&str]) -> PemPair {
    pair_valid(names, validity(1_000, 4_102_444_800))
}

pub(crate) fn pair_valid(names: &[&str], validity: Validity) -> PemPair {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = validity.not_before.into();
    params.not_after = validity.not_after.into();
    PemPair { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

pub(crate) fn entry(names: &[&str], issuer: Issuer, validity: Validity) -> Entry {
    Entry::from_pem(&pair_valid(names, validity), issuer, &names.join(",")).unwrap()
}

/// What happens at the chosen step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plug {
    /// The disk is full from then on; removing still works.
    Full,
    /// That one step fails with an input/output error.
    Flaky,
    /// The process is gone: that step is done by half, and none after it at all.
    Killed,
}

/// The real disk, until a step. Only steps that change something count.
#[derive(Debug)]
pub(crate) struct FaultyDisk {
    plug: Plug,
    at: usize,
    step: AtomicUsize,
}

impl FaultyDisk {
    pub(crate) fn new(plug: Plug, at: usize) -> Self {
        Self { plug, at, step: AtomicUsize::new(0) }
    }

    fn change(&self, needs_room: bool) -> io::Result<()> {
        let step = self.step.fetch_add(1, Ordering::Relaxed);
        let (hit, kind) = match self.plug {
            Plug::Full => (step >= self.at && needs_room, io::ErrorKind::StorageFull),
            Plug::Flaky => (step == self.at, io::ErrorKind::Other),
            Plug::Killed => (step >= self.at, io::ErrorKind::Other),
        };
        if hit { Err(kind.into()) } else { Ok(()) }
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.change(true)?;
        RealDisk.create_dir(path)
    }

    fn write_new(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let dying = self.step.load(Ordering::Relaxed) == self.at;
        if let Err(error) = self.change(true) {
            if dying {
                RealDisk.write_new(path, &bytes[..bytes.len() / 2], mode)?;
            }
            return Err(error);
        }
        RealDisk.write_new(path, bytes, mode)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.change(false)?;
        RealDisk.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(true)?;
        RealDisk.rename(from, to)
    }

    fn symlink(&self, target: &str, link: &Path) -> io::Result<()> {
        self.change(true)?;
        RealDisk.symlink(target, link)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(false)?;
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
