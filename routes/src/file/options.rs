//! How the rest of a route is written: `tls`, `limits`, `path_policy`, `host_header`, and what fits together.

use super::Reader;
use crate::document::Item;
use crate::host::{Authority, Host};
use crate::route::{ClientHeaders, HostHeader, Issuer, Limits, PathPolicy, RouteTls};
use crate::rule::Rule;
use crate::shape::{Key, Shape};
use crate::step::Step;
use crate::target::Target;
use crate::units;

pub(super) const TLS: Shape = Shape::Table(&[ISSUER]);
pub(super) const ISSUER: Key = Key::new(
    "issuer",
    Shape::one_of(&["acme", "internal", "files"]),
    "`acme`: the public CA of `[acme]`; `internal`: the own local CA; `files`: a `[[certificate]]` of `edge.toml`.",
)
.default("acme if [acme] is set, else internal");

pub(super) const LIMITS: Shape = Shape::Table(&[
    Key::new("body", Shape::Bytes, "The most bytes of a request body.").default("\"none\""),
    Key::new("headers", Shape::Bytes, "The most bytes of a request head. What is raised holds for new connections.")
        .default("\"32KiB\""),
    Key::new("fields", Shape::Integer { min: 1, max: 256 }, "The most header fields, cookie crumbs counted.")
        .default("100"),
    Key::new("min_rate", Shape::Rate, "The least rate of a body over 30 s, in both directions.").default("\"500B/s\""),
]);

pub(super) const PATH_POLICY_DOC: &str = "`strict`: where anything depends on the path, one that readers may take for two \
    (`%2f`, `%5c`, `%00`, `\\`, `..;`, a dot segment) is refused with 400. `raw`: it is forwarded as it came; for routes \
    that own their hosts whole.";

pub(super) const CLIENT_HEADERS_DOC: &str = "`send`: the servers learn the client's address by `X-Forwarded-For`, \
    `X-Real-IP` and `Forwarded`. `none`: none of them is sent.";

/// Everything of a route besides its name, rule and target.
pub(super) struct Options {
    pub(super) tls: RouteTls,
    pub(super) limits: Limits,
    pub(super) path_policy: PathPolicy,
    pub(super) host_header: HostHeader,
    pub(super) client_headers: ClientHeaders,
}

