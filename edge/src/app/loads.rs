//! When the route files are read again: after an edit, and while something that a route stands on is broken.

use std::sync::Arc;
use std::time::Duration;

use super::watch::{Edited, watch};
use crate::config::Config;
use crate::reload::Reloader;
use crate::tasks::Tasks;

/// Loads after each edit of a route file.
pub(super) fn watch_files(config: &Arc<Config>, reloader: &Arc<Reloader>, control: &Tasks) {
    let (config, reloader, tasks) = (Arc::clone(config), Arc::clone(reloader), control.clone());
    control.spawn("watch files", move |stop| async move {
        let edited = move |edited| match edited {
            Edited::Settings => tracing::warn!("edge.toml was changed; it is read at the next start of edge"),
            Edited::Routes => {
                let reloader = Arc::clone(&reloader);
                tasks.spawn("reload", move |_| async move { load(&reloader).await });
            }
        };
        if let Err(error) = watch(&config.around.routes, &config.file, edited, stop).await {
            let folder = config.around.routes.display();
            tracing::warn!(%folder, %error, "the folder of routes cannot be watched; use edge reload after an edit");
        }
    });
}

/// How often routes that were rejected are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What a route stands on (a users file, a key) may be mended without an edit of the route. A load that finds nothing new
/// says nothing.
pub(super) fn look_again(reloader: &Arc<Reloader>, control: &Tasks) {
    let reloader = Arc::clone(reloader);
    control.spawn("look again at rejected routes", move |stop| async move {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_some() {
            if !reloader.last().rejected.is_empty() {
                load(&reloader).await;
            }
        }
    });
}

/// Loads without holding up the runtime.
pub(super) async fn load(reloader: &Arc<Reloader>) {
    let reloader = Arc::clone(reloader);
    if let Err(error) = tokio::task::spawn_blocking(move || reloader.load()).await {
        tracing::error!(%error, "a load of the routes failed; what was live stays");
    }
}
