//! One certificate that can be served: chain and key that belong together, its names, dates and origin.
//! It is checked once, here. It does not know where it is stored or which names are wanted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::name;
use crate::pem::{self, PemError};

/// Who signs a certificate, in the words of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Issuer {
    /// A certificate authority spoken to with ACME (RFC 8555).
    Acme,
    /// Our own local authority.
    Internal,
    /// Files that somebody else keeps.
    Files,
}

impl Issuer {
    /// The word used in configuration, folders and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acme => "acme",
            Self::Internal => "internal",
            Self::Files => "files",
        }
    }
}

impl std::fmt::Display for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The time in which a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First good moment.
    pub not_before: SystemTime,
    /// Last good moment.
    pub not_after: SystemTime,
}

impl Validity {
    /// Whether a client with this clock accepts the dates.
    #[must_use]
    pub fn contains(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// The whole span.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.not_after.duration_since(self.not_before).unwrap_or_default()
    }

    /// What is left of it; zero when it is over.
    #[must_use]
    pub fn left(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }
}

/// PEM text of a chain (leaf first) and of its private key (a secret).
#[derive(Clone)]
pub struct PemPair {
    /// `fullchain.pem`.
    pub chain: String,
    /// `privkey.pem`.
    pub key: String,
}

impl std::fmt::Debug for PemPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PemPair").finish_non_exhaustive()
    }
}

/// Why chain and key make no certificate that can be served. An expired one is no error: that is a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The PEM text is wrong.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The leaf is not X.509.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// The key is of a kind or size that TLS here cannot use.
    #[error("the private key cannot be used: {0}; use P-256, P-384, Ed25519 or RSA of 2048 bits and more")]
    Key(String),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate; give the key that its request was made with")]
    KeyMismatch,
    /// No subject alternative name; clients have not looked at the common name for years (RFC 9525).
    #[error("the certificate has no subject alternative name, so no client would accept it for any host")]
    NoNames,
}

/// One certificate that can be served. Immutable; about 2 kB.
#[derive(Debug)]
pub struct Entry {
    key: Arc<CertifiedKey>,
    names: Box<[Box<str>]>,
    validity: Validity,
    serial: Box<str>,
    fingerprint: Fingerprint,
    issuer: Issuer,
    source: Arc<str>,
}

impl Entry {
    /// Checks PEM text and makes an entry of it. `source` says where it is from (a path, a set of the vault) and is
    /// its identity within its issuer: a later entry with the same source takes its place.
    ///
    /// # Errors
    /// [`EntryError`] names what does not fit.
    pub fn from_pem(pair: &PemPair, issuer: Issuer, source: &str) -> Result<Self, EntryError> {
        let chain = pem::chain(pair.chain.as_bytes())?;
        let key = pem::key(pair.key.as_bytes())?;
        let key = any_supported_type(&key).map_err(|error| EntryError::Key(error.to_string()))?;
        Self::checked(CertifiedKey::new(chain, key), issuer, source)
    }

    fn checked(key: CertifiedKey, issuer: Issuer, source: &str) -> Result<Self, EntryError> {
        let leaf = key.cert.first().ok_or(PemError::Missing(pem::Part::Chain))?;
        let facts = Facts::of(leaf)?;
        key.keys_match().map_err(|_| EntryError::KeyMismatch)?;
        Ok(Self {
            fingerprint: Fingerprint::of(leaf),
            key: Arc::new(key),
            names: facts.names,
            validity: facts.validity,
            serial: facts.serial,
            issuer,
            source: source.into(),
        })
    }

    /// What rustls serves.
    #[must_use]
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// Names in canonical spelling, sorted: hosts, one-label wildcards, IP addresses.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// When it is good.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Serial number of the leaf in hexadecimal.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// SHA-256 of the leaf.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Who signed it.
    #[must_use]
    pub fn issuer(&self) -> Issuer {
        self.issuer
    }

    /// Where it is from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the certificate is good for this host (or IP address) by its names, dates aside: the question of a 421.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        let host = name::canonical(host);
        self.names.iter().any(|pattern| name::covers(pattern, &host))
    }
}

