//! Saves the last good routes behind the loads, so that neither a load nor those who look wait for the disk.

use std::sync::Arc;

use crate::reload::Reloader;
use crate::tasks::Tasks;

/// Saves until the edge stops, and once more then: a stop waits for what is due.
pub(super) fn keep(reloader: &Arc<Reloader>, tasks: &Tasks) {
    let reloader = Arc::clone(reloader);
    tasks.spawn("save the last good routes", move |stop| async move {
        loop {
            let stopping = stop.run_until_cancelled(reloader.history().due()).await.is_none();
            save(&reloader).await;
            if stopping {
                return;
            }
        }
    });
}

async fn save(reloader: &Arc<Reloader>) {
    let reloader = Arc::clone(reloader);
    let saved = tokio::task::spawn_blocking(move || reloader.history().save()).await;
    if let Err(error) = saved.map_err(std::io::Error::other).flatten() {
        tracing::warn!(%error, "the last good routes are not saved: after a restart, routes with faults will not serve");
    }
}
