//! From route files to a published snapshot: check every route alone, keep the last good version of what fails, build what
//! is new, publish the whole, and say what changed.
//!
//! One load at a time. Nothing that serves is touched before the new snapshot is whole.

mod files;
mod history;
mod sites;
mod streams;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use routes::check::{Checked, Rejected};
use routes::fault::{self, Fault};
use routes::route::{Issuer, Route};
use routes::stream::Stream;
use routes::table::Table;
use tokio::sync::watch;

pub use history::History;
pub use sites::Builder;

use crate::snapshot::{Live, Snapshot, Unit};
use crate::telemetry::{Metrics, events};

/// Where the routes come from: the files of the operator, checked. An argument, so that loads are tested without a disk.
pub trait RouteSource: Send + Sync {
    /// Reads and checks all files as they are now, while `live` serves.
    fn read(&self, live: &Serving) -> Checked;
    /// Checks a text that was good once, in the world of now.
    fn check_again(&self, file: &str, text: &str) -> Checked;
}

/// What serves while files are read.
#[derive(Debug, Clone, Default)]
pub struct Serving {
    /// Routes of requests.
    pub routes: Vec<Arc<Route>>,
    /// Streams.
    pub streams: Vec<Arc<Stream>>,
}

impl Serving {
    fn of(units: impl Iterator<Item = Unit>) -> Self {
        let mut serving = Self::default();
        for unit in units {
            serving.routes.extend(unit.route().cloned());
            serving.streams.extend(unit.stream());
        }
        serving
    }
}

/// What became of a load.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Outcome {
    /// The number of the snapshot.
    pub generation: u64,
    /// Names of routes that are new.
    pub added: Vec<String>,
    /// Names of routes that are different now.
    pub changed: Vec<String>,
    /// Names of routes that are gone.
    pub removed: Vec<String>,
    /// Names of routes that failed and serve in their last good version.
    pub kept: Vec<String>,
    /// Names of routes that failed and do not serve.
    pub rejected: Vec<String>,
    /// Everything wrong in the files, warnings too.
    pub faults: Vec<Fault>,
}

/// What the last load left behind, for those who look.
#[derive(Debug, Clone, Default)]
pub struct LastLoad {
    /// Its outcome.
    pub outcome: Outcome,
    /// The routes that failed, whether an earlier version serves or not.
    pub rejected: Vec<Rejected>,
    /// When it was.
    pub at: Option<SystemTime>,
}

impl LastLoad {
    /// Whether a load has nothing new to tell: the same faults, and the same that serves or does not because of them.
    fn is_same(&self, kept: &[Unit], checked: &Checked) -> bool {
        self.at.is_some()
            && self.outcome.kept.iter().eq(kept.iter().map(Unit::name))
            && self.rejected == checked.rejected
            && self.outcome.faults == checked.faults
    }
}

/// Loads and publishes.
pub struct Reloader {
    source: Box<dyn RouteSource>,
    builder: Builder,
    live: Arc<Live>,
    metrics: Metrics,
    redirects: HashMap<String, u16>,
    wanted: watch::Sender<Arc<[String]>>,
    history: History,
    /// Never waited for: those who look must not wait for a load.
    last: ArcSwap<LastLoad>,
    loading: Mutex<()>,
}

/// What came of the files, before anything of it serves.
struct Read {
    checked: Checked,
    /// All that is to serve.
    units: Vec<Unit>,
    /// Those of them that are last good versions.
    kept: Vec<Unit>,
}

impl Reloader {
    /// A reloader over a live snapshot that is still empty. `redirects` are the entrypoints that lead to HTTPS, with its port.
    pub fn new(
        source: Box<dyn RouteSource>,
        builder: Builder,
        live: Arc<Live>,
        metrics: Metrics,
        redirects: HashMap<String, u16>,
        history: PathBuf,
    ) -> Self {
        let (wanted, _) = watch::channel(Arc::from([]));
        let (history, last, loading) = (History::new(history), ArcSwap::default(), Mutex::default());
        Self { source, builder, live, metrics, redirects, wanted, history, last, loading }
    }

    /// The names for which routes want public certificates, as they change.
    pub fn wanted(&self) -> watch::Receiver<Arc<[String]>> {
        self.wanted.subscribe()
    }

    /// What the last load left behind. Waits for nothing.
    pub fn last(&self) -> Arc<LastLoad> {
        self.last.load_full()
    }

    /// The last good routes on disk, for who saves them: a load only tells that they are due.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Loads now. Blocks on the disk.
    pub fn load(&self) -> Outcome {
        // A load that panicked published nothing; the next one begins anew.
        let _one = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.load_alone();
        // After a load that changed nothing too: an earlier save may have failed.
        self.history.tell();
        outcome
    }

