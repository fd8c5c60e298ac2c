//! Middlewares without an edge around them: made from their TOML, asked with plain values. Compiled for tests alone.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use routes::document::{Document, Item, Source, Vars};
use routes::fault::Faults;
use routes::shape::walk_keys;
use routes::step::Step;
use routes::world::{Disk, Kinds as _, Reading, Seen, World};

use super::{AllKinds, Ask, Asker, BuildError, Building, Done, Edit, Flow, Kind, Middleware, Reply, build};
use crate::telemetry::{BuildInfo, Metrics};

/// A request for a test: change what matters.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) query: Option<&'static str>,
    pub(crate) headers: HeaderMap,
    pub(crate) client: IpAddr,
}

/// A GET of `path` (with its query) at `https://app.example:8443`.
pub(crate) fn get(target: &'static str) -> Request {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    Request { method: Method::GET, path, query, headers: HeaderMap::new(), client }
}

impl Request {
    pub(crate) fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        self.headers.append(name, HeaderValue::from_str(value).expect("a value"));
        self
    }

    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker {
            method: &self.method,
            scheme: "https",
            host: "app.example",
            authority: "app.example:8443",
            path: self.path,
            query: self.query,
            headers: &self.headers,
            client: self.client,
            route: "app",
            request_id: "id",
            has_body: false,
        }
    }
}

/// Makes a middleware from the lines of its table.
#[track_caller]
pub(crate) fn made(kind: &str, settings: &str) -> Arc<dyn Middleware> {
    made_in(Path::new("/"), kind, settings)
}

/// As [`made`], with files and state below `folder`.
#[track_caller]
pub(crate) fn made_in(folder: &Path, kind: &str, settings: &str) -> Arc<dyn Middleware> {
    try_made_in(folder, kind, settings).expect("good settings")
}

/// As [`made_in`], for settings or files that may be bad.
#[track_caller]
pub(crate) fn try_made_in(folder: &Path, kind: &str, settings: &str) -> Result<Arc<dyn Middleware>, BuildError> {
    let metrics = Metrics::new(BuildInfo { version: "0", commit: "" }).route("app");
    build(&step(kind, settings), &Building { folder, state: folder, route: "app", name: kind, metrics: &metrics })
}

/// A step of a route with the lines of a table.
pub(crate) fn step(kind: &str, settings: &str) -> Step {
    let table: toml::Table = settings.parse().expect("TOML");
    let mut inline = format!("{{ kind = \"{kind}\"");
    table.iter().for_each(|(name, value)| inline.push_str(&format!(", {name} = {}", inline_value(value))));
    inline.push_str(" }");
    Step {
        name: kind.into(),
        kind: kind.into(),
        settings: inline,
        one_reading: false,
        servers: false,
        from_preset: false,
    }
}

/// As [`made_in`], of a kind that is known.
#[track_caller]
pub(crate) fn made_as<K: Kind>(folder: &Path, settings: &str) -> K {
    let (read, _) = read(settings, |item, reading| K::read(item, reading));
    let metrics = Metrics::new(BuildInfo { version: "0", commit: "" }).route("app");
    let building = Building { folder, state: folder, route: "app", name: K::NAME, metrics: &metrics };
    K::build(read.expect("good settings"), &building).expect("it can be made")
}

/// What the check finds wrong with the lines of a table.
pub(crate) fn faults(kind: &str, settings: &str) -> Vec<String> {
    let faults = checked(kind, settings);
    faults.iter().filter(|fault| fault.is_error()).map(|fault| fault.why.clone()).collect()
}

/// What the check warns of in the lines of a table.
pub(crate) fn warnings(kind: &str, settings: &str) -> Vec<String> {
    let faults = checked(kind, settings);
    faults.iter().filter(|fault| !fault.is_error()).map(|fault| fault.why.clone()).collect()
}

fn checked(kind: &str, settings: &str) -> Faults {
    let kind = AllKinds.kind(kind).expect("a kind");
    let check = |item: &Item<'_>, reading: &mut Reading<'_>| {
        walk_keys(item, kind.keys(), &[], reading.faults);
        kind.check(item, reading);
    };
    read(settings, check).1
}

fn read<T>(settings: &str, read: impl FnOnce(&Item<'_>, &mut Reading<'_>) -> T) -> (T, Faults) {
    let text = format!("[middleware]\n{settings}\n");
    let document = Document::parse(&Source::new("a.toml", text), &Vars::NONE).expect("TOML");
    let item = document.root().get("middleware").expect("it was written");
    let world = World {
        vars: Vars::NONE,
        entrypoints: &[],
        acme: false,
        certificates: &[],
        folder: Path::new("/"),
        disk: &Empty,
        kinds: &AllKinds,
    };
    let mut faults = Faults::new();
    let value = read(&item, &mut Reading { world: &world, faults: &mut faults });
    (value, faults)
}

/// A disk without files.
struct Empty;

impl Disk for Empty {
    fn look(&self, _: &Path) -> Seen {
        Seen::Missing
    }
}

fn inline_value(value: &toml::Value) -> String {
    value.to_string()
}

/// What a middleware says to a request, and what it has done with it.
pub(crate) fn ask(middleware: &Arc<dyn Middleware>, request: &Request) -> (Flow, Done) {
    let mut done = Done::default();
    let flow = middleware.request(&mut Ask { from: request.asker(), done: &mut done });
    (flow, done)
}

/// As [`ask`], for one that takes time.
pub(crate) async fn ask_and_wait(middleware: &Arc<dyn Middleware>, request: &Request) -> (Flow, Done) {
    let (mut flow, mut done) = ask(middleware, request);
    if matches!(flow, Flow::Wait) {
        flow = middleware.wait(&mut Ask { from: request.asker(), done: &mut done }).await;
    }
    (flow, done)
}

/// The status and the fields that the client sees after `middleware` saw this answer of a server.
pub(crate) fn reply(
    middleware: &Arc<dyn Middleware>,
    request: &Request,
    done: &mut Done,
    status: u16,
    fields: &[(&str, &str)],
) -> (u16, HeaderMap) {
    let base = get("/").with(fields).headers;
    let status = StatusCode::from_u16(status).expect("a status");
    let mut reply = Reply {
        to: request.asker(),
        done,
        status,
        from_server: true,
        server: Some("127.0.0.1:5000"),
        base: &base,
        edits: Vec::new(),
    };
    middleware.reply(&mut reply);
    let (status, edits) = (reply.status.as_u16(), reply.edits);
    (status, apply(base, edits))
}

/// The fields after these changes.
pub(crate) fn apply(mut fields: HeaderMap, edits: Vec<Edit>) -> HeaderMap {
    for edit in edits {
        match edit {
            Edit::Set(name, value) => drop(fields.insert(name, value)),
            Edit::Append(name, value) => drop(fields.append(name, value)),
            Edit::Remove(name) => drop(fields.remove(name)),
        }
    }
    fields
}

impl Request {
    fn with(self, fields: &[(&str, &str)]) -> Self {
        fields.iter().fold(self, |request, (name, value)| request.header(name, value))
    }
}
