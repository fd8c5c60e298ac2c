//! How a `[[tcp]]` is written.

use std::sync::Arc;

use super::entrypoints::Served;
use super::tls::{PLAINTEXT_DOC, StreamTls, TLS, TLS_DEFAULT, TLS_DOC};
use super::{COUNT, IP, IP_DOC, LIMITS_DOC, Read, count, text, upstream};
use crate::document::Item;
use crate::file::{HOSTS, Reader};
use crate::host::Host;
use crate::route::RouteKind;
use crate::shape::{Key, Shape};
use crate::stream::{Mode, ProxyVersion, Stream, Tcp, TcpLimits};
use crate::target::{Server, Upstream};
use crate::world::Protocol;

/// One `[[tcp]]`.
pub(crate) const TCP: Shape = Shape::Table(&[
    Key::new("name", Shape::TEXT, "Unique among all routes; the label in logs and metrics.").default("the first host"),
    Key::new("entrypoint", Shape::OneOrMany(&Shape::Text("an entrypoint's name")), ENTRYPOINT_DOC)
        .default("the only one with `protocol = \"postgres\"` or `\"tcp\"`"),
    Key::new("host", HOSTS, HOST_DOC),
    Key::new("database", Shape::OneOrMany(&Shape::Text("a database")), DATABASE_DOC),
    Key::new("user", Shape::OneOrMany(&Shape::Text("a user")), "For PostgreSQL: one of these users."),
    Key::new("tls", TLS, TLS_DOC).default(TLS_DEFAULT),
    Key::new("plaintext", Shape::Bool, PLAINTEXT_DOC).default("false"),
    Key::new("upstream", upstream::TCP, "The servers: an address with a port, a list of these, or a table.").required(),
    Key::new("idle", Shape::Duration, "A connection on which nothing passes for so long is closed; `\"0\"` is never.")
        .default("\"0\""),
    Key::new("send_proxy", Shape::one_of(&["off", "v1", "v2"]), "The version of the PROXY header that a server gets.")
        .default("\"off\""),
    Key::new("ip", IP, IP_DOC),
    Key::new("limits", LIMITS, LIMITS_DOC),
]);
const ENTRYPOINT_DOC: &str =
    "Where it is served. On an entrypoint of HTTPS it takes the connections of its hosts, and requests all others.";
const HOST_DOC: &str = "The names that clients ask for in TLS: exact, or a wildcard for one label. None: what no other route \
    of its entrypoints takes.";
const DATABASE_DOC: &str =
    "For PostgreSQL: one of these databases. With it, several servers share a name that clients do not send.";
const LIMITS: Shape = Shape::Table(&[
    Key::new("connections", COUNT, "Open connections.").default("0"),
    Key::new("client_connections", COUNT, "Open connections of one client.").default("0"),
    Key::new("client_rate", COUNT, "New connections of one client per second.").default("0"),
]);

impl Reader<'_> {
    pub(super) fn tcp(&mut self, item: &Item<'_>) -> Read {
        let hosts = self.sni_hosts(item);
        let name = self.name(item, &hosts);
        let Served { names: entrypoints, protocol } = self.served(item);
        let StreamTls { mode, certificates, plaintext } = self.stream_tls(item, &hosts, protocol);
        let [databases, users] = ["database", "user"].map(|key| self.startup_words(item, key, mode, protocol));
        let upstream = item.get("upstream").and_then(|item| self.tcp_upstream(&item, mode, protocol));
        let ip = self.ip(item);
        let limits = item.get("limits");
        let place = item.place();
        let made = |name: String, upstream: Upstream| Tcp {
            name,
            file: place.file,
            line: place.line,
            entrypoints,
            hosts: hosts.clone(),
            databases,
            users,
            mode,
            tls: certificates,
            plaintext,
            upstream,
            idle: item.get("idle").and_then(|item| item.as_duration()).filter(|idle| !idle.is_zero()),
            send_proxy: send_proxy(item),
            ip,
            limits: TcpLimits {
                connections: count(limits.as_ref(), "connections", 0),
                client_connections: count(limits.as_ref(), "client_connections", 0),
                client_rate: count(limits.as_ref(), "client_rate", 0),
            },
            text: text(item, RouteKind::Tcp),
        };
        let stream = name.clone().zip(upstream).map(|(name, upstream)| Stream::Tcp(Arc::new(made(name, upstream))));
        Read { name, hosts, stream }
    }

    fn sni_hosts(&mut self, item: &Item<'_>) -> Vec<Host> {
        let hosts = self.hosts(item);
        if let Some((given, address)) = item.get("host").zip(hosts.iter().find(|host| host.is_address())) {
            let fault = given.fault(format!("no client asks for `{address}`: TLS names hosts, never addresses"));
            self.faults.push(fault.hint("write a name, or remove `host`"));
        }
        hosts
    }

    /// What a client of Postgres says in its first message.
    fn startup_words(&mut self, item: &Item<'_>, key: &str, mode: Mode, protocol: Option<Protocol>) -> Vec<String> {
        let Some(given) = item.get(key) else { return Vec::new() };
        if protocol.is_some_and(|protocol| protocol != Protocol::Postgres) {
            let fault = given.key_fault(format!("`{key}` is for entrypoints with protocol = \"postgres\""));
            self.faults.push(fault.hint("remove it"));
        } else if mode == Mode::Passthrough {
            let fault = given.key_fault(format!("with `passthrough` edge cannot read which {key} a client wants"));
            self.faults.push(fault.hint("remove it, or write tls = \"terminate\" or \"reencrypt\""));
        }
        let mut words: Vec<String> = Vec::new();
        for (item, text) in self.strings(item, key) {
            if text.is_empty() || text.contains('\0') {
                self.faults.push(item.fault(format!("`{}` cannot be the name of a {key}", text.escape_debug())));
            }
            words.push(text.to_owned());
        }
        words.sort();
        words.dedup();
        words
    }

    /// What goes to these servers in clear, or to somewhere that it must not.
    pub(super) fn check_places(&mut self, servers: &[(Item<'_>, Server)], mode: Mode, protocol: Option<Protocol>) {
        for (at, server) in servers.iter().filter(|(_, server)| is_rustdesk_console(server)) {
            let address = server.address();
            let fault = at.fault(format!(
                "`{address}`: RustDesk takes whoever comes to this port from its own machine for an administrator"
            ));
            self.faults
                .push(fault.hint("publish the port without edge, or reach it by an address that is not loopback"));
        }
        if protocol != Some(Protocol::Postgres) {
            return;
        }
        for (at, server) in servers {
            if matches!(mode, Mode::None | Mode::Terminate) && !server.is_private() {
                let fault = at.warning(format!(
                    "passwords and data go in clear to `{}`, which is neither this machine nor in a private network",
                    server.address()
                ));
                self.faults.push(fault.hint("use tls = \"reencrypt\", or \"passthrough\""));
            }
            if mode == Mode::Reencrypt && server.host().is_none() {
                let fault = at.fault("PostgreSQL speaks no TLS on a socket of this machine");
                self.faults.push(fault.hint("use tls = \"terminate\", or write host and port"));
            }
        }
    }
}

/// The ports of hbbs and hbbr that take commands from loopback without asking who sends them.
fn is_rustdesk_console(server: &Server) -> bool {
    matches!(server.port(), Some(21115 | 21117)) && server.is_loopback()
}

fn send_proxy(item: &Item<'_>) -> Option<ProxyVersion> {
    match item.get("send_proxy")?.as_str()? {
        "v1" => Some(ProxyVersion::V1),
        "v2" => Some(ProxyVersion::V2),
        _ => None,
    }
}
