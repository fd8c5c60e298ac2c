//! `run.json` in the state folder: where this edge listens, for whoever started it with ports of 0. Written when
//! everything listens, removed at the end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use certs::disk::{PRIVATE, RealDisk, write_atomic};

/// What the file says.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct RunFile {
    pub(super) pid: u32,
    pub(super) entrypoints: BTreeMap<String, Vec<SocketAddr>>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) socket: PathBuf,
}

impl RunFile {
    /// Writes it to `path`; the guard removes it.
    pub(super) fn write(&self, path: &Path) -> Written {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        if let Err(error) = write_atomic(&RealDisk, path, &text, PRIVATE) {
            tracing::warn!(%error, "run.json is not written; addresses are in the log");
        }
        Written(path.to_owned())
    }
}

/// Removes the file when dropped.
pub(super) struct Written(PathBuf);

impl Drop for Written {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}
