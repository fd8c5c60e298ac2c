//! The servers behind a route: their names, their addresses, whose turn it is, whether they are well and how to connect.
//!
//! It knows no route's text: who builds a pool hands over plain settings.

mod address;
mod balance;
mod dns;
mod health;
mod peer;
pub(crate) mod pem;
mod pool;
mod settings;
mod standing;
mod tls;
mod tls_client;
mod upgrade;
mod wish;

pub use address::Address;
pub use dns::{Dns, NameServers};
pub use health::Checks;
pub use pem::PemFault;
pub use pool::{Active, AddressStatus, LastError, Means, Pick, Pool, ServerState, ServerStatus, Tried};
pub use settings::{Choice, Eject, Health, Host, Http, Place, Probe, RetryOn, Scheme, Server, Settings, Timeouts, Tls};
pub use tls::{BuildError, SystemRoots};
pub use tls_client::TlsClient;
pub use wish::{StickyKey, Wish};
