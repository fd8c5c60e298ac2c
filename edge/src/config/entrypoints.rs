//! `[entrypoint.NAME]` and `[admin]`: everything that is bound, and what cannot be bound together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use routes::document::{Item, Kind};
use routes::fault::did_you_mean;
use routes::stream::cannot_both_be_bound;
use routes::units;
use routes::world::Protocol;

use super::reader::{Reader, at, text};
use super::settings::Entrypoint;

/// Where `/metrics` and the API are, if the file does not say.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);

/// An address that is to be bound.
struct Bound<'d> {
    address: SocketAddr,
    /// Who binds it, in words.
    owner: String,
    /// Where the file says so; none for a default.
    place: Option<Item<'d>>,
}

impl Reader<'_> {
    /// All entrypoints and the admin address.
    pub(super) fn listeners<'d>(&mut self, root: &Item<'d>) -> (Vec<Entrypoint>, SocketAddr) {
        let admin = self.admin(root);
        let mut bound =
            vec![Bound { address: admin, owner: "admin.listen".to_owned(), place: at(root, &["admin", "listen"]) }];
        let written: Vec<_> = root.get("entrypoint").iter().flat_map(Item::entries).collect();
        let written = written.into_iter().filter(|(_, item)| item.kind() == Kind::Table);
        let mut entrypoints: Vec<Entrypoint> =
            written.map(|(name, item)| self.entrypoint(name, &item, &mut bound)).collect();
        if entrypoints.is_empty() {
            entrypoints = Entrypoint::defaults();
            bound.extend(entrypoints.iter().flat_map(defaults));
        }
        self.refuse_clashes(root, &bound);
        self.check_redirects(root, &entrypoints);
        (entrypoints, admin)
    }

    fn admin(&mut self, root: &Item<'_>) -> SocketAddr {
        let Some(item) = at(root, &["admin", "listen"]) else { return ADMIN };
        let Some(address) = self.address(&item) else { return ADMIN };
        if !address.ip().to_canonical().is_loopback() {
            let fault = item.warning(format!("whoever reaches {address} can read all metrics and use the API"));
            self.faults.push(fault.hint("it has no password: listen on 127.0.0.1, or keep others out with a firewall"));
        }
        address
    }

    fn entrypoint<'d>(&mut self, name: &str, item: &Item<'d>, bound: &mut Vec<Bound<'d>>) -> Entrypoint {
        self.check_name(name, item);
        let protocol = item.get("protocol").and_then(|item| Protocol::parse(item.as_str()?)).unwrap_or_default();
        let is_http = protocol == Protocol::Http;
        let entrypoint = Entrypoint {
            name: name.to_owned(),
            listen: self.listen(name, item, bound),
            protocol,
            tls: is_http && item.get("tls").and_then(|item| item.as_bool()).unwrap_or(false),
            redirect: text(item, &["redirect"]).map(|(_, name)| name.to_owned()),
            trusted_proxies: self.trusted_proxies(item),
            proxy_protocol: item.get("proxy_protocol").and_then(|item| item.as_bool()).unwrap_or(false),
        };
        self.check_sense(item, &entrypoint);
        if is_http {
            self.check_http(item, &entrypoint);
        } else {
            self.refuse_keys_of_http(item, protocol);
        }
        entrypoint
    }

    fn check_name(&mut self, name: &str, item: &Item<'_>) {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 50 || !name.chars().all(good) {
            let fault = item.key_fault(format!("`{name}` cannot be an entrypoint's name: it is a label in metrics"));
            self.faults.push(fault.hint("use 1 to 50 lower-case letters, digits, `-` or `_`"));
        }
    }

    fn listen<'d>(&mut self, name: &str, item: &Item<'d>, bound: &mut Vec<Bound<'d>>) -> Vec<SocketAddr> {
        let Some(given) = item.get("listen") else {
            let Some(port) = default_port(name) else {
                let fault = item.key_fault(format!("the entrypoint `{name}` needs `listen`"));
                self.faults.push(fault.hint("add listen = [\"0.0.0.0:PORT\", \"[::]:PORT\"]"));
                return Vec::new();
            };
            let addresses = Entrypoint::everywhere(port);
            bound.extend(addresses.iter().map(|address| Bound {
                address: *address,
                owner: format!("the entrypoint `{name}`"),
                place: Some(item.clone()),
            }));
            return addresses;
        };
        if given.one_or_many().is_empty() {
            self.faults.push(given.fault("`listen` is an empty list").hint("name at least one address"));
        }
        let mut addresses = Vec::new();
        for item in given.one_or_many() {
            let Some(address) = self.address(&item) else { continue };
            addresses.push(address);
            bound.push(Bound { address, owner: format!("the entrypoint `{name}`"), place: Some(item) });
        }
        addresses
    }

    fn trusted_proxies(&mut self, item: &Item<'_>) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for item in item.get("trusted_proxies").iter().flat_map(Item::items) {
            let Some(text) = item.as_str() else { continue };
            match units::network(text) {
                Ok(network) => networks.push(network),
                Err(error) => self.faults.push(item.fault(format!("`{text}` {error}")).hint(error.hint())),
            }
        }
        networks
    }

    /// What can be bound but hardly serves what was meant.
    fn check_sense(&mut self, item: &Item<'_>, entrypoint: &Entrypoint) {
        let at = |key| item.get(key).unwrap_or_else(|| item.clone());
        if entrypoint.proxy_protocol && entrypoint.trusted_proxies.is_empty() {
            let fault = at("proxy_protocol").fault("no peer could connect: PROXY headers are taken from nobody");
            self.faults.push(fault.hint("name the load balancers in trusted_proxies"));
        }
        for everyone in entrypoint.trusted_proxies.iter().filter(|network| network.prefix_len() == 0) {
            let fault =
                at("trusted_proxies").warning(format!("{everyone} is everyone: any client can forge its address"));
            self.faults.push(fault.hint("name the proxies alone"));
        }
    }

    /// Ports and names that hardly mean HTTP in clear.
    fn check_http(&mut self, item: &Item<'_>, entrypoint: &Entrypoint) {
        let is_https = entrypoint.name == "https" || entrypoint.listen.iter().any(|address| address.port() == 443);
        if is_https && item.get("tls").is_none() {
            let fault = item.fault(format!("the entrypoint `{}` would speak plain HTTP", entrypoint.name));
            self.faults.push(fault.hint("add tls = true, or tls = false if it is meant so"));
        }
        let is_postgres =
            entrypoint.name == "postgres" && entrypoint.listen.iter().any(|address| address.port() == 5432);
        if is_postgres && item.get("protocol").is_none() {
            let fault = item.warning("the entrypoint `postgres` would speak HTTP on port 5432");
            self.faults.push(fault.hint("add protocol = \"postgres\""));
        }
    }

    fn refuse_keys_of_http(&mut self, item: &Item<'_>, protocol: Protocol) {
        let why = |key: &str| format!("`{key}` is for HTTP, and this entrypoint speaks `{}`", protocol.as_str());
        if let Some(tls) = item.get("tls") {
            let fault = tls.key_fault(why("tls"));
            self.faults.push(fault.hint("TLS is said by each [[tcp]] route: tls = \"terminate\""));
        }
        if let Some(redirect) = item.get("redirect") {
            self.faults.push(redirect.key_fault(why("redirect")).hint("remove it"));
        }
    }

    fn refuse_clashes(&mut self, root: &Item<'_>, bound: &[Bound<'_>]) {
        for (index, later) in bound.iter().enumerate() {
            let earlier = bound.iter().take(index).find(|earlier| cannot_both_be_bound(earlier.address, later.address));
            let Some(earlier) = earlier else { continue };
            let place = later.place.as_ref().or(earlier.place.as_ref()).unwrap_or(root);
            let why = match earlier.address == later.address {
                true => format!("{} is bound twice: by {} and by {}", later.address, earlier.owner, later.owner),
                false => {
                    format!("{} of {} takes {} of {} along", earlier.address, earlier.owner, later.address, later.owner)
                }
            };
            self.faults.push(place.fault(why).hint("give one of them another port or address"));
        }
    }

    fn check_redirects(&mut self, root: &Item<'_>, entrypoints: &[Entrypoint]) {
        let with_tls = || entrypoints.iter().filter(|entrypoint| entrypoint.tls).map(|other| other.name.as_str());
        for entrypoint in entrypoints {
            let Some((item, name)) = text(root, &["entrypoint", &entrypoint.name, "redirect"]) else { continue };
            let fault = match entrypoints.iter().find(|other| other.name == name) {
                None => item.fault(format!("there is no entrypoint `{name}`")),
                Some(_) if entrypoint.name == name => item.fault(format!("`{name}` redirects to itself for ever")),
                Some(other) if !other.tls => item.fault(format!("the entrypoint `{name}` has no TLS to redirect to")),
                Some(_) => continue,
            };
            let others = with_tls().filter(|other| *other != entrypoint.name);
            let known = format!("entrypoints with tls = true: {}", others.clone().collect::<Vec<_>>().join(", "));
            let hint = match others.clone().next() {
                None => "add an entrypoint with tls = true, or remove `redirect`".to_owned(),
                Some(_) => did_you_mean(name, others).unwrap_or(known),
            };
            self.faults.push(fault.hint(hint));
        }
    }
}

fn defaults<'d>(entrypoint: &Entrypoint) -> Vec<Bound<'d>> {
    let owner = format!("the default entrypoint `{}`", entrypoint.name);
    entrypoint.listen.iter().map(|address| Bound { address: *address, owner: owner.clone(), place: None }).collect()
}

fn default_port(name: &str) -> Option<u16> {
    match name {
        "http" => Some(80),
        "https" => Some(443),
        "postgres" => Some(5432),
        _ => None,
    }
}
