//! How the servers of streams are written.

use std::time::Duration;

use crate::document::{Item, Kind};
use crate::file::Reader;
use crate::file::upstream::TLS;
use crate::file::upstream::health::{COUNT, EJECT, EJECT_DOC, SLOW_START_DOC};
use crate::shape::{Key, Shape};
use crate::stream::Mode;
use crate::target::{Balance, Family, HashOn, HttpVersion, Probe, Retries, Server, Timeouts, Upstream, UpstreamTls};
use crate::world::Protocol;

pub(super) const TCP: Shape = Shape::Either(&[ADDRESS, Shape::List(&TCP_SERVER), TCP_TABLE]);
pub(super) const UDP: Shape = Shape::Either(&[ADDRESS, Shape::List(&UDP_SERVER), UDP_TABLE]);
const ADDRESS: Shape = Shape::Text("an address with a port");
const WEIGHT: Key =
    Key::new("weight", Shape::Integer { min: 0, max: 1000 }, "Its share; with `0` it gets nothing new.").default("1");
const BACKUP: Key =
    Key::new("backup", Shape::Bool, "Whether it is used only when no other server can be.").default("false");
const TCP_SERVER: Shape = Shape::Either(&[
    ADDRESS,
    Shape::Table(&[
        Key::new("url", ADDRESS, "Host and port, with or without `tcp://`, or `unix:` and the path of a socket.")
            .required(),
        WEIGHT,
        BACKUP,
    ]),
]);
const UDP_SERVER: Shape = Shape::Either(&[
    ADDRESS,
    Shape::Table(&[Key::new("url", ADDRESS, "Host and port, with or without `udp://`.").required(), WEIGHT, BACKUP]),
]);
const SERVERS_DOC: &str = "Addresses with a port, or tables with `url`, `weight` and `backup`.";
const TCP_TABLE: Shape = Shape::Table(&[
    Key::new("servers", Shape::OneOrMany(&TCP_SERVER), SERVERS_DOC).required(),
    Key::new("balance", Shape::Text("a way to choose"), BALANCE_DOC).default("\"round-robin\""),
    Key::new("health", HEALTH, HEALTH_DOC).default("false"),
    Key::new("slow_start", Shape::Duration, SLOW_START_DOC).default("\"0\""),
    Key::new("eject", EJECT, EJECT_DOC),
    Key::new("timeouts", TIMEOUTS, "Deadlines towards the servers; `\"0\"` is none."),
    Key::new("tls", TLS, "How the servers are spoken to with `tls = \"reencrypt\"`."),
]);
const UDP_TABLE: Shape = Shape::Table(&[
    Key::new("servers", Shape::OneOrMany(&UDP_SERVER), SERVERS_DOC).required(),
    Key::new("balance", Shape::Text("a way to choose"), BALANCE_DOC).default("\"hash:client-ip\""),
]);
const BALANCE_DOC: &str = "How a server is chosen. `round-robin`: one after the other, by weight. `least-requests`: the one \
    with the fewest open connections or sessions for its weight. `random-two`: of two by chance, the one with fewer. \
    `hash:client-ip`: the same server for the same client, as long as it can be used.";
const HEALTH: Shape = Shape::Either(&[
    Shape::Table(&[
        Key::new("kind", Shape::one_of(&["connect", "postgres"]), KIND_DOC)
            .default("`postgres` on entrypoints of PostgreSQL, else `connect`"),
        Key::new("every", Shape::Duration, "How often; a tenth more or less by chance.").default("\"5s\""),
        Key::new("timeout", Shape::Duration, "How long an answer may take.").default("\"2s\""),
        Key::new("up_after", COUNT, "Good answers in a row after which a server is up again.").default("2"),
        Key::new("down_after", COUNT, "Failures in a row after which it is down.").default("3"),
    ]),
    Shape::Bool,
]);
const HEALTH_DOC: &str = "Asks every server again and again whether it is well. One that is down gets nothing new. `true`: with \
    the defaults below; `false`: servers are judged by the connections of clients alone.";
