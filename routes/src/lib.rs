//! Route files in, checked routes and a match table out. Pure: no async, no TLS, no sockets, no clock, no files:
//! texts, variables and the disk come in as arguments.
//!
//! ```text
//! Source --document--> tree with places --file, check--> Route --table--> Table --find, explain--> what a request gets
//! ```
//!
//! A module imports only what stands to its left:
//! `fault, units <- document <- shape <- host, path <- world <- preset, step, rule, target <- route <- stream <- file <- check
//! <- table <- explain`.
//!
//! ```
//! use std::path::Path;
//!
//! use routes::check::check;
//! use routes::document::{Source, Vars};
//! use routes::rule::Request;
//! use routes::table::Table;
//! use routes::world::{Disk, Entrypoint, NoKinds, Protocol, Seen, World};
//!
//! struct EmptyDisk;
//! impl Disk for EmptyDisk {
//!     fn look(&self, _: &Path) -> Seen {
//!         Seen::Missing
//!     }
//! }
//!
//! let text = r#"
//! [[route]]
//! host = "mlflow.${DOMAIN}"
//! upstream = "http://127.0.0.1:5000"
//!
//! [[route]]
//! host = "broken.${DOMAIN}"
//! upstrem = "http://127.0.0.1:5001"
//! "#;
//! let checked = check(&[Source::new("routes/ml.toml", text)], &World {
//!     vars: Vars { lookup: &|name| (name == "DOMAIN").then(|| "example.com".into()), known: &[] },
//!     entrypoints: &[Entrypoint { name: "https".into(), protocol: Protocol::Http, tls: true }],
//!     acme: true,
//!     certificates: &[],
//!     folder: Path::new("/etc/edge"),
//!     disk: &EmptyDisk,
//!     kinds: &NoKinds,
//! });
//! let fault = &checked.faults[1];
//! assert_eq!((fault.line, fault.column, fault.why.as_str()), (8, 1, "unknown key `upstrem`"));
//! assert_eq!(fault.hint.as_deref(), Some("did you mean `upstream`?"));
//!
//! let table = Table::build(checked.routes, &checked.rejected);
//! let request = Request {
//!     entrypoint: "https",
//!     host: "mlflow.example.com",
//!     path: "/api",
//!     method: "GET",
//!     query: "",
//!     headers: &(),
//!     client: "192.0.2.1".parse()?,
//! };
//! assert_eq!(table.find(&request).route().map(|route| route.name.as_str()), Some("mlflow.example.com"));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

pub mod check;
pub mod document;
pub mod explain;
pub mod fault;
pub mod file;
pub mod host;
pub mod path;
pub mod preset;
pub mod route;
pub mod rule;
pub mod shape;
pub mod step;
pub mod stream;
pub mod table;
pub mod target;
pub mod units;
pub mod world;

#[cfg(test)]
mod fixture;
