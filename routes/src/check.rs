//! Route files in, checked routes out. Every route stands alone: a fault rejects the route it is about and no other;
//! a syntax error, after which nobody knows what is a route, takes its file along. Every fault is told in one run.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::document::{Document, Item, Kind, Source};
use crate::fault::{Fault, Faults, sort};
use crate::file::{self, Draft, Made};
use crate::host::Host;
use crate::route::{Route, RouteKind};
use crate::rule::Rule;
use crate::shape::walk;
use crate::stream::{SessionRule, Stream};
use crate::world::World;

mod middlewares;
mod standing;
mod streams;
mod together;

pub use standing::Standing;

use middlewares::middlewares;
use standing::Holders;
use together::Judged;

/// What came of a set of route files.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// The routes that can serve, in order of files and lines.
    pub routes: Vec<Arc<Route>>,
    /// The streams that can serve, in order of files and lines.
    pub streams: Vec<Arc<Stream>>,
    /// The routes and streams that cannot.
    pub rejected: Vec<Rejected>,
    /// Every fault of every file, warnings among them, in order of files and lines.
    pub faults: Vec<Fault>,
    /// The files with syntax errors: none of their routes could be read.
    pub broken_files: Vec<String>,
}

impl Checked {
    /// The faults that stop something.
    pub fn errors(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(|fault| fault.is_error())
    }

    /// The faults that stop nothing.
    pub fn warnings(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(|fault| !fault.is_error())
    }
}

/// A route, of whatever kind, that cannot serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its name; its key in the file where it has none.
    pub name: String,
    /// What kind of route it would be.
    pub kind: RouteKind,
    /// The hosts that could be read.
    pub hosts: Vec<Host>,
    /// When it would answer, if that part of it is without fault: the edge then answers 503 there and nowhere else.
    /// Streams have none: their connections are refused.
    pub rule: Option<Rule>,
    /// The sessions that a stream would be for: no wider stream gets them in its place.
    pub sessions: SessionRule,
    /// The file it stands in.
    pub file: String,
    /// The line that it begins in, counted from 1.
    pub line: usize,
    /// Whether the name is another route's: then no earlier version under that name is this one's.
    pub name_taken: bool,
    /// Why; never empty, errors first.
    pub faults: Vec<Fault>,
}

impl Rejected {
    /// The id of its first fault, shown to clients with the 503.
    pub fn fault_id(&self) -> String {
        self.faults.first().map(Fault::id).unwrap_or_default()
    }
}

/// Checks route files while nothing serves. Their order does not matter: they are taken in the order of their paths.
pub fn check(sources: &[Source], world: &World<'_>) -> Checked {
    check_beside(sources, world, Standing::default())
}

/// Checks route files while routes serve: of two that cannot both be, the one that serves stays.
pub fn check_beside(sources: &[Source], world: &World<'_>, standing: Standing<'_>) -> Checked {
    let mut checked = Checked::default();
    let mut sources: Vec<&Source> = sources.iter().collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    let documents: Vec<Document> = sources
        .into_iter()
        .filter_map(|source| {
            Document::parse(source, &world.vars).map_err(|faults| checked.note_broken(source, faults)).ok()
        })
        .collect();
    let mut drafts = Vec::new();
    let definitions = middlewares(&documents, world, &mut checked.faults);
    for document in &documents {
        let mut faults = Faults::new();
        let items = route_items(document, &mut faults);
        drafts.extend(items.iter().map(|(kind, item)| match kind {
            RouteKind::Http => file::read(item, world, &definitions),
            RouteKind::Tcp | RouteKind::Udp => file::read_stream(item, *kind, world),
        }));
        checked.faults.extend(faults.iter().cloned());
    }
    let broken = checked.broken_files.clone();
    let holders = Holders::new(standing, &broken);
    let order = holders.order(&drafts);
    refuse_equal_names(&mut drafts, &order, &holders);
    refuse_clashes(&mut drafts, &order, &holders);
    drafts.into_iter().for_each(|draft| checked.note_draft(draft));
    sort(&mut checked.faults);
    checked
}

