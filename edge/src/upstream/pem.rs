//! PEM files that operators name: certificates and keys, read and tried, with a sentence for each way a file can be wrong.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rustls::RootCertStore;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PemFault {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not PEM.
    #[error("{} is not valid PEM: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// It holds no certificate.
    #[error("{} holds no certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in it cannot be used.
    #[error("certificate {number} of {} cannot be used: {why}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        number: usize,
        /// Why.
        why: String,
    },
}

/// A file's certificates, with the file's name for errors.
pub(super) struct Certificates {
    pub(super) path: PathBuf,
    pub(super) ders: Vec<CertificateDer<'static>>,
}

/// The authorities of a file, to check others against. Blocks.
///
/// # Errors
/// When one of them cannot be used, or there is none.
pub(crate) fn roots(path: &Path) -> Result<RootCertStore, PemFault> {
    let mut roots = RootCertStore::empty();
    // Leaves out none: each was tried.
    roots.add_parsable_certificates(authorities(path)?.ders);
    Ok(roots)
}

pub(super) fn authorities(path: &Path) -> Result<Certificates, PemFault> {
    let certificates = certificates(path, &read(path)?)?;
    for (index, der) in certificates.ders.iter().enumerate() {
        anchor(der).map_err(|source| unusable(path, index, &source))?;
    }
    Ok(certificates)
}

pub(super) fn certificates(path: &Path, text: &[u8]) -> Result<Certificates, PemFault> {
    let ders: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let ders = ders.map_err(|source| PemFault::Pem { path: path.to_owned(), source })?;
    if ders.is_empty() {
        return Err(PemFault::NoCertificate { path: path.to_owned() });
    }
    Ok(Certificates { path: path.to_owned(), ders })
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemFault> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|source| PemFault::Pem { path: path.to_owned(), source })
}

/// Whether it can be what others are checked against.
pub(super) fn anchor(der: &CertificateDer<'_>) -> Result<(), rustls::Error> {
    RootCertStore::empty().add(der.clone().into_owned())
}

pub(super) fn unusable(path: &Path, index: usize, why: &dyn ToString) -> PemFault {
    PemFault::Certificate { path: path.to_owned(), number: index + 1, why: why.to_string() }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, PemFault> {
    fs::read(path).map_err(|source| PemFault::Read { path: path.to_owned(), source })
}
