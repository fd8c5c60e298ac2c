//! TLS towards servers that are spoken to without the HTTP engine: what is checked, whom we ask for and what we show.
//!
//! Made from the same settings as the engine's, with the same faults. Nothing here connects.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::pem;
use super::settings::Tls;
use super::tls::{BuildError, SystemRoots, client};

/// How the servers of one route are spoken to in TLS. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsClient {
    /// The handshake; verifies the certificate unless the settings say otherwise.
    pub config: Arc<ClientConfig>,
    server_name: Option<String>,
}

impl TlsClient {
    /// Reads the files that `tls` names; `alpn` is what is offered. Blocks for the files.
    ///
    /// # Errors
    /// When a file cannot be used, or there is nothing to check certificates against.
    pub fn load(tls: &Tls, roots: &SystemRoots, alpn: &[&[u8]]) -> Result<Self, BuildError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match (&tls.ca_file, tls.verify) {
            (_, false) => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))),
            (Some(path), true) => builder.with_root_certificates(pem::roots(path)?),
            (None, true) => builder.with_root_certificates(system(roots)?),
        };
        let mut config = match &tls.client {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let own = client(cert, key)?;
                builder.with_client_auth_cert(own.chain, own.key).map_err(|source| BuildError::Client {
                    cert: cert.clone(),
                    key: key.clone(),
                    source,
                })?
            }
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self { config: Arc::new(config), server_name: tls.server_name.clone() })
    }

    /// The name that is sent and verified for a server whose host is `host` (an address without brackets).
    ///
    /// # Errors
    /// When neither the host nor `server_name` is a name or address that a certificate can have.
    pub fn name_for(&self, host: &str) -> Result<ServerName<'static>, BuildError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|_| BuildError::ServerName { name: name.to_owned() })
    }
}

fn system(roots: &SystemRoots) -> Result<RootCertStore, BuildError> {
    if roots.is_empty() {
        return Err(BuildError::NoRoots { server: "the server".to_owned() });
    }
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.certs().iter().cloned());
    Ok(store)
}

/// Takes any certificate, for `verify = false`; that its key is the server's is checked all the same.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> SystemRoots {
        SystemRoots::from_certs(Vec::new())
    }

    #[test]
    fn without_authorities_nothing_is_verified_and_that_is_a_fault() {
        let error = TlsClient::load(&Tls::default(), &roots(), &[]).expect_err("there is none");
        assert!(matches!(error, BuildError::NoRoots { .. }), "{error}");
        let open = Tls { verify: false, ..Tls::default() };
        let client = TlsClient::load(&open, &roots(), &[b"postgresql"]).expect("asked for");
        assert_eq!(client.config.alpn_protocols, [b"postgresql"]);
    }

    #[test]
    fn the_name_is_the_host_or_what_the_settings_say() {
        let tls = Tls { verify: false, ..Tls::default() };
        let client = TlsClient::load(&tls, &roots(), &[]).expect("no file");
        assert_eq!(client.name_for("db.x").expect("a name"), ServerName::try_from("db.x").expect("a name"));
        assert!(client.name_for("::1").is_ok());
        assert!(matches!(client.name_for("no name"), Err(BuildError::ServerName { .. })));
        let tls = Tls { server_name: Some("other.x".to_owned()), ..tls };
        let client = TlsClient::load(&tls, &roots(), &[]).expect("no file");
        assert_eq!(client.name_for("db.x").expect("a name"), ServerName::try_from("other.x").expect("a name"));
    }
}
