//! A certificate authority of a test: what somebody else's servers show and what an edge gets as files.
#![allow(dead_code, reason = "each test binary uses its own part")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Signs whatever it is asked.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key: PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate of the name of its issuer for one that signed itself.
        let key = KeyPair::generate().expect("a key");
        // Each has a name of its own: of two with one name OpenSSL would try the wrong key.
        let name: String = key.public_key_raw().iter().rev().take(8).map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, format!("Authority {name} of the tests"));
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }

    /// Its root: PEM.
    pub(crate) fn root(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn sign(&self, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let cert = CertificateParams::new(names).expect("good names").signed_by(&key, &self.0).expect("a certificate");
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }
}
