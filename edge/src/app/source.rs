//! Reads the operator's route files for the reloader.

use std::sync::Arc;

use routes::check::{Checked, Standing};
use routes::document::Source;

use crate::config::{self, Config};
use crate::reload::{RouteSource, Serving};

/// The route files of a configuration.
pub(super) struct RouteFiles {
    pub(super) config: Arc<Config>,
}

impl RouteSource for RouteFiles {
    fn read(&self, live: &Serving) -> Checked {
        let folder = &self.config.around.routes;
        let (sources, faults) = config::route_files(folder);
        // What cannot be read is not what is no longer wanted: the routes of before stay.
        let mut unread: Vec<String> =
            faults.iter().filter(|fault| fault.is_error()).map(|fault| fault.file.clone()).collect();
        if !folder.is_dir() {
            unread.push(folder.display().to_string());
        }
        let standing = Standing { routes: &live.routes, streams: &live.streams, unread: &unread };
        let mut checked = config::check_routes(&self.config, &sources, standing);
        checked.broken_files.extend(unread);
        checked.faults.extend(faults);
        checked
    }

    fn check_again(&self, file: &str, text: &str) -> Checked {
        config::check_routes(&self.config, &[Source::new(file, text)], Standing::default())
    }
}
