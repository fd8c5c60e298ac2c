//! How an upstream is written: a URL, a list of URLs, or a table with servers, deadlines, retries and TLS.

use std::collections::HashSet;
use std::time::Duration;

use super::Reader;
use crate::document::{Item, Kind};
use crate::host::Host;
use crate::shape::{Key, Shape};
use crate::target::{
    ClientIdentity, Family, HttpVersion, Retries, RetryOn, Scheme, Server, Timeouts, Upstream, UpstreamTls,
    is_link_local,
};
use crate::world::Seen;

mod choice;
pub(super) mod health;

pub(super) const UPSTREAM: Shape = Shape::Either(&[URL, Shape::List(&SERVER), TABLE]);
const URL: Shape = Shape::Text("a URL");
const SERVER: Shape = Shape::Either(&[
    URL,
    Shape::Table(&[
        Key::new(
            "url",
            URL,
            "`http://`, `https://` or `h2c://` with host and port, or `unix:` and the path of a socket.",
        )
        .required(),
        Key::new("weight", Shape::Integer { min: 0, max: 1000 }, WEIGHT_DOC).default("1"),
        Key::new("backup", Shape::Bool, "Whether it is asked only when no other server can be used.").default("false"),
    ]),
]);
const TABLE: Shape = Shape::Table(&[
    Key::new("servers", Shape::OneOrMany(&SERVER), "URLs, or tables with `url`, `weight` and `backup`.").required(),
    Key::new("balance", Shape::Text("a way to choose"), choice::BALANCE_DOC).default("\"round-robin\""),
    Key::new("health", health::HEALTH, health::HEALTH_DOC).default("false"),
    Key::new("slow_start", Shape::Duration, health::SLOW_START_DOC).default("\"0\""),
    Key::new("eject", health::EJECT, health::EJECT_DOC),
    Key::new("timeouts", TIMEOUTS, "Deadlines towards the servers; `\"0\"` is none."),
    Key::new("retries", RETRIES, "What is tried again, before a byte of the body was sent."),
    Key::new("tls", TLS, "How `https` servers are spoken to."),
    Key::new("http", HTTP, "`auto`: HTTP/2 where TLS agrees on it; `1`; `2`; `h2c`: HTTP/2 in clear.")
        .default("\"auto\""),
]);
const WEIGHT_DOC: &str = "Its share among the servers. With `0` it gets no request by turn, only those whose cookie \
    stands for it (`sticky`): to take a server out gently.";
const IDLE_DOC: &str = "Between two bytes of the answer. A WebSocket may be silent for an hour, whatever is said here.";
const TIMEOUTS: Shape = Shape::Table(&[
    Key::new("connect", Shape::Duration, "To a connection, TLS included.").default("\"5s\""),
    Key::new("first_byte", Shape::Duration, "From the end of the request to the answer's first byte.")
        .default("\"60s\""),
    Key::new("idle", Shape::Duration, IDLE_DOC).default("\"300s\""),
    Key::new("pool_idle", Shape::Duration, "How long an unused connection is kept; below the server's own keep-alive.")
        .default("\"4s\""),
]);
const RETRIES: Shape = Shape::Table(&[
    Key::new("attempts", Shape::Integer { min: 0, max: 10 }, "How often, besides the first try.").default("1"),
    Key::new("on", Shape::List(&Shape::one_of(&["connect", "broken", "unavailable"])), RETRY_DOC)
        .default("[\"connect\"]"),
]);
const RETRY_DOC: &str = "After which failures another server is asked. `connect`: no connection was made. For requests \
    without a body and with a method that may be done twice (GET, HEAD, PUT, DELETE, OPTIONS) also `broken`: the connection \
    broke before an answer; `unavailable`: the answer is 502, 503 or 504.";
