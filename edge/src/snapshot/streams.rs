//! What serves connections and datagrams below HTTP in one load, and which of it a connection is for.

use std::collections::HashMap;
use std::sync::Arc;

use routes::check::Rejected;
use routes::route::RouteKind;
use routes::stream::{Stream, StreamTable};

use super::Unit;
use crate::l4::site::TcpSite;
use crate::l4::udp_site::UdpSite;

/// The `[[tcp]]` and `[[udp]]` routes of one load.
#[derive(Debug, Default)]
pub struct StreamSites {
    /// Finds the route of a connection.
    pub table: StreamTable,
    tcp: HashMap<String, Arc<TcpSite>>,
    udp: HashMap<String, Arc<UdpSite>>,
}

impl StreamSites {
    /// Those among `units`. What `closed` ones would serve is refused, and left to no wider route.
    pub(super) fn of(units: &[Unit], closed: &[Rejected]) -> Self {
        let streams: Vec<Arc<Stream>> = units.iter().filter_map(Unit::stream).collect();
        let mut sites = Self { table: StreamTable::build(&streams), ..Self::default() };
        for rejected in closed.iter().filter(|rejected| rejected.kind == RouteKind::Tcp) {
            sites.table.close(&rejected.hosts, &rejected.sessions);
        }
        for unit in units {
            match unit {
                Unit::Http(_) => {}
                Unit::Tcp(site) => drop(sites.tcp.insert(site.route.name.clone(), Arc::clone(site))),
                Unit::Udp(site) => drop(sites.udp.insert(site.route.name.clone(), Arc::clone(site))),
            }
        }
        sites
    }

    /// What serves the `[[tcp]]` of this name.
    pub fn tcp(&self, name: &str) -> Option<&Arc<TcpSite>> {
        self.tcp.get(name)
    }

    /// What serves the `[[udp]]` of this name.
    pub fn udp(&self, name: &str) -> Option<&Arc<UdpSite>> {
        self.udp.get(name)
    }

    /// All of `[[tcp]]`, in no order.
    pub fn all_tcp(&self) -> impl Iterator<Item = &Arc<TcpSite>> {
        self.tcp.values()
    }

    /// All of `[[udp]]`, in no order.
    pub fn all_udp(&self) -> impl Iterator<Item = &Arc<UdpSite>> + Clone {
        self.udp.values()
    }

    /// The unit of this name.
    pub(super) fn named(&self, name: &str) -> Option<Unit> {
        let tcp = self.tcp.get(name).cloned().map(Unit::Tcp);
        tcp.or_else(|| self.udp.get(name).cloned().map(Unit::Udp))
    }
}
