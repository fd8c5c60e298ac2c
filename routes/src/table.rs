//! Which route a request belongs to. Built once from checked routes, then only read.
//!
//! Order of precedence: exact host, wildcard, no host; then exact path, longest prefix, regular expression, no path;
//! then more conditions (each header and query parameter, methods, networks and the exception count one each); then
//! the higher priority; then the place in the files. A route whose conditions fail is passed over, and the next one
//! in this order is tried.
//!
//! Hosts are found by hashing and prefixes by one step a segment, so neither many hosts nor many paths of one host
//! make a match slow; regular expressions of one host are tried one after the other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::check::Rejected;
use crate::host::{Host, Names, parent};
use crate::path::PathPattern;
use crate::route::{Issuer, PathPolicy, Route, RouteKind};
use crate::rule::{Mismatch, Request, Rule};

mod tree;

use tree::Tree;

/// All routes, ready to be matched.
#[derive(Debug, Default)]
pub struct Table {
    holders: Vec<Holder>,
    exact: HashMap<Box<str>, Bucket>,
    wildcard: HashMap<Box<str>, Bucket>,
    /// Routes without hosts.
    any: Bucket,
    tree: Tree,
    certificates: BTreeMap<Host, Issuer>,
    names: Names,
}

/// Who holds a place in the table.
#[derive(Debug)]
pub(crate) enum Holder {
    Route(Arc<Route>),
    /// Rare, and big: boxed, so that the many routes stay small.
    Closed(Box<Closed>),
}

/// The place of a rejected route of which no earlier version lives: its requests are answered with 503, not given to
/// wider routes, which may lack its protection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The name of the rejected route.
    pub name: String,
    /// The id of the fault that rejected it.
    pub fault_id: String,
    /// The file it stands in.
    pub file: String,
    /// The line of its `[[route]]`, counted from 1.
    pub line: usize,
    /// Its rule; none where that is wrong itself and the whole host is closed.
    rule: Option<Rule>,
}

/// What a request belongs to.
#[derive(Debug, Clone, Copy)]
pub enum Found<'t> {
    /// A route.
    Route(&'t Arc<Route>),
    /// A rejected route: 503.
    Closed(&'t Closed),
    /// Nothing: 404.
    Nothing,
}

impl<'t> Found<'t> {
    /// The route, if it is one.
    pub fn route(self) -> Option<&'t Arc<Route>> {
        match self {
            Self::Route(route) => Some(route),
            Self::Closed(_) | Self::Nothing => None,
        }
    }
}

/// The routes of one host pattern.
#[derive(Debug, Default)]
struct Bucket {
    /// The root of its exact paths and prefixes, if it has any.
    root: Option<u32>,
    regexes: Vec<(PathPattern, u32)>,
    /// Routes without paths.
    bare: Vec<u32>,
    by_path: bool,
    raw: bool,
}

impl Table {
    /// A table of these routes, and of the rejected ones of which no earlier version is among them: leave out those
    /// whose last good version serves on. Those of streams are passed over: nothing of them is a request.
    pub fn build(routes: Vec<Arc<Route>>, rejected: &[Rejected]) -> Self {
        let mut table = Self::default();
        for route in routes {
            table.add_certificates(&route);
            let rule = route.rule.clone();
            table.add(Holder::Route(route), &rule.hosts, Some(&rule));
        }
        for rejected in rejected {
            table.add_rejected(rejected);
        }
        table.sort();
        table.names = Names::new(table.exact.keys().map(|name| name.to_string()), table.wildcard.keys());
        table
    }

    fn add_certificates(&mut self, route: &Route) {
        let Some(issuer) = route.tls.issuer else { return };
        for host in &route.rule.hosts {
            if route.tls.chosen || !self.certificates.contains_key(host) {
                self.certificates.insert(host.clone(), issuer);
            }
        }
    }

