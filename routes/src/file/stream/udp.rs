//! How a `[[udp]]` is written.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{COUNT, IP, IP_DOC, LIMITS_DOC, Read, count, text, upstream};
use crate::document::Item;
use crate::file::Reader;
use crate::route::RouteKind;
use crate::shape::{Key, Shape};
use crate::stream::{Stream, Udp, UdpLimits, cannot_both_be_bound};
use crate::target::{Place, Upstream};

/// One `[[udp]]`.
pub(crate) const UDP: Shape = Shape::Table(&[
    Key::new("name", Shape::TEXT, "Unique among all routes; the label in logs and metrics.").required(),
    Key::new("listen", Shape::OneOrMany(&Shape::Text("an address with a port")), LISTEN_DOC).required(),
    Key::new("upstream", upstream::UDP, "The servers: an address with a port, a list of these, or a table.").required(),
    Key::new("idle", Shape::Duration, "A session on which nothing passes for so long ends.").default("\"60s\""),
    Key::new("ip", IP, IP_DOC),
    Key::new("limits", LIMITS, LIMITS_DOC),
]);
const LISTEN_DOC: &str = "Addresses such as `0.0.0.0:21116` and `[::]:21116`. Port 0 is any free one.";
const LIMITS: Shape = Shape::Table(&[
    Key::new("sessions", COUNT, "Open sessions: a session is one address and port of a client.").default("10000"),
    Key::new("client_sessions", COUNT, "Open sessions of one client.").default("256"),
    Key::new("client_rate", COUNT, "New sessions of one client per second.").default("0"),
]);
/// The shortest time after which a session may end: one that ends between question and answer is none.
const SHORTEST: Duration = Duration::from_secs(1);

impl Reader<'_> {
    pub(super) fn udp(&mut self, item: &Item<'_>) -> Read {
        let name = item.get("name").and_then(|given| self.given_name(&given));
        let listen = self.addresses(item);
        let upstream = item.get("upstream").and_then(|item| self.udp_upstream(&item));
        if let Some((given, upstream)) = item.get("upstream").zip(upstream.as_ref()) {
            self.warn_of_loop(&given, &listen, upstream);
        }
        let idle = item.get("idle").and_then(|item| item.as_duration()).unwrap_or(Udp::IDLE);
        if let Some(given) = item.get("idle").filter(|_| idle < SHORTEST) {
            let fault = given.fault("`idle` of datagrams is at least 1s: nothing else tells that a session is over");
            self.faults.push(fault.hint("write it like \"60s\""));
        }
        let ip = self.ip(item);
        let limits = item.get("limits");
        let default = UdpLimits::default();
        let place = item.place();
        let made = |name: String, upstream: Upstream| Udp {
            name,
            file: place.file,
            line: place.line,
            listen,
            upstream,
            idle,
            ip,
            limits: UdpLimits {
                sessions: count(limits.as_ref(), "sessions", default.sessions),
                client_sessions: count(limits.as_ref(), "client_sessions", default.client_sessions),
                client_rate: count(limits.as_ref(), "client_rate", default.client_rate),
            },
            text: text(item, RouteKind::Udp),
        };
        let stream = name.clone().zip(upstream).map(|(name, upstream)| Stream::Udp(Arc::new(made(name, upstream))));
        Read { name, hosts: Vec::new(), stream }
    }

    fn addresses(&mut self, item: &Item<'_>) -> Vec<SocketAddr> {
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for (item, text) in self.strings(item, "listen") {
            let Ok(address) = text.parse::<SocketAddr>() else {
                let fault = item.fault(format!("`{text}` is not an address with a port"));
                self.faults.push(fault.hint("write it like \"0.0.0.0:21116\" or \"[::]:21116\""));
                continue;
            };
            if let Some(earlier) = addresses.iter().find(|earlier| cannot_both_be_bound(**earlier, address)) {
                let why = match *earlier == address {
                    true => format!("{address} is named twice"),
                    false => format!("{earlier} takes {address} along"),
                };
                self.faults.push(item.fault(why).hint("name one of them"));
            }
            addresses.push(address);
        }
        addresses
    }

    /// What a server answers is sent to clients, but what is sent to a server that is the route itself comes back for ever.
    fn warn_of_loop(&mut self, at: &Item<'_>, listen: &[SocketAddr], upstream: &Upstream) {
        for server in &upstream.servers {
            let Place::Net { host, port } = &server.place else { continue };
            let Ok(ip) = host.trim_matches(['[', ']']).parse() else { continue };
            let server = SocketAddr::new(ip, *port);
            let is_ours = |own: &&SocketAddr| {
                own.port() == *port && (own.ip() == ip || (own.ip().is_unspecified() && ip.is_loopback()))
            };
            if let Some(own) = listen.iter().find(is_ours).filter(|own| own.is_ipv4() == server.is_ipv4()) {
                let fault = at.warning(format!("{server} is the route itself, which listens on {own}"));
                self.faults
                    .push(fault.hint("have the route listen on the addresses of clients alone, or on another port"));
            }
        }
    }
}
