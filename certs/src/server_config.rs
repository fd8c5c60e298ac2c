//! The TLS settings of a listener, made once: versions, suites, key exchange, resumption. All names that share a
//! policy share one configuration; a configuration for one certificate is a clone of a few hundred bytes.
//! Which client gets which is the front door's choice.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::compress::CompressionCache;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};

use crate::entry::Entry;

/// The oldest version that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

/// The text is not a TLS version that can be the minimum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a TLS version that can be the minimum; write \"1.2\" or \"1.3\"")]
pub struct MinVersionError(String);

impl std::str::FromStr for MinVersion {
    type Err = MinVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            other => Err(MinVersionError(other.into())),
        }
    }
}

/// What a listener asks of TLS.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The oldest version that is spoken.
    pub min: MinVersion,
    /// Protocols by preference (RFC 7301), such as `h2` and `http/1.1`; empty for none.
    pub alpn: Vec<Vec<u8>>,
    /// Tickets of this listener's scope; none where a resumed session would skip a check, as with client certificates.
    pub tickets: Option<Arc<dyn ProducesTickets>>,
}

impl Policy {
    /// The configuration for every name that `resolver` knows.
    ///
    /// # Errors
    /// Only if the provider lacked a suite for the wanted versions.
    pub fn config(&self, resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
        let versions: &[_] = match self.min {
            MinVersion::Tls12 => &[&TLS13, &TLS12],
            MinVersion::Tls13 => &[&TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols.clone_from(&self.alpn);
        config.ignore_client_order = true;
        config.max_early_data_size = 0;
        config.cert_compressors = Vec::new();
        config.cert_decompressors = Vec::new();
        config.cert_compression_cache = Arc::new(CompressionCache::Disabled);
        self.resumption(&mut config);
        Ok(config)
    }

    /// Sessions live in tickets alone: the cache of rustls is one mutex around 256 of them.
    fn resumption(&self, config: &mut ServerConfig) {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        if let Some(tickets) = &self.tickets {
            config.ticketer = tickets.clone();
            config.send_tls13_tickets = 2;
        }
    }
}

/// The same configuration, but always with this certificate.
#[must_use]
pub fn for_entry(config: &ServerConfig, entry: &Entry) -> ServerConfig {
    let mut own = config.clone();
    own.cert_resolver = Arc::new(SingleCertAndKey::from(entry.key().clone()));
    own
}

/// aws-lc-rs: its suites are all AEAD with ephemeral keys, and with `prefer-post-quantum` X25519MLKEM768 comes first.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn the_hybrid_key_exchange_is_preferred_and_every_suite_is_aead() {
        let provider = provider();
        assert_eq!(provider.kx_groups[0].name(), NamedGroup::X25519MLKEM768);
        for suite in &provider.cipher_suites {
            let name = format!("{:?}", suite.suite());
            assert!(name.contains("GCM") || name.contains("POLY1305"), "{name}");
            assert!(name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"), "{name}");
        }
    }

    #[test]
    fn versions_are_read_as_the_configuration_writes_them() {
        assert_eq!("1.2".parse(), Ok(MinVersion::Tls12));
        assert_eq!("1.3".parse(), Ok(MinVersion::Tls13));
        let error = "1.1".parse::<MinVersion>().unwrap_err();
        assert!(error.to_string().contains("write \"1.2\" or \"1.3\""));
    }
}