pub(super) const TLS: Shape = Shape::Table(&[
    Key::new("ca_file", Shape::Text("a PEM file"), "Roots instead of the system's."),
    Key::new("server_name", Shape::Text("a host name"), "The name to send and verify, instead of the server's own."),
    Key::new("client_cert", Shape::Text("a PEM file"), "Our own certificate for servers that ask for one."),
    Key::new("client_key", Shape::Text("a PEM file"), "Its key."),
    Key::new("verify", Shape::Bool, "Whether the server's certificate is verified.").default("true"),
]);
const HTTP: Shape = Shape::Either(&[Shape::one_of(&["auto", "1", "2", "h2c"]), Shape::Integer { min: 1, max: 2 }]);

impl Reader<'_> {
    pub(super) fn upstream(&mut self, item: &Item<'_>) -> Option<Upstream> {
        let list = if item.kind() == Kind::Table { item.get("servers")? } else { item.clone() };
        let servers: Vec<Server> = self.servers(&list, Family::Http).into_iter().map(|(_, server)| server).collect();
        let http = http_version(item.get("http").as_ref());
        if let Some(given) = item.get("http") {
            self.check_version(&given, http, &servers);
        }
        let tls = item.get("tls").map(|tls| self.upstream_tls(&tls)).unwrap_or_default();
        if let Some(given) = item.get("tls").filter(|_| !servers.iter().any(|server| server.scheme == Scheme::Https)) {
            self.faults
                .push(given.warning("`tls` is not used: no server is `https`").hint("write https:// in `servers`"));
        }
        self.check_shares(&list, &servers);
        let balance = self.balance(item);
        let (health, eject) = (self.http_health(item), self.eject(item));
        let slow_start = self.slow_start(item, health.is_some(), "health = { path = \"/healthz\" }");
        (!servers.is_empty()).then(|| Upstream {
            servers,
            balance,
            health,
            eject,
            slow_start,
            timeouts: timeouts(item.get("timeouts").as_ref()),
            retries: retries(item.get("retries").as_ref()),
            tls,
            http,
        })
    }

    /// The servers that could be read, each with the place of its URL.
    pub(super) fn servers<'d>(&mut self, list: &Item<'d>, family: Family) -> Vec<(Item<'d>, Server)> {
        self.refuse_empty(list);
        let mut seen = HashSet::new();
        let mut servers = Vec::new();
        for item in list.one_or_many() {
            let url = if item.kind() == Kind::Table { item.get("url") } else { Some(item.clone()) };
            let Some((url, text)) = url.and_then(|url| url.as_str().map(|text| (url, text))) else { continue };
            match Server::parse(text, family) {
                Ok(server) if !seen.insert(server.address()) => {
                    self.faults.push(
                        url.fault(format!("the server `{}` is named twice", server.address())).hint("use `weight`"),
                    );
                }
                Ok(server) => {
                    if let Some(host) = server.host().filter(|host| is_link_local(host)) {
                        let why = format!("`{host}` is a link-local address: clouds keep secrets there");
                        self.faults.push(url.warning(why));
                    }
                    let (weight, backup) = (weight(&item), flag(&item, "backup"));
                    servers.push((url, Server { weight, backup, ..server }));
                }
                Err(error) => {
                    let fault = url.fault(format!("`{}`: {error}", hide_user(text)));
                    self.faults.push(fault.hint(error.hint(family)));
                }
            }
        }
        servers
    }

    /// Somebody has to be asked first.
    pub(super) fn check_shares(&mut self, list: &Item<'_>, servers: &[Server]) {
        if servers.is_empty() || servers.iter().any(|server| !server.backup && server.weight > 0) {
            return;
        }
        let fault = list.fault("no server has a share: each is a backup or has the weight 0");
        self.faults.push(fault.hint("give one of them a weight and no `backup`"));
    }

    fn check_version(&mut self, given: &Item<'_>, version: HttpVersion, servers: &[Server]) {
        let wrong = |server: &&Server| match version {
            HttpVersion::Auto => false,
            HttpVersion::One => server.scheme == Scheme::H2c,
            HttpVersion::Two => server.scheme == Scheme::Http,
            HttpVersion::H2c => server.scheme == Scheme::Https,
        };
        if let Some(server) = servers.iter().find(wrong) {
            let fault = given.fault(format!("this version of HTTP does not go with the server `{server}`"));
            self.faults.push(fault.hint("`2` needs https, `h2c` goes with http or h2c, `1` with http or https"));
        }
    }

    pub(super) fn upstream_tls(&mut self, item: &Item<'_>) -> UpstreamTls {
        let ca_file = self.pem(item, "ca_file");
        let cert = self.pem(item, "client_cert");
        let key = self.pem(item, "client_key");
        for (one, other, have) in [("client_cert", "client_key", &key), ("client_key", "client_cert", &cert)] {
            if let Some(given) = item.get(one).filter(|item| have.is_none() && item.as_str() != Some("")) {
                self.faults.push(given.key_fault(format!("`{one}` needs `{other}`")));
            }
        }
        let server_name = item.get("server_name").filter(|item| item.as_str() != Some(""));
        if let Some(given) = &server_name
            && let Some(text) = given.as_str()
            && !Host::parse(text).is_ok_and(|host| !host.is_wildcard())
        {
            self.faults.push(given.fault(format!("`{text}` is not a host name")));
        }
        UpstreamTls {
            ca_file,
            server_name: server_name.and_then(|item| item.as_str().map(str::to_owned)),
            client: cert.zip(key).map(|(cert, key)| ClientIdentity { cert, key }),
            verify: item.get("verify").and_then(|item| item.as_bool()).unwrap_or(true),
        }
    }

    /// A file that must be there; an empty text is no file.
    fn pem(&mut self, item: &Item<'_>, key: &str) -> Option<String> {
        let item = item.get(key)?;
        let path = item.as_str().filter(|path| !path.is_empty())?;
        self.on_disk(&item, path, &Seen::File);
        Some(path.to_owned())
    }
}

