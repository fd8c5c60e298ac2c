//! `[[certificate]]` and `[tls]`: the pairs of files are read once, for their faults and their names.

use std::path::Path;

use certs::files::{FilePair, FilesError, load};
use certs::pem::{Part, PemError};
use certs::{Entry, EntryError};
use routes::document::Item;
use routes::host::Host;

use super::reader::{Reader, at, text};
use super::settings::Tls;

impl Reader<'_> {
    /// All pairs of files, and the names of those that can be read.
    pub(super) fn certificates(&mut self, root: &Item<'_>) -> (Vec<FilePair>, Vec<Host>) {
        let mut pairs = Vec::new();
        let mut names = Vec::new();
        for item in root.get("certificate").iter().flat_map(Item::items) {
            let Some(((cert_item, cert), (key_item, key))) = text(&item, &["cert"]).zip(text(&item, &["key"])) else {
                self.refuse_empty(&item);
                continue;
            };
            let pair = FilePair { cert: self.path(cert), key: self.path(key) };
            match load(self.disk, &pair) {
                Ok(entry) => names.extend(hosts(&entry)),
                Err(error) => {
                    let place = if is_about_key(&error, &pair.key) { key_item } else { cert_item };
                    self.partial.push(place.fault(error.to_string()));
                }
            }
            pairs.push(pair);
        }
        names.sort();
        names.dedup();
        (pairs, names)
    }

    /// A missing key is told by the shape; an empty one would be a folder.
    fn refuse_empty(&mut self, item: &Item<'_>) {
        for key in ["cert", "key"].into_iter().filter_map(|key| item.get(key)) {
            if key.as_str() == Some("") {
                self.faults.push(key.fault(format!("`{}` is empty", key.name())).hint("write the path of a PEM file"));
            }
        }
    }

    /// TLS towards clients.
    pub(super) fn tls(&mut self, root: &Item<'_>) -> Tls {
        let min = at(root, &["tls", "min"]).and_then(|item| item.as_str()?.parse().ok()).unwrap_or_default();
        Tls { min, default_certificate: self.default_certificate(root) }
    }

    fn default_certificate(&mut self, root: &Item<'_>) -> Option<String> {
        let (item, name) = text(root, &["tls", "default_certificate"])?;
        match Host::parse(name) {
            Ok(Host::Exact(name)) => return Some(name.into()),
            Ok(Host::Wildcard(_)) => {
                let fault = item.fault(format!("`{name}` is not one host"));
                self.faults.push(fault.hint("name one host that the certificate is for"));
            }
            Err(error) => self.faults.push(item.fault(format!("`{name}`: {error}")).maybe_hint(error.hint())),
        }
        None
    }
}

fn hosts(entry: &Entry) -> impl Iterator<Item = Host> {
    entry.names().iter().filter_map(|name| Host::parse(name).ok())
}

/// Which of the two files somebody should look at.
fn is_about_key(error: &FilesError, key: &Path) -> bool {
    match error {
        FilesError::Disk(error) => error.path() == key,
        FilesError::NotText(path) => path == key,
        FilesError::Entry { why, .. } => is_key_fault(why),
        _ => false,
    }
}

fn is_key_fault(error: &EntryError) -> bool {
    match error {
        EntryError::Pem(PemError::EncryptedKey | PemError::ManyKeys(_))
        | EntryError::Key(_)
        | EntryError::KeyMismatch => true,
        EntryError::Pem(PemError::Empty(part) | PemError::Missing(part)) => *part == Part::Key,
        EntryError::Pem(PemError::Damaged { part, .. }) => *part == Part::Key,
        _ => false,
    }
}
