//! What the check of routes needs to know of everything around them. Given by the caller; nothing is fetched here.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::document::Vars;
use crate::host::Host;

mod kinds;

pub use kinds::{Kind, Kinds, Needs, NoKinds, Reading};

/// Everything around the route files.
pub struct World<'a> {
    /// Where the values of `${NAME}` come from.
    pub vars: Vars<'a>,
    /// All entrypoints, in the order of `edge.toml`.
    pub entrypoints: &'a [Entrypoint],
    /// Whether `[acme]` is set.
    pub acme: bool,
    /// The names of all `[[certificate]]`.
    pub certificates: &'a [Host],
    /// The folder that paths in route files are relative to: the one of `edge.toml`.
    pub folder: &'a Path,
    /// The disk.
    pub disk: &'a dyn Disk,
    /// The kinds of middleware.
    pub kinds: &'a dyn Kinds,
}

impl fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vars, entrypoints, acme, certificates, folder, disk: _, kinds } = self;
        f.debug_struct("World")
            .field("vars", vars)
            .field("entrypoints", entrypoints)
            .field("acme", acme)
            .field("certificates", certificates)
            .field("folder", folder)
            .field("kinds", &kinds.names())
            .finish_non_exhaustive()
    }
}

/// An entrypoint as routes see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrypoint {
    /// Its name in `edge.toml`.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whether it terminates TLS for all of its routes: on others than those of HTTP each route says so itself.
    pub tls: bool,
}

/// What an entrypoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// HTTP, in clear or over TLS.
    #[default]
    Http,
    /// The protocol of PostgreSQL, with its own way into TLS.
    Postgres,
    /// Any bytes, in clear or over TLS.
    Tcp,
}

impl Protocol {
    /// The word in `edge.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Postgres => "postgres",
            Self::Tcp => "tcp",
        }
    }

    /// Reads the word of `edge.toml`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Postgres, Self::Tcp].into_iter().find(|protocol| protocol.as_str() == text)
    }
}

/// A look at the disk.
pub trait Disk {
    /// What is at this path.
    fn look(&self, path: &Path) -> Seen;
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A file that can be read.
    File,
    /// A folder that can be listed.
    Folder,
    /// Nothing.
    Missing,
    /// Something that cannot be used, with the system's reason.
    Unreadable(String),
}

/// Where a path of a route file is: paths are relative to the folder of `edge.toml`.
pub fn resolve(folder: &Path, given: &str) -> PathBuf {
    folder.join(given)
}
