//! One route of any kind with what serves it: what a load builds, keeps, compares and publishes.

use std::sync::Arc;

use routes::route::Route;
use routes::stream::Stream;

use super::Site;
use crate::l4::site::TcpSite;
use crate::l4::udp_site::UdpSite;
use crate::upstream::Pool;

/// One route with everything that serves it. Clones are the same.
#[derive(Clone, Debug)]
pub enum Unit {
    /// A `[[route]]`.
    Http(Arc<Site>),
    /// A `[[tcp]]`.
    Tcp(Arc<TcpSite>),
    /// A `[[udp]]`.
    Udp(Arc<UdpSite>),
}

impl Unit {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Http(site) => &site.route.name,
            Self::Tcp(site) => &site.route.name,
            Self::Udp(site) => &site.route.name,
        }
    }

    /// The file and the line that it stands in.
    pub fn place(&self) -> (&str, usize) {
        match self {
            Self::Http(site) => (&site.route.file, site.route.line),
            Self::Tcp(site) => (&site.route.file, site.route.line),
            Self::Udp(site) => (&site.route.file, site.route.line),
        }
    }

    /// It alone as TOML.
    pub fn text(&self) -> &str {
        match self {
            Self::Http(site) => &site.route.text,
            Self::Tcp(site) => &site.route.text,
            Self::Udp(site) => &site.route.text,
        }
    }

    /// Its servers, if it has any.
    pub fn pool(&self) -> Option<&Pool> {
        match self {
            Self::Http(site) => site.pool(),
            Self::Tcp(site) => Some(&site.pool),
            Self::Udp(site) => Some(&site.pool),
        }
    }

    /// The route, if it is one of requests.
    pub fn route(&self) -> Option<&Arc<Route>> {
        match self {
            Self::Http(site) => Some(&site.route),
            Self::Tcp(_) | Self::Udp(_) => None,
        }
    }

    /// The stream, if it is one.
    pub fn stream(&self) -> Option<Arc<Stream>> {
        match self {
            Self::Http(_) => None,
            Self::Tcp(site) => Some(Arc::new(Stream::Tcp(Arc::clone(&site.route)))),
            Self::Udp(site) => Some(Arc::new(Stream::Udp(Arc::clone(&site.route)))),
        }
    }

    /// Whether the other does the same under the same name, wherever it stands.
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(ours), Self::Http(theirs)) => ours.same_as(theirs),
            (Self::Tcp(ours), Self::Tcp(theirs)) => {
                ours.files_digest == theirs.files_digest && ours.route.same_as(&theirs.route)
            }
            (Self::Udp(ours), Self::Udp(theirs)) => ours.route.same_as(&theirs.route),
            (Self::Http(_) | Self::Tcp(_) | Self::Udp(_), _) => false,
        }
    }

    /// As [`Unit::same_as`], and it stands in the same place.
    pub fn is_unmoved(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(ours), Self::Http(theirs)) => {
                ours.files_digest == theirs.files_digest && *ours.route == *theirs.route
            }
            (Self::Tcp(ours), Self::Tcp(theirs)) => {
                ours.files_digest == theirs.files_digest && *ours.route == *theirs.route
            }
            (Self::Udp(ours), Self::Udp(theirs)) => *ours.route == *theirs.route,
            (Self::Http(_) | Self::Tcp(_) | Self::Udp(_), _) => false,
        }
    }
}
