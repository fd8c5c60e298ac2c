//! What a server's certificate is checked against and what we show: read from files, checked once.
//!
//! Pingora panics on a certificate that it cannot read, and does so while connecting. Nothing
//! reaches it from here that was not read before.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::pem::{Certificates, PemFault, anchor, authorities, certificates, private_key, read, unusable};
use super::settings::Tls;

/// Why an upstream cannot be used as it is written.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file of certificates or a key cannot be used.
    #[error(transparent)]
    File(#[from] PemFault),
    /// A client certificate and its key do not work together.
    #[error("the client certificate {} cannot be used with the key {}: {source}", cert.display(), key.display())]
    Client {
        /// File of the chain.
        cert: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The name to verify is no host name.
    #[error("\"{name}\" is not a name that a server's certificate can be checked against; set tls.server_name")]
    ServerName {
        /// The name.
        name: String,
    },
    /// Certificates are to be checked and there is nothing to check them against.
    #[error(
        "this system has no certificate authorities to check {server} against; install ca-certificates or set tls.ca_file"
    )]
    NoRoots {
        /// The server.
        server: String,
    },
    /// A server has `https` and the upstream is to speak clear text.
    #[error("{server} is https, but http = \"h2c\" is for servers in clear; use http = \"2\"")]
    ClearOverTls {
        /// The server.
        server: String,
    },
    /// TLS itself cannot be set up.
    #[error("TLS towards the servers cannot be set up")]
    Setup(#[from] rustls::Error),
    /// No server can ever be chosen.
    #[error("no server has a weight above 0")]
    NoServer,
}

/// The authorities that this system trusts, without those that cannot be read.
#[derive(Clone, Debug)]
pub struct SystemRoots {
    certs: Arc<[CertificateDer<'static>]>,
    unusable: usize,
}

impl SystemRoots {
    /// Reads them; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured. Blocks.
    pub fn load() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let errors = found.errors.len();
        let mut roots = Self::from_certs(found.certs);
        roots.unusable += errors;
        roots
    }

    /// Keeps those that can be used.
    pub fn from_certs(certs: Vec<CertificateDer<'static>>) -> Self {
        let found = certs.len();
        let usable: Vec<_> = certs.into_iter().filter(|cert| anchor(cert).is_ok()).collect();
        Self { unusable: found - usable.len(), certs: usable.into() }
    }

    /// The authorities themselves.
    pub(super) fn certs(&self) -> &[CertificateDer<'static>] {
        &self.certs
    }

    /// How many authorities are trusted.
    pub fn len(&self) -> usize {
        self.certs.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.certs.is_empty()
    }

    /// How many files or certificates could not be used.
    pub fn unusable(&self) -> usize {
        self.unusable
    }

    /// All of them as PEM, for Pingora's `ca_file`: left to itself it reads the system's store and
    /// panics on the first certificate that it does not understand.
    ///
    /// Without any there is one that signs nothing, because Pingora refuses an empty file.
    pub fn pem(&self) -> String {
        let all: String = self.certs.iter().map(|cert| pem_of(cert)).collect();
        if all.is_empty() { String::from_utf8_lossy(PLACEHOLDER).into_owned() } else { all }
    }
}

/// A valid certificate whose key nobody has.
const PLACEHOLDER: &[u8] = include_bytes!("placeholder.pem");

/// The TLS side of an upstream, ready for Pingora.
#[derive(Clone)]
pub(super) struct Profile {
    pub(super) verify: bool,
    pub(super) server_name: Option<String>,
    /// `None`: those of the system.
    pub(super) ca: Option<Arc<CaType>>,
    pub(super) client: Option<Arc<CertKey>>,
    /// Of all that decides whether a connection may be trusted and who we are on it.
    pub(super) fingerprint: u64,
}

impl Profile {
    pub(super) fn load(tls: &Tls) -> Result<Self, BuildError> {
        let mut hasher = DefaultHasher::new();
        tls.verify.hash(&mut hasher);
        let ca = match (tls.verify, &tls.ca_file) {
            (_, Some(path)) => Some(authorities(path)?),
            (true, None) => None,
            // Pingora builds a verifier even where nothing is verified, and fails without roots.
            (false, None) => Some(certificates(Path::new("placeholder.pem"), PLACEHOLDER)?),
        };
        let client = tls.client.as_ref().map(|(cert, key)| client(cert, key)).transpose()?;
        ca.as_ref().map(|ca| sorted(ca)).hash(&mut hasher);
        let client_der = client.as_ref().map(|client| (&client.chain, client.key.secret_der()));
        client_der.hash(&mut hasher);
        Ok(Self {
            verify: tls.verify,
            server_name: tls.server_name.clone(),
            ca: ca.map(|ca| wrapped_all(&ca)).transpose()?,
            client: client.map(Client::wrapped).transpose()?,
            fingerprint: hasher.finish(),
        })
    }

    /// The name that is sent and verified for `host`.
    pub(super) fn name_for(&self, host: &str) -> Result<String, BuildError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        // An empty name would turn Pingora's verification off without a word.
        match ServerName::try_from(name) {
            Ok(_) => Ok(name.to_owned()),
            Err(_) => Err(BuildError::ServerName { name: name.to_owned() }),
        }
    }
}

impl Tls {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let client = self.client.iter().flat_map(|(cert, key)| [cert, key]);
        self.ca_file.iter().chain(client)
    }
}

fn sorted(certificates: &Certificates) -> Vec<&[u8]> {
    let mut ders: Vec<&[u8]> = certificates.ders.iter().map(AsRef::as_ref).collect();
    ders.sort_unstable();
    ders
}

pub(super) struct Client {
    cert: PathBuf,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Client {
    fn wrapped(self) -> Result<Arc<CertKey>, PemFault> {
        let ders = self.chain.iter().map(|der| der.to_vec()).collect();
        let key = self.key.secret_der().to_vec();
        let made = caught(|| CertKey::new(ders, key));
        made.map(Arc::new).ok_or_else(|| unusable(&self.cert, 0, &NOT_X509))
    }
}

pub(super) fn client(cert: &Path, key: &Path) -> Result<Client, BuildError> {
    let chain = certificates(cert, &read(cert)?)?.ders;
    let private = private_key(key)?;
    // Says whether the key can be used and belongs to the certificate.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tried =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().and_then(|builder| {
            let builder = builder.with_root_certificates(RootCertStore::empty());
            builder.with_client_auth_cert(chain.clone(), private.clone_key())
        });
    match tried {
        Ok(_) => Ok(Client { cert: cert.to_owned(), chain, key: private }),
        Err(source) => Err(BuildError::Client { cert: cert.to_owned(), key: key.to_owned(), source }),
    }
}

fn wrapped_all(certificates: &Certificates) -> Result<Arc<CaType>, PemFault> {
    let wrap = |(index, der): (usize, &CertificateDer<'_>)| {
        let made = caught(|| WrappedX509::new(der.to_vec(), parse_x509));
        made.ok_or_else(|| unusable(&certificates.path, index, &NOT_X509))
    };
    certificates.ders.iter().enumerate().map(wrap).collect::<Result<Vec<_>, _>>().map(Into::into)
}

const NOT_X509: &str = "it is not a valid X.509 certificate";

/// Pingora's constructors panic on what they cannot parse, and offer no other way to ask.
fn caught<T>(make: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(make)).ok()
}

fn pem_of(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    // RFC 7468 section 2: 64 characters a line.
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests;
