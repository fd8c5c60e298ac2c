//! `edge.toml` and the route files: from disk to settings that cannot be wrong, with every fault of every file.
//!
//! Which routes a request can take is the `routes` crate's affair; nothing here is bound, dialled or served.
//!
//! ```text
//! edge.toml --read--> Config + Around --+
//! routes/*.toml --folder--> Sources ----+--check_routes--> routes and faults
//! ```

mod around;
mod authority;
mod certificates;
mod check;
mod disk;
mod entrypoints;
mod environment;
mod folder;
mod load;
mod read;
mod reader;
mod rest;
mod settings;
mod shape;

pub use around::Around;
pub use check::check_routes;
pub use environment::Environment;
pub use folder::route_files;
pub use load::{Loaded, load};
pub use read::Reading;
pub use settings::{Access, Config, Entrypoint, Level, Limits, Log, LogFormat, Redact, Tls};
pub use shape::EDGE;

#[cfg(test)]
mod tests;
