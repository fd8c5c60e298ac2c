//! The part of PostgreSQL's protocol that stands before the queries (its manual, "Message Flow" and "Message Formats").
//!
//! All of it eats bytes and decides; sockets, TLS and clocks are the driver's. What comes behind the first ReadyForQuery is
//! never looked at.
//!
//! On the side of the client [`Opening`] says what is asked for, and a [`Fault`] or a [`Refusal`] becomes an
//! [`ErrorResponse`]. On the side of the server [`ssl_answer`] reads what it thinks of TLS and [`BackendWatch`] finds the key
//! with which a session is cancelled.

mod backend_watch;
mod error_response;
mod fault;
mod opening;
mod refusal;
mod ssl_answer;
mod startup;

pub use backend_watch::{BackendKey, BackendWatch, Watched};
pub use error_response::ErrorResponse;
pub use fault::Fault;
pub use opening::{Cancel, Opening, Step};
pub use refusal::Refusal;
pub use ssl_answer::{SSL_REQUEST, SslAnswer, ssl_answer};
pub use startup::Startup;

/// The one protocol of ALPN on a Postgres port.
pub const ALPN: &[u8] = b"postgresql";
/// The answer to an SSLRequest by which TLS begins.
pub const YES: &[u8] = b"S";
/// The answer to an SSLRequest or a GSSENCRequest behind which the connection goes on as it is.
pub const NO: &[u8] = b"N";
/// All bytes that [`Opening::feed`] may want to see at once.
pub const MAX_STARTUP: usize = 10_000;

#[cfg(test)]
mod tests;
