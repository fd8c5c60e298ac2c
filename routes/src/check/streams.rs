//! What streams mean beside each other and beside routes: two for the same connections, two on one address, a host that
//! requests have already, and one of which clients have to wait.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::standing::Live;
use crate::fault::Fault;
use crate::file::Draft;
use crate::host::Host;
use crate::route::{Issuer, Route};
use crate::stream::{Mode, Stream, Tcp, Udp, cannot_both_be_bound};

/// That somebody chose who signs the certificate of a host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) host: &'a Host,
    pub(super) issuer: Issuer,
    pub(super) by: Live<'a>,
}

impl<'a> Wish<'a> {
    pub(super) fn of(by: Live<'a>) -> impl Iterator<Item = Self> {
        let (hosts, tls) = match by {
            Live::Route(route) => (route.rule.hosts.as_slice(), Some(route.tls)),
            Live::Stream(Stream::Tcp(tcp)) => (tcp.hosts.as_slice(), Some(tcp.tls)),
            Live::Stream(Stream::Udp(_)) => (&[] as &[Host], None),
        };
        let issuer = tls.filter(|tls| tls.chosen).and_then(|tls| tls.issuer);
        hosts.iter().filter_map(move |host| Some(Self { host, issuer: issuer?, by }))
    }
}

/// The streams so far, and the hosts of routes, that clash with none before them.
#[derive(Default)]
pub(super) struct SeenStreams<'a> {
    /// By entrypoint and host; none is every host.
    tcp: HashMap<(&'a str, Option<&'a Host>), Vec<&'a Tcp>>,
    /// By port.
    udp: HashMap<u16, Vec<(SocketAddr, &'a Udp)>>,
    /// By entrypoint and host: the first route.
    routes: HashMap<(&'a str, &'a Host), &'a Route>,
    /// The entrypoints on which some stream has a host.
    named: HashMap<&'a str, &'a Tcp>,
}

impl<'a> SeenStreams<'a> {
    pub(super) fn add_route(&mut self, route: &'a Route) {
        for entrypoint in &route.rule.entrypoints {
            for host in &route.rule.hosts {
                self.routes.entry((entrypoint, host)).or_insert(route);
            }
        }
    }

    pub(super) fn add(&mut self, stream: &'a Stream) {
        match stream {
            Stream::Tcp(tcp) => {
                for (entrypoint, host) in places(tcp) {
                    self.tcp.entry((entrypoint, host)).or_default().push(tcp);
                    if host.is_some() {
                        self.named.entry(entrypoint).or_insert(tcp);
                    }
                }
            }
            Stream::Udp(udp) => {
                for address in &udp.listen {
                    self.udp.entry(address.port()).or_default().push((*address, udp));
                }
            }
        }
    }

    pub(super) fn clash(&self, draft: &Draft<'_>, stream: &Stream) -> Option<Fault> {
        match stream {
            Stream::Tcp(tcp) => self.equal(draft, tcp).or_else(|| self.host_of_route(draft, tcp)),
            Stream::Udp(udp) => self.same_address(draft, udp),
        }
    }

    fn equal(&self, draft: &Draft<'_>, tcp: &Tcp) -> Option<Fault> {
        places(tcp).find_map(|(entrypoint, host)| {
            let rival = self.tcp.get(&(entrypoint, host))?.iter().find(|rival| overlap(rival, tcp))?;
            let host = host.map_or("every host".to_owned(), Host::to_string);
            let Tcp { name, file, line, .. } = rival;
            let why = format!(
                "the TCP routes `{name}` and `{}` cannot be told apart: both take {host} on the entrypoint \
                 `{entrypoint}`; `{name}` is at {file}:{line}",
                tcp.name
            );
            let hint = if rival.mode == Mode::Passthrough || tcp.mode == Mode::Passthrough {
                "change the host of one: with `passthrough` nothing else of a connection can be read"
            } else {
                "change host or entrypoint of one, or for PostgreSQL its database or user"
            };
            Some(draft.item.fault(why).hint(hint))
        })
    }

