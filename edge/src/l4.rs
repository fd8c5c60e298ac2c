//! Tunnels below HTTP: what is read of a connection before its bytes pass untouched, and how they pass.
//!
//! Nothing here listens, and nothing here knows how a route was written.

pub mod cancel;
pub mod client_hello;
pub mod postgres;
pub mod tunnel;