    fn load_alone(&self) -> Outcome {
        let last = self.last();
        let before = self.live.current();
        let mut read = self.read(&before, before.units());
        if before.generation == 0 && !read.kept.is_empty() {
            // What the history brings back has its place too, and nobody knew of it in the first check.
            read = self.read(&before, read.kept.iter().cloned());
        }
        let Read { checked, units, kept } = read;
        if is_same(&before, &units) && last.is_same(&kept, &checked) {
            let outcome = Outcome { generation: before.generation, faults: checked.faults, ..unchanged(&last) };
            self.last.store(Arc::new(LastLoad { outcome: outcome.clone(), ..LastLoad::clone(&last) }));
            tracing::debug!(generation = outcome.generation, "the routes are as they were");
            return outcome;
        }
        let outcome = self.publish(&before, &checked, &kept, units);
        self.note_good(&checked, &outcome);
        let last = LastLoad { outcome: outcome.clone(), rejected: checked.rejected, at: Some(SystemTime::now()) };
        self.last.store(Arc::new(last));
        outcome
    }

    /// Notes what serves for the history, which keeps what it has of files of which not everything does.
    fn note_good(&self, checked: &Checked, outcome: &Outcome) {
        let now = self.live.current();
        let closed: HashSet<&str> = outcome.rejected.iter().map(String::as_str).collect();
        let closed = checked.rejected.iter().filter(|rejected| closed.contains(rejected.name.as_str()));
        let held = closed.map(|rejected| &rejected.file).chain(&checked.broken_files);
        let mut units: Vec<Unit> = now.units().collect();
        // As they stand, so that a file says the same as long as its routes do.
        units.sort_by(|a, b| a.place().cmp(&b.place()));
        let routes = units.iter().map(|unit| (unit.place().0, unit.text()));
        self.history.want(routes, held.map(String::as_str));
    }

    /// Reads, checks and builds everything, while `live` serves.
    fn read(&self, before: &Snapshot, live: impl Iterator<Item = Unit>) -> Read {
        let mut checked = self.source.read(&Serving::of(live));
        let (mut units, failed) = self.builder.build(&checked.routes, &checked.streams, before, &self.metrics);
        take_failed(&mut checked, failed);
        let kept = self.keep(&checked, before, &self.history);
        units.extend(kept.iter().cloned());
        Read { checked, units, kept }
    }

    /// What serves on of routes that fail now: what is live, or what was before the last stop.
    fn keep(&self, checked: &Checked, before: &Snapshot, history: &History) -> Vec<Unit> {
        let names: HashSet<&str> = names(checked).collect();
        let mut kept = BTreeMap::new();
        let mut from_history = HashMap::new();
        for rejected in checked.rejected.iter().filter(|rejected| !rejected.name_taken) {
            if let Some(unit) = before.unit(&rejected.name) {
                kept.insert(rejected.name.clone(), unit);
                continue;
            }
            let earlier =
                from_history.entry(&rejected.file).or_insert_with(|| self.earlier(&rejected.file, before, history));
            kept.extend(earlier.iter().find(|unit| unit.name() == rejected.name).map(named));
        }
        for file in &checked.broken_files {
            let live = before.units().filter(|unit| Path::new(unit.place().0).starts_with(file));
            let mut earlier: Vec<_> = live.collect();
            if earlier.is_empty() && before.generation == 0 {
                earlier = self.earlier(file, before, history);
            }
            kept.extend(earlier.iter().map(named));
        }
        kept.into_values().filter(|unit| !names.contains(unit.name())).collect()
    }

    /// The routes of a file as they were before the last stop, as far as they can be built today.
    fn earlier(&self, file: &str, before: &Snapshot, history: &History) -> Vec<Unit> {
        let Serving { routes, streams } = history.routes(&*self.source, file);
        self.builder.build(&routes, &streams, before, &self.metrics).0
    }

    fn publish(&self, before: &Snapshot, checked: &Checked, kept: &[Unit], units: Vec<Unit>) -> Outcome {
        let kept_names: HashSet<&str> = kept.iter().map(Unit::name).collect();
        let serves = |rejected: &&Rejected| !rejected.name_taken && kept_names.contains(rejected.name.as_str());
        let closed: Vec<Rejected> = checked.rejected.iter().filter(|rejected| !serves(rejected)).cloned().collect();
        let mut outcome = compare(before, &units);
        outcome.generation = before.generation + 1;
        outcome.kept = kept_names.iter().map(|name| (*name).to_owned()).collect();
        outcome.kept.sort();
        outcome.rejected = closed.iter().map(|rejected| rejected.name.clone()).collect();
        outcome.faults.clone_from(&checked.faults);
        let table = Table::build(units.iter().filter_map(|unit| unit.route().cloned()).collect(), &closed);
        let (redirects, unrouted) = (self.redirects.clone(), before.unrouted.clone());
        let snapshot = Snapshot::new(outcome.generation, table, &units, &closed, redirects, unrouted);
        self.send_wanted(&snapshot);
        self.live.publish(snapshot);
        self.retire(before);
        self.forget(&outcome);
        self.report(&outcome);
        outcome
    }

