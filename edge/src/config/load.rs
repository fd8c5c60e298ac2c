//! The driver: finds the files, reads them, and hands their texts on.

use std::fs;
use std::io;
use std::path::Path;

use certs::RealDisk;
use routes::check::{Checked, Standing};
use routes::document::Source;
use routes::fault::{Fault, Place, sort};

use super::around::Around;
use super::check::check_routes;
use super::environment::Environment;
use super::folder::route_files;
use super::read::Reading;
use super::settings::Config;

/// Everything that was found on disk.
#[derive(Debug)]
pub struct Loaded {
    /// The settings, if the edge can run with them.
    pub config: Option<Config>,
    /// What route files need to know, as far as it could be read.
    pub around: Option<Around>,
    /// The route files, in the order of their paths.
    pub sources: Vec<Source>,
    /// Everything wrong with `edge.toml` and with the folder of route files; the route files themselves are not
    /// checked yet.
    pub faults: Vec<Fault>,
}

impl Loaded {
    /// Checks the route files, as at a start, as far as `edge.toml` could be read; none if it could not be read at all.
    pub fn check_routes(&self) -> Option<Checked> {
        match &self.config {
            Some(config) => Some(check_routes(config, &self.sources, Standing::default())),
            None => self.around.as_ref().map(|around| around.check(&self.sources, Standing::default())),
        }
    }
}

/// Reads `edge.toml` and the route files from disk.
pub fn load(path: &Path, environment: &Environment) -> Loaded {
    let source = match fs::read(path) {
        Ok(bytes) => Source::new(path.display().to_string(), bytes),
        Err(error) => {
            let faults = vec![unreadable(path, &error)];
            return Loaded { config: None, around: None, sources: Vec::new(), faults };
        }
    };
    let Reading { config, around, mut faults } = Config::read(&source, environment, &RealDisk);
    let (sources, more) = around.as_ref().map(|around| route_files(&around.routes)).unwrap_or_default();
    faults.extend(more);
    sort(&mut faults);
    Loaded { config, around, sources, faults }
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let place = Place::whole(path.display().to_string());
    if error.kind() == io::ErrorKind::NotFound {
        let fault = Fault::error(place, "", "there is no such file");
        return fault.hint("write it (even an empty one works), name another with --config, or try `edge demo`");
    }
    let fault = Fault::error(place, "", format!("it cannot be read: {error}"));
    fault.hint("it must be a file that the user edge runs as may read")
}
