//! How a route is written: the keys of `[[route]]` as data, and the step from a table to a checked route.
//! One route at a time; what several routes mean together is the part of `check`.

use crate::document::Item;
use crate::fault::{Fault, Faults, did_you_mean, nearest};
use crate::host::Host;
use crate::preset::Preset;
use crate::route::{Route, RouteKind};
use crate::rule::Rule;
use crate::shape::{Key, Shape, walk};
use crate::step::Step;
use crate::stream::Stream;
use crate::world::{Protocol, World};

mod conditions;
mod options;
mod steps;
mod stream;
mod target;
mod upstream;

pub(crate) use steps::{Definition, Definitions};
pub(crate) use stream::read as read_stream;

/// A whole route file.
pub const FILE: Shape = Shape::Table(&[
    Key::new("route", Shape::List(&ROUTE), "The routes of this file."),
    Key::new("tcp", Shape::List(&stream::TCP), "Connections below HTTP, such as those of PostgreSQL."),
    Key::new("udp", Shape::List(&stream::UDP), "Datagrams."),
    Key::new("middleware", Shape::Map(&Shape::Any), "Middlewares by name, for `use` in the routes of every file."),
]);

/// What may stand in a route file besides its routes, which are read one by one.
pub(crate) const OUTER: Shape = Shape::Table(&[
    Key::new("route", Shape::Any, ""),
    Key::new("tcp", Shape::Any, ""),
    Key::new("udp", Shape::Any, ""),
    Key::new("middleware", Shape::Any, ""),
]);

/// One `[[route]]`.
pub const ROUTE: Shape = Shape::Table(&[
    Key::new("name", Shape::TEXT, "Unique; the label in logs and metrics.").default("the first host"),
    Key::new(
        "host",
        HOSTS,
        "The hosts it answers for: exact, or a wildcard for one label (`*.s3.example.com`). None: every host.",
    ),
    Key::new("path", conditions::PATHS, conditions::PATHS_DOC),
    Key::new("method", conditions::METHODS, "One of these methods."),
    Key::new("header", conditions::VALUES, conditions::HEADERS_DOC),
    Key::new("query", conditions::VALUES, "Parameters and their exact values, as with `header`."),
    Key::new("client_ip", conditions::NETWORKS, "Networks that the client is in, e.g. `10.0.0.0/8`."),
    Key::new("except", conditions::EXCEPT, "A request that fits all of this is left to other routes."),
    Key::new("entrypoint", Shape::OneOrMany(&Shape::Text("an entrypoint's name")), "Where it is served.")
        .default("every HTTP entrypoint with TLS"),
    Key::new(
        "priority",
        Shape::Integer { min: -1000, max: 1000 },
        "The higher one wins among routes that are otherwise equal.",
    )
    .default("0"),
    Key::new("tls", options::TLS, "Who signs the certificates of its hosts."),
    Key::new("limits", options::LIMITS, "How much a client may send."),
    Key::new("path_policy", Shape::one_of(&["strict", "raw"]), options::PATH_POLICY_DOC).default("\"strict\""),
    Key::new(
        "host_header",
        Shape::TEXT,
        "`keep` the client's Host, send the `upstream` server's own, or this literal one.",
    )
    .default("\"keep\""),
    Key::new("client_headers", Shape::one_of(&["send", "none"]), options::CLIENT_HEADERS_DOC).default("\"send\""),
    Key::new("upstream", upstream::UPSTREAM, "The servers: a URL, a list of URLs, or a table."),
    Key::new("redirect", target::REDIRECT, "Sends the client elsewhere: a template, or a table."),
    Key::new("files", target::FILES, "Serves a folder: its path, or a table."),
    Key::new("respond", target::RESPOND, "Answers by itself: a text, or a table."),
    Key::new("preset", Shape::Text("a preset's name"), PRESET_DOC),
    Key::new("use", steps::USE, steps::USE_DOC),
    Key::new("without", Shape::OneOrMany(&Shape::Text("a kind of middleware")), steps::WITHOUT_DOC),
]);

const PRESET_DOC: &str =
    "The kind of backend, for defaults of all other keys: see the table of backends in the README.";

const HOSTS: Shape = Shape::OneOrMany(&Shape::Text("a host name"));

/// The keys that decide whether a request is this route's; while one of them is wrong, nobody knows.
const RULE_KEYS: &[&str] =
    &["host", "path", "method", "header", "query", "client_ip", "except", "entrypoint", "priority"];

