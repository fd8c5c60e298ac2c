//! What a middleware costs a request: its look at the request and at the answer, with a head such as browsers send, without
//! any input or output but for `forward-auth`, which is a question to a server of this machine. Also a route with `headers`,
//! `rate` and `ip` together, which is to cost less than 2 microseconds more than one without a step: printed beside that goal,
//! not judged. A kind without a row fails a test (`tests/middlewares.rs`).

#![expect(clippy::print_stdout, reason = "printing figures is what this is for")]

use std::cell::RefCell;
use std::fs;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use criterion::{Bencher, BenchmarkId, Criterion};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use edge::middleware::{Ask, Asker, Building, Done, Flow, Middleware, Reply, build};
use edge::telemetry::{BuildInfo, Metrics};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use routes::step::Step;
use tokio::runtime::Runtime;

/// The kind, its settings as the rest of an inline table ([`SERVER`] is our server), and the `Authorization` of its requests.
type Row = (&'static str, &'static str, fn(&Server) -> String);

const SERVER: &str = "http://SERVER";

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
    (
        "oidc",
        "issuer = \"http://SERVER\", client_id = \"edge\", client_secret = \"x\", bearer = true, audience = \"models\"",
        granted,
    ),
    ("forward-auth", "url = \"http://SERVER/verify\"", nobody),
    ("mirror", "to = \"http://SERVER\"", nobody),
    ("buffer", "max_request = \"1MiB\", max_answer = \"64KiB\"", nobody),
];

/// The route of the promise, by the first row of each of these kinds.
const PROMISED: [&str; 3] = ["headers", "rate", "ip"];

/// What those may cost, in nanoseconds.
const GOAL: f64 = 2_000.0;

const SAMPLES: usize = 30;
const TOKEN: &str = "edge_bench";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn main() {
    let world = World::new();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(SAMPLES)
        .configure_from_args();
    let mut group = criterion.benchmark_group("middleware");
    let bare = Samples::default();
    group.bench_function("(none)", |bencher| world.requests(bencher, &[], nobody, &bare));
    for (kind, settings, login) in ROWS {
        let step = [world.made(kind, settings)];
        group.bench_function(BenchmarkId::new(*kind, settings), |bencher| {
            world.requests(bencher, &step, *login, &Samples::default());
        });
    }
    let promised = PROMISED.map(|kind| {
        let (_, settings, _) = ROWS.iter().find(|(known, ..)| *known == kind).expect("it has a row");
        world.made(kind, settings)
    });
    let (together, label) = (Samples::default(), PROMISED.join("+"));
    group.bench_function(&label, |bencher| world.requests(bencher, &promised, nobody, &together));
    let rate = [world.made("rate", "rate = \"1000000000/s\"")];
    for threads in [2, 4] {
        group.bench_function(BenchmarkId::new("rate, threads at once", threads), |bencher| {
            bencher.iter_custom(|count| world.at_once(threads, &rate, count));
        });
    }
    group.finish();
    criterion.final_summary();
    if let (Some(bare), Some(together)) = (bare.median(), together.median()) {
        println!("{label} together, above a request without a step: {:.0} ns; goal: {GOAL:.0} ns", together - bare);
    }
}

/// Nanoseconds of a request, of each sample.
#[derive(Default)]
struct Samples(RefCell<Vec<f64>>);

impl Samples {
    fn add(&self, count: u64, took: Duration) {
        self.0.borrow_mut().push(took.as_secs_f64() * 1e9 / count as f64);
    }

    fn median(&self) -> Option<f64> {
        // Those before are of the warm-up.
        let mut samples: Vec<f64> = self.0.borrow().iter().rev().take(SAMPLES).copied().collect();
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    }
}

/// What all steps stand on.
struct World {
    runtime: Runtime,
    folder: tempfile::TempDir,
    server: Server,
}

impl World {
    fn new() -> Self {
        let this = Self {
            runtime: Runtime::new().expect("a runtime"),
            folder: tempfile::tempdir().expect("a folder"),
            server: Server::start(),
        };
        write_files(this.folder.path());
        this
    }

    fn made(&self, kind: &str, settings: &str) -> Arc<dyn Middleware> {
        let settings = settings.replace(SERVER, &self.server.url());
        let _inside = self.runtime.enter();
        made(self.folder.path(), kind, &settings)
    }

    /// Requests and their answers through these steps.
    fn requests(
        &self,
        bencher: &mut Bencher<'_>,
        steps: &[Arc<dyn Middleware>],
        login: fn(&Server) -> String,
        samples: &Samples,
    ) {
        let head = Head::new(&login(&self.server));
        // The first one may hash a password or fetch keys.
        self.one(steps, &head);
        bencher.iter_custom(|count| {
            let took = self.many(steps, &head, count);
            samples.add(count, took);
            took
        });
    }

