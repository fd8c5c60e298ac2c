//! One use of a middleware: its name, its kind and its settings, checked but not understood: what a kind does is
//! known to whoever builds it.

use crate::document::{Document, Item, Kind as Value, Source, Vars, quoted};
use crate::fault::{Faults, did_you_mean};
use crate::shape::walk_keys;
use crate::world::{Needs, Reading, World};

/// One step of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The name it was defined under; its kind where it has none.
    pub name: String,
    /// The kind of middleware.
    pub kind: String,
    /// Its settings as one inline table of TOML without variables.
    pub settings: String,
    /// Whether what it does depends on the canonical reading of the path.
    pub one_reading: bool,
    /// Whether it does nothing without servers.
    pub servers: bool,
    /// Whether it comes from the preset of the route.
    pub from_preset: bool,
}

/// The keys of every middleware.
const OURS: [&str; 2] = ["kind", "name"];

impl Step {
    /// Reads and checks the settings of one middleware. None if its kind is not known.
    pub(crate) fn read(item: &Item<'_>, name: Option<&str>, world: &World<'_>, faults: &mut Faults) -> Option<Self> {
        if item.kind() != Value::Table {
            let why = format!("a middleware is a table, found {}", item.kind().words());
            faults.push(item.fault(why).hint("write { kind = \"..\", .. }"));
            return None;
        }
        let Some(kind) = item.get("kind") else {
            faults.push(item.fault("the key `kind` is missing").hint(known(world)));
            return None;
        };
        faults.extend(kind.unresolved());
        let word = kind.as_str()?;
        let Some(found) = world.kinds.kind(word) else {
            let hint = did_you_mean(word, world.kinds.names()).unwrap_or_else(|| known(world));
            faults.push(kind.fault(format!("there is no kind of middleware `{word}`")).hint(hint));
            return None;
        };
        walk_keys(item, found.keys(), &OURS, faults);
        let Needs { one_reading, servers } = found.check(item, &mut Reading { world, faults });
        let own = item.get("name").and_then(|name| name.as_str());
        Some(Self {
            name: name.or(own).unwrap_or(word).to_owned(),
            kind: word.to_owned(),
            // A value of one key is one line.
            settings: format!("{{ {} }}", item.to_toml_lines(&["name"]).trim_end().replace('\n', ", ")),
            one_reading,
            servers,
            from_preset: false,
        })
    }

    /// The step as it may stand in `use`, with nothing to look up elsewhere.
    pub(crate) fn to_toml(&self) -> String {
        let Self { name, settings, .. } = self;
        match settings.strip_prefix('{') {
            Some(rest) if *name != self.kind => format!("{{ name = {},{rest}", quoted(name)),
            _ => settings.clone(),
        }
    }

    /// Reads the settings again, for who builds the middleware: they have been checked.
    pub fn with_settings<T>(&self, read: impl FnOnce(&Item<'_>) -> T) -> Option<T> {
        let source = Source::new(format!("middleware `{}`", self.name), format!("settings = {}", self.settings));
        let document = Document::parse(&source, &Vars::NONE).ok()?;
        document.root().get("settings").map(|settings| read(&settings))
    }
}

fn known(world: &World<'_>) -> String {
    format!("kinds: {}", world.kinds.names().join(", "))
}