/// What could be read of one route.
#[derive(Debug)]
pub(crate) struct Draft<'d> {
    /// Where it stands.
    pub(crate) item: Item<'d>,
    /// What kind of route it is.
    pub(crate) kind: RouteKind,
    /// Its name, or its key where it has none.
    pub(crate) name: String,
    /// The hosts that could be read.
    pub(crate) hosts: Vec<Host>,
    /// When it would answer, if that part is without error.
    pub(crate) rule: Option<Rule>,
    /// What came of it, if nothing is wrong.
    pub(crate) made: Option<Made>,
    /// Everything wrong with it.
    pub(crate) faults: Faults,
    /// Whether its name is another route's.
    pub(crate) name_taken: bool,
}

/// A route of any kind.
#[derive(Debug)]
pub(crate) enum Made {
    Route(Box<Route>),
    Stream(Stream),
}

impl Draft<'_> {
    /// What came of it, if nothing is wrong with it on its own or beside others.
    pub(crate) fn good(&self) -> Option<&Made> {
        self.made.as_ref().filter(|_| !self.faults.has_errors())
    }

    /// Notes one more fault of this route.
    pub(crate) fn note(&mut self, fault: Fault) {
        self.faults.push(fault);
        self.faults.name_route(&self.name);
    }
}

/// Reads one route and notes everything that is wrong with it.
pub(crate) fn read<'d>(item: &Item<'d>, world: &World<'_>, definitions: &Definitions) -> Draft<'d> {
    let mut faults = Faults::new();
    walk(item, &ROUTE, &mut faults);
    let mut reader = Reader { world, faults };
    let preset = reader.preset(item);
    let defaults = preset.and_then(Preset::route);
    let item = &match &defaults {
        Some(defaults) => item.clone().over(defaults.clone()),
        None => item.clone(),
    };
    let rule = reader.rule(item);
    let hosts = rule.hosts.clone();
    let name = reader.name(item, &hosts);
    let target = reader.target(item);
    let steps = reader.steps(item, defaults.as_ref(), definitions);
    reader.check_servers(item, &steps, target.as_ref());
    let options = reader.options(item, &rule, target.as_ref(), &steps);
    let mut faults = reader.faults;
    let label = name.clone().unwrap_or_else(|| item.key().to_owned());
    faults.name_route(&label);
    let readable = !rule_is_wrong(item, &faults);
    let route = name.zip(target).filter(|_| !faults.has_errors()).map(|(name, target)| {
        let place = item.place();
        Route {
            name,
            file: place.file,
            line: place.line,
            rule: rule.clone(),
            target,
            tls: options.tls,
            limits: options.limits,
            path_policy: options.path_policy,
            host_header: options.host_header,
            client_headers: options.client_headers,
            text: text(item, &steps),
            preset: preset.map(|preset| preset.applied(item, &rule.hosts)),
            steps,
        }
    });
    Draft {
        item: item.clone(),
        kind: RouteKind::Http,
        name: label,
        hosts,
        rule: readable.then_some(rule),
        made: route.map(Box::new).map(Made::Route),
        faults,
        name_taken: false,
    }
}

/// The route with its middlewares spelled out, so that it needs no other file.
fn text(item: &Item<'_>, steps: &[Step]) -> String {
    let own: Vec<String> = steps.iter().filter(|step| !step.from_preset).map(Step::to_toml).collect();
    let uses = if own.is_empty() { String::new() } else { format!("use = [ {} ]\n", own.join(", ")) };
    format!("[[route]]\n{uses}{}", item.to_toml_lines(&["use"]))
}

fn rule_is_wrong(item: &Item<'_>, faults: &Faults) -> bool {
    let wrong = |fault: &Fault| {
        let below = fault.key.strip_prefix(item.key()).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
        let key = below.split(['.', '[']).next().unwrap_or_default();
        // A misspelt key may have been meant as one of them.
        nearest(key, RULE_KEYS.iter().copied()).is_some_and(|near| near == key || !is_key(key))
    };
    faults.iter().filter(|fault| fault.is_error()).any(wrong)
}

fn is_key(name: &str) -> bool {
    matches!(ROUTE, Shape::Table(keys) if keys.iter().any(|key| key.name == name))
}

/// Reads the parts of one route. Faults of shape are noted before, so a value of the wrong kind is passed over here.
struct Reader<'w> {
    world: &'w World<'w>,
    faults: Faults,
}

