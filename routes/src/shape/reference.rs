//! A shape as a Markdown reference for people: one table of keys for each table of the file.

use std::fmt::Write as _;

use super::{Key, Shape, quoted};

/// The reference of a file whose root has this shape, under headings of this level (`2` is `##`).
pub fn reference(shape: &Shape, level: usize) -> String {
    let mut text = String::new();
    let mut waiting = vec![(String::new(), *shape)];
    while !waiting.is_empty() {
        let (path, shape) = waiting.remove(0);
        let Some(keys) = keys_of(&shape) else { continue };
        section(&path, keys, level, &mut text);
        let children = keys.iter().filter(|key| key.is_usable() && keys_of(&key.shape).is_some());
        let children: Vec<_> = children.map(|key| (inside(join(&path, key.name), &key.shape), key.shape)).collect();
        waiting.splice(0..0, children);
    }
    text
}

/// The keys of one table and of the tables in it.
pub fn table_of(keys: &'static [Key], level: usize) -> String {
    reference(&Shape::Table(keys), level)
}

fn section(path: &str, keys: &[Key], level: usize, text: &mut String) {
    if !path.is_empty() {
        let _ = write!(text, "{} `{path}`\n\n", "#".repeat(level));
    }
    text.push_str("| key | value | default | what it does |\n|---|---|---|---|\n");
    for key in keys.iter().filter(|key| key.is_usable()) {
        let default = if key.required { Some("required".to_owned()) } else { key.default_markdown() };
        let default = cell(&default.unwrap_or_default());
        let _ = writeln!(text, "| `{}` | {} | {default} | {} |", key.name, cell(&value(&key.shape)), cell(key.doc));
    }
    text.push('\n');
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The path of a table within a value: what a key path of a fault has in its place.
fn inside(path: String, shape: &Shape) -> String {
    match shape {
        Shape::Map(_) => path + ".NAME",
        _ => path,
    }
}

/// The keys of the table that a value of this shape may be, or hold.
fn keys_of(shape: &Shape) -> Option<&'static [Key]> {
    match shape {
        Shape::Table(keys) => Some(keys),
        Shape::Map(one) | Shape::List(one) | Shape::OneOrMany(one) => keys_of(one),
        // A table stands for the whole value; a list of tables for parts of it.
        Shape::Either(shapes) => {
            let tables = shapes.iter().filter(|shape| matches!(shape, Shape::Table(_)));
            tables.chain(shapes.iter()).find_map(keys_of)
        }
        _ => None,
    }
}

fn value(shape: &Shape) -> String {
    match shape {
        Shape::Table(_) => "table".into(),
        Shape::Map(one) => format!("table of names, each: {}", value(one)),
        Shape::Text(what) => (*what).into(),
        Shape::Integer { min, max } => format!("{min} to {max}"),
        Shape::Bool => "`true` or `false`".into(),
        Shape::Duration => "time".into(),
        Shape::Bytes => "size".into(),
        Shape::Rate => "rate".into(),
        Shape::OneOf { now, .. } => quoted(now),
        Shape::List(one @ Shape::Either(_)) => format!("list of these: {}", value(one)),
        Shape::List(one) => format!("list of: {}", value(one)),
        Shape::OneOrMany(one) => format!("{}, or a list of these", value(one)),
        Shape::Either(shapes) => shapes.iter().map(value).collect::<Vec<_>>().join("; or "),
        Shape::Any => "anything".into(),
        Shape::Later => String::new(),
    }
}
