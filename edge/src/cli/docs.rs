//! `edge docs`: the generated pages of `docs/`, made from the same data as the checks and the metrics.

use std::fs;
use std::io;
use std::path::PathBuf;

use routes::shape::{reference, table_of};

use super::failure::{Exit, Failure};
use super::out::Out;
use crate::config::EDGE;
use crate::middleware::KINDS;
use crate::telemetry;

mod backends;

/// Write the generated pages of the documentation.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge docs --write docs")]
pub(super) struct Args {
    /// The folder to write CONFIG.md, METRICS.md, MIDDLEWARES.md and backends/ into
    #[arg(long, value_name = "DIR")]
    write: PathBuf,
}

/// A page could not be saved.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
struct NotSaved {
    path: PathBuf,
    #[source]
    why: io::Error,
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let not_saved = |path: PathBuf, why| {
        Failure::new(NotSaved { path, why }).hint("name a folder that is there and can be written")
    };
    backends::make_folder(&args.write).map_err(|why| not_saved(args.write.join("backends"), why))?;
    let own =
        [("CONFIG.md", config_page()), ("METRICS.md", telemetry::reference()), ("MIDDLEWARES.md", middlewares_page())];
    let own = own.map(|(name, text)| (args.write.join(name), text));
    for (path, text) in own.into_iter().chain(backends::pages(&args.write)) {
        fs::write(&path, text).map_err(|why| not_saved(path.clone(), why))?;
        out.line(path.display());
    }
    Ok(Exit::Done)
}

fn config_page() -> String {
    let edge = reference(&EDGE, 3);
    let routes = reference(&routes::file::FILE, 3);
    format!("{INTRODUCTION}\n## edge.toml\n\n{EDGE_NOTES}\n{edge}{}\n{routes}", ROUTE_NOTES).trim_end().to_owned()
        + "\n"
}

/// One section a kind: the words that open its file, and its keys.
fn middlewares_page() -> String {
    let kinds: Vec<String> = KINDS.iter().map(|kind| format!("[`{0}`](#{0})", kind.name)).collect();
    let sections = KINDS.iter().map(|kind| {
        let keys = if kind.keys.is_empty() { String::new() } else { table_of(kind.keys, 3) };
        format!("## {}\n\n{}\n\n{keys}", kind.name, kind.docs())
    });
    let sections: Vec<String> = sections.map(|section| section.trim_end().to_owned()).collect();
    format!("{MIDDLEWARES}\n{}\n\n{}\n", kinds.join(" · "), sections.join("\n\n"))
}

const MIDDLEWARES: &str = "\
# Middlewares

Made from the code by `./dev docs`; do not edit.

A middleware is one named step between a route and its target. `use` of a route names its middlewares in the order in
which they see a request; they see the answer in the reverse order, answers of the edge itself included. A step is
defined once in any route file as `[middleware.NAME]` and used by name, or written on the spot:

```toml
[[route]]
host = \"mlflow.${DOMAIN}\"
upstream = \"http://127.0.0.1:5000\"
use = [\"hardened\", { kind = \"strip-prefix\", prefix = \"/app\" }]

[middleware.hardened]
kind = \"headers\"
response = { set = { x-frame-options = \"DENY\" } }
```

The steps of a `preset` come first; `without = [\"KIND\"]` on the route leaves kinds of them out. A fault in a middleware
rejects the routes that use it, and no others; what a middleware stands on and cannot be had (a users file) closes its
routes, never opens them. `edge explain URL` shows the steps of a request with their settings.
";

const INTRODUCTION: &str = "\
# Configuration

Made from the code by `./dev docs`; do not edit.

`edge.toml` says what is bound and how the edge runs; a change needs a restart. The `*.toml` files in the folder
`routes` say what is served; they are read again within a second of a change. `edge check` tells every fault of all
files at once, `edge explain URL` which route takes a request and why, `edge schema` prints JSON Schemas for editors.

In every string, `${NAME}` is the value of a variable: of `[vars]` in `edge.toml`, else of the environment.
`${NAME:-default}` has a value where there is none, and `$$` is a dollar sign. A key that is not known is an error.

| value | how it is written |
|---|---|
| time | a whole number with `ms`, `s`, `m`, `h` or `d`: `\"5s\"`; `\"0\"` is no limit |
| size | a whole number with `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB` or `GB`: `\"32KiB\"`; `\"none\"` is no limit |
| rate | a size per second: `\"500B/s\"`; `\"none\"` is no limit |
| a network | `\"10.0.0.0/8\"`, `\"2001:db8::/32\"` or an address |
| a folder, a file | a path, relative to the folder of `edge.toml` |
";

const EDGE_NOTES: &str = "\
Every key may be left out; an empty file serves `routes/` on ports 80 and 443.

```toml
[vars]
DOMAIN = \"example.com\"

[acme]
email = \"ops@${DOMAIN}\"
```
";

const ROUTE_NOTES: &str = "\
## Route files

A file holds any number of `[[route]]`, `[[tcp]]` and `[[udp]]` tables, with names that are unique among all of them. Each
`[[route]]` has exactly one of `upstream`, `redirect`, `files` and `respond`.
A route with a fault is rejected alone: its last good version goes on serving, and the other routes are not touched.

```toml
[[route]]
host = \"mlflow.${DOMAIN}\"
upstream = \"http://127.0.0.1:5000\"
```

Which route wins: an exact host before a wildcard before none; then an exact path, the longest prefix, a regular
expression, none; then the one with more conditions; then the higher `priority`. Two routes that cannot be told apart
are an error that names both, and a route that can never win is a warning.

### Connections below HTTP

A `[[tcp]]` carries the connections of PostgreSQL, or of any other protocol over TCP. For PostgreSQL edge knows the way into
TLS, cancel requests and how to refuse. Its entrypoint in `edge.toml` is the last of these; who writes one of them has to
write those of HTTP too:

```toml
[entrypoint.http]
redirect = \"https\"

[entrypoint.https]
tls = true

[entrypoint.postgres]
protocol = \"postgres\"
```

and a route

```toml
[[tcp]]
host = \"postgres.${DOMAIN}\"
entrypoint = \"postgres\"
upstream = \"127.0.0.1:5432\"
```

Which one takes a connection: an exact host before a wildcard before none; then for PostgreSQL one with `database` and
`user` before one with `database`, with `user`, with neither. A client that names no host is for the routes without one; where
there are none and all routes of the entrypoint have the same hosts, for those. On an entrypoint of HTTPS a `[[tcp]]` takes the
connections of its hosts, and its TLS passes untouched unless it says otherwise.

### Datagrams

A `[[udp]]` binds addresses of its own, not those of an entrypoint:

```toml
[[udp]]
name = \"rustdesk-id\"
listen = \"0.0.0.0:21116\"
upstream = \"10.0.0.9:21116\"
```

RustDesk's ports 21115 and 21117 take whoever comes from their own machine for an administrator: edge refuses to carry
connections there by a loopback address.

### All keys
";
