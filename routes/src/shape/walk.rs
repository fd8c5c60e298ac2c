//! Checks a document against a shape and reports everything that does not fit. Changes nothing, reads no meaning.

use super::{Key, Shape, quoted};
use crate::document::{Item, Kind};
use crate::fault::{Fault, Faults, did_you_mean};
use crate::units;

/// Notes every fault of `item` against `shape`: unknown and missing keys, wrong kinds, words, numbers and units,
/// and variables that are not known.
pub fn walk(item: &Item<'_>, shape: &Shape, faults: &mut Faults) {
    if let Some(fault) = item.unresolved() {
        return faults.push(fault);
    }
    match shape {
        Shape::Any => {}
        Shape::Later => faults.push(later(item)),
        Shape::Either(shapes) => either(item, shapes, shape, faults),
        Shape::OneOrMany(one) if item.kind() != Kind::List => walk_one_of_many(item, one, shape, faults),
        Shape::OneOrMany(one) | Shape::List(one) if item.kind() == Kind::List => {
            item.items().for_each(|item| walk(&item, one, faults));
        }
        Shape::Table(keys) if item.kind() == Kind::Table => table(item, keys, faults),
        Shape::Map(one) if item.kind() == Kind::Table => item.entries().for_each(|(_, item)| walk(&item, one, faults)),
        _ => faults.extend(scalar(item, shape)),
    }
}

fn later(item: &Item<'_>) -> Fault {
    let why = format!("`{}` is not available in this version", item.name());
    item.key_fault(why).hint("remove it; it is planned for a later version")
}

fn either(item: &Item<'_>, shapes: &[Shape], all: &Shape, faults: &mut Faults) {
    match shapes.iter().find(|shape| takes(shape, item.kind())) {
        Some(shape) => walk(item, shape, faults),
        None => faults.push(wrong_kind(item, all)),
    }
}

fn walk_one_of_many(item: &Item<'_>, one: &Shape, all: &Shape, faults: &mut Faults) {
    if takes(one, item.kind()) {
        walk(item, one, faults);
    } else {
        faults.push(wrong_kind(item, all));
    }
}

/// Whether a value of this kind can be of this shape at all.
fn takes(shape: &Shape, kind: Kind) -> bool {
    match shape {
        Shape::Table(_) | Shape::Map(_) => kind == Kind::Table,
        Shape::Text(_) | Shape::Duration | Shape::Bytes | Shape::Rate | Shape::OneOf { .. } => kind == Kind::String,
        Shape::Integer { .. } => kind == Kind::Integer,
        Shape::Bool => kind == Kind::Bool,
        Shape::List(_) => kind == Kind::List,
        Shape::OneOrMany(one) => kind == Kind::List || takes(one, kind),
        Shape::Either(shapes) => shapes.iter().any(|shape| takes(shape, kind)),
        Shape::Any => true,
        Shape::Later => false,
    }
}

fn wrong_kind(item: &Item<'_>, shape: &Shape) -> Fault {
    item.fault(format!("`{}`: expected {}, found {}", item.name(), shape.words(), item.kind().words()))
}

fn table(item: &Item<'_>, keys: &[Key], faults: &mut Faults) {
    walk_keys(item, keys, &[], faults);
}

/// As [`walk`] for a table of these keys, passing over those that somebody else looks at.
pub fn walk_keys(item: &Item<'_>, keys: &[Key], besides: &[&str], faults: &mut Faults) {
    for (name, value) in item.entries().filter(|(name, _)| !besides.contains(name)) {
        match keys.iter().find(|key| key.name == name) {
            Some(key) => walk(&value, &key.shape, faults),
            None => {
                faults.push(unknown_key(&value, name, keys));
                unresolved_within(&value, faults);
            }
        }
    }
    for key in keys.iter().filter(|key| key.required && item.get(key.name).is_none()) {
        faults.push(item.fault(format!("the key `{}` is missing", key.name)));
    }
}

fn unknown_key(value: &Item<'_>, name: &str, keys: &[Key]) -> Fault {
    let usable = || keys.iter().filter(|key| key.is_usable()).map(|key| key.name);
    let hint = did_you_mean(name, usable())
        .unwrap_or_else(|| format!("known here: {}", usable().collect::<Vec<_>>().join(", ")));
    value.key_fault(format!("unknown key `{name}`")).hint(hint)
}

/// A key that nobody knows may still hold variables that nobody set: both are told in one run.
fn unresolved_within(item: &Item<'_>, faults: &mut Faults) {
    faults.extend(item.unresolved());
    item.items().for_each(|item| unresolved_within(&item, faults));
    item.entries().for_each(|(_, item)| unresolved_within(&item, faults));
}

fn scalar(item: &Item<'_>, shape: &Shape) -> Option<Fault> {
    if !takes(shape, item.kind()) {
        return Some(wrong_kind(item, shape));
    }
    let text = item.as_str().unwrap_or_default();
    match shape {
        Shape::Integer { min, max } => integer(item, *min, *max),
        Shape::Duration => unit(
            item,
            units::duration(text).err(),
            "write a number with ms, s, m, h or d: \"5s\", \"2m\"; \"0\" is no limit",
        ),
        Shape::Bytes => unit(
            item,
            units::bytes(text).err(),
            "write a number with B, KiB, MiB or GiB: \"32KiB\"; \"none\" is no limit",
        ),
        Shape::Rate => unit(item, units::rate(text).err(), "write a size per second: \"500B/s\"; \"none\" is no limit"),
        Shape::OneOf { now, later } => word(item, text, now, later),
        _ => None,
    }
}

fn integer(item: &Item<'_>, min: i64, max: i64) -> Option<Fault> {
    let fits = item.as_integer().is_some_and(|number| (min..=max).contains(&number));
    (!fits).then(|| item.fault(format!("`{}` must be a whole number from {min} to {max}", item.name())))
}

fn unit(item: &Item<'_>, error: Option<units::UnitError>, hint: &str) -> Option<Fault> {
    let text = item.as_str().unwrap_or_default();
    error.map(|error| item.fault(format!("`{}` cannot be read from \"{text}\": {error}", item.name())).hint(hint))
}

fn word(item: &Item<'_>, text: &str, now: &[&str], later: &[&str]) -> Option<Fault> {
    if now.contains(&text) {
        return None;
    }
    let known = format!("use {}", quoted(now));
    if later.iter().any(|word| *word == text || (word.ends_with(':') && text.starts_with(word))) {
        return Some(item.fault(format!("\"{text}\" is not available in this version")).hint(known));
    }
    let hint = did_you_mean(text, now.iter().copied()).unwrap_or(known);
    Some(item.fault(format!("`{}`: expected one of {}, found \"{text}\"", item.name(), quoted(now))).hint(hint))
}
