//! Certificates in memory and on disk: what is served for a name, how it survives a crash, the local authority and
//! the keys of session tickets. It knows rustls; it does not know ACME, sockets or the clock.

pub mod disk;
pub mod entry;
pub mod files;
pub mod index;
pub mod local_ca;
pub mod name;
pub mod pem;
pub mod resolver;
pub mod server_config;
pub mod store;
#[cfg(test)]
mod testing;
pub mod tickets;
pub mod vault;

pub use disk::{Disk, DiskError, RealDisk, write_atomic};
pub use entry::{Entry, EntryError, Fingerprint, Issuer, PemPair, Validity};
pub use index::Index;
pub use local_ca::LocalCa;
pub use resolver::Resolver;
pub use store::{Batch, Store};
pub use vault::{SetId, Vault};
