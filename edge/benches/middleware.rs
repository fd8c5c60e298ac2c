//! What a middleware costs a request: nanoseconds for its look at the request and at the answer, without any input or
//! output, with a head such as browsers send. Also a route with `headers`, `rate` and `ip` together, which is to cost less
//! than 2 microseconds. Prints, judges nothing. A new kind is one line of the table.

#![expect(clippy::print_stdout, reason = "printing figures is what this is for")]

use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, HEXLOWER};
use edge::middleware::{Ask, Asker, Building, Done, Flow, Middleware, Reply, build};
use edge::telemetry::{BuildInfo, Metrics};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use routes::step::Step;
use tokio::runtime::Runtime;

/// The kind, its settings as the rest of an inline table, and the `Authorization` of its requests.
type Row = (&'static str, &'static str, fn() -> String);

const ROWS: &[Row] = &[
    ("headers", "request = { set = { x-a = \"1\" } }, response = { remove = \"server\" }", nobody),
    ("strip-prefix", "prefix = \"/app\"", nobody),
    ("add-prefix", "prefix = \"/repository\"", nobody),
    ("deny-path", "paths = [\"/minio/admin\", \"/metrics\"]", nobody),
    ("ip", "allow = [\"10.0.0.0/8\", \"192.0.2.0/24\"], deny = \"10.6.6.0/24\"", nobody),
    ("rate", "rate = \"1000000000/s\"", nobody),
    ("rate", "rate = \"1000000000/s\", headers = false", nobody),
    ("rate", "rate = \"1000000000/s\", by = \"header:X-Key\"", nobody),
    ("body-limit", "max = \"1MiB\"", nobody),
    ("min-rate", "rate = \"1KiB/s\"", nobody),
    ("compress", "min_size = \"1KiB\"", nobody),
    ("concurrency", "limit = 1000", nobody),
    ("cors", "origins = [\"https://*.example.com\"]", nobody),
    ("error-pages", "text = { 5xx = \"down\" }", nobody),
    ("redirect", "from = \"^/old/(.*)$\", to = \"/new/{1}\"", nobody),
    ("rewrite", "from = \"^/app/(.*)$\", to = \"/{1}\"", nobody),
    ("realm", "hosts = \"old.example\"", nobody),
    ("cookies", "secure = true", nobody),
    ("origin", "same = \"drop\"", nobody),
    ("basic-auth", "users_file = \"users\", user_header = \"x-user\"", basic),
    ("api-token", "tokens_file = \"tokens.toml\"", token),
    ("jwt", "secret_file = \"secret\", audience = \"models\"", signed),
];

/// The route of the promise, by the first row of each of these kinds.
const PROMISED: [&str; 3] = ["headers", "rate", "ip"];

const REQUESTS: u32 = 200_000;
const TOKEN: &str = "edge_bench";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn main() {
    let (runtime, folder) = (Runtime::new().expect("a runtime"), tempfile::tempdir().expect("a folder"));
    write_files(folder.path());
    println!("{:16} {:>12}  settings", "kind", "ns a request");
    let bare = per_request(&runtime, &[], &nobody());
    println!("{:16} {bare:>12.0}", "(none)");
    for (kind, settings, login) in ROWS {
        let step = made(folder.path(), kind, settings);
        println!("{kind:16} {:>12.0}  {settings}", per_request(&runtime, &[step], &login()) - bare);
    }
    let row = |kind: &&str| ROWS.iter().find(|(known, ..)| known == kind);
    let promised = PROMISED.iter().filter_map(row).map(|(kind, settings, _)| made(folder.path(), kind, settings));
    let promised: Vec<_> = promised.collect();
    let label = PROMISED.join("+");
    println!("{label:16} {:>12.0}  together; at most 2000", per_request(&runtime, &promised, &nobody()) - bare);
    let rate = [made(folder.path(), "rate", "rate = \"1000000000/s\"")];
    for threads in [2, 4] {
        println!("{:16} {:>12.0}  each of {threads} threads at once", "rate", at_once(&runtime, threads, &rate) - bare);
    }
}

