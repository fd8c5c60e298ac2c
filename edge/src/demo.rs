//! `edge demo`: a whole edge with no domain, no root, no network and nothing installed, to look at and to edit. It brings
//! what a first look lacks (a folder, routes, backends, words) and leaves the serving to [`crate::app`].

mod vars;

mod folder;
mod ports;
mod samples;
mod words;

use std::io;
use std::path::PathBuf;

use crate::app::{self, Ready, RunError};
use crate::config::{self, Config, Environment, Loaded};
use folder::Folder;
use ports::Held;
use samples::Bound;
use words::Told;

pub use folder::FolderError;
pub use ports::PortError;

/// What can be chosen.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Folder of the demo [default: edge-demo in $XDG_DATA_HOME or ~/.local/share]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Remove what an earlier demo left in the folder, edits too
    #[arg(long)]
    pub fresh: bool,
    /// Port of HTTPS; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub https_port: u16,
    /// Port of plain HTTP, which redirects to HTTPS; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub http_port: u16,
    /// Port of the dashboard and the metrics; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 9180)]
    pub admin_port: u16,
}

impl Options {
    /// Each flag of a port with its variable in `edge.toml` and its value.
    fn ports(&self) -> [(&'static str, &'static str, u16); 3] {
        [
            ("--https-port", "HTTPS_PORT", self.https_port),
            ("--http-port", "HTTP_PORT", self.http_port),
            ("--admin-port", "ADMIN_PORT", self.admin_port),
        ]
    }
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// See [`FolderError`].
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// See [`PortError`].
    #[error(transparent)]
    Port(#[from] PortError),
    /// The sample backends have no sockets.
    #[error("the sample backends cannot listen on 127.0.0.1")]
    Samples(#[source] io::Error),
}

/// A demo that is ready to be served: its files are written, its backends have their sockets, its ports are held.
#[derive(Debug)]
pub struct Demo {
    folder: Folder,
    samples: Bound,
    held: Vec<Held>,
}

impl Demo {
    /// Writes what the folder lacks. Nothing is written before the folder and the ports are known to be free.
    ///
    /// # Errors
    /// See [`DemoError`].
    pub fn prepare(options: &Options, environment: &Environment) -> Result<Self, DemoError> {
        let folder = match &options.folder {
            Some(folder) => Folder::new(folder)?,
            None => Folder::of_user(|name| environment.get(name).map(str::to_owned))?,
        };
        folder.claim()?;
        let mut held = Vec::new();
        for (flag, var, port) in options.ports() {
            held.push((var, Held::take(flag, port)?));
        }
        if options.fresh {
            folder.start_over()?;
        }
        let samples = Bound::new().map_err(DemoError::Samples)?;
        let ports = held.iter().map(|(var, held)| (*var, held.port().to_string()));
        let vars: Vec<_> = ports.chain(samples.vars()).collect();
        folder.write(&vars, ports::has_ipv6())?;
        let held = held.into_iter().map(|(_, held)| held).collect();
        Ok(Self { folder, samples, held })
    }

    /// Reads the files as any edge reads them: they may have been edited.
    pub fn load(&self, environment: &Environment) -> Loaded {
        let mut loaded = config::load(&self.folder.config(), environment);
        // $EDGE_STATE is meant for the edge of this machine, not for its demo.
        if let Some(config) = loaded.config.as_mut().filter(|_| environment.get("EDGE_STATE").is_some()) {
            config.state = self.folder.state();
        }
        loaded
    }

    /// Serves until a signal. `say` gets what there is to print once everything listens, with colours if asked for.
    ///
    /// # Errors
    /// As [`app::run`].
    pub fn run(self, config: Config, colour: bool, say: impl FnOnce(&str) + Send) -> Result<(), RunError> {
        let Self { folder, samples, held } = self;
        drop(held);
        app::run(config, |ready| {
            samples.serve(&ready.tasks);
            say(&welcome(&folder, ready, colour));
        })
    }
}

fn welcome(folder: &Folder, ready: &Ready, colour: bool) -> String {
    // An edited edge.toml may have other entrypoints; then the words are wrong only where it differs.
    let port = |name: &str, default| {
        ready.entrypoints.get(name).and_then(|all| all.first()).map_or(default, |address| address.port())
    };
    Told {
        folder: folder.root(),
        routes: &folder.routes(),
        root_pem: &ready.root_pem,
        https: port("https", 443),
        http: port("http", 80),
        admin: ready.admin,
        colour,
    }
    .welcome()
}