    fn add_rejected(&mut self, rejected: &Rejected) {
        let Rejected { name, kind, hosts, rule, sessions: _, file, line, name_taken: _, faults: _ } = rejected;
        if *kind != RouteKind::Http {
            return;
        }
        let free = |host: &&Host| !self.has_bucket(host);
        // Nobody knows which requests it was for: its hosts are closed, but not to routes that live.
        let hosts: Vec<Host> = match rule {
            Some(rule) => rule.hosts.clone(),
            None => hosts.iter().filter(free).cloned().collect(),
        };
        if rule.is_none() && hosts.is_empty() {
            return;
        }
        let closed = Closed {
            name: name.clone(),
            fault_id: rejected.fault_id(),
            file: file.clone(),
            line: *line,
            rule: rule.clone(),
        };
        self.add(Holder::Closed(Box::new(closed)), &hosts, rule.as_ref());
    }

    fn has_bucket(&self, host: &Host) -> bool {
        match host {
            Host::Exact(name) => self.exact.contains_key(name),
            Host::Wildcard(suffix) => self.wildcard.contains_key(suffix),
        }
    }

    fn add(&mut self, holder: Holder, hosts: &[Host], rule: Option<&Rule>) {
        let Ok(index) = u32::try_from(self.holders.len()) else { return };
        let paths = rule.map(|rule| rule.conditions.paths.as_slice()).unwrap_or_default();
        let (by_path, raw) = holder.path_flags();
        let tree = &mut self.tree;
        let mut add = |bucket: &mut Bucket| {
            bucket.by_path |= by_path;
            bucket.raw |= raw;
            bucket.add(tree, paths, index);
        };
        for host in hosts {
            match host {
                Host::Exact(name) => add(self.exact.entry(name.clone()).or_default()),
                Host::Wildcard(suffix) => add(self.wildcard.entry(suffix.clone()).or_default()),
            }
        }
        if hosts.is_empty() {
            add(&mut self.any);
        }
        self.holders.push(holder);
    }

    fn sort(&mut self) {
        let holders = &self.holders;
        let rank = |index: &u32| {
            let rule = holders.get(*index as usize).and_then(Holder::rule);
            (Reverse(rule.map_or(0, Rule::weight)), Reverse(rule.map_or(i64::MIN, |rule| rule.priority)), *index)
        };
        self.tree.sort_by_key(rank);
        for bucket in self.exact.values_mut().chain(self.wildcard.values_mut()).chain([&mut self.any]) {
            bucket.regexes.sort_by_key(|(_, index)| rank(index));
            bucket.bare.sort_by_key(rank);
        }
    }

