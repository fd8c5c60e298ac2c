//! How long a match takes: tables of 10, 1,000 and 100,000 routes, with a host for each route or one host with a path
//! for each, for requests that hit and that miss. Also how long checking and building them takes. Prints, judges nothing.

#![expect(clippy::print_stdout, reason = "printing figures is what this is for")]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use routes::check::check;
use routes::document::{Source, Vars};
use routes::rule::Request;
use routes::table::{Found, Table};
use routes::world::{Disk, Entrypoint, Protocol, Seen, World};

struct NoDisk;

impl Disk for NoDisk {
    fn look(&self, _: &Path) -> Seen {
        Seen::Missing
    }
}

/// A route's host and path, by its number.
type Place = fn(usize) -> (String, String);

const MATCHES: usize = 1_000_000;

fn main() {
    println!("{:24} {:>8} {:>10} {:>10} {:>9} {:>9}", "table", "routes", "check ms", "build ms", "hit ns", "miss ns");
    for count in [10, 1_000, 100_000] {
        run("a host a route", count, |n| (format!("h{n}.example.com"), "/".into()));
        run("a path a route", count, |n| ("one.example.com".into(), format!("/team/project-{n}/api")));
    }
}

fn run(label: &str, count: usize, place: Place) {
    let text = (0..count).map(|n| route(n, &place(n))).collect::<String>();
    let sources = [Source::new("bench.toml", text)];
    let start = Instant::now();
    let checked = with_world(|world| check(&sources, world));
    let check_ms = start.elapsed().as_millis();
    assert_eq!(checked.routes.len(), count, "every route is good");
    let start = Instant::now();
    let table = Table::build(checked.routes, &checked.rejected);
    let build_ms = start.elapsed().as_millis();
    let hits: Vec<_> = (0..count.min(4096)).map(|n| place(n * 7919 % count)).collect();
    let misses: Vec<_> = hits.iter().map(|(host, path)| miss(host, path)).collect();
    let (hit, miss) = (per_match(&table, &hits, true), per_match(&table, &misses, false));
    println!("{label:24} {count:>8} {check_ms:>10} {build_ms:>10} {hit:>9.0} {miss:>9.0}");
}

fn route(n: usize, (host, path): &(String, String)) -> String {
    format!("[[route]]\nname = \"r{n}\"\nhost = \"{host}\"\npath = \"{path}\"\nupstream = \"http://127.0.0.1:8080\"\n")
}

/// The same host with a wrong path; where every path fits, another host.
fn miss(host: &str, path: &str) -> (String, String) {
    match path {
        "/" => (format!("x{host}"), "/".into()),
        path => (host.to_owned(), path.replace("/api", "/apis")),
    }
}

fn with_world<T>(work: impl FnOnce(&World<'_>) -> T) -> T {
    work(&World {
        vars: Vars::NONE,
        entrypoints: &[Entrypoint { name: "https".into(), protocol: Protocol::Http, tls: true }],
        acme: false,
        certificates: &[],
        folder: Path::new("/etc/edge"),
        disk: &NoDisk,
        kinds: &routes::world::NoKinds,
    })
}

/// Nanoseconds of one match.
fn per_match(table: &Table, places: &[(String, String)], expected: bool) -> f64 {
    let client = "192.0.2.1".parse().expect("an address");
    let start = Instant::now();
    for (host, path) in places.iter().cycle().take(MATCHES) {
        let request = Request { entrypoint: "https", host, path, method: "GET", query: "", headers: &(), client };
        let found = table.find(black_box(&request));
        assert_eq!(matches!(found, Found::Route(_)), expected, "{host}{path}");
    }
    start.elapsed().as_secs_f64() * 1e9 / MATCHES as f64
}