impl Checked {
    fn note_broken(&mut self, source: &Source, faults: Vec<Fault>) {
        self.broken_files.push(source.path.clone());
        self.faults.extend(faults);
    }

    fn note_draft(&mut self, draft: Draft<'_>) {
        let Draft { item, kind, name, hosts, rule, made, faults, name_taken } = draft;
        self.faults.extend(faults.iter().cloned());
        match made.filter(|_| !faults.has_errors()) {
            Some(Made::Route(route)) => self.routes.push(Arc::from(route)),
            Some(Made::Stream(stream)) => self.streams.push(Arc::new(stream)),
            None => {
                let place = item.place();
                let mut faults = faults.into_sorted();
                faults.sort_by_key(|fault| fault.severity);
                let (file, line) = (place.file, place.line);
                let sessions = SessionRule { databases: texts(&item, "database"), users: texts(&item, "user") };
                let rejected = Rejected { name, kind, hosts, rule, sessions, file, line, name_taken, faults };
                self.rejected.push(rejected);
            }
        }
    }
}

/// What could be read of a text or a list of texts.
fn texts(item: &Item<'_>, key: &str) -> Vec<String> {
    let list = item.get(key).map(|list| list.one_or_many()).unwrap_or_default();
    list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The tables of the routes of a file, in the order of its lines; everything else in it is judged at once.
fn route_items<'d>(document: &'d Document, faults: &mut Faults) -> Vec<(RouteKind, Item<'d>)> {
    let root = document.root();
    walk(&root, &file::OUTER, faults);
    if root.entries().next().is_none() {
        faults.push(root.warning("the file has no routes").hint("add a [[route]], or remove the file"));
    }
    let mut tables = Vec::new();
    for kind in [RouteKind::Http, RouteKind::Tcp, RouteKind::Udp] {
        let (key, Some(routes)) = (kind.key(), root.get(kind.key())) else { continue };
        let (good, others) = match routes.kind() {
            Kind::List => routes.items().partition(|item| item.kind() == Kind::Table),
            _ => (Vec::new(), vec![routes]),
        };
        for other in others {
            let why = format!("`{key}` is a list of tables, found {}", other.kind().words());
            faults.push(other.fault(why).hint(format!("begin each one with [[{key}]], in double brackets")));
        }
        tables.extend(good.into_iter().map(|item| (kind, item)));
    }
    tables.sort_by_key(|(_, item)| item.offset());
    tables
}

/// The first of several routes with one name has it, even if it is rejected: else a fault in one route would give its
/// name, its metrics and its history to another.
fn refuse_equal_names(drafts: &mut [Draft<'_>], order: &[usize], holders: &Holders<'_>) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut twice = Vec::new();
    for &index in order {
        let draft = &drafts[index];
        match (first.entry(&draft.name), holders.absent(draft)) {
            (Entry::Occupied(taken), _) => {
                let there = drafts[*taken.get()].item.place();
                twice.push((index, there.file, there.line));
            }
            (Entry::Vacant(_), Some(there)) => twice.push((index, there.file().to_owned(), there.line())),
            (Entry::Vacant(free), None) => drop(free.insert(index)),
        }
    }
    for (index, file, line) in twice {
        let draft = &mut drafts[index];
        let at = draft.item.get("name").or_else(|| draft.item.get("host")).unwrap_or_else(|| draft.item.clone());
        let why = format!("the name `{}` is taken by the route at {file}:{line}", draft.name);
        draft.note(at.fault(why).hint("give one of them another `name`"));
        draft.name_taken = true;
    }
}

/// A route that is refused may serve on in its last good version, with which others may clash in turn: until none does.
fn refuse_clashes(drafts: &mut [Draft<'_>], order: &[usize], holders: &Holders<'_>) {
    loop {
        let Judged { clashes, warnings } = together::judge(drafts, order, &holders.kept(drafts));
        let is_settled = clashes.is_empty();
        for (index, fault) in if is_settled { warnings } else { clashes } {
            drafts[index].note(fault);
        }
        if is_settled {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
