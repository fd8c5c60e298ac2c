//! A world for tests: four entrypoints, a few variables, a small disk. Compiled for tests alone.

use std::path::Path;
use std::sync::Arc;

use crate::check::{Checked, Standing, check_beside};
use crate::document::Item;
use crate::document::{Source, Vars};
use crate::host::Host;
use crate::route::Route;
use crate::shape::{Key, Shape};
use crate::stream::Stream;
use crate::world::{Disk, Entrypoint, Kind, Kinds, Needs, Protocol, Reading, Seen, World};

/// A disk that has `/etc/edge/dist` (a folder), `/etc/edge/ca.pem` and `/etc/edge/key.pem`.
struct SmallDisk;

impl Disk for SmallDisk {
    fn look(&self, path: &Path) -> Seen {
        match path.to_str() {
            Some("/etc/edge/dist") => Seen::Folder,
            Some("/etc/edge/ca.pem" | "/etc/edge/key.pem") => Seen::File,
            Some("/etc/edge/secret.pem") => Seen::Unreadable("permission denied".into()),
            _ => Seen::Missing,
        }
    }
}

/// The kinds `tag` (with a text that is not "bad") and `guard` (which needs one reading of paths).
struct TwoKinds;

struct Tag;
struct Guard;

impl Kinds for TwoKinds {
    fn kind(&self, name: &str) -> Option<&dyn Kind> {
        match name {
            "tag" => Some(&Tag),
            "guard" => Some(&Guard),
            _ => None,
        }
    }

    fn names(&self) -> Vec<&'static str> {
        vec!["tag", "guard"]
    }
}

impl Kind for Tag {
    fn name(&self) -> &'static str {
        "tag"
    }

    fn keys(&self) -> &'static [Key] {
        const KEYS: &[Key] = &[Key::new("text", Shape::TEXT, "What it says.").required()];
        KEYS
    }

    fn check(&self, settings: &Item<'_>, reading: &mut Reading<'_>) -> Needs {
        if let Some(text) = settings.get("text").filter(|text| text.as_str() == Some("bad")) {
            reading.faults.push(text.fault("`bad` is not good"));
        }
        Needs::default()
    }
}

impl Kind for Guard {
    fn name(&self) -> &'static str {
        "guard"
    }

    fn keys(&self) -> &'static [Key] {
        &[]
    }

    fn check(&self, _: &Item<'_>, _: &mut Reading<'_>) -> Needs {
        Needs { one_reading: true, servers: false }
    }
}

/// Checks files, given by name and text, in a world with `[acme]`.
pub(crate) fn check_files(files: &[(&str, &str)]) -> Checked {
    check_in(files, true)
}

/// As `check_files`, with or without `[acme]`.
pub(crate) fn check_in(files: &[(&str, &str)], acme: bool) -> Checked {
    let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(*path, *text)).collect();
    check_sources(&sources, acme)
}

/// As `check_files`, while these routes serve.
pub(crate) fn check_over(live: &[Arc<Route>], files: &[(&str, &str)]) -> Checked {
    check_over_all(live, &[], files)
}

/// As `check_files`, while these routes and streams serve.
pub(crate) fn check_over_all(routes: &[Arc<Route>], streams: &[Arc<Stream>], files: &[(&str, &str)]) -> Checked {
    let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(*path, *text)).collect();
    check_standing(&sources, true, Standing { routes, streams, unread: &[] })
}

/// As `check_files`, from sources.
pub(crate) fn check_sources(sources: &[Source], acme: bool) -> Checked {
    check_standing(sources, acme, Standing::default())
}

/// Checks one file where only these entrypoints are, each with whether it terminates TLS.
pub(crate) fn check_on(entrypoints: &[(&str, Protocol, bool)], text: &str) -> Checked {
    let sources = [Source::new("a.toml", text)];
    check_at(&sources, entrypoints, true, Standing::default())
}

fn check_standing(sources: &[Source], acme: bool, standing: Standing<'_>) -> Checked {
    let entrypoints = [
        ("http", Protocol::Http, false),
        ("https", Protocol::Http, true),
        ("postgres", Protocol::Postgres, false),
        ("tcp", Protocol::Tcp, false),
    ];
    check_at(sources, &entrypoints, acme, standing)
}

fn check_at(sources: &[Source], entrypoints: &[(&str, Protocol, bool)], acme: bool, standing: Standing<'_>) -> Checked {
    let lookup = |name: &str| (name == "DOMAIN").then(|| "example.com".to_owned());
    let known = ["DOMAIN".to_owned()];
    let entrypoint = |(name, protocol, tls): &(&str, Protocol, bool)| Entrypoint {
        name: (*name).into(),
        protocol: *protocol,
        tls: *tls,
    };
    let entrypoints: Vec<Entrypoint> = entrypoints.iter().map(entrypoint).collect();
    let world = World {
        vars: Vars { lookup: &lookup, known: &known },
        entrypoints: &entrypoints,
        acme,
        certificates: &[Host::parse("*.wild.example.com").expect("a host")],
        folder: Path::new("/etc/edge"),
        disk: &SmallDisk,
        kinds: &TwoKinds,
    };
    check_beside(sources, &world, standing)
}

/// A generator of numbers that are the same in every run.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    /// One of several.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}