const KIND_DOC: &str = "What is asked. `connect`: to take a connection. `postgres`: to answer SSLRequest as well.";
const TIMEOUTS: Shape = Shape::Table(&[Key::new("connect", Shape::Duration, "To a connection, TLS included.")
    .default("`\"5s\"`, on entrypoints of PostgreSQL `\"10s\"`")]);

impl Reader<'_> {
    pub(super) fn tcp_upstream(&mut self, item: &Item<'_>, mode: Mode, protocol: Option<Protocol>) -> Option<Upstream> {
        let list = if item.kind() == Kind::Table { item.get("servers")? } else { item.clone() };
        let servers = self.servers(&list, Family::Tcp);
        self.check_places(&servers, mode, protocol);
        let servers: Vec<Server> = servers.into_iter().map(|(_, server)| server).collect();
        self.check_shares(&list, &servers);
        let is_postgres = protocol == Some(Protocol::Postgres);
        let usual = if is_postgres { Probe::Postgres } else { Probe::Connect };
        let health = self.health(item, usual.clone(), |_, item| probe(item).unwrap_or(usual));
        let tls = item.get("tls").map(|tls| self.upstream_tls(&tls));
        if let Some(given) = item.get("tls").filter(|_| protocol.is_some() && mode != Mode::Reencrypt) {
            let why = format!("`tls` is not used: with `{}` edge speaks no TLS to the servers", mode.as_str());
            self.faults.push(given.warning(why).hint("write tls = \"reencrypt\" in the route, or remove it"));
        }
        let (balance, eject) = (self.stream_balance(item, Balance::RoundRobin), self.eject(item));
        let slow_start = self.slow_start(item, health.is_some(), "health = true");
        let connect = Duration::from_secs(if is_postgres { 10 } else { 5 });
        let given = item.get("timeouts").and_then(|item| item.get("connect")?.as_duration());
        let connect = Some(given.unwrap_or(connect)).filter(|time| !time.is_zero());
        let timeouts = Timeouts { connect, ..Timeouts::default() };
        let tls = tls.unwrap_or_default();
        let rest = Upstream { balance, health, eject, slow_start, timeouts, tls, ..bare(Vec::new()) };
        (!servers.is_empty()).then_some(Upstream { servers, ..rest })
    }

    pub(super) fn udp_upstream(&mut self, item: &Item<'_>) -> Option<Upstream> {
        let list = if item.kind() == Kind::Table { item.get("servers")? } else { item.clone() };
        let servers: Vec<Server> = self.servers(&list, Family::Udp).into_iter().map(|(_, server)| server).collect();
        self.check_shares(&list, &servers);
        let balance = self.stream_balance(item, Balance::Hash(HashOn::ClientIp));
        (!servers.is_empty()).then(|| Upstream { balance, ..bare(servers) })
    }

    fn stream_balance(&mut self, item: &Item<'_>, default: Balance) -> Balance {
        let Some((given, text)) = item.get("balance").and_then(|item| item.as_str().map(|text| (item, text))) else {
            return default;
        };
        let hint = "use \"round-robin\", \"least-requests\", \"random-two\" or \"hash:client-ip\"";
        match Balance::parse(text) {
            Some(Balance::Hash(HashOn::Header(_)) | Balance::Sticky(_)) => {
                let fault =
                    given.fault(format!("\"{text}\" is for requests: below HTTP there is no header and no cookie"));
                self.faults.push(fault.hint(hint));
            }
            None => self.faults.push(given.fault(format!("\"{text}\" is no way to choose a server")).hint(hint)),
            Some(balance) => return balance,
        }
        default
    }
}

fn probe(item: &Item<'_>) -> Option<Probe> {
    match item.get("kind")?.as_str()? {
        "postgres" => Some(Probe::Postgres),
        _ => Some(Probe::Connect),
    }
}

/// Servers with all defaults.
fn bare(servers: Vec<Server>) -> Upstream {
    Upstream {
        servers,
        balance: Balance::default(),
        health: None,
        eject: None,
        slow_start: Duration::ZERO,
        timeouts: Timeouts::default(),
        retries: Retries::default(),
        tls: UpstreamTls::default(),
        http: HttpVersion::default(),
    }
}
