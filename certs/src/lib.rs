//! Certificates in memory and on disk: what is served for a name, how it survives a crash, the local authority and
//! the keys of session tickets. It knows rustls; it does not know ACME, sockets or the clock.

pub mod entry;
pub mod name;
pub mod pem;
#[cfg(test)]
mod testing;

pub use entry::{Entry, EntryError, Fingerprint, Issuer, PemPair, Validity};
