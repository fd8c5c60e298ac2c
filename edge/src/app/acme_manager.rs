//! Starts the certificate manager of the public authority, where one is configured.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use acme::backoff::Notes;
use acme::{Challenges, InstantCa, Manager, Parts, SystemClock};
use certs::{RealDisk, Store, Vault};
use tokio::sync::watch;

use super::acme_report::Reporter;
use super::state::State;
use crate::proxy::Http01;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// What the manager works with; everything else it finds in the state folder.
pub(super) struct Wanted {
    pub(super) settings: acme::Settings,
    pub(super) challenges: Challenges,
    pub(super) store: Arc<Store>,
    pub(super) names: watch::Receiver<Arc<[String]>>,
    pub(super) metrics: Metrics,
}

/// Publishes what is on disk and goes on in the background. Asks no network before it returns.
pub(super) fn start(wanted: Wanted, state: &State, tasks: &Tasks) -> acme::Handle {
    let Wanted { settings, challenges, store, names, metrics } = wanted;
    let disk = Arc::new(RealDisk);
    let label = settings.directory.label().to_owned();
    let folder = state.path("acme").join(&label);
    let profile = settings.profile.clone();
    let ca = InstantCa::new(settings, &folder, disk.clone(), SystemTime::now);
    let (manager, handle) = Manager::open(Parts {
        ca: Arc::new(ca),
        profile,
        challenges,
        vault: vault(state.folder()),
        notes: Notes::new(folder.join("retry"), disk),
        store,
        clock: Arc::new(SystemClock),
        report: Arc::new(Reporter { metrics, ca: label }),
        wanted: names,
    });
    tasks.spawn("acme", |stop| async move { manager.run(stop.cancelled_owned()).await });
    handle
}

fn vault(state: &Path) -> Vault {
    Vault::new(state.join("certs"), Arc::new(RealDisk))
}

/// The challenges of the manager, as the proxy asks for them.
pub(super) struct Answers(pub(super) Challenges);

impl Http01 for Answers {
    fn answer(&self, host: &str, token: &str) -> Option<String> {
        self.0.answer(host, token).map(|answer| answer.to_string())
    }
}
