//! Where route files are, what they need to know of `edge.toml`, and their check with it. It is kept apart from the settings, so that
//! route files can be checked in the same run in which `edge.toml` itself has faults.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use routes::check::{Checked, Standing, check_beside};
use routes::document::{Source, Vars};
use routes::host::Host;
use routes::world::{Entrypoint, World};

use super::disk::RealDisk;
use super::environment::Environment;
use crate::middleware::AllKinds;

/// What route files need to know of `edge.toml`.
#[derive(Clone, Default)]
pub struct Around {
    /// `[vars]`, with the environment already in them.
    pub vars: BTreeMap<String, String>,
    /// Where other variables come from.
    pub environment: Environment,
    /// All entrypoints, in the order of the file.
    pub entrypoints: Vec<Entrypoint>,
    /// Whether `[acme]` is set.
    pub acme: bool,
    /// The names of all `[[certificate]]` that could be read.
    pub certificates: Vec<Host>,
    /// The folder of `edge.toml`, which paths in route files are relative to.
    pub folder: PathBuf,
    /// The folder of route files.
    pub routes: PathBuf,
}

impl Around {
    /// Checks route files against the real disk. One check is of one moment: files may change right after it.
    pub fn check(&self, sources: &[Source], standing: Standing<'_>) -> Checked {
        let known: Vec<String> = self.vars.keys().cloned().collect();
        let lookup = |name: &str| self.variable(name);
        check_beside(
            sources,
            &World {
                vars: Vars { lookup: &lookup, known: &known },
                entrypoints: &self.entrypoints,
                acme: self.acme,
                certificates: &self.certificates,
                folder: &self.folder,
                disk: &RealDisk,
                kinds: &AllKinds,
            },
            standing,
        )
    }

    /// The value of `${NAME}`: that of `[vars]`, else that of the environment.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.vars.get(name).map(String::as_str).or_else(|| self.environment.get(name)).map(str::to_owned)
    }
}

impl fmt::Debug for Around {
    /// Without the values of variables, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vars, environment, entrypoints, acme, certificates, folder, routes } = self;
        f.debug_struct("Around")
            .field("vars", &vars.keys())
            .field("environment", environment)
            .field("entrypoints", entrypoints)
            .field("acme", acme)
            .field("certificates", certificates)
            .field("folder", folder)
            .field("routes", routes)
            .finish()
    }
}
