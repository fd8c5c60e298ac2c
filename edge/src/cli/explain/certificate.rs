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
        // No client sends an address as its server name.
        let sends_name = !Host::parse(host).is_ok_and(|host| host.is_address());
        if sends_name && (table.serves(host) || table.serves_any()) {
            return Self::of_ours(host, table, config);
        }
        match &config.tls.default_certificate {
            Some(name) => Self::Default { name: name.clone() },
            None => Self::None,
        }
    }

    /// That of a host which some route answers for. Where none of them has an issuer (all are rejected, or for every
    /// host) it is what is there already, and else the local CA's.
    fn of_ours(host: &str, table: &Table, config: &Config) -> Self {
        let fitting = |want_exact| {
            table.hosts().find(|(known, _)| matches!(known, Host::Exact(_)) == want_exact && known.matches(host))
        };
        match fitting(true).or_else(|| fitting(false)) {
            Some((known, issuer)) => Self::For { name: known.to_string(), issuer },
            None if config.around.certificates.iter().any(|known| known.matches(host)) => {
                Self::For { name: host.to_owned(), issuer: Issuer::Files }
            }
            None => Self::For { name: host.to_owned(), issuer: Issuer::Internal },
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
