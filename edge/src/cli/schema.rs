//! `edge schema`: the JSON Schema of both kinds of file, for editors.

use routes::shape::{schema, schema_of};
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::out::Out;
use crate::config::EDGE;
use crate::middleware::{Entry, KINDS};

/// Print the JSON Schema of edge.toml and of route files, for editors.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge schema routes > ~/.config/edge-routes.schema.json\n  \
    # and as the first line of a route file, for editors with the Taplo language server:\n  \
    #:schema ~/.config/edge-routes.schema.json")]
pub(super) struct Args {
    /// One kind of file; both under `$defs` if none is named
    file: Option<File>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum File {
    /// edge.toml
    Edge,
    /// A route file
    Routes,
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    out.json(&document(args.file));
    Ok(Exit::Done)
}

/// Names the kinds of middleware with their keys, for `[middleware.NAME]` and for `use`.
fn with_kinds(mut file: Value) -> Value {
    let one = json!({ "oneOf": KINDS.iter().map(kind).collect::<Vec<_>>() });
    file["properties"]["middleware"]["additionalProperties"] = one.clone();
    let used = json!({ "anyOf": [{ "type": "string", "title": "a middleware's name" }, one] });
    let uses = &mut file["properties"]["route"]["items"]["properties"]["use"];
    uses["anyOf"] = json!([used, { "type": "array", "items": used }]);
    file
}

fn kind(entry: &Entry) -> Value {
    let mut one = schema_of(entry.keys);
    one["properties"]["kind"] = json!({ "const": entry.name });
    one["properties"]["name"] = json!({ "type": "string" });
    let required = one["required"].as_array().cloned().unwrap_or_default();
    one["required"] = std::iter::once(json!("kind")).chain(required).collect();
    one["description"] = json!(entry.docs().split("\n\n").next());
    one
}

fn document(file: Option<File>) -> Value {
    match file {
        Some(File::Edge) => schema("edge.toml", &EDGE),
        Some(File::Routes) => with_kinds(schema("a route file of edge", &routes::file::FILE)),
        None => json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "the files of edge",
            "$defs": { "edge": document(Some(File::Edge)), "routes": document(Some(File::Routes)) },
        }),
    }
}