impl Reader<'_> {
    fn preset(&mut self, item: &Item<'_>) -> Option<&'static Preset> {
        let given = item.get("preset")?;
        let name = given.as_str()?;
        let preset = Preset::find(name);
        if preset.is_none() {
            let names = || Preset::all().iter().map(|preset| preset.name);
            let known = || format!("presets: {}", names().collect::<Vec<_>>().join(", "));
            let hint = did_you_mean(name, names()).unwrap_or_else(known);
            self.faults.push(given.fault(format!("there is no preset `{name}`")).hint(hint));
        }
        preset
    }

    fn name(&mut self, item: &Item<'_>, hosts: &[Host]) -> Option<String> {
        let Some(given) = item.get("name") else {
            if hosts.is_empty() && item.get("host").is_none() {
                let fault = item.fault("a route without `host` needs a `name`");
                self.faults.push(fault.hint("add name = \"..\": it is the label in logs and metrics"));
            }
            return hosts.first().map(ToString::to_string);
        };
        self.given_name(&given)
    }

    fn given_name(&mut self, given: &Item<'_>) -> Option<String> {
        let name = given.as_str()?;
        let is_good = |c: char| c.is_ascii_alphanumeric() || "-_.*:[]@".contains(c);
        if name.is_empty() || name.len() > 100 || !name.chars().all(is_good) {
            let fault = given.fault("a route's name has 1 to 100 letters, digits, `-`, `_` or `.`");
            self.faults.push(fault.hint("it is a label in logs and metrics"));
            return None;
        }
        Some(name.to_owned())
    }

    fn rule(&mut self, item: &Item<'_>) -> Rule {
        Rule {
            hosts: self.hosts(item),
            entrypoints: self.entrypoints(item),
            conditions: self.conditions(item),
            except: self.except(item),
            priority: item.get("priority").and_then(|item| item.as_integer()).unwrap_or(0),
        }
    }

    fn hosts(&mut self, item: &Item<'_>) -> Vec<Host> {
        let Some(hosts) = item.get("host") else { return Vec::new() };
        self.refuse_empty(&hosts);
        let mut read: Vec<Host> = Vec::new();
        for item in hosts.one_or_many() {
            let Some(text) = item.as_str() else { continue };
            match Host::parse(text) {
                Ok(host) if read.contains(&host) => {
                    self.faults.push(item.fault(format!("the host `{host}` is named twice")))
                }
                Ok(host) => read.push(host),
                Err(error) => self.faults.push(item.fault(format!("`{text}`: {error}")).maybe_hint(error.hint())),
            }
        }
        read
    }

    /// An empty list would mean no condition: hardly what somebody who writes one expects.
    fn refuse_empty(&mut self, list: &Item<'_>) {
        if list.one_or_many().is_empty() {
            let fault = list.fault(format!("`{}` is an empty list", list.name()));
            self.faults.push(fault.hint("name at least one, or remove the key"));
        }
    }

    fn entrypoints(&mut self, item: &Item<'_>) -> Vec<String> {
        let world = self.world;
        let http = || world.entrypoints.iter().filter(|entrypoint| entrypoint.protocol == Protocol::Http);
        let Some(given) = item.get("entrypoint") else {
            if http().next().is_none() {
                let fault = item.fault("edge.toml has no entrypoint that speaks HTTP");
                self.faults.push(fault.hint("add [entrypoint.https] with tls = true"));
            }
            let with_tls = http().any(|entrypoint| entrypoint.tls);
            let served = http().filter(|entrypoint| entrypoint.tls == with_tls);
            return served.map(|entrypoint| entrypoint.name.clone()).collect();
        };
        self.refuse_empty(&given);
        let mut names = Vec::new();
        for item in given.one_or_many() {
            let Some(name) = item.as_str() else { continue };
            match world.entrypoints.iter().find(|entrypoint| entrypoint.name == name) {
                Some(entrypoint) if entrypoint.protocol == Protocol::Http => names.push(name.to_owned()),
                Some(_) => self.faults.push(item.fault(format!("the entrypoint `{name}` does not speak HTTP"))),
                None => {
                    let hint = did_you_mean(name, http().map(|entrypoint| entrypoint.name.as_str()));
                    self.faults.push(item.fault(format!("there is no entrypoint `{name}`")).maybe_hint(hint));
                }
            }
        }
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests;