    fn many(&self, steps: &[Arc<dyn Middleware>], head: &Head, count: u64) -> Duration {
        let start = Instant::now();
        for _ in 0..count {
            self.one(steps, black_box(head));
        }
        start.elapsed()
    }

    /// So many requests by each of these threads: the time that it took.
    fn at_once(&self, threads: usize, steps: &[Arc<dyn Middleware>], count: u64) -> Duration {
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| self.many(steps, &Head::new("Bearer x"), count));
            }
        });
        start.elapsed()
    }

    fn one(&self, steps: &[Arc<dyn Middleware>], head: &Head) {
        let (from, mut done) = (head.asker(), Done::default());
        for step in steps {
            let mut ask = Ask { from, done: &mut done };
            let mut flow = step.request(&mut ask);
            if matches!(flow, Flow::Wait) {
                flow = self.runtime.block_on(step.wait(&mut ask));
            }
            assert!(matches!(flow, Flow::Next), "{step:?} lets it pass: {flow:?}");
        }
        let mut reply = Reply {
            to: from,
            done: &mut done,
            status: StatusCode::OK,
            from_server: true,
            server: Some("127.0.0.1:5000"),
            base: &head.answered,
            edits: Vec::new(),
        };
        steps.iter().rev().for_each(|step| step.reply(&mut reply));
        black_box(&reply.edits);
    }
}

fn nobody(_: &Server) -> String {
    "Bearer x".to_owned()
}

fn basic(_: &Server) -> String {
    format!("Basic {}", BASE64.encode(b"ann:open sesame"))
}

fn token(_: &Server) -> String {
    format!("Bearer {TOKEN}")
}

fn signed(server: &Server) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims(server), &key);
    format!("Bearer {}", token.expect("a token"))
}

/// A token of our server.
fn granted(server: &Server) -> String {
    let key = jsonwebtoken::EncodingKey::from_ec_der(&key().serialize_der());
    let head = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    format!("Bearer {}", jsonwebtoken::encode(&head, &claims(server), &key).expect("a token"))
}

fn claims(server: &Server) -> serde_json::Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let (issuer, until) = (server.url(), now + 3600);
    serde_json::json!({ "iss": issuer, "sub": "ann", "preferred_username": "ann", "aud": "models", "exp": until })
}

fn key() -> &'static rcgen::KeyPair {
    static KEY: OnceLock<rcgen::KeyPair> = OnceLock::new();
    KEY.get_or_init(|| rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key"))
}

/// A server that lets everybody in and publishes what a provider of logins does. It lives as long as this program.
struct Server(SocketAddr);

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || converse(&stream, &format!("http://{address}")));
            }
        });
        Self(address)
    }

    fn url(&self) -> String {
        format!("http://{}", self.0)
    }
}

/// Answers each request of a connection; none has a body.
fn converse(stream: &TcpStream, url: &str) {
    let _ = stream.set_nodelay(true);
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        if lines.by_ref().find(|line| line.is_empty()).is_none() {
            return;
        }
        let text = published(first.split(' ').nth(1).unwrap_or_default(), url).to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", text.len());
        let mut writer = stream;
        if writer.write_all(&[head.as_bytes(), text.as_bytes()].concat()).is_err() {
            return;
        }
    }
}

fn published(path: &str, url: &str) -> serde_json::Value {
    if path == "/keys" {
        let point = key().public_key_raw();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| BASE64URL_NOPAD.encode(half));
        return serde_json::json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y }] });
    }
    let address = |path: &str| format!("{url}/{path}");
    serde_json::json!({ "issuer": url, "authorization_endpoint": address("authorize"),
        "token_endpoint": address("token"), "jwks_uri": address("keys") })
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

/// The fields of a request and of its answer.
struct Head {
    asked: HeaderMap,
    answered: HeaderMap,
}

impl Head {
    fn new(login: &str) -> Self {
        let asked = fields(&[
            ("host", "app.example"),
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            ("accept-encoding", "gzip, deflate, br, zstd"),
            ("cookie", "session=0123456789abcdef0123456789abcdef"),
            ("origin", "https://www.example.com"),
            ("x-key", "0123456789"),
            ("authorization", login),
        ]);
        // A picture: what is measured of `compress` is its decision, not its codec.
        let answered = fields(&[
            ("content-type", "image/png"),
            ("content-length", "5000"),
            ("etag", "\"1\""),
            ("server", "x"),
            ("set-cookie", "a=b; Path=/"),
        ]);
        Self { asked, answered }
    }

    fn asker(&self) -> Asker<'_> {
        Asker {
            method: &Method::GET,
            scheme: "https",
            host: "app.example",
            authority: "app.example",
            path: "/app/models/7",
            query: Some("page=2"),
            headers: &self.asked,
            client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            route: "bench",
            request_id: "0123456789abcdef",
            has_body: false,
        }
    }
}

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    map
}
