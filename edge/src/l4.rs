//! Tunnels below HTTP: what is read of a connection before its bytes pass untouched, and how they pass.
//!
//! Nothing here listens, and nothing here knows how a route was written.

pub mod cancel;
pub mod client_hello;
pub mod dial;
pub mod first_bytes;
pub mod postgres;
pub mod proxy_out;
pub mod sessions;
pub mod site;
pub mod tunnel;
pub mod udp;
pub mod udp_site;
pub mod wire;
