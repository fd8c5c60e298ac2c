//! What the disk knows about names that have just become wanted. It reads and tells; it changes nothing live.

use std::sync::Arc;
use std::time::SystemTime;

use certs::vault::{Fault, Meta};
use certs::{DiskError, Entry, Issuer, SetId, Vault};

use super::event::{Event, Report};
use crate::backoff::{Notes, Retry};
use crate::order::set_of;

/// A name and what is on disk for it.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) set: SetId,
    pub(super) stored: Option<Known>,
    pub(super) retry: Option<Retry>,
    faults: Vec<Fault>,
    unreadable: Option<DiskError>,
}

/// A certificate from the vault.
pub(super) struct Known {
    pub(super) entry: Arc<Entry>,
    pub(super) meta: Meta,
}

impl Found {
    pub(super) fn tell(&self, report: &dyn Report) {
        let name = &self.name;
        for fault in &self.faults {
            report.report(Event::VaultFault { name, fault });
        }
        if let Some(why) = &self.unreadable {
            report.report(Event::VaultUnreadable { name, why });
        }
    }
}

/// Looks at the disk for each name. Blocks.
pub(super) fn look(
    vault: &Vault,
    notes: &Notes,
    profile: Option<&str>,
    names: Vec<String>,
    now: SystemTime,
) -> Vec<Found> {
    names.into_iter().map(|name| one(vault, notes, profile, name, now)).collect()
}

fn one(vault: &Vault, notes: &Notes, profile: Option<&str>, name: String, now: SystemTime) -> Found {
    let set = set_of(std::slice::from_ref(&name), profile);
    let (loaded, unreadable) = match vault.load(Issuer::Acme, &set) {
        Ok(loaded) => (loaded, None),
        Err(why) => (certs::vault::Loaded::default(), Some(why)),
    };
    Found {
        name,
        stored: loaded.stored.map(|stored| Known { entry: Arc::new(stored.entry), meta: stored.meta }),
        retry: notes.read(&set, now),
        faults: loaded.faults,
        unreadable,
        set,
    }
}
