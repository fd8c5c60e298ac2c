//! Certificates on disk, in whole generations: a crash or a full disk at any step leaves the old one or the new one,
//! and a damaged one is put aside for the one before it. It does not know what is wanted or when to renew.
//!
//! ```text
//! certs/<issuer>/<set-id>/gen-3/{fullchain.pem,privkey.pem,meta.json,SHA256SUMS}
//! certs/<issuer>/<set-id>/current -> gen-3
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use crate::disk::{Disk, DiskError, Item, Told as _, rename_if_free};
use crate::entry::{Entry, Issuer, PemPair};

mod generation;

pub use generation::{GenerationError, Meta};

const CURRENT: &str = "current";
/// How many generations stay: the one served and two to go back to.
const KEEP: usize = 3;

/// The name of a folder for one set of names: 26 letters and digits, whatever the names are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetId(Box<str>);

impl SetId {
    /// Of the names in any order, the profile and the kind of key: what makes two certificates interchangeable.
    #[must_use]
    pub fn of(names: &[String], profile: &str, key_type: &str) -> Self {
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.sort_unstable();
        let text = format!("{}|{profile}|{key_type}", names.join(","));
        let hash = digest(&SHA256, text.as_bytes());
        let mut id = data_encoding::BASE32_NOPAD.encode(hash.as_ref()).to_ascii_lowercase();
        id.truncate(26);
        Self(id.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SetId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A certificate as it was found on disk.
#[derive(Debug)]
pub struct Stored {
    /// What can be served; its source is the set's id.
    pub entry: Entry,
    /// What is known about it.
    pub meta: Meta,
    /// Its number.
    pub generation: u32,
}

/// What a look into one set gave.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The newest generation that is whole, if there is one.
    pub stored: Option<Stored>,
    /// What was wrong on the way there. Each is worth a line in the log.
    pub faults: Vec<Fault>,
}

/// Something in the vault that was not as it should be. Another generation is served, so nothing is lost yet.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}{kept}", path = .path.display(), kept = if *.aside { " (put aside as bad-gen; an older one is used)" } else { "" })]
pub struct Fault {
    /// The folder or link.
    pub path: PathBuf,
    /// Whether it was renamed to `bad-gen-N`.
    pub aside: bool,
    /// What is wrong with it.
    #[source]
    pub why: GenerationError,
}

/// The folder of certificates.
#[derive(Debug, Clone)]
pub struct Vault {
    root: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Vault {
    /// The vault in this folder (`certs` of the state folder), which is made when something is saved.
    #[must_use]
    pub fn new(root: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { root, disk }
    }

    /// Saves a new generation and makes it the current one; gives its number. Blocks on the disk.
    ///
    /// # Errors
    /// [`DiskError`] with the step that failed. The generation before it is then still the current one.
    pub fn save(&self, issuer: Issuer, set: &SetId, pair: &PemPair, meta: &Meta) -> Result<u32, DiskError> {
        let folder = self.folder(issuer, set);
        let temporary = folder.join(self.temporary());
        self.disk.create_dir(&temporary).told("make the folder", &temporary)?;
        let placed =
            generation::write(&*self.disk, &temporary, pair, meta).and_then(|()| self.place(&folder, &temporary));
        let number = match placed {
            Ok(number) => number,
            Err(error) => {
                // The first failure is the one to tell; what is left over goes at the next load.
                let _ = self.disk.remove(&temporary);
                return Err(error);
            }
        };
        self.flush(&folder)?;
        self.flush(&self.root.join(issuer.as_str()))?;
        self.switch(&folder, number)?;
        self.prune(&folder, number);
        Ok(number)
    }

    /// Finds the newest whole generation of a set; tidies what a crash left. Blocks on the disk.
    ///
    /// # Errors
    /// [`DiskError`] when the folder itself cannot be read.
    pub fn load(&self, issuer: Issuer, set: &SetId) -> Result<Loaded, DiskError> {
        let folder = self.folder(issuer, set);
        let items = self.items(&folder)?;
        for item in items.iter().filter(|item| item.name.starts_with(".tmp-")) {
            // Nobody reads those names: one that cannot be removed now is tried again at the next start.
            let _ = self.disk.remove(&folder.join(&item.name));
        }
        let mut loaded = Loaded::default();
        for number in generations(&items) {
            let path = folder.join(format!("gen-{number}"));
            match generation::read(&*self.disk, &path, issuer, set.as_str()) {
                Ok((entry, meta)) => {
                    self.point_at(&folder, number, &mut loaded.faults);
                    loaded.stored = Some(Stored { entry, meta, generation: number });
                    break;
                }
                Err(why) => loaded.faults.push(self.put_aside(&folder, number, why)),
            }
        }
        Ok(loaded)
    }

    fn folder(&self, issuer: Issuer, set: &SetId) -> PathBuf {
        self.root.join(issuer.as_str()).join(set.as_str())
    }

    fn temporary(&self) -> String {
        format!(".tmp-{}", self.disk.unique())
    }

    fn flush(&self, folder: &Path) -> Result<(), DiskError> {
        self.disk.sync_dir(folder).told("flush", folder)
    }

    fn items(&self, folder: &Path) -> Result<Vec<Item>, DiskError> {
        match self.disk.list(folder).told("read the folder", folder) {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            other => other,
        }
    }

    /// Gives the folder the first free number. Another process may save at the same time: then the next one.
    fn place(&self, folder: &Path, temporary: &Path) -> Result<u32, DiskError> {
        let mut number = next_number(&self.items(folder)?);
        while !rename_if_free(&*self.disk, temporary, &folder.join(format!("gen-{number}")))? {
            number += 1;
        }
        Ok(number)
    }

    fn switch(&self, folder: &Path, number: u32) -> Result<(), DiskError> {
        let temporary = folder.join(self.temporary());
        let link = folder.join(CURRENT);
        self.disk.symlink(&format!("gen-{number}"), &temporary).told("make the link", &temporary)?;
        self.disk.rename(&temporary, &link).told("replace", &link)?;
        self.flush(folder)
    }

    /// A crash between placing and switching leaves `current` behind; others read that link, so it is set right.
    fn point_at(&self, folder: &Path, number: u32, faults: &mut Vec<Fault>) {
        let link = folder.join(CURRENT);
        let wanted = format!("gen-{number}");
        if self.disk.read_link(&link).is_ok_and(|target| target == Path::new(&wanted)) {
            return;
        }
        if let Err(error) = self.switch(folder, number) {
            faults.push(Fault { path: link, aside: false, why: error.into() });
        }
    }

    fn put_aside(&self, folder: &Path, number: u32, why: GenerationError) -> Fault {
        let path = folder.join(format!("gen-{number}"));
        let bad = folder.join(format!("bad-gen-{number}"));
        let aside = why.is_lasting() && rename_if_free(&*self.disk, &path, &bad).unwrap_or(false);
        Fault { path, aside, why }
    }

    /// Old generations go, good and bad. What cannot be removed costs only room, and the next save tries again.
    fn prune(&self, folder: &Path, newest: u32) {
        let items = self.items(folder).unwrap_or_default();
        let kept = generations(&items).take(KEEP).last().unwrap_or(newest);
        for item in &items {
            if number_of(&item.name).is_some_and(|number| number < kept) {
                let going = folder.join(self.temporary());
                let _ = self.disk.rename(&folder.join(&item.name), &going).and_then(|()| self.disk.remove(&going));
            }
        }
    }
}

/// Numbers of the generations that are not put aside, the newest first.
fn generations(items: &[Item]) -> impl Iterator<Item = u32> {
    let mut numbers: Vec<u32> = items
        .iter()
        .filter(|item| item.is_dir)
        .filter_map(|item| item.name.strip_prefix("gen-")?.parse().ok())
        .collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    numbers.into_iter()
}

fn number_of(name: &str) -> Option<u32> {
    name.strip_prefix("bad-").unwrap_or(name).strip_prefix("gen-")?.parse().ok()
}

fn next_number(items: &[Item]) -> u32 {
    let newest = items.iter().filter_map(|item| number_of(&item.name)).max();
    newest.map_or(1, |newest| newest.saturating_add(1))
}

#[cfg(test)]
mod tests;
