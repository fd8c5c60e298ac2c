//! What several routes mean together: two that cannot be told apart, one that can never win, hosts whose routes want
//! different certificates or readings of paths. Only routes without faults of their own are looked at, in their order.

use std::collections::HashMap;

use ipnet::IpNet;

use crate::fault::Fault;
use crate::file::Draft;
use crate::path::PathPattern;
use crate::route::{PathPolicy, Route};
use crate::rule::Rule;

/// Notes the faults and warnings of all routes together; of two that clash, the later one is at fault.
pub(super) fn judge(drafts: &mut [Draft<'_>]) {
    let mut seen = Seen::default();
    for index in 0..drafts.len() {
        let fault = {
            let Some(route) = usable(drafts, index) else { continue };
            let slots = slots(&route.rule);
            let fault = seen.clash(drafts, &drafts[index], route, &slots);
            if fault.is_none() {
                seen.add(index, route, slots);
            }
            fault
        };
        note(&mut drafts[index], fault);
    }
    for index in 0..drafts.len() {
        let warning = usable(drafts, index).and_then(|route| seen.shadow(drafts, index, route));
        note(&mut drafts[index], warning);
    }
}

fn note(draft: &mut Draft<'_>, fault: Option<Fault>) {
    draft.faults.extend(fault);
    let name = draft.name.clone();
    draft.faults.name_route(&name);
}

fn usable<'a>(drafts: &'a [Draft<'_>], index: usize) -> Option<&'a Route> {
    let draft = drafts.get(index)?;
    draft.route.as_ref().filter(|_| !draft.faults.has_errors())
}

/// One place of the match table: a host, a path, and the names of all further conditions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Slot {
    host: String,
    path: String,
    conditions: String,
}

/// What the routes so far have taken.
#[derive(Default)]
struct Seen {
    slots: HashMap<Slot, Vec<usize>>,
    /// By host: the first route that reads paths raw, and the first on which something depends on the path.
    raw: HashMap<String, usize>,
    by_path: HashMap<String, usize>,
    /// By host: the first route that chose an issuer.
    issuers: HashMap<String, usize>,
}

impl Seen {
    fn add(&mut self, index: usize, route: &Route, slots: Vec<Slot>) {
        for slot in slots {
            self.slots.entry(slot).or_default().push(index);
        }
        for host in &route.rule.hosts {
            if route.path_policy == PathPolicy::Raw {
                self.raw.entry(host.to_string()).or_insert(index);
            }
            if route.depends_on_path() {
                self.by_path.entry(host.to_string()).or_insert(index);
            }
            if route.tls.chosen {
                self.issuers.entry(host.to_string()).or_insert(index);
            }
        }
    }

    fn clash(&self, drafts: &[Draft<'_>], draft: &Draft<'_>, route: &Route, slots: &[Slot]) -> Option<Fault> {
        self.equal(drafts, draft, route, slots)
            .or_else(|| self.other_issuer(drafts, draft, route))
            .or_else(|| self.other_reading(drafts, draft, route))
    }

    fn equal(&self, drafts: &[Draft<'_>], draft: &Draft<'_>, route: &Route, slots: &[Slot]) -> Option<Fault> {
        slots.iter().find_map(|slot| {
            let rivals = self.slots.get(slot)?.iter().filter_map(|index| usable(drafts, *index));
            let rival = rivals.into_iter().find(|rival| overlap(&rival.rule, &route.rule))?;
            let Slot { host, path, .. } = slot;
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

    fn other_issuer(&self, drafts: &[Draft<'_>], draft: &Draft<'_>, route: &Route) -> Option<Fault> {
        let issuer = route.tls.issuer.filter(|_| route.tls.chosen)?;
        route.rule.hosts.iter().find_map(|host| {
            let rival = usable(drafts, *self.issuers.get(&host.to_string())?)?;
            let theirs = rival.tls.issuer.filter(|theirs| *theirs != issuer)?;
            let why = format!(
                "the certificate of `{host}` is to come from `{}` here and from `{}` in the route `{}` at {}:{}",
                issuer.as_str(),
                theirs.as_str(),
                rival.name,
                rival.file,
                rival.line
            );
            let at = draft.item.get("tls").unwrap_or_else(|| draft.item.clone());
            Some(at.fault(why).hint("a host has one certificate: write the same issuer in both"))
        })
    }

    fn other_reading(&self, drafts: &[Draft<'_>], draft: &Draft<'_>, route: &Route) -> Option<Fault> {
        let is_raw = route.path_policy == PathPolicy::Raw;
        let others = if is_raw { &self.by_path } else { &self.raw };
        if !is_raw && !route.depends_on_path() {
            return None;
        }
        route.rule.hosts.iter().find_map(|host| {
            let rival = usable(drafts, *others.get(&host.to_string())?)?;
            let why = format!(
                "on `{host}` one route has path_policy = \"raw\" and another depends on the path: `{}` at {}:{} and this one",
                rival.name, rival.file, rival.line
            );
            Some(draft.item.fault(why).hint("`raw` needs the whole host: give one of them a host of its own"))
        })
    }

    /// A warning if, in each of its places, another route takes every request before this one.
    fn shadow(&self, drafts: &[Draft<'_>], index: usize, route: &Route) -> Option<Fault> {
        let mut first = None;
        for slot in slots(&route.rule) {
            let above = self.above(drafts, index, route, &slot)?;
            first = first.or(Some(above));
        }
        let above = first?;
        let why = format!(
            "the route `{}` can never win: `{}` at {}:{} takes all of its requests",
            route.name, above.name, above.file, above.line
        );
        let fault = drafts.get(index)?.item.warning(why);
        Some(fault.hint("remove it, or make the other one narrower"))
    }

    fn above<'a>(&self, drafts: &'a [Draft<'_>], index: usize, route: &Route, slot: &Slot) -> Option<&'a Route> {
        let others = |slot: &Slot| self.slots.get(slot).into_iter().flatten().filter(|other| **other != index);
        let same = others(slot).filter_map(|other| usable(drafts, *other));
        let higher = same
            .into_iter()
            .find(|other| other.rule.priority > route.rule.priority && covers(&other.rule, &route.rule));
        if higher.is_some() || slot.path.starts_with(['/', '=']) {
            return higher;
        }
        // A prefix comes before every regular expression and before no path at all.
        let root = |conditions: &str| Slot { path: "/".into(), conditions: conditions.into(), ..slot.clone() };
        let roots = [root(&slot.conditions), root("")];
        let mut all = roots.iter().flat_map(others).filter_map(|other| usable(drafts, *other));
        all.find(|other| covers(&other.rule, &route.rule))
    }
}

/// The places of a route: every host with every path.
fn slots(rule: &Rule) -> Vec<Slot> {
    let conditions = signature(rule);
    let hosts: Vec<String> = match rule.hosts.as_slice() {
        [] => vec!["every host".into()],
        hosts => hosts.iter().map(ToString::to_string).collect(),
    };
    let paths: Vec<String> = match rule.conditions.paths.as_slice() {
        [] => vec![String::new()],
        paths => paths.iter().map(PathPattern::to_string).collect(),
    };
    let slot =
        |host: &String, path: &String| Slot { host: host.clone(), path: path.clone(), conditions: conditions.clone() };
    hosts.iter().flat_map(|host| paths.iter().map(move |path| slot(host, path))).collect()
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