/// A URL without what may be a password: faults go to logs.
fn hide_user(url: &str) -> String {
    let Some(at) = url.rfind('@') else { return url.to_owned() };
    let start = url.find("://").map_or(0, |scheme| scheme + 3).min(at);
    format!("{}..{}", &url[..start], &url[at..])
}

fn weight(server: &Item<'_>) -> u16 {
    let given = server.get("weight").and_then(|item| item.as_integer());
    given.and_then(|weight| u16::try_from(weight).ok()).unwrap_or(1)
}

fn flag(item: &Item<'_>, key: &str) -> bool {
    item.get(key).and_then(|item| item.as_bool()).unwrap_or(false)
}

fn http_version(item: Option<&Item<'_>>) -> HttpVersion {
    match item.map(|item| (item.as_str(), item.as_integer())) {
        Some((Some("1"), _) | (_, Some(1))) => HttpVersion::One,
        Some((Some("2"), _) | (_, Some(2))) => HttpVersion::Two,
        Some((Some("h2c"), _)) => HttpVersion::H2c,
        _ => HttpVersion::Auto,
    }
}

fn timeouts(item: Option<&Item<'_>>) -> Timeouts {
    let default = Timeouts::default();
    let Some(item) = item else { return default };
    let read = |key, default: Option<Duration>| match item.get(key).and_then(|item| item.as_duration()) {
        Some(time) => Some(time).filter(|time| !time.is_zero()),
        None => default,
    };
    Timeouts {
        connect: read("connect", default.connect),
        first_byte: read("first_byte", default.first_byte),
        idle: read("idle", default.idle),
        pool_idle: read("pool_idle", default.pool_idle),
    }
}

fn retries(item: Option<&Item<'_>>) -> Retries {
    let default = Retries::default();
    let Some(item) = item else { return default };
    let attempts = item.get("attempts").and_then(|item| item.as_integer()).and_then(|number| u8::try_from(number).ok());
    let words = |on: Item<'_>| on.items().filter_map(|word| RetryOn::parse(word.as_str()?)).collect();
    let on = item.get("on").map(words);
    Retries { attempts: attempts.unwrap_or(default.attempts), on: on.unwrap_or(default.on) }
}
