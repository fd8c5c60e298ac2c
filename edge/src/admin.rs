//! The edge seen from inside: metrics, health, state as JSON, a page, and reload.
//!
//! Served on a loopback address for Prometheus and browsers, and on a socket in the state folder
//! for the command line. It shows what [`Source`] says and decides nothing.


pub mod api;
pub mod client;
mod page;
mod socket;

pub use socket::SocketError;
