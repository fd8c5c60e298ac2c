//! The text of `edge.toml` to its settings: shape first, then each part, every fault of all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use certs::Disk;
use routes::document::{Document, Item, Source, Vars};
use routes::fault::{Fault, Faults};
use routes::shape::{Shape, walk};
use routes::world;

use super::around::Around;
use super::environment::Environment;
use super::reader::{Reader, at, text};
use super::settings::{Config, Entrypoint};
use super::shape::EDGE;

/// What came of an `edge.toml`.
#[derive(Debug)]
pub struct Reading {
    /// The settings, if the edge can run with them. Errors of single certificates leave them usable.
    pub config: Option<Config>,
    /// What route files need to know, as far as it could be read; none if the file is no TOML.
    pub around: Option<Around>,
    /// Everything wrong with the file, in the order of its lines.
    pub faults: Vec<Fault>,
}

impl Config {
    /// Reads the text of `edge.toml`. The folder that its paths are relative to is that of [`Source::path`].
    pub fn read(source: &Source, environment: &Environment, disk: &dyn Disk) -> Reading {
        let mut reading = match variables(source, environment) {
            Ok((vars, faults)) => read(source, vars, environment, disk, faults),
            Err(faults) => Reading { config: None, around: None, faults },
        };
        reading.faults.iter_mut().filter(|fault| is_near_secret(fault)).for_each(hide_line);
        reading
    }
}

/// The values of `[vars]`, which can use the environment alone, and what is wrong with them.
fn variables(source: &Source, environment: &Environment) -> Result<(BTreeMap<String, String>, Faults), Vec<Fault>> {
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let document = Document::parse(source, &Vars { lookup: &lookup, known: &[] })?;
    let mut faults = Faults::new();
    let mut vars = BTreeMap::new();
    let table = document.root().get("vars");
    for (name, item) in table.iter().flat_map(Item::entries) {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(good) {
            let fault = item.key_fault(format!("`{name}` cannot be the name of a variable"));
            faults.push(fault.hint("use letters, digits and `_`"));
        }
        vars.extend(item.as_str().map(|value| (name.to_owned(), value.to_owned())));
    }
    if let Some(table) = table {
        walk(&table, &Shape::Map(&Shape::TEXT), &mut faults);
    }
    Ok((vars, faults))
}

fn read(
    source: &Source,
    vars: BTreeMap<String, String>,
    environment: &Environment,
    disk: &dyn Disk,
    faults: Faults,
) -> Reading {
    let file = PathBuf::from(&source.path);
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let mut around = Around { vars, environment: environment.clone(), folder, ..Around::default() };
    let known: Vec<String> = around.vars.keys().cloned().collect();
    let document = {
        let lookup = |name: &str| around.variable(name);
        Document::parse(source, &Vars { lookup: &lookup, known: &known })
    };
    let document = match document {
        Ok(document) => document,
        Err(faults) => return Reading { config: None, around: None, faults },
    };
    let folder = around.folder.clone();
    let mut reader = Reader { folder: &folder, disk, faults, partial: Faults::new() };
    reader.shape(&document.root());
    let config = reader.config(&document.root(), file, &mut around);
    let Reader { faults, mut partial, .. } = reader;
    let config = config.filter(|_| !faults.has_errors());
    partial.extend(faults.into_sorted());
    Reading { config, around: Some(around), faults: partial.into_sorted() }
}

/// Whether the line of a fault may hold a secret; a syntax error knows no key.
fn is_near_secret(fault: &Fault) -> bool {
    fault.key.starts_with("acme.eab") || fault.source_line.contains("hmac")
}

/// Faults are logged and shown on the dashboard: no place for secrets.
fn hide_line(fault: &mut Fault) {
    fault.source_line = "(not shown: it may hold a secret)".to_owned();
    fault.column = 1;
}

impl Reader<'_> {
    /// Notes what does not fit the shape. `[vars]` was judged before, without its own values.
    fn shape(&mut self, root: &Item<'_>) {
        let mut faults = Faults::new();
        walk(root, &EDGE, &mut faults);
        let is_var = |fault: &Fault| fault.key.starts_with("vars.") || (fault.key == "vars");
        self.faults.extend(faults.into_sorted().into_iter().filter(|fault| !is_var(fault)));
    }

    /// The settings, with defaults where something could not be read, and `around` filled in. None where a part has
    /// no default; the faults say why.
    fn config(&mut self, root: &Item<'_>, file: PathBuf, around: &mut Around) -> Option<Config> {
        let (entrypoints, admin) = self.listeners(root);
        let (certificates, names) = self.certificates(root);
        around.routes = self.path(text(root, &["routes"]).map_or("routes", |(_, path)| path));
        around.acme = root.get("acme").is_some();
        around.certificates = names;
        around.entrypoints = entrypoints.iter().map(as_routes_see_it).collect();
        let acme = self.acme(root, &entrypoints);
        Some(Config {
            file,
            state: self.state(root, &around.environment),
            entrypoints,
            acme,
            tls: self.tls(root),
            certificates,
            limits: self.limits(root),
            admin,
            admin_hosts: admin_hosts(root),
            log: self.log(root),
            dns: self.dns(root),
            stop_grace: self.stop_grace(root),
            around: around.clone(),
        })
    }

    /// A relative path in the environment is relative to the current folder, as everywhere.
    fn state(&self, root: &Item<'_>, environment: &Environment) -> PathBuf {
        match environment.get("EDGE_STATE").filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => self.path(text(root, &["state"]).map_or(STATE, |(_, path)| path)),
        }
    }
}

const STATE: &str = "/var/lib/edge";

fn as_routes_see_it(entrypoint: &Entrypoint) -> world::Entrypoint {
    world::Entrypoint { name: entrypoint.name.clone(), protocol: entrypoint.protocol, tls: entrypoint.tls }
}

/// Names of the admin side; what is no text is a fault of the shape already.
fn admin_hosts(root: &Item<'_>) -> Vec<String> {
    let hosts = at(root, &["admin", "hosts"]).map(|item| item.one_or_many()).unwrap_or_default();
    hosts.iter().filter_map(|item| item.as_str().map(str::to_ascii_lowercase)).collect()
}
