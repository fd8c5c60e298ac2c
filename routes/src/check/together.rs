//! What several routes mean together: two that cannot be told apart, one that can never win, hosts whose routes want
//! different certificates or readings of paths. Only routes without faults of their own are looked at, in their order.
//! What is so with streams is the part of `streams`.

use std::collections::HashMap;

use ipnet::IpNet;

use crate::fault::Fault;
use crate::file::Draft;
use crate::host::Host;
use crate::path::PathPattern;
use crate::route::{PathPolicy, Route};
use crate::rule::Rule;

use super::standing::Live;
use super::streams::{SeenStreams, Wish};

/// What was found, each with the index of its draft.
pub(super) struct Judged {
    /// Of two routes that clash, the later one is at fault.
    pub(super) clashes: Vec<(usize, Fault)>,
    /// Of the routes that clash with none.
    pub(super) warnings: Vec<(usize, Fault)>,
}

/// Judges the drafts in this order, after the routes that are kept whatever is written now.
pub(super) fn judge(drafts: &[Draft<'_>], order: &[usize], kept: &[Live<'_>]) -> Judged {
    let mut clashes = Vec::new();
    let (mut good, mut seen) = (Vec::new(), Seen::default());
    kept.iter().for_each(|live| seen.add(*live));
    for &index in order {
        let draft = &drafts[index];
        let Some(made) = draft.good().map(Live::of) else { continue };
        match seen.clash(draft, made) {
            Some(fault) => clashes.push((index, fault)),
            None => {
                seen.add(made);
                good.push((index, made));
            }
        }
    }
    let warning = |(index, made): (usize, Live<'_>)| Some((index, seen.warning(&drafts[index], made)?));
    Judged { clashes, warnings: good.into_iter().filter_map(warning).collect() }
}

/// One place of the match table: a host, a path, and the names of all further conditions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Slot<'a> {
    /// None is every host.
    host: Option<&'a Host>,
    /// None is every path.
    path: Option<&'a PathPattern>,
    conditions: String,
}

/// The routes so far that clash with none before them, and what they have taken.
#[derive(Default)]
struct Seen<'a> {
    slots: HashMap<Slot<'a>, Vec<&'a Route>>,
    /// By host: the first route that reads paths raw, and the first on which something depends on the path.
    raw: HashMap<&'a Host, &'a Route>,
    by_path: HashMap<&'a Host, &'a Route>,
    /// By host: the first that chose an issuer.
    issuers: HashMap<&'a Host, Wish<'a>>,
    streams: SeenStreams<'a>,
}

impl<'a> Seen<'a> {
    fn add(&mut self, live: Live<'a>) {
        for wish in Wish::of(live) {
            self.issuers.entry(wish.host).or_insert(wish);
        }
        match live {
            Live::Route(route) => self.add_route(route),
            Live::Stream(stream) => self.streams.add(stream),
        }
    }

    fn clash(&self, draft: &Draft<'_>, live: Live<'_>) -> Option<Fault> {
        match live {
            Live::Route(route) => self
                .equal(draft, route)
                .or_else(|| self.streams.clash_with_route(draft, route))
                .or_else(|| self.other_issuer(draft, live))
                .or_else(|| self.other_reading(draft, route)),
            Live::Stream(stream) => self.streams.clash(draft, stream).or_else(|| self.other_issuer(draft, live)),
        }
    }

    fn warning(&self, draft: &Draft<'_>, live: Live<'_>) -> Option<Fault> {
        match live {
            Live::Route(route) => self.shadow(draft, route),
            Live::Stream(stream) => self.streams.warning(draft, stream),
        }
    }

    fn add_route(&mut self, route: &'a Route) {
        self.streams.add_route(route);
        for slot in slots(&route.rule) {
            self.slots.entry(slot).or_default().push(route);
        }
        for host in &route.rule.hosts {
            if route.path_policy == PathPolicy::Raw {
                self.raw.entry(host).or_insert(route);
            }
            if route.depends_on_path() {
                self.by_path.entry(host).or_insert(route);
            }
        }
    }

    fn equal(&self, draft: &Draft<'_>, route: &Route) -> Option<Fault> {
        slots(&route.rule).find_map(|slot| {
            let rival = self.slots.get(&slot)?.iter().find(|rival| overlap(&rival.rule, &route.rule))?;
            let host = slot.host.map_or("every host".to_owned(), Host::to_string);
            let path = slot.path.map(PathPattern::to_string).unwrap_or_default();
            let why = format!(
                "the routes `{}` and `{}` cannot be told apart: both answer for {host}{path}; `{}` is at {}:{}",
                rival.name, route.name, rival.name, rival.file, rival.line
            );
            Some(
                draft
                    .item
                    .fault(why)
                    .hint("change host, path or another condition of one, or give it another priority"),
            )
        })
    }

