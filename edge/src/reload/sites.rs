//! Builds what serves each route: pools of servers, folders of files. What did not change is taken over as it is, with its
//! connections, its health and its counters.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use routes::check::Rejected;
use routes::fault::{Fault, Place};
use routes::route::{Route, RouteKind};
use routes::step::Step;
use routes::stream::{SessionRule, Stream};
use routes::target::Target;
use routes::world::resolve;

use super::files;
use crate::middleware::{self, Building, Middleware};
use crate::snapshot::{Serve, Site, Snapshot, Unit, upstream_settings};
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, RouteMetrics};
use crate::upstream::{BuildError, Means, Pool, Settings};

/// Builds sites.
#[derive(Debug)]
pub struct Builder {
    /// What pools are built with. A pool that nobody uses any more ends its own look-ups and checks.
    pub means: Means,
    /// The folder that paths in routes are relative to.
    pub folder: PathBuf,
    /// The state folder.
    pub state: PathBuf,
    /// The entrypoints of Postgres.
    pub postgres: Vec<String>,
    /// Runs what receives datagrams.
    pub relays: Tasks,
    /// How long sessions of datagrams may go on at the end.
    pub grace: Duration,
}

impl Builder {
    /// Builds what serves each route; the routes for which that fails come back with their fault.
    pub fn build(
        &self,
        routes: &[Arc<Route>],
        streams: &[Arc<Stream>],
        before: &Snapshot,
        metrics: &Metrics,
    ) -> (Vec<Unit>, Vec<Rejected>) {
        let (mut units, mut failed) = (Vec::new(), Vec::new());
        for route in routes {
            match self.site(route, before, metrics) {
                Ok(site) => units.push(Unit::Http(site)),
                Err(error) => failed.push(rejected(route, &error)),
            }
        }
        for stream in streams {
            match self.stream(stream, before, metrics) {
                Ok(unit) => units.push(unit),
                Err(rejected) => failed.push(*rejected),
            }
        }
        (units, failed)
    }

    fn site(&self, route: &Arc<Route>, before: &Snapshot, metrics: &Metrics) -> Result<Arc<Site>, Unbuilt> {
        let settings = match &route.target {
            Target::Upstream(upstream) => Some(upstream_settings(route, upstream, &self.folder)),
            Target::Files(_) | Target::Redirect(_) | Target::Respond(_) => None,
        };
        let earlier = before.named(&route.name);
        let unchanged = earlier.filter(|old| old.route.same_as(route));
        let files = unchanged.map_or_else(|| self.files(route, settings.as_ref()), |old| Arc::clone(&old.files));
        // Read before they are used: an edit in between is seen as a change by the next load.
        let files_digest = files::digest(&files);
        if let Some(old) = unchanged.filter(|old| old.files_digest == files_digest) {
            // Its place in the file may have moved.
            let (steps, serve, metrics) = (Arc::clone(&old.steps), old.serve.clone(), old.metrics.clone());
            return Ok(Arc::new(Site { route: Arc::clone(route), steps, serve, files, files_digest, metrics }));
        }
        let counters = metrics.route(&route.name);
        let earlier = earlier.and_then(|site| site.pool());
        let serve = match (&route.target, settings) {
            (_, Some(settings)) => Serve::Upstream(Pool::build(settings, &self.means, &counters, earlier)?),
            (Target::Files(files), None) => Serve::Files(resolve(&self.folder, &files.root)),
            (Target::Upstream(_) | Target::Redirect(_) | Target::Respond(_), None) => Serve::Itself,
        };
        let steps = self.steps(route, &counters)?;
        Ok(Arc::new(Site { route: Arc::clone(route), steps, serve, files, files_digest, metrics: counters }))
    }

    /// The files beside the route's own that it is made of.
    fn files(&self, route: &Route, upstream: Option<&Settings>) -> Arc<[PathBuf]> {
        let of_tls = upstream.into_iter().flat_map(|settings| settings.tls.files().cloned());
        of_tls.chain(route.steps.iter().flat_map(|step| middleware::files(step, &self.folder))).collect()
    }

    fn steps(
        &self,
        route: &Route,
        metrics: &RouteMetrics,
    ) -> Result<Arc<[Arc<dyn Middleware>]>, middleware::BuildError> {
        let Self { folder, state, .. } = self;
        let one = |step: &Step| {
            middleware::build(step, &Building { folder, state, route: &route.name, name: &step.name, metrics })
        };
        route.steps.iter().map(one).collect()
    }
}

/// Why a checked route cannot be served.
#[derive(Debug, thiserror::Error)]
enum Unbuilt {
    #[error(transparent)]
    Upstream(#[from] BuildError),
    #[error(transparent)]
    Step(#[from] middleware::BuildError),
}

impl Unbuilt {
    /// The key of the route that it is about.
    fn key(&self) -> &'static str {
        match self {
            Self::Upstream(_) => "upstream",
            Self::Step(_) => "use",
        }
    }
}

fn rejected(route: &Route, error: &Unbuilt) -> Rejected {
    let place = Place { file: route.file.clone(), line: route.line, column: 1, source_line: "[[route]]".to_owned() };
    let mut fault = Fault::error(place, error.key(), error.to_string());
    fault.route = Some(route.name.clone());
    Rejected {
        name: route.name.clone(),
        kind: RouteKind::Http,
        hosts: route.rule.hosts.clone(),
        rule: Some(route.rule.clone()),
        sessions: SessionRule::default(),
        file: route.file.clone(),
        line: route.line,
        name_taken: false,
        faults: vec![fault],
    }
}
