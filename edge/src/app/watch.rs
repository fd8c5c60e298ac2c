//! Notices edits of the route files and of `edge.toml`, and lets a burst of them settle into one load.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Editors write a file in several steps; a load in between would show a fault that is gone a moment later.
const SETTLE: Duration = Duration::from_millis(150);
/// How long a burst may go on before it is loaded all the same.
const LONGEST: Duration = Duration::from_millis(600);

/// What was edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edited {
    /// Something in the folder of routes.
    Routes,
    /// `edge.toml`.
    Settings,
}

/// Watches, and calls `edited` after each burst until `stop`.
///
/// # Errors
/// When the system cannot watch the folder.
pub(super) async fn watch(
    routes: &Path,
    settings: &Path,
    edited: impl Fn(Edited) + Send + Sync,
    stop: CancellationToken,
) -> notify::Result<()> {
    // One place is enough: what matters is that something changed, not how often.
    let (told, mut changes) = mpsc::channel(1);
    let folder = routes.canonicalize().unwrap_or_else(|_| routes.to_owned());
    let name = settings.file_name().map(ToOwned::to_owned);
    let tell = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        // Full means that a load is due anyway.
        let _ = edited_by(&event, &folder, name.as_deref()).map(|what| told.try_send(what));
    };
    let mut watcher = notify::recommended_watcher(tell)?;
    watcher.watch(&routes.canonicalize().unwrap_or_else(|_| routes.to_owned()), RecursiveMode::Recursive)?;
    if let Some(folder) = settings.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // The folder, not the file: editors replace files. Routes below it are watched already.
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    while let Some(Some(first)) = stop.run_until_cancelled(changes.recv()).await {
        let mut settings_too = first == Edited::Settings;
        let burst = async {
            while let Ok(Some(next)) = tokio::time::timeout(SETTLE, changes.recv()).await {
                settings_too |= next == Edited::Settings;
            }
        };
        let _ = tokio::time::timeout(LONGEST, burst).await;
        if settings_too {
            edited(Edited::Settings);
        }
        edited(Edited::Routes);
    }
    Ok(())
}

/// What an event of the system is about, if it is about anything of ours: logs and state may be in the same folder.
fn edited_by(event: &notify::Event, routes: &Path, settings: Option<&OsStr>) -> Option<Edited> {
    if matches!(event.kind, EventKind::Access(_)) {
        return None;
    }
    if event.paths.iter().any(|path| path.starts_with(routes)) {
        return Some(Edited::Routes);
    }
    let is_settings = event.paths.iter().any(|path| path.file_name() == settings);
    is_settings.then_some(Edited::Settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_edit_is_told_once_it_has_settled() {
        let folder = tempfile::tempdir().expect("a folder");
        let (routes, settings) = (folder.path().join("routes"), folder.path().join("edge.toml"));
        std::fs::create_dir(&routes).expect("made");
        std::fs::write(&settings, "").expect("written");
        let (sender, mut told) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let ended = stop.clone();
        let edits = move |edited| sender.send(edited).expect("somebody listens");
        let (place, file) = (routes.clone(), settings.clone());
        let watching = async move { watch(&place, &file, edits, ended).await.expect("watchable") };
        let editing = async {
            // The watch begins some time after this: edit until it is noticed.
            let mut round = 0;
            while told.is_empty() {
                round += 1;
                std::fs::write(routes.join("a.toml"), format!("# {round}")).expect("written");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(told.recv().await, Some(Edited::Routes));
            std::fs::write(&settings, "# edited").expect("written");
            while told.recv().await != Some(Edited::Settings) {}
            stop.cancel();
        };
        tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(watching, editing) })
            .await
            .expect("in time");
    }
}
