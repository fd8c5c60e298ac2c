//! Puts an edge together from its settings and runs it to its end. The only place where the parts know of each other.

mod acme_manager;
mod acme_report;
mod cert_files;
mod descriptors;
mod door;
mod drain;
mod engine;
mod history;
mod listeners;
mod loads;
mod run_file;
mod running;
mod signals;
mod source;
mod state;
mod sticky;
mod view;
mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Config;
use crate::tasks::Tasks;
use crate::telemetry::BuildInfo;

pub use listeners::{BindError, BindFault};
pub use state::StateError;

/// What this program is.
pub const BUILD: BuildInfo = BuildInfo {
    version: env!("CARGO_PKG_VERSION"),
    commit: match option_env!("EDGE_COMMIT") {
        Some(commit) => commit,
        None => "",
    },
};

/// An edge that serves.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Addresses in use, with the real ports, by entrypoint.
    pub entrypoints: BTreeMap<String, Vec<SocketAddr>>,
    /// Where metrics and the dashboard are.
    pub admin: SocketAddr,
    /// The socket of the command line.
    pub socket: PathBuf,
    /// The root of the local authority, for clients to trust.
    pub root_pem: PathBuf,
    /// The folder of route files.
    pub routes: PathBuf,
    /// For tasks that are to end with the edge.
    pub tasks: Tasks,
}

/// Why an edge did not begin to serve.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// See [`StateError`].
    #[error(transparent)]
    State(#[from] StateError),
    /// See [`BindError`].
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin side could not begin.
    #[error(transparent)]
    Admin(#[from] crate::admin::StartError),
    /// The local authority cannot be used.
    #[error(transparent)]
    LocalCa(#[from] certs::local_ca::LocalCaError),
    /// The access log cannot be written.
    #[error(transparent)]
    AccessLog(#[from] crate::telemetry::access_log::AccessLogError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The system gave no randomness for the keys of session tickets.
    #[error(transparent)]
    Tickets(#[from] certs::tickets::NoRandomness),
    /// Threads, signals or files of the process.
    #[error("the system refused {what}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        #[source]
        error: std::io::Error,
    },
}

/// Serves until a signal says to stop. Blocks; makes its own threads. `ready` is called once everything listens.
///
/// A drain that its grace cut short is an end like any other: what was left is named in the log.
///
/// # Errors
/// When the edge cannot begin to serve. Nothing has been served then.
pub fn run(config: Config, ready: impl FnOnce(&Ready) + Send) -> Result<(), RunError> {
    running::run(config, ready)
}