    /// What a request belongs to. Allocates nothing.
    pub fn find(&self, request: &Request<'_>) -> Found<'_> {
        let won = self.walk(request, |holder, mismatch| match mismatch {
            None => ControlFlow::Break(holder),
            Some(_) => ControlFlow::Continue(()),
        });
        match won {
            ControlFlow::Break(Holder::Route(route)) => Found::Route(route),
            ControlFlow::Break(Holder::Closed(closed)) => Found::Closed(closed),
            ControlFlow::Continue(()) => Found::Nothing,
        }
    }

    /// Visits all whose host and path fit, in order of precedence, with the first other condition that fails.
    pub(crate) fn walk<'t, B>(
        &'t self,
        request: &Request<'_>,
        mut visit: impl FnMut(&'t Holder, Option<Mismatch<'t>>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut judge = |index: u32| match self.holders.get(index as usize) {
            Some(holder) => visit(holder, holder.rule().and_then(|rule| rule.mismatch(request))),
            None => ControlFlow::Continue(()),
        };
        for bucket in self.buckets(request.host) {
            if let Some(root) = bucket.root.filter(|_| request.path.starts_with('/')) {
                self.tree.descend(root, request.path, &mut judge)?;
            }
            for (_, index) in bucket.regexes.iter().filter(|(pattern, _)| pattern.matches(request.path)) {
                judge(*index)?;
            }
            bucket.bare.iter().try_for_each(|index| judge(*index))?;
        }
        ControlFlow::Continue(())
    }

    /// The buckets of a host, nearest first.
    fn buckets(&self, host: &str) -> impl Iterator<Item = &Bucket> {
        self.chain(host).into_iter().flatten()
    }

    /// The bucket of the host itself, that of its wildcard and that of routes without hosts.
    fn chain(&self, host: &str) -> [Option<&Bucket>; 3] {
        let wildcard = parent(host).and_then(|parent| self.wildcard.get(parent));
        [self.exact.get(host), wildcard, Some(&self.any)]
    }

    /// All who may answer for a host, in the order of the files.
    pub(crate) fn holders_of<'t>(&'t self, host: &'t str) -> impl Iterator<Item = &'t Holder> {
        let answers = move |rule: &Rule| rule.hosts.is_empty() || rule.hosts.iter().any(|known| known.matches(host));
        self.holders.iter().filter(move |holder| holder.rule().is_some_and(answers))
    }

    /// All routes, in the order they were given.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.holders.iter().filter_map(|holder| match holder {
            Holder::Route(route) => Some(route),
            Holder::Closed(_) => None,
        })
    }

    /// Whether some route, or a rejected one, names this host, on whatever entrypoint. Routes without hosts do not count.
    pub fn serves(&self, host: &str) -> bool {
        self.exact.contains_key(host) || parent(host).is_some_and(|parent| self.wildcard.contains_key(parent))
    }

    /// Whether there is a route for every host.
    pub fn serves_any(&self) -> bool {
        self.any.root.is_some() || !self.any.regexes.is_empty() || !self.any.bare.is_empty()
    }

    /// The hosts that need certificates, each once, with the issuer that one of its routes chose or else the default.
    pub fn hosts(&self) -> impl Iterator<Item = (&Host, Issuer)> {
        self.certificates.iter().map(|(host, issuer)| (host, *issuer))
    }

    /// Whether a path that readers may take for two is to be refused on this host, where one reading leads to `route`.
    ///
    /// On a host that is not raw if any of its routes depends on the path. On a raw one if that holds for the routes of a
    /// pattern that was asked on the way to `route`: another reading could have led to one of them. Those behind it are
    /// met by no reading.
    pub fn path_matters(&self, host: &str, route: &Route) -> bool {
        let hosts = &route.rule.hosts;
        let asked = match self.policy(host) {
            PathPolicy::Raw if hosts.iter().any(|known| matches!(known, Host::Exact(name) if &**name == host)) => 1,
            PathPolicy::Raw if !hosts.is_empty() => 2,
            PathPolicy::Raw | PathPolicy::Strict => 3,
        };
        self.chain(host).into_iter().take(asked).flatten().any(|bucket| bucket.by_path)
    }

    /// How the nearest routes of a host want paths to be read. Raw only where none of these depends on the path.
    pub fn policy(&self, host: &str) -> PathPolicy {
        match self.buckets(host).next() {
            Some(bucket) if bucket.raw && !bucket.by_path => PathPolicy::Raw,
            _ => PathPolicy::Strict,
        }
    }

    /// The host that was most likely meant, if one is near. The work is bounded however many hosts
    /// there are, but is far more than a match: ask only when the answer is shown to somebody.
    pub fn nearest(&self, host: &str) -> Option<&str> {
        self.names.nearest(host)
    }
}

impl Holder {
    pub(crate) fn rule(&self) -> Option<&Rule> {
        match self {
            Self::Route(route) => Some(&route.rule),
            Self::Closed(closed) => closed.rule.as_ref(),
        }
    }

    fn path_flags(&self) -> (bool, bool) {
        match self {
            Self::Route(route) => (route.depends_on_path(), route.path_policy == PathPolicy::Raw),
            Self::Closed(closed) => (closed.rule.as_ref().is_some_and(Rule::depends_on_path), false),
        }
    }
}

impl Bucket {
    fn add(&mut self, tree: &mut Tree, paths: &[PathPattern], index: u32) {
        if paths.is_empty() {
            self.bare.push(index);
        }
        for pattern in paths {
            if let PathPattern::Regex(_) = pattern {
                self.regexes.push((pattern.clone(), index));
                continue;
            }
            let root = *self.root.get_or_insert_with(|| tree.new_root());
            tree.add(root, pattern, index);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