    fn host_of_route(&self, draft: &Draft<'_>, tcp: &Tcp) -> Option<Fault> {
        places(tcp).find_map(|(entrypoint, host)| {
            let host = host?;
            let Route { name, file, line, .. } = self.routes.get(&(entrypoint, host))?;
            Some(both_take(draft, (entrypoint, host), &tcp.name, &format!("route `{name}` at {file}:{line}")))
        })
    }

    pub(super) fn clash_with_route(&self, draft: &Draft<'_>, route: &Route) -> Option<Fault> {
        if self.named.is_empty() {
            return None;
        }
        let entrypoints = route.rule.entrypoints.iter();
        let mut places = entrypoints.flat_map(|entrypoint| route.rule.hosts.iter().map(move |host| (entrypoint, host)));
        places.find_map(|(entrypoint, host)| {
            let Tcp { name, file, line, .. } = self.tcp.get(&(entrypoint.as_str(), Some(host)))?.first()?;
            Some(both_take(draft, (entrypoint, host), &route.name, &format!("TCP route `{name}` at {file}:{line}")))
        })
    }

    fn same_address(&self, draft: &Draft<'_>, udp: &Udp) -> Option<Fault> {
        udp.listen.iter().find_map(|address| {
            let others = self.udp.get(&address.port())?;
            let (theirs, Udp { name, file, line, .. }) =
                others.iter().find(|(theirs, _)| cannot_both_be_bound(*theirs, *address))?;
            let other = format!("the UDP route `{name}` at {file}:{line}");
            let why = match theirs == address {
                true => format!("{address} is bound twice: by `{}` and by {other}", udp.name),
                false => format!("{address} of `{}` and {theirs} of {other} cannot both be bound", udp.name),
            };
            let at = draft.item.get("listen").unwrap_or_else(|| draft.item.clone());
            Some(at.fault(why).hint("give one of them another port or address"))
        })
    }

    /// A warning if clients have to wait because of the others on its entrypoint.
    pub(super) fn warning(&self, draft: &Draft<'_>, stream: &Stream) -> Option<Fault> {
        let Stream::Tcp(tcp) = stream else { return None };
        // Clients of PostgreSQL, which come in without TLS then, speak first.
        if tcp.mode != Mode::None || tcp.plaintext {
            return None;
        }
        let others = |entrypoint: &String| Some((entrypoint.clone(), *self.named.get(entrypoint.as_str())?));
        let (entrypoint, Tcp { name, file, line, .. }) = tcp.entrypoints.iter().find_map(others)?;
        let why = format!(
            "where the server speaks first, clients of `{}` wait 3 s: on the entrypoint `{entrypoint}` a name is waited \
             for, by which `{name}` at {file}:{line} is chosen",
            tcp.name
        );
        Some(draft.item.warning(why).hint("give it an entrypoint of its own, unless its clients speak first"))
    }
}

fn both_take(draft: &Draft<'_>, (entrypoint, host): (&str, &Host), name: &str, other: &str) -> Fault {
    let why = format!("`{host}` on the entrypoint `{entrypoint}` is to be both `{name}`'s and that of the {other}");
    let at = draft.item.get("host").unwrap_or_else(|| draft.item.clone());
    at.fault(why).hint("a host is there for requests or for connections: give one of them another host or entrypoint")
}

/// The places of a stream: every entrypoint with every host.
fn places(tcp: &Tcp) -> impl Iterator<Item = (&str, Option<&Host>)> {
    let every_host = tcp.hosts.is_empty().then_some(None);
    let hosts: Vec<Option<&Host>> = tcp.hosts.iter().map(Some).chain(every_host).collect();
    tcp.entrypoints
        .iter()
        .flat_map(move |entrypoint| hosts.clone().into_iter().map(move |host| (entrypoint.as_str(), host)))
}

/// Whether a connection can be for both of two streams of one place, with nothing to choose one of them by.
fn overlap(a: &Tcp, b: &Tcp) -> bool {
    let share = |a: &[String], b: &[String]| a.is_empty() || a.iter().any(|name| b.contains(name));
    // What edge cannot look into is told apart by its name alone.
    [a.mode, b.mode].contains(&Mode::Passthrough)
        || (a.rank() == b.rank() && share(&a.databases, &b.databases) && share(&a.users, &b.users))
}

#[cfg(test)]
mod tests;
