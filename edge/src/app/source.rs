//! Reads the operator's route files for the reloader.

use std::sync::Arc;

use routes::check::Checked;
use routes::document::Source;

use crate::config::{self, Config};
use crate::reload::RouteSource;

/// The route files of a configuration.
pub(super) struct RouteFiles {
    pub(super) config: Arc<Config>,
}

impl RouteSource for RouteFiles {
    fn read(&self) -> Checked {
        let folder = &self.config.around.routes;
        let (sources, faults) = config::route_files(folder);
        let mut checked = config::check_routes(&self.config, &sources);
        // What cannot be read is not what is no longer wanted: the routes of before stay.
        checked.broken_files.extend(faults.iter().filter(|fault| fault.is_error()).map(|fault| fault.file.clone()));
        if !folder.is_dir() {
            checked.broken_files.push(folder.display().to_string());
        }
        checked.faults.extend(faults);
        checked
    }

    fn check_again(&self, file: &str, text: &str) -> Checked {
        config::check_routes(&self.config, &[Source::new(file, text)])
    }
}
