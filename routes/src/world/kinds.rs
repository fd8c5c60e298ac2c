//! The kinds of middleware as the check of routes sees them: which keys each has and what is wrong with a use of it.
//! What they do with requests is known to whoever gives them.

use std::fmt;

use super::{Seen, World, resolve};
use crate::document::Item;
use crate::fault::Faults;
use crate::shape::Key;

/// All kinds of middleware.
pub trait Kinds {
    /// The kind of this name.
    fn kind(&self, name: &str) -> Option<&dyn Kind>;
    /// Every name, in the order of the reference.
    fn names(&self) -> Vec<&'static str>;
}

/// One kind of middleware.
pub trait Kind {
    /// Its name in `kind = ".."`.
    fn name(&self) -> &'static str;
    /// Its keys, besides `kind` and `name`.
    fn keys(&self) -> &'static [Key];
    /// Notes what is wrong with these settings beyond their shape.
    fn check(&self, settings: &Item<'_>, reading: &mut Reading<'_>) -> Needs;
}

/// What a use of a middleware asks of its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// Whether what it does depends on the canonical reading of the path: paths with two readings are then refused.
    pub one_reading: bool,
    /// Whether it does nothing without servers: on a route that answers by itself it is a fault.
    pub servers: bool,
}

/// The check of the settings of one middleware.
pub struct Reading<'a> {
    /// Everything around.
    pub world: &'a World<'a>,
    /// What is wrong.
    pub faults: &'a mut Faults,
}

impl Reading<'_> {
    /// Notes a fault unless a file is at the path that `item` names, relative to the folder of `edge.toml`.
    pub fn file(&mut self, item: &Item<'_>) {
        let Some(path) = item.as_str() else { return };
        let path = resolve(self.world.folder, path);
        let why = match self.world.disk.look(&path) {
            Seen::File => return,
            Seen::Folder => format!("`{}` is a folder, not a file", path.display()),
            Seen::Missing => format!("`{}` does not exist", path.display()),
            Seen::Unreadable(error) => format!("`{}` cannot be read: {error}", path.display()),
        };
        self.faults.push(item.fault(why).hint("paths are relative to the folder of edge.toml"));
    }
}

impl fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("faults", &self.faults).finish_non_exhaustive()
    }
}

/// No kinds at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoKinds;

impl Kinds for NoKinds {
    fn kind(&self, _: &str) -> Option<&dyn Kind> {
        None
    }

    fn names(&self) -> Vec<&'static str> {
        Vec::new()
    }
}
