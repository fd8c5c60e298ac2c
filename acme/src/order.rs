//! One order: what is asked for, and what came of it, checked. How an authority is spoken to is behind the trait `Ca`.

use std::time::{Duration, SystemTime};

use certs::{DiskError, Entry, Issuer, PemPair, SetId};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

mod error;

pub use error::{BadCertificate, OrderError, SetupError, Step};

/// The kind of key that orders ask for; part of the set's id.
pub const KEY_TYPE: &str = "p256";
/// How far our clock may be behind an authority's before its certificates count as not yet good.
const CLOCK_SLACK: Duration = Duration::from_secs(120);

/// What is asked of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRequest {
    names: Vec<String>,
    profile: Option<String>,
}

impl OrderRequest {
    /// An order for one host. Names that no public authority could prove by HTTP-01 are refused here, where it costs
    /// nobody a failed validation.
    ///
    /// # Errors
    /// [`OrderError::NotOrderable`] with the reason.
    pub fn new(name: &str, profile: Option<&str>) -> Result<Self, OrderError> {
        match not_orderable(name) {
            Some(why) => Err(OrderError::NotOrderable { name: name.into(), why }),
            None => Ok(Self { names: vec![name.into()], profile: profile.map(Into::into) }),
        }
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The profile to ask for.
    #[must_use]
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// Where the certificate is kept.
    #[must_use]
    pub fn set(&self) -> SetId {
        set_of(&self.names, self.profile())
    }
}

/// The set of names that an order of this profile fills.
pub(crate) fn set_of(names: &[String], profile: Option<&str>) -> SetId {
    SetId::of(names, profile.unwrap_or_default(), KEY_TYPE)
}

fn not_orderable(name: &str) -> Option<&'static str> {
    let host = name.to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or_default();
    if name.starts_with("*.") {
        Some("a wildcard cannot be proved by HTTP-01; list the hosts, or give the certificate as files")
    } else if name.parse::<std::net::IpAddr>().is_ok() {
        None
    } else if !host.contains('.') {
        Some("a name without a dot is in no public DNS; use tls.issuer = \"internal\"")
    } else if ["localhost", "local", "internal", "invalid", "onion"].contains(&last) {
        Some("names under this ending are in no public DNS; use tls.issuer = \"internal\"")
    } else if !name.is_ascii() {
        Some("the name has to be written in its ASCII form (xn--)")
    } else {
        None
    }
}

/// A certificate that has been checked and can be served.
#[derive(Debug)]
pub struct Issued {
    /// The texts, to be saved.
    pub pair: PemPair,
    /// The same, to be served.
    pub entry: Entry,
    /// Set when the account could not be saved. It is kept in memory and saved with the next order.
    pub account_unsaved: Option<DiskError>,
}

impl Issued {
    /// Checks what an authority sent: the chain reads, the key is ours, all names are there, the dates are good.
    ///
    /// # Errors
    /// [`OrderError::BadCertificate`].
    pub fn check(pair: PemPair, order: &OrderRequest, now: SystemTime) -> Result<Self, OrderError> {
        let entry = Entry::from_pem(&pair, Issuer::Acme, order.set().as_str()).map_err(BadCertificate::Entry)?;
        if let Some(missing) = order.names().iter().find(|name| !entry.covers(name)) {
            return Err(BadCertificate::Name(missing.clone()).into());
        }
        let validity = entry.validity();
        if !(validity.contains(now) || validity.contains(now + CLOCK_SLACK)) {
            return Err(BadCertificate::Dates.into());
        }
        Ok(Self { pair, entry, account_unsaved: None })
    }
}

/// A new key and the request for these names with it: no subject, names as alternative names only.
///
/// # Errors
/// [`OrderError::Request`] for a name that cannot stand in a request.
pub fn request(names: &[String]) -> Result<(KeyPair, Vec<u8>), OrderError> {
    let made = || {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        Ok((key, request.der().to_vec()))
    };
    made().map_err(|why| OrderError::Request { names: names.join(", "), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(names: &[&str], from: u64, to: u64) -> PemPair {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = at(from).into();
        params.not_after = at(to).into();
        PemPair { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    fn check(pair: PemPair) -> Result<Issued, OrderError> {
        let order = OrderRequest::new("a.example.test", None).unwrap();
        Issued::check(pair, &order, SystemTime::UNIX_EPOCH + Duration::from_secs(5_000))
    }

    #[test]
    fn a_certificate_for_our_key_and_name_is_taken() {
        let issued = check(signed(&["a.example.test"], 1_000, 9_000)).unwrap();
        assert!(issued.entry.covers("a.example.test"));
        assert!(check(signed(&["a.example.test"], 5_060, 9_000)).is_ok());
    }

    #[test]
    fn a_certificate_for_another_key_or_name_or_time_is_not() {
        let told = |pair| check(pair).unwrap_err().to_string();
        let mut pair = signed(&["a.example.test"], 1_000, 9_000);
        pair.key = signed(&["a.example.test"], 1_000, 9_000).key;
        assert!(told(pair).contains("does not belong"));
        assert!(told(signed(&["b.example.test"], 1_000, 9_000)).contains("not for a.example.test"));
        assert!(told(signed(&["a.example.test"], 1_000, 4_000)).contains("clock"));
        assert!(told(signed(&["a.example.test"], 8_000, 9_000)).contains("clock"));
    }

    #[test]
    fn names_that_http_01_cannot_prove_are_refused_with_the_way_out() {
        for name in ["*.example.test", "box", "hello.localhost", "nas.local", "münchen.example"] {
            assert!(matches!(OrderRequest::new(name, None), Err(OrderError::NotOrderable { .. })), "{name}");
        }
        assert!(OrderRequest::new("192.0.2.1", None).is_ok());
    }

    #[test]
    fn a_request_has_a_new_key_each_time_and_no_subject() {
        let (first, der) = request(&["a.example.test".to_owned()]).unwrap();
        let (second, _) = request(&["a.example.test".to_owned()]).unwrap();
        assert_ne!(first.serialize_der(), second.serialize_der());
        let csr = rcgen::CertificateSigningRequestParams::from_der(&der.as_slice().into()).unwrap();
        assert_eq!(csr.params.subject_alt_names.len(), 1);
        assert_eq!(csr.params.distinguished_name.iter().count(), 0);
    }
}
