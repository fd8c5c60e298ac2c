//! `edge schema`: the JSON Schema of both kinds of file, for editors.

use routes::shape::schema;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::out::Out;
use crate::config::EDGE;

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

fn document(file: Option<File>) -> Value {
    match file {
        Some(File::Edge) => schema("edge.toml", &EDGE),
        Some(File::Routes) => schema("a route file of edge", &routes::file::FILE),
        None => json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "the files of edge",
            "$defs": { "edge": document(Some(File::Edge)), "routes": document(Some(File::Routes)) },
        }),
    }
}
