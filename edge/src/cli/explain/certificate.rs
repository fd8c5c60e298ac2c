//! Which certificate a client gets for a host, as far as files can tell: whether it is there yet is known to the
//! running edge alone.

use routes::host::Host;
use routes::route::Issuer;
use routes::table::Table;
use serde::Serialize;

use crate::config::Config;

/// The certificate of a handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Certificate {
    /// One for the host, or for a wildcard that covers it.
    For {
        /// The name that it is for.
        name: String,
        /// Who signs it.
        issuer: Issuer,
    },
    /// That of `tls.default_certificate`, which is for another name.
    Default {
        /// That name.
        name: String,
    },
    /// None: the handshake ends with the alert `unrecognized_name`.
    None,
}

impl Certificate {
    /// The certificate for a host.
    pub(super) fn of(host: &str, table: &Table, config: &Config) -> Self {
        let fitting = |want_exact| {
            table.hosts().find(|(known, _)| matches!(known, Host::Exact(_)) == want_exact && known.matches(host))
        };
        // No client sends an address as its server name.
        let is_address = Host::parse(host).is_ok_and(|host| host.is_address());
        if let Some((known, issuer)) = fitting(true).or_else(|| fitting(false)).filter(|_| !is_address) {
            return Self::For { name: known.to_string(), issuer };
        }
        if config.around.certificates.iter().any(|known| known.matches(host)) && !is_address {
            return Self::For { name: host.to_owned(), issuer: Issuer::Files };
        }
        match &config.tls.default_certificate {
            Some(name) => Self::Default { name: name.clone() },
            None => Self::None,
        }
    }

    /// The same in words.
    pub(super) fn words(&self, config: &Config) -> String {
        match self {
            Self::For { name, issuer: Issuer::Acme } => match &config.acme {
                Some(acme) => format!("for {name}, from {}", acme.directory.label()),
                None => format!("for {name}, from the CA of [acme]"),
            },
            Self::For { name, issuer: Issuer::Internal } => format!("for {name}, from the own local CA"),
            Self::For { name, issuer: Issuer::Files } => format!("for {name}, from the files of a [[certificate]]"),
            Self::Default { name } => format!("that of tls.default_certificate, {name}"),
            Self::None => "none: the handshake ends with the alert unrecognized_name".to_owned(),
        }
    }
}
