//! Asks the running edge of a configuration, for the commands that show or change what it does.

use std::future::Future;

use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::locate::ConfigFile;
use crate::admin::client::{self, ClientError};

/// Which edge, and how its answer is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    #[command(flatten)]
    config: ConfigFile,
    /// Write the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Asked {
    /// What the running edge says at `path`.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &'static str) -> Result<T, Failure> {
        let socket = self.socket()?;
        wait(client::get(&socket, path))
    }

    /// Has the running edge do what is at `path`.
    pub(super) fn post<T: DeserializeOwned>(&self, path: &'static str) -> Result<T, Failure> {
        let socket = self.socket()?;
        wait(client::post(&socket, path))
    }

    fn socket(&self) -> Result<std::path::PathBuf, Failure> {
        Ok(super::run::config(self.config.load())?.state.join("edge.sock"))
    }
}

fn wait<T>(asking: impl Future<Output = Result<T, ClientError>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
    runtime.block_on(asking).map_err(Failure::new)
}
