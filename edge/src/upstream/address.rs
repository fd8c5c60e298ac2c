//! Where a connection goes: an address in the network, or a socket of this machine.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pingora::protocols::l4::socket::SocketAddr as Dialled;

/// Where a connection goes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// In the network.
    Inet(SocketAddr),
    /// A socket of this machine.
    Unix(Arc<Path>),
}

impl Address {
    /// The address in the network, if it is one.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The socket as Pingora names it; `None` for an address in the network, and for a path that is too long for one.
    pub(super) fn unix_socket(&self) -> Option<Dialled> {
        let Self::Unix(path) = self else { return None };
        std::os::unix::net::SocketAddr::from_pathname(path).ok().map(Dialled::Unix)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl From<&PathBuf> for Address {
    fn from(path: &PathBuf) -> Self {
        Self::Unix(path.as_path().into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(out),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}