    fn send_wanted(&self, snapshot: &Snapshot) {
        let hosts = snapshot.table.hosts().chain(snapshot.streams.table.hosts());
        let names = hosts.filter(|(host, issuer)| *issuer == Issuer::Acme && !host.is_wildcard());
        // A name may be that of a route and of a stream.
        let names: BTreeSet<String> = names.map(|(host, _)| host.to_string()).collect();
        let names: Arc<[String]> = names.into_iter().collect();
        self.wanted.send_if_modified(|wanted| {
            let modified = *wanted != names;
            *wanted = names;
            modified
        });
    }

    /// Pools that nobody gets any more may live as long as their last request; their checks would ask, and count, beside
    /// those of their successors.
    fn retire(&self, before: &Snapshot) {
        let now = self.live.current();
        for unit in before.units() {
            let next = now.unit(unit.name());
            let next = next.as_ref().and_then(Unit::pool);
            if let Some(pool) = unit.pool().filter(|pool| next.is_none_or(|next| !next.is(pool))) {
                pool.retire();
            }
        }
        for site in before.streams.all_udp() {
            site.retire(now.streams.all_udp());
        }
    }

    /// Series of what is gone go too, or a dashboard would show routes that nobody has.
    fn forget(&self, outcome: &Outcome) {
        if outcome.removed.is_empty() && outcome.changed.is_empty() {
            return;
        }
        let now = self.live.current();
        self.metrics.retain_routes(|route| route.is_empty() || now.unit(route).is_some());
        self.metrics.retain_upstreams(|route, upstream| {
            let unit = now.unit(route);
            let pool = unit.as_ref().and_then(Unit::pool);
            pool.is_some_and(|pool| pool.settings().servers.iter().any(|server| server.to_string() == upstream))
        });
    }

    fn report(&self, outcome: &Outcome) {
        for fault in &outcome.faults {
            let (file, line, column, key, hint) = (&fault.file, fault.line, fault.column, &fault.key, &fault.hint);
            if fault.is_error() {
                tracing::warn!(file, line, column, key, hint, "{}", fault.why);
            } else {
                tracing::info!(file, line, column, key, hint, "{}", fault.why);
            }
        }
        let live = self.live.current().units().count() - outcome.kept.len();
        events::ConfigReloaded {
            generation: outcome.generation,
            added: outcome.added.len(),
            changed: outcome.changed.len(),
            removed: outcome.removed.len(),
            live,
            kept: outcome.kept.len(),
            rejected: outcome.rejected.len(),
            at: SystemTime::now(),
        }
        .emit(&self.metrics);
    }
}

fn named(unit: &Unit) -> (String, Unit) {
    (unit.name().to_owned(), unit.clone())
}

/// Of everything that checked well.
fn names(checked: &Checked) -> impl Iterator<Item = &str> {
    let routes = checked.routes.iter().map(|route| route.name.as_str());
    routes.chain(checked.streams.iter().map(|stream| stream.name()))
}

/// Moves routes that checked well but cannot be built to the rejected ones.
fn take_failed(checked: &mut Checked, failed: Vec<Rejected>) {
    for rejected in failed {
        checked.routes.retain(|route| route.name != rejected.name);
        checked.streams.retain(|stream| stream.name() != rejected.name);
        checked.faults.extend(rejected.faults.iter().cloned());
        checked.rejected.push(rejected);
    }
    fault::sort(&mut checked.faults);
}

/// Whether a load would change nothing of what serves, nor where it is written.
fn is_same(before: &Snapshot, units: &[Unit]) -> bool {
    let same = |unit: &Unit| before.unit(unit.name()).is_some_and(|old| old.is_unmoved(unit));
    before.units().count() == units.len() && units.iter().all(same)
}

/// The outcome of a load that changed nothing.
fn unchanged(last: &LastLoad) -> Outcome {
    Outcome { kept: last.outcome.kept.clone(), rejected: last.outcome.rejected.clone(), ..Outcome::default() }
}

fn compare(before: &Snapshot, units: &[Unit]) -> Outcome {
    let mut outcome = Outcome::default();
    for unit in units {
        match before.unit(unit.name()) {
            None => outcome.added.push(unit.name().to_owned()),
            Some(old) if !old.same_as(unit) => outcome.changed.push(unit.name().to_owned()),
            Some(_) => {}
        }
    }
    let now: HashSet<&str> = units.iter().map(Unit::name).collect();
    outcome.removed =
        before.units().map(|unit| unit.name().to_owned()).filter(|name| !now.contains(name.as_str())).collect();
    outcome.removed.sort();
    outcome
}
