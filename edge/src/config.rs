//! `edge.toml` and the route files: from disk to settings that cannot be wrong, with every fault of every file.
//!
//! Which routes a request can take is the `routes` crate's affair; nothing here is bound, dialled or served.
//!
//! ```text
//! edge.toml --read--> Config + Around --+
//! routes/*.toml --folder--> Sources ----+--check_routes--> routes and faults
//! ```

mod around;
mod disk;
mod environment;
mod folder;
mod shape;

pub use around::Around;
pub use environment::Environment;
pub use folder::route_files;
pub use shape::EDGE;
