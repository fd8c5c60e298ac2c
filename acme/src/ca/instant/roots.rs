//! What the authority's own HTTPS is checked with: a file of the operator, or what the system trusts.

use std::path::Path;

use certs::Disk;
use certs::pem;
use rustls::RootCertStore;

use crate::order::SetupError;

/// Reads them as they are now. Blocks on the disk.
pub(super) fn read(disk: &dyn Disk, ca_file: Option<&Path>) -> Result<RootCertStore, SetupError> {
    match ca_file {
        Some(path) => of_file(disk, path),
        None => of_system(),
    }
}

fn of_file(disk: &dyn Disk, path: &Path) -> Result<RootCertStore, SetupError> {
    let text = certs::disk::read_whole(disk, path)?;
    let mut roots = RootCertStore::empty();
    for root in pem::chain(&text).map_err(|why| SetupError::Pem { path: path.into(), why })? {
        roots.add(root).map_err(|why| SetupError::Root { path: path.into(), why })?;
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(SetupError::NoRoots) } else { Ok(roots) }
}
