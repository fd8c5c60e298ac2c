//! The servers behind a route: their names, their addresses, whose turn it is and how to connect.
//!
//! It knows no request and no route's text: who builds a pool hands over plain settings. Active
//! health checks are not here.

mod balance;
mod dns;
mod peer;
mod pool;
mod settings;
mod tls;

pub use dns::{Dns, NameServers};
pub use pool::{AddressStatus, LastError, Pick, Pool, ServerStatus, Tried};
pub use settings::{Host, Http, Scheme, Server, Settings, Timeouts, Tls};
pub use tls::{BuildError, SystemRoots};
