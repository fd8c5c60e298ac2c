//! Values back to TOML, such that reading the text again gives the same values whatever variables are set then.

use std::fmt::Write as _;

use super::{Entry, Node, Value};

/// `name = value`, without a line end.
pub(super) fn entry(entry: &Entry, text: &mut String) {
    if is_bare(&entry.name) {
        text.push_str(&entry.name);
    } else {
        string(&entry.name, text);
    }
    text.push_str(" = ");
    value(&entry.node, text);
}

/// A value on one line.
pub(super) fn value(node: &Node, text: &mut String) {
    match &node.value {
        Value::String(value) => string(&value.replace('$', "$$"), text),
        // Never read back: whoever has such a value has a fault instead of something to keep.
        Value::Unresolved(_) | Value::Date | Value::Integer(None) => text.push_str("\"\""),
        Value::Integer(Some(number)) => drop(write!(text, "{number}")),
        Value::Float(number) => drop(write!(text, "{number:?}")),
        Value::Bool(value) => drop(write!(text, "{value}")),
        Value::List(items) => separated(items, ['[', ']'], text, value),
        Value::Table(entries) => separated(entries, ['{', '}'], text, entry),
    }
}

fn separated<T>(items: &[T], [open, close]: [char; 2], text: &mut String, one: impl Fn(&T, &mut String)) {
    text.push(open);
    for (index, item) in items.iter().enumerate() {
        text.push_str(if index == 0 { " " } else { ", " });
        one(item, text);
    }
    text.push(' ');
    text.push(close);
}

/// A text with its quotes, as TOML.
pub(super) fn string(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            c if c.is_control() => drop(write!(text, "\\u{:04X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}

fn is_bare(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
