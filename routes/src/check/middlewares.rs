//! The middlewares that all route files together define: one fault in one of them is told once, and rejects the routes
//! that use it.

use std::collections::hash_map::Entry;

use crate::document::{Document, Kind};
use crate::fault::{Fault, Faults};
use crate::file::{Definition, Definitions};
use crate::step::Step;
use crate::world::World;

/// Reads every `[middleware.NAME]`.
pub(super) fn middlewares(documents: &[Document], world: &World<'_>, all: &mut Vec<Fault>) -> Definitions {
    let mut definitions = Definitions::new();
    for table in documents.iter().filter_map(|document| document.root().get("middleware")) {
        let mut faults = Faults::new();
        if table.kind() != Kind::Table {
            let fault = table.fault(format!("`middleware` is a table of names, found {}", table.kind().words()));
            faults.push(fault.hint("begin each one with [middleware.NAME]"));
        }
        for (name, item) in table.entries() {
            let mut own = Faults::new();
            let step = Step::read(&item, Some(name), world, &mut own).filter(|_| !own.has_errors());
            match definitions.entry(name.to_owned()) {
                Entry::Occupied(first) => {
                    let Definition { place, .. } = first.get();
                    let why = format!("the middleware `{name}` is defined at {}:{} already", place.file, place.line);
                    own.push(item.key_fault(why).hint("give one of them another name"));
                }
                Entry::Vacant(entry) => drop(entry.insert(Definition { step, place: item.place() })),
            }
            faults.extend(own.iter().cloned().collect::<Vec<_>>());
        }
        all.extend(faults.iter().cloned());
    }
    definitions
}

#[cfg(test)]
mod tests;
