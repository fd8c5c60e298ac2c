//! A shape as JSON Schema, draft 2020-12, for editors that complete and check TOML. Not used for our own checks.

use serde_json::{Map, Value, json};

use super::{Key, Shape};

/// The schema of a file whose root has this shape.
pub fn schema(title: &str, shape: &Shape) -> Value {
    let mut schema = of(shape);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema
}

/// The schema of a table of these keys, to be put into another.
pub fn schema_of(keys: &[Key]) -> Value {
    table(keys)
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Table(keys) => table(keys),
        Shape::Map(one) => json!({ "type": "object", "additionalProperties": of(one) }),
        Shape::Text("text") => json!({ "type": "string" }),
        Shape::Text(what) => json!({ "type": "string", "title": what }),
        Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Duration => pattern("^(0|[0-9]+(ms|s|m|h|d))$"),
        Shape::Bytes => pattern("^(none|0|[0-9]+(B|KiB|MiB|GiB|KB|MB|GB))$"),
        Shape::Rate => pattern("^(none|0|[0-9]+(B|KiB|MiB|GiB|KB|MB|GB)/s)$"),
        Shape::OneOf { now, .. } => words(now),
        Shape::List(one) => json!({ "type": "array", "items": of(one) }),
        Shape::OneOrMany(one) => json!({ "anyOf": [of(one), { "type": "array", "items": of(one) }] }),
        Shape::Either(shapes) => json!({ "anyOf": shapes.iter().map(of).collect::<Vec<_>>() }),
        Shape::Any => json!({}),
        Shape::Later => json!(false),
    }
}

/// A value with a variable in it is only known when the file is loaded: an editor must not call it wrong.
const WITH_VARIABLE: &str = r"\$\{[^}]*\}";

fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": format!("{pattern}|{WITH_VARIABLE}") })
}

fn words(words: &[&str]) -> Value {
    json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": WITH_VARIABLE }] })
}

fn table(keys: &[Key]) -> Value {
    let usable = || keys.iter().filter(|key| key.is_usable());
    let properties: Map<String, Value> = usable().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = usable().filter(|key| key.required).map(|key| key.name).collect();
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

fn property(key: &Key) -> Value {
    let mut property = of(&key.shape);
    let default = key.default_markdown().map(|default| format!(" Default: {default}.")).unwrap_or_default();
    property["description"] = json!(format!("{}{default}", key.doc));
    property
}