    fn other_issuer(&self, draft: &Draft<'_>, live: Live<'_>) -> Option<Fault> {
        Wish::of(live).find_map(|Wish { host, issuer, .. }| {
            let theirs = self.issuers.get(host).filter(|theirs| theirs.issuer != issuer)?;
            let why = format!(
                "the certificate of `{host}` is to come from `{}` here and from `{}` in the route `{}` at {}:{}",
                issuer.as_str(),
                theirs.issuer.as_str(),
                theirs.by.name(),
                theirs.by.file(),
                theirs.by.line()
            );
            let at = draft.item.get("tls").unwrap_or_else(|| draft.item.clone());
            Some(at.fault(why).hint("a host has one certificate: write the same issuer in both"))
        })
    }

    fn other_reading(&self, draft: &Draft<'_>, route: &Route) -> Option<Fault> {
        let is_raw = route.path_policy == PathPolicy::Raw;
        let others = if is_raw { &self.by_path } else { &self.raw };
        if !is_raw && !route.depends_on_path() {
            return None;
        }
        route.rule.hosts.iter().find_map(|host| {
            let rival = others.get(host)?;
            let why = format!(
                "on `{host}` one route has path_policy = \"raw\" and another depends on the path: `{}` at {}:{} and this one",
                rival.name, rival.file, rival.line
            );
            Some(draft.item.fault(why).hint("`raw` needs the whole host: give one of them a host of its own"))
        })
    }

    /// A warning if, in each of its places, another route takes every request before this one.
    fn shadow(&self, draft: &Draft<'_>, route: &Route) -> Option<Fault> {
        let mut first = None;
        for slot in slots(&route.rule) {
            let above = self.above(route, slot)?;
            first = first.or(Some(above));
        }
        let above: &Route = first?;
        let why = format!(
            "the route `{}` can never win: `{}` at {}:{} takes all of its requests",
            route.name, above.name, above.file, above.line
        );
        Some(draft.item.warning(why).hint("remove it, or make the other one narrower"))
    }

    fn above(&self, route: &Route, slot: Slot<'_>) -> Option<&'a Route> {
        let covering = |slot: &Slot<'_>, is_above: &dyn Fn(&Route) -> bool| {
            let mut others = self.slots.get(slot).into_iter().flatten().copied();
            others.find(|other| is_above(other) && covers(&other.rule, &route.rule))
        };
        let higher = covering(&slot, &|other| other.rule.priority > route.rule.priority);
        if higher.is_some() || matches!(slot.path, Some(PathPattern::Exact(_) | PathPattern::Prefix(_))) {
            return higher;
        }
        // A prefix comes before every regular expression and before no path at all.
        let everything = PathPattern::Prefix("/".into());
        let with_ours = Slot { path: Some(&everything), ..slot };
        let with_none = Slot { conditions: String::new(), ..with_ours.clone() };
        covering(&with_ours, &|_| true).or_else(|| covering(&with_none, &|_| true))
    }
}

/// The places of a route: every host with every path.
fn slots(rule: &Rule) -> impl Iterator<Item = Slot<'_>> {
    let conditions = signature(rule);
    let paths = &rule.conditions.paths;
    let every_host = rule.hosts.is_empty().then_some(None);
    let hosts = rule.hosts.iter().map(Some).chain(every_host);
    hosts.flat_map(move |host| {
        let every_path = paths.is_empty().then_some(None);
        let conditions = conditions.clone();
        let slot = move |path| Slot { host, path, conditions: conditions.clone() };
        paths.iter().map(Some).chain(every_path).map(slot)
    })
}

/// Equal for rules whose further conditions differ at most in their methods and networks.
fn signature(rule: &Rule) -> String {
    if rule.weight() == 0 {
        return String::new();
    }
    let conditions = &rule.conditions;
    let lists = (conditions.methods.is_empty(), conditions.client_ip.is_empty());
    format!("{:?}", (lists, &conditions.headers, &conditions.query, &rule.except))
}

/// Whether a request can fit both of two rules of one slot, with nothing to choose one of them by.
fn overlap(a: &Rule, b: &Rule) -> bool {
    let (ours, theirs) = (&a.conditions, &b.conditions);
    let touch = |a: &IpNet, b: &IpNet| a.contains(b) || b.contains(a);
    a.priority == b.priority
        && a.entrypoints.iter().any(|name| b.entrypoints.contains(name))
        && (ours.methods.is_empty() || ours.methods.iter().any(|method| theirs.methods.contains(method)))
        && (ours.client_ip.is_empty() || ours.client_ip.iter().any(|a| theirs.client_ip.iter().any(|b| touch(a, b))))
}

/// Whether every request of `b` fits `a` too, both being of one slot or `a` having no further conditions.
fn covers(a: &Rule, b: &Rule) -> bool {
    let (wide, narrow) = (&a.conditions, &b.conditions);
    let holds = |net: &IpNet| wide.client_ip.iter().any(|wide| wide.contains(net));
    b.entrypoints.iter().all(|name| a.entrypoints.contains(name))
        && (wide.methods.is_empty() || narrow.methods.iter().all(|method| wide.methods.contains(method)))
        && (wide.client_ip.is_empty() || narrow.client_ip.iter().all(holds))
}