impl Reader<'_> {
    pub(super) fn options(&mut self, item: &Item<'_>, rule: &Rule, target: Option<&Target>, steps: &[Step]) -> Options {
        Options {
            tls: self.tls(item, rule),
            limits: self.limits(item),
            path_policy: self.path_policy(item, rule, target, steps),
            host_header: self.host_header(item, target),
            client_headers: client_headers(item),
        }
    }

    fn tls(&mut self, item: &Item<'_>, rule: &Rule) -> RouteTls {
        let given = item.get("tls").and_then(|tls| tls.get("issuer"));
        let chosen = given.as_ref().and_then(Item::as_str).and_then(issuer);
        let is_tls = |name: &String| self.world.entrypoints.iter().any(|e| e.tls && e.name == *name);
        if rule.hosts.is_empty() || !rule.entrypoints.iter().any(is_tls) {
            return RouteTls { issuer: None, chosen: chosen.is_some() };
        }
        let default = if self.world.acme { Issuer::Acme } else { Issuer::Internal };
        let issuer = chosen.unwrap_or(default);
        let at = given.or_else(|| item.get("host")).unwrap_or_else(|| item.clone());
        self.check_issuer(&at, issuer, &rule.hosts);
        RouteTls { issuer: Some(issuer), chosen: chosen.is_some() }
    }

    pub(super) fn check_issuer(&mut self, at: &Item<'_>, issuer: Issuer, hosts: &[Host]) {
        if issuer == Issuer::Acme && !self.world.acme {
            let fault = at.fault("the issuer is `acme`, but edge.toml has no [acme]");
            self.faults.push(fault.hint("add [acme] with an email, or write tls = { issuer = \"internal\" }"));
        }
        if issuer == Issuer::Acme
            && let Some(host) = hosts.iter().find(|host| host.is_wildcard())
        {
            let fault =
                at.fault(format!("no certificate for `{host}` can be had from the CA: wildcards need a DNS challenge"));
            self.faults
                .push(fault.hint("name the hosts one by one, or write tls = { issuer = \"internal\" } or \"files\""));
        }
        if issuer == Issuer::Files {
            let covered = |host: &&Host| !self.world.certificates.iter().any(|name| covers(name, host));
            let missing: Vec<_> = hosts.iter().filter(covered).collect();
            let faults = missing.iter().map(|host| {
                let fault = at.fault(format!("no [[certificate]] of edge.toml is for `{host}`"));
                fault.hint("add one, or choose another issuer")
            });
            self.faults.extend(faults.collect::<Vec<_>>());
        }
    }

    fn limits(&mut self, item: &Item<'_>) -> Limits {
        let mut limits = Limits::default();
        let Some(item) = item.get("limits") else { return limits };
        let text = |key| item.get(key).and_then(|item| item.as_str());
        if let Some(body) = text("body").and_then(|text| units::bytes(text).ok()) {
            limits.body = body;
        }
        if let Some(rate) = text("min_rate").and_then(|text| units::rate(text).ok()) {
            limits.min_rate = rate;
        }
        if let Some(fields) = item.get("fields").and_then(|item| item.as_integer()) {
            limits.fields = u32::try_from(fields).unwrap_or(limits.fields);
        }
        match text("headers").map(units::bytes) {
            Some(Ok(Some(size))) if size <= MAX_HEAD => limits.headers = size,
            Some(Ok(_)) => {
                let fault = item.get("headers").map(|item| item.fault("a request head needs a limit of at most 1MiB"));
                self.faults.extend(fault);
            }
            _ => {}
        }
        limits
    }

    fn path_policy(&mut self, item: &Item<'_>, rule: &Rule, target: Option<&Target>, steps: &[Step]) -> PathPolicy {
        let Some(given) = item.get("path_policy").filter(|item| item.as_str() == Some("raw")) else {
            return PathPolicy::Strict;
        };
        if rule.depends_on_path() || matches!(target, Some(Target::Files(_))) {
            let fault =
                given.fault("`raw` is for routes on which nothing depends on the path, and here something does");
            self.faults.push(fault.hint("remove the path conditions, or path_policy"));
        } else if let Some(step) = steps.iter().find(|step| step.one_reading) {
            let why = format!("`raw` is for routes on which nothing depends on the path, and `{}` does", step.name);
            self.faults.push(given.fault(why).hint("remove this middleware, or path_policy"));
        } else if rule.hosts.is_empty() {
            self.faults.push(given.fault("`raw` needs hosts that the route owns").hint("add `host`"));
        }
        PathPolicy::Raw
    }

    fn host_header(&mut self, item: &Item<'_>, target: Option<&Target>) -> HostHeader {
        let Some(given) = item.get("host_header") else { return HostHeader::Keep };
        let Some(text) = given.as_str() else { return HostHeader::Keep };
        if target.is_some_and(|target| !matches!(target, Target::Upstream(_))) {
            self.faults.push(given.key_fault("`host_header` is for routes with an `upstream`").hint("remove it"));
        }
        match text {
            "keep" => HostHeader::Keep,
            "upstream" => HostHeader::Upstream,
            literal => {
                if let Err(error) = Authority::parse(literal.as_bytes()) {
                    let fault = given.fault(format!("`{literal}` cannot be sent as Host: {error}"));
                    self.faults.push(fault.hint("write \"keep\", \"upstream\", or a host with an optional port"));
                }
                HostHeader::Literal(literal.to_owned())
            }
        }
    }
}

fn client_headers(item: &Item<'_>) -> ClientHeaders {
    let given = item.get("client_headers");
    if given.and_then(|item| item.as_str()) == Some("none") { ClientHeaders::None } else { ClientHeaders::Send }
}

/// The most that `limits.headers` may allow, in bytes: a head is held in memory.
const MAX_HEAD: u64 = 1 << 20;

pub(super) fn issuer(text: &str) -> Option<Issuer> {
    [Issuer::Acme, Issuer::Internal, Issuer::Files].into_iter().find(|issuer| issuer.as_str() == text)
}

/// Whether a certificate's name is good for a host of a route.
fn covers(certificate: &Host, host: &Host) -> bool {
    match host {
        Host::Exact(name) => certificate.matches(name),
        Host::Wildcard(_) => certificate == host,
    }
}
