//! How the middlewares of a route are written: `use`, and what a preset brings.

use std::collections::HashMap;

use super::Reader;
use crate::document::{Item, Kind};
use crate::fault::{Place, did_you_mean};
use crate::shape::Shape;
use crate::step::Step;
use crate::target::Target;

pub(super) const USE: Shape = Shape::OneOrMany(&Shape::Either(&[Shape::Text("a middleware's name"), Shape::Any]));
pub(super) const USE_DOC: &str = "Middlewares in the order in which they see a request: names of `[middleware.NAME]`, or \
    tables `{ kind = \"..\", .. }`; they see its answer in the reverse order. Those of the preset come first.";
pub(super) const WITHOUT_DOC: &str = "Kinds of middleware of the preset that this route does without.";

/// The middlewares that all files together define.
pub(crate) type Definitions = HashMap<String, Definition>;

/// One `[middleware.NAME]`.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    /// What it is, if it can be used.
    pub(crate) step: Option<Step>,
    /// Where it stands.
    pub(crate) place: Place,
}

impl Reader<'_> {
    /// Refuses steps that would do nothing: somebody who writes one expects something of it.
    pub(super) fn check_servers(&mut self, item: &Item<'_>, steps: &[Step], target: Option<&Target>) {
        if target.is_none_or(|target| matches!(target, Target::Upstream(_))) {
            return;
        }
        for step in steps.iter().filter(|step| step.servers) {
            let at = item.own("use").unwrap_or_else(|| item.clone());
            let fault = at.fault(format!("`{}` does nothing on a route without an upstream", step.name));
            self.faults.push(fault.hint("remove it from `use`"));
        }
    }

    /// The steps of the preset, then those of the route.
    pub(super) fn steps(&mut self, item: &Item<'_>, preset: Option<&Item<'_>>, definitions: &Definitions) -> Vec<Step> {
        let without: Vec<Item<'_>> = item.own("without").map(|item| item.one_or_many()).unwrap_or_default();
        let mut steps = Vec::new();
        for given in preset.and_then(|preset| preset.own("use")).map(|list| list.one_or_many()).unwrap_or_default() {
            let Some(step) = Step::read(&given, None, self.world, &mut self.faults) else { continue };
            if !without.iter().any(|kind| kind.as_str() == Some(&step.kind)) {
                steps.push(Step { from_preset: true, ..step });
            }
        }
        self.check_without(&without, preset);
        for given in item.own("use").map(|list| list.one_or_many()).unwrap_or_default() {
            match given.kind() {
                Kind::String => steps.extend(self.named(&given, definitions)),
                _ => steps.extend(Step::read(&given, None, self.world, &mut self.faults)),
            }
        }
        steps
    }

    fn named(&mut self, given: &Item<'_>, definitions: &Definitions) -> Option<Step> {
        let name = given.as_str()?;
        let Some(Definition { step, place }) = definitions.get(name) else {
            let hint = did_you_mean(name, definitions.keys().map(String::as_str));
            let hint = hint.unwrap_or_else(|| format!("define it: [middleware.{name}] with a `kind`"));
            self.faults.push(given.fault(format!("there is no middleware `{name}`")).hint(hint));
            return None;
        };
        if step.is_none() {
            let why = format!("the middleware `{name}` at {}:{} has a fault", place.file, place.line);
            self.faults.push(given.fault(why).hint("the fault is told where it stands"));
        }
        step.clone()
    }

    fn check_without(&mut self, without: &[Item<'_>], preset: Option<&Item<'_>>) {
        let brought = preset.and_then(|preset| preset.own("use")).map(|list| list.one_or_many()).unwrap_or_default();
        let kinds: Vec<&str> = brought.iter().filter_map(|step| step.get("kind")?.as_str()).collect();
        for item in without {
            if let Some(word) = item.as_str().filter(|word| !kinds.contains(word)) {
                let brings = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") };
                let why = format!("the preset of this route brings no middleware of the kind `{word}`");
                self.faults.push(item.fault(why).hint(format!("it brings {brings}")));
            }
        }
    }
}