/// SHA-256 of a leaf; shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(leaf: &CertificateDer<'_>) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// The first eight bytes, for a stable order.
    pub(crate) fn head(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// What the leaf says of itself.
struct Facts {
    names: Box<[Box<str>]>,
    validity: Validity,
    serial: Box<str>,
}

impl Facts {
    fn of(leaf: &CertificateDer<'_>) -> Result<Self, EntryError> {
        let (_, cert) = X509Certificate::from_der(leaf).map_err(unreadable)?;
        let names = names(&cert)?;
        if names.is_empty() {
            return Err(EntryError::NoNames);
        }
        Ok(Self {
            names,
            validity: Validity {
                not_before: moment(cert.validity.not_before.timestamp())?,
                not_after: moment(cert.validity.not_after.timestamp())?,
            },
            serial: data_encoding::HEXLOWER.encode(cert.raw_serial()).into(),
        })
    }
}

fn names(cert: &X509Certificate<'_>) -> Result<Box<[Box<str>]>, EntryError> {
    let Some(san) = cert.subject_alternative_name().map_err(unreadable)? else {
        return Ok(Box::default());
    };
    let mut names: Vec<Box<str>> = san
        .value
        .general_names
        .iter()
        .filter_map(|general| match general {
            GeneralName::DNSName(dns) => Some(name::canonical(dns).into()),
            GeneralName::IPAddress(octets) => ip(octets).map(|ip| ip.to_string().into()),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    Ok(names.into())
}

fn ip(octets: &[u8]) -> Option<std::net::IpAddr> {
    <[u8; 4]>::try_from(octets).map(Into::into).or_else(|_| <[u8; 16]>::try_from(octets).map(Into::into)).ok()
}

fn moment(seconds: i64) -> Result<SystemTime, EntryError> {
    let span = Duration::from_secs(seconds.unsigned_abs());
    let moment =
        if seconds < 0 { SystemTime::UNIX_EPOCH.checked_sub(span) } else { SystemTime::UNIX_EPOCH.checked_add(span) };
    moment.ok_or_else(|| EntryError::Certificate(format!("the date {seconds} s is out of range")))
}

fn unreadable(error: impl std::fmt::Display) -> EntryError {
    EntryError::Certificate(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn entry(pair: &PemPair) -> Result<Entry, EntryError> {
        Entry::from_pem(pair, Issuer::Files, "test")
    }

    #[test]
    fn names_are_canonical_and_cover_hosts_wildcards_and_addresses() {
        let entry = entry(&testing::pair(&["A.Test", "*.s3.test", "127.0.0.1", "::1"])).unwrap();
        let names: Vec<&str> = entry.names().iter().map(AsRef::as_ref).collect();
        assert_eq!(names, ["*.s3.test", "127.0.0.1", "::1", "a.test"]);
        assert!(entry.covers("a.TEST.") && entry.covers("x.s3.test") && entry.covers("127.0.0.1"));
        assert!(!entry.covers("s3.test") && !entry.covers("b.test"));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let mut pair = testing::pair(&["a.test"]);
        pair.key = testing::pair(&["a.test"]).key;
        assert_eq!(entry(&pair).unwrap_err(), EntryError::KeyMismatch);
    }

    #[test]
    fn a_certificate_without_names_is_refused() {
        assert_eq!(entry(&testing::pair(&[])).unwrap_err(), EntryError::NoNames);
    }

    #[test]
    fn an_expired_certificate_is_an_entry_whose_validity_is_over() {
        let then = testing::validity(1_000, 2_000);
        let entry = entry(&testing::pair_valid(&["a.test"], then)).unwrap();
        assert_eq!(entry.validity(), then);
        assert!(!entry.validity().contains(testing::at(2_001)));
        assert_eq!(entry.validity().left(testing::at(2_001)), Duration::ZERO);
    }

    #[test]
    fn garbage_inside_the_pem_frame_is_an_error_and_not_a_panic() {
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let pair = PemPair { chain: garbage.into(), ..testing::pair(&["a.test"]) };
        assert!(matches!(entry(&pair), Err(EntryError::Certificate(_))));
        let pair = PemPair { key: garbage.replace("CERTIFICATE", "PRIVATE KEY"), ..testing::pair(&["a.test"]) };
        assert!(matches!(entry(&pair), Err(EntryError::Key(_))));
    }
}
