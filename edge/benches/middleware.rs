//! What each kind of middleware costs a request: asked and shown the answer, with a head such as browsers send. Also a
//! route with `headers`, `rate` and `ip` together, which is to cost less than 2 microseconds. Prints, judges nothing.

#![expect(clippy::print_stdout, reason = "printing figures is what this is for")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use edge::middleware::{Ask, Asker, Building, Done, Edit, Flow, KINDS, Middleware, Reply, build};
use edge::telemetry::{BuildInfo, Metrics, RouteMetrics};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use routes::step::Step;

/// Kinds whose cost is our own code: those that ask others or read files are measured by what they ask.
const STEPS: [(&str, &str); 15] = [
    ("headers", "request = { set = { x-tenant = \"blue\" } }, response = { remove = [\"server\"] }"),
    ("rate", "rate = \"1000000000/s\""),
    ("rate", "rate = \"1000000000/s\", headers = false"),
    ("rate", "rate = \"1000000000/s\", by = \"header:X-Key\""),
    ("ip", "allow = [\"10.0.0.0/8\", \"192.0.2.0/24\"]"),
    ("body-limit", "max = \"1MiB\""),
    ("min-rate", "rate = \"1KiB/s\""),
    ("compress", ""),
    ("concurrency", "limit = 1000"),
    ("cors", "origins = [\"https://*.example.com\"]"),
    ("error-pages", "text = { 5xx = \"down\" }"),
    ("strip-prefix", "prefix = \"/app\""),
    ("deny-path", "paths = [\"/admin\", \"/metrics\"]"),
    ("redirect", "from = \"^/old/(.*)$\", to = \"/new/{1}\""),
    ("rewrite", "from = \"^/app/(.*)$\", to = \"/{1}\""),
];

/// The route of the promise, by the first use of each of its kinds above.
const PROMISED: [&str; 3] = ["headers", "rate", "ip"];

const ROUNDS: u32 = 1_000_000;

fn main() {
    let metrics = Metrics::new(BuildInfo { version: "0", commit: "" }).route("bench");
    let bare = per_request(&[]);
    println!("{:70} {:>9} {:>9}", "steps", "ns", "more");
    println!("{:70} {bare:>9.0} {:>9}", "bare", 0);
    for (kind, settings) in STEPS {
        row(&format!("{kind} {settings}"), &steps(&[(kind, settings)], &metrics), bare);
    }
    let promised: Vec<_> =
        PROMISED.iter().filter_map(|kind| STEPS.into_iter().find(|(known, _)| known == kind)).collect();
    row(&PROMISED.join(" + "), &steps(&promised, &metrics), bare);
    let steps = steps(&[("rate", "rate = \"1000000000/s\"")], &metrics);
    for threads in [1, 2, 4] {
        println!("{:70} {:>9.0}", format!("rate, for {threads} threads at once, each"), at_once(threads, &steps));
    }
}

fn row(label: &str, steps: &[Arc<dyn Middleware>], bare: f64) {
    let cost = per_request(steps);
    println!("{label:70} {cost:>9.0} {:>9.0}", cost - bare);
}

fn steps(wanted: &[(&str, &str)], metrics: &RouteMetrics) -> Vec<Arc<dyn Middleware>> {
    let make = |(kind, settings): &(&str, &str)| {
        let begin = if settings.is_empty() { "" } else { ", " };
        let settings = format!("{{ kind = \"{kind}\"{begin}{settings} }}");
        let step =
            Step { name: (*kind).into(), kind: (*kind).into(), settings, one_reading: false, from_preset: false };
        assert!(KINDS.iter().any(|entry| entry.name == *kind), "there is no kind {kind}");
        build(&step, &Building { folder: Path::new("/"), route: "bench", name: kind, metrics }).expect("good settings")
    };
    wanted.iter().map(make).collect()
}

fn head(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

fn request_head() -> HeaderMap {
    head(&[
        (header::HOST, "app.example.com"),
        (header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        (header::ACCEPT, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        (header::ACCEPT_ENCODING, "gzip, deflate, br, zstd"),
        (header::ACCEPT_LANGUAGE, "en-US,en;q=0.5"),
        (header::COOKIE, "session=0123456789abcdef0123456789abcdef"),
        (header::ORIGIN, "https://www.example.com"),
        (HeaderName::from_static("x-key"), "0123456789"),
    ])
}

/// A picture: what is measured of `compress` is its decision, not its codec.
fn answer_head() -> HeaderMap {
    head(&[
        (header::CONTENT_TYPE, "image/png"),
        (header::CONTENT_LENGTH, "5000"),
        (header::CACHE_CONTROL, "public, max-age=60"),
        (header::ETAG, "\"0123456789\""),
        (header::SERVER, "server"),
    ])
}

fn per_request(steps: &[Arc<dyn Middleware>]) -> f64 {
    let (request, answer) = (request_head(), answer_head());
    for _ in 0..ROUNDS / 10 {
        one(steps, &request, &answer);
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        one(steps, &request, &answer);
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

fn at_once(threads: usize, steps: &[Arc<dyn Middleware>]) -> f64 {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| per_request(steps))).collect();
        let costs = running.into_iter().map(|thread| thread.join().expect("no step panics"));
        costs.sum::<f64>() / threads as f64
    })
}

/// What the proxy does with the steps of a route, without its sockets.
fn one(steps: &[Arc<dyn Middleware>], request: &HeaderMap, answer: &HeaderMap) {
    let from = Asker {
        method: &Method::GET,
        scheme: "https",
        host: "app.example.com",
        authority: "app.example.com",
        path: black_box("/app/assets/logo.png"),
        query: Some("v=1"),
        headers: request,
        client: "192.0.2.7".parse().expect("an address"),
        route: "bench",
        request_id: "0123456789abcdef",
        has_body: false,
    };
    let mut done = Done::default();
    for step in steps {
        let flow = step.request(&mut Ask { from, done: &mut done });
        assert!(matches!(flow, Flow::Next), "{flow:?}");
    }
    let mut sent = request.clone();
    apply(&mut sent, std::mem::take(&mut done.edits));
    let mut reply = Reply {
        to: from,
        done: &mut done,
        status: StatusCode::OK,
        from_server: true,
        server: Some("127.0.0.1:8080"),
        base: answer,
        edits: Vec::new(),
    };
    steps.iter().rev().for_each(|step| step.reply(&mut reply));
    let edits = reply.edits;
    let mut seen = answer.clone();
    apply(&mut seen, edits);
    black_box((sent, seen, done));
}

fn apply(fields: &mut HeaderMap, edits: Vec<Edit>) {
    for edit in edits {
        match edit {
            Edit::Set(name, value) => drop(fields.insert(name, value)),
            Edit::Append(name, value) => drop(fields.append(name, value)),
            Edit::Remove(name) => drop(fields.remove(name)),
        }
    }
}
