//! Certificates for the tests of this crate. Not part of the library.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, KeyPair};

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
