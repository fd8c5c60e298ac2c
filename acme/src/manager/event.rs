//! What the manager tells while it works. What becomes of it, a log line or a counter, is the listener's choice.

use std::time::SystemTime;

use certs::vault::Fault;
use certs::{DiskError, Entry};

/// Something happened to the certificate of a name.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A certificate of an earlier run is there and served.
    Found {
        /// The host.
        name: &'a str,
        /// What is served now.
        entry: &'a Entry,
        /// When it is renewed.
        renew_at: SystemTime,
    },
    /// An order begins.
    Ordering {
        /// The host.
        name: &'a str,
        /// Whether a certificate of the authority is served and good meanwhile.
        serving: bool,
    },
    /// The first certificate is there and served.
    Obtained {
        /// The host.
        name: &'a str,
        /// What is served now.
        entry: &'a Entry,
        /// When it is renewed.
        renew_at: SystemTime,
    },
    /// A later certificate is there and served.
    Renewed {
        /// The host.
        name: &'a str,
        /// What is served now.
        entry: &'a Entry,
        /// When it is renewed.
        renew_at: SystemTime,
    },
    /// An order failed; another follows.
    Failed {
        /// The host.
        name: &'a str,
        /// A word of a closed set.
        kind: &'static str,
        /// What went wrong and what to do.
        sentence: &'a str,
        /// When the next order is made.
        next_try: SystemTime,
        /// Whether a certificate of the authority is still served and good.
        serving: bool,
    },
    /// The name is no longer wanted, and not served with a certificate of the authority any more.
    Left {
        /// The host.
        name: &'a str,
    },
    /// The certificate is on disk.
    Saved {
        /// The host.
        name: &'a str,
        /// Its number in the vault.
        generation: u32,
    },
    /// Something is not on disk. The certificate is served from memory and saving is tried again.
    SaveFailed {
        /// The host.
        name: &'a str,
        /// What could not be saved.
        what: Unsaved,
        /// The reason.
        why: &'a DiskError,
    },
    /// Something in the vault was not as it should be.
    VaultFault {
        /// The host.
        name: &'a str,
        /// What and where.
        fault: &'a Fault,
    },
    /// The vault of a name could not be read, so a certificate is ordered as if there were none.
    VaultUnreadable {
        /// The host.
        name: &'a str,
        /// The reason.
        why: &'a DiskError,
    },
}

/// What could not be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsaved {
    /// Chain and key.
    Certificate,
    /// The account at the authority.
    Account,
    /// The note of a failed order: after a restart it would be repeated too early.
    RetryNote,
}

impl Unsaved {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Account => "ACME account",
            Self::RetryNote => "note of the failed order",
        }
    }
}

/// Somebody who is told.
pub trait Report: Send + Sync {
    /// Called in the manager's own flow: must not block.
    fn report(&self, event: Event<'_>);
}