fn at_once(runtime: &Runtime, threads: u32, steps: &[Arc<dyn Middleware>]) -> f64 {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| per_request(runtime, steps, &nobody()))).collect();
        let costs = running.into_iter().map(|thread| thread.join().expect("no step panics"));
        costs.sum::<f64>() / f64::from(threads)
    })
}

fn nobody() -> String {
    "Bearer x".to_owned()
}

fn basic() -> String {
    format!("Basic {}", BASE64.encode(b"ann:open sesame"))
}

fn token() -> String {
    format!("Bearer {TOKEN}")
}

fn signed() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = serde_json::json!({ "sub": "ann", "aud": "models", "exp": now + 3600 });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    format!("Bearer {}", jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token"))
}

fn write_files(folder: &Path) {
    let users: String =
        ["ann", "bob"].map(|name| format!("{name}:{}\n", bcrypt::hash("open sesame", 10).expect("a hash"))).concat();
    let hash = HEXLOWER.encode(digest(&SHA256, TOKEN.as_bytes()).as_ref());
    let tokens = format!("[[token]]\nname = \"ci\"\nsha256 = \"{hash}\"\npaths = [\"/app\"]\n");
    for (name, text) in [("users", users), ("tokens.toml", tokens), ("secret", SECRET.to_owned())] {
        fs::write(folder.join(name), text).expect("it can be written");
    }
}

fn made(folder: &Path, kind: &str, settings: &str) -> Arc<dyn Middleware> {
    let step = Step {
        name: kind.to_owned(),
        kind: kind.to_owned(),
        settings: format!("{{ kind = \"{kind}\", {settings} }}"),
        one_reading: false,
        servers: false,
        from_preset: false,
    };
    let metrics = Metrics::new(BuildInfo { version: "0", commit: "" }).route("bench");
    build(&step, &Building { folder, state: folder, route: "bench", name: kind, metrics: &metrics })
        .expect("good settings")
}

/// Nanoseconds of one request and its answer through these steps.
fn per_request(runtime: &Runtime, steps: &[Arc<dyn Middleware>], login: &str) -> f64 {
    let mut headers = HeaderMap::new();
    let fields = [
        ("host", "app.example"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("cookie", "session=0123456789abcdef0123456789abcdef"),
        ("origin", "https://www.example.com"),
        ("x-key", "0123456789"),
        ("authorization", login),
    ];
    for (name, value) in fields {
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    let mut answered = HeaderMap::new();
    // A picture: what is measured of `compress` is its decision, not its codec.
    let fields = [
        ("content-type", "image/png"),
        ("content-length", "5000"),
        ("etag", "\"1\""),
        ("server", "x"),
        ("set-cookie", "a=b; Path=/"),
    ];
    for (name, value) in fields {
        answered.append(name, HeaderValue::from_static(value));
    }
    let asker = Asker {
        method: &Method::GET,
        scheme: "https",
        host: "app.example",
        authority: "app.example",
        path: "/app/models/7",
        query: Some("page=2"),
        headers: &headers,
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        route: "bench",
        request_id: "0123456789abcdef",
        has_body: false,
    };
    // The first one may hash a password.
    one(runtime, steps, &asker, &answered);
    let start = Instant::now();
    for _ in 0..REQUESTS {
        one(runtime, steps, black_box(&asker), &answered);
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(REQUESTS)
}

fn one(runtime: &Runtime, steps: &[Arc<dyn Middleware>], from: &Asker<'_>, answered: &HeaderMap) {
    let mut done = Done::default();
    for step in steps {
        let mut ask = Ask { from: *from, done: &mut done };
        let mut flow = step.request(&mut ask);
        if matches!(flow, Flow::Wait) {
            flow = runtime.block_on(step.wait(&mut ask));
        }
        assert!(matches!(flow, Flow::Next), "{step:?} lets it pass: {flow:?}");
    }
    let mut reply = Reply {
        to: *from,
        done: &mut done,
        status: StatusCode::OK,
        from_server: true,
        server: Some("127.0.0.1:5000"),
        base: answered,
        edits: Vec::new(),
    };
    steps.iter().rev().for_each(|step| step.reply(&mut reply));
    black_box(&reply.edits);
}
