//! What a kind of middleware is: its keys, how its settings are read, and how one is made of them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use routes::document::{Item, Vars};
use routes::fault::Faults;
use routes::shape::Key;
use routes::step::Step;
use routes::world::{self, Disk, Needs, NoKinds, Reading, Seen, World};

use super::ask::Ask;
use super::flow::Flow;
use super::own_cookies::CookieNames;
use super::reply::Reply;
use crate::telemetry::RouteMetrics;

/// One step of a route, ready to see requests.
pub trait Middleware: fmt::Debug + Send + Sync {
    /// Sees a request before a server is asked. Must not block.
    fn request(&self, _ask: &mut Ask<'_>) -> Flow {
        Flow::Next
    }

    /// Sees a request for which [`request`](Self::request) said [`Flow::Wait`]; may take time.
    fn wait<'a>(&'a self, _ask: &'a mut Ask<'_>) -> BoxFuture<'a, Flow> {
        Box::pin(std::future::ready(Flow::Next))
    }

    /// Sees a request once more when all steps have let it pass: as the server will see it.
    fn last_look(&self, _ask: &mut Ask<'_>) -> Flow {
        Flow::Next
    }

    /// Sees the head of the answer to a request that it has seen, whoever made it.
    fn reply(&self, _reply: &mut Reply<'_>) {}

    /// The cookies that its logins live in, which no server of this edge may see.
    fn cookies(&self) -> Option<&CookieNames> {
        None
    }
}

/// A kind of middleware.
pub trait Kind: Middleware + Sized + 'static {
    /// Its name in `kind = ".."`.
    const NAME: &'static str;
    /// Its keys.
    const KEYS: &'static [Key];
    /// What is left to be known once they were read.
    type Settings;

    /// Reads the settings and notes everything that is wrong with them. Opens nothing; values of a wrong shape have been
    /// noted already.
    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Self::Settings>;

    /// What it asks of its route.
    fn needs(_: &Self::Settings) -> Needs {
        Needs::default()
    }

    /// The files that [`build`](Self::build) reads once, as they are written: once what is in them is another, a reload
    /// makes a new one. Those that are followed while the edge runs are not among them.
    fn files(_: &Self::Settings) -> Vec<&str> {
        Vec::new()
    }

    /// Makes one.
    ///
    /// # Errors
    /// When something that it stands on is missing: its route is closed then, never open.
    fn build(settings: Self::Settings, building: &Building<'_>) -> Result<Self, BuildError>;
}

/// What a middleware is made with.
#[derive(Debug, Clone, Copy)]
pub struct Building<'a> {
    /// The folder that paths in route files are relative to.
    pub folder: &'a Path,
    /// The state folder: what must outlive this process.
    pub state: &'a Path,
    /// The route that it is made for.
    pub route: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What the route counts.
    pub metrics: &'a RouteMetrics,
}

impl Building<'_> {
    /// Where a path of a route file is.
    pub fn path(&self, given: &str) -> PathBuf {
        world::resolve(self.folder, given)
    }

    /// The reason for which it cannot be made.
    pub fn error(&self, why: impl ToString) -> BuildError {
        BuildError { name: self.name.to_owned(), why: why.to_string() }
    }
}

/// Why a middleware cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the middleware `{name}` cannot be used: {why}")]
pub struct BuildError {
    /// Its name.
    pub name: String,
    /// The reason.
    pub why: String,
}

type Built = Result<Arc<dyn Middleware>, BuildError>;

/// A kind in the list of all.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its name in `kind = ".."`.
    pub name: &'static str,
    /// Its keys, besides `kind` and `name`.
    pub keys: &'static [Key],
    source: &'static str,
    check: fn(&Item<'_>, &mut Reading<'_>) -> Needs,
    files: fn(&Item<'_>, &Path) -> Vec<PathBuf>,
    build: fn(&Item<'_>, &Building<'_>) -> Built,
}

impl Entry {
    /// What it does, in Markdown: the words that open its file.
    pub fn docs(&self) -> String {
        let lines = self.source.lines().map_while(|line| line.strip_prefix("//!"));
        lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).finish_non_exhaustive()
    }
}

pub(super) const fn entry<K: Kind>(source: &'static str) -> Entry {
    Entry { name: K::NAME, keys: K::KEYS, source, check: check::<K>, files: files_of::<K>, build: build_one::<K> }
}

impl world::Kind for Entry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn keys(&self) -> &'static [Key] {
        self.keys
    }

    fn check(&self, settings: &Item<'_>, reading: &mut Reading<'_>) -> Needs {
        (self.check)(settings, reading)
    }
}

fn check<K: Kind>(item: &Item<'_>, reading: &mut Reading<'_>) -> Needs {
    K::read(item, reading).map(|settings| K::needs(&settings)).unwrap_or_default()
}

/// Reads settings that have been checked.
fn read<K: Kind>(item: &Item<'_>, folder: &Path) -> (Option<K::Settings>, Faults) {
    let mut faults = Faults::new();
    let world = World {
        vars: Vars::NONE,
        entrypoints: &[],
        acme: false,
        certificates: &[],
        folder,
        disk: &AllThere,
        kinds: &NoKinds,
    };
    let settings = K::read(item, &mut Reading { world: &world, faults: &mut faults });
    (settings, faults)
}

fn files_of<K: Kind>(item: &Item<'_>, folder: &Path) -> Vec<PathBuf> {
    let (settings, _) = read::<K>(item, folder);
    settings.iter().flat_map(|settings| K::files(settings)).map(|path| world::resolve(folder, path)).collect()
}

fn build_one<K: Kind>(item: &Item<'_>, building: &Building<'_>) -> Built {
    let (settings, faults) = read::<K>(item, building.folder);
    let first = faults.iter().find(|fault| fault.is_error()).map(|fault| fault.why.clone());
    let error = |why| BuildError { name: building.name.to_owned(), why };
    match (settings, first) {
        (Some(settings), None) => Ok(Arc::new(K::build(settings, building)?)),
        (_, why) => Err(error(why.unwrap_or_else(|| "its settings cannot be read".to_owned()))),
    }
}

/// Files were looked for by the check; who opens them finds out whether they are still there.
struct AllThere;

impl Disk for AllThere {
    fn look(&self, _: &Path) -> Seen {
        Seen::File
    }
}

/// Makes the middleware of a checked step.
///
/// # Errors
/// When something that it stands on is missing.
pub fn build(step: &Step, building: &Building<'_>) -> Result<Arc<dyn Middleware>, BuildError> {
    let made = kind_of(step).and_then(|entry| step.with_settings(|item| (entry.build)(item, building)));
    let missing = || BuildError { name: step.name.clone(), why: format!("there is no kind `{}`", step.kind) };
    made.unwrap_or_else(|| Err(missing()))
}

/// The files beside the route's own that the middleware of a checked step is made of; see [`Kind::files`].
pub fn files(step: &Step, folder: &Path) -> Vec<PathBuf> {
    kind_of(step).and_then(|entry| step.with_settings(|item| (entry.files)(item, folder))).unwrap_or_default()
}

fn kind_of(step: &Step) -> Option<&'static Entry> {
    super::KINDS.iter().find(|entry| entry.name == step.kind)
}
