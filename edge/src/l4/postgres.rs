//! The part of PostgreSQL's protocol that stands before the queries (its manual, "Message Flow" and "Message Formats").
//!
//! All of it eats bytes and decides; sockets, TLS and clocks are the driver's. What comes behind the first ReadyForQuery is
//! never looked at.
//!
//! A [`Fault`] or a [`Refusal`] becomes an [`ErrorResponse`].

mod error_response;
mod fault;
mod refusal;

pub use error_response::ErrorResponse;
pub use fault::Fault;
pub use refusal::Refusal;

#[cfg(test)]
mod tests;
