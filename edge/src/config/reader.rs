//! What all readers of a part of `edge.toml` share: the folder, the disk, and the faults found so far.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use certs::Disk;
use routes::document::Item;
use routes::fault::{Fault, Faults};

/// Reads parts of a file whose shape is checked: a value of the wrong kind is passed over here.
pub(super) struct Reader<'w> {
    /// What relative paths are relative to.
    pub(super) folder: &'w Path,
    pub(super) disk: &'w dyn Disk,
    /// With an error among these there is no configuration.
    pub(super) faults: Faults,
    /// Errors of one thing that the others can do without: a certificate that is broken takes no other along.
    pub(super) partial: Faults,
}

impl Reader<'_> {
    /// Where a path of the file is.
    pub(super) fn path(&self, given: &str) -> PathBuf {
        self.folder.join(given)
    }

    /// An address and a port.
    pub(super) fn address(&mut self, item: &Item<'_>) -> Option<SocketAddr> {
        let text = item.as_str()?;
        let address = text.parse().ok();
        if address.is_none() {
            self.faults.push(bad_address(item, text));
        }
        address
    }
}

fn bad_address(item: &Item<'_>, text: &str) -> Fault {
    let fault = item.fault(format!("`{text}` is not an address with a port"));
    let port = text.trim_start_matches(['*', ':']);
    match (port.parse::<u16>(), text.trim_matches(['[', ']']).parse::<IpAddr>()) {
        // It has no password: nobody is led to open it to others.
        (Ok(port), _) if item.key().starts_with("admin.") => fault.hint(format!("write \"127.0.0.1:{port}\"")),
        (Ok(port), _) => fault.hint(format!("write \"0.0.0.0:{port}\" and \"[::]:{port}\"")),
        (_, Ok(IpAddr::V6(address))) => fault.hint(format!("add the port: \"[{address}]:PORT\"")),
        (_, Ok(address)) => fault.hint(format!("add the port: \"{address}:PORT\"")),
        _ => fault.hint("write it like \"127.0.0.1:8080\" or \"[::1]:8080\"; names are not resolved here"),
    }
}

/// The value at a path of keys.
pub(super) fn at<'d>(root: &Item<'d>, keys: &[&str]) -> Option<Item<'d>> {
    keys.iter().try_fold(root.clone(), |item, key| item.get(key))
}

/// The string at a path of keys, with its place; none if it is empty, which is how files say "nothing".
pub(super) fn text<'d>(root: &Item<'d>, keys: &[&str]) -> Option<(Item<'d>, &'d str)> {
    let item = at(root, keys)?;
    let text = item.as_str().filter(|text| !text.is_empty())?;
    Some((item, text))
}
