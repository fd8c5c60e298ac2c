//! Every middleware that lets in or keeps out, against every turn that a protocol can take: without a login each turn
//! is refused and no server hears of it, with one each passes. A new kind is one case below, or a line that says why it
//! is none.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use std::path::Path;
use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, HEXLOWER};
use support::backend::{Backend, Then};
use support::edge::{PLAIN, TestEdge};
use support::wire::{Reply, TlsClient, Wire};

/// One kind of middleware: how it is set up, and what is refused and what passes.
struct Case {
    /// Its name in `kind`.
    kind: &'static str,
    /// Its host is that with `.test`.
    name: &'static str,
    settings: String,
    /// The field of a request that passes; [`MARK`] in it is the mark of the request.
    login: String,
    /// The paths of a request that is refused and of one that passes.
    paths: (&'static str, &'static str),
    refused_with: u16,
}

const TOKEN: &str = "edge_matrix-token";
/// It is good below `/public` alone.
const READER: &str = "edge_matrix-reader";
const MARK: &str = "MARK";
/// The case whose login is a session of a browser.
const SESSION: &str = "session";

/// Kinds that refuse nobody, or for reasons that a login has no part in.
const NO_GUARDS: &[(&str, &str)] = &[
    ("headers", "changes fields"),
    ("strip-prefix", "changes the path"),
    ("add-prefix", "changes the path"),
    ("rewrite", "changes the path"),
    ("redirect", "answers, whoever asks"),
    ("realm", "changes answers"),
    ("cookies", "changes answers"),
    ("error-pages", "changes answers"),
    ("compress", "changes answers"),
    ("origin", "changes a field"),
    ("mirror", "copies requests"),
    ("buffer", "judges bodies alone: middleware_traffic.rs"),
    ("body-limit", "judges bodies alone: middleware_traffic.rs, bodies.rs"),
    ("min-rate", "judges the pace of bodies alone: src/conn/body_watch.rs"),
    ("concurrency", "while it is full it refuses everybody: middleware_traffic.rs"),
    ("cors", "refuses preflights of other origins alone: middleware_traffic.rs"),
];

#[test]
fn every_kind_is_a_case_or_no_guard() {
    let cases = cases("http://127.0.0.1:1");
    let mut known: Vec<&str> = cases.iter().map(|case| case.kind).collect();
    known.extend(NO_GUARDS.iter().map(|(kind, _)| *kind));
    known.sort_unstable();
    known.dedup();
    let mut kinds: Vec<&str> = edge::middleware::KINDS.iter().map(|entry| entry.name).collect();
    kinds.sort_unstable();
    assert_eq!(known, kinds);
}

fn cases(provider: &str) -> Vec<Case> {
    let case = |kind, settings: String, login: String, refused_with| Case {
        kind,
        name: kind,
        settings,
        login,
        paths: ("/x", "/x"),
        refused_with,
    };
    let client = format!("issuer = \"{provider}\"\nclient_id = \"edge\"\nclient_secret = \"secret\"\n");
    vec![
        case(
            "basic-auth",
            "users_file = \"users\"".to_owned(),
            format!("Authorization: Basic {}", BASE64.encode(b"ann:open sesame")),
            401,
        ),
        case("api-token", "tokens_file = \"tokens.toml\"".to_owned(), format!("Authorization: Bearer {TOKEN}"), 401),
        case(
            "jwt",
            "secret_file = \"secret\"\naudience = \"models\"".to_owned(),
            format!("Authorization: Bearer {}", signed()),
            401,
        ),
        case(
            "oidc",
            format!("{client}bearer = true\naudience = \"models\""),
            format!("Authorization: Bearer {}", of_provider(&claims(provider))),
            401,
        ),
        // The session is there once somebody has logged in.
        Case { name: SESSION, ..case("oidc", client, String::new(), 401) },
        case("forward-auth", format!("url = \"{provider}/verify\""), "Cookie: session=good".to_owned(), 401),
        // A key has one request; who has none is counted by the address, and has had it.
        case("rate", "rate = \"1/d\"\nburst = 1\nby = \"header:X-Key\"".to_owned(), format!("X-Key: {MARK}"), 429),
        case("ip", "allow = \"203.0.113.0/24\"".to_owned(), "X-Forwarded-For: 203.0.113.9".to_owned(), 403),
        Case {
            paths: ("/admin/x", "/open/x"),
            ..case("deny-path", "paths = \"/admin\"".to_owned(), "X-Nothing: x".to_owned(), 403)
        },
    ]
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A token for the next hour.
fn signed() -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims("https://issuer.test"), &key).expect("a token")
}

fn claims(issuer: &str) -> serde_json::Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    serde_json::json!({ "iss": issuer, "sub": "ann", "preferred_username": "ann", "aud": "models", "exp": now + 3600 })
}

/// The key of the provider.
fn key() -> &'static rcgen::KeyPair {
    static KEY: OnceLock<rcgen::KeyPair> = OnceLock::new();
    KEY.get_or_init(|| rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key"))
}

/// A token of the provider.
fn of_provider(claims: &serde_json::Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_ec_der(&key().serialize_der());
    jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256), claims, &key).expect("a token")
}

/// What the provider gives for a code, which is the nonce that it was asked for with.
fn redeemed(form: &[u8], issuer: &str) -> String {
    let code = form_urlencoded::parse(form).find(|(name, _)| name == "code").map(|(_, code)| code);
    let mut claims = claims(issuer);
    claims["aud"] = "edge".into();
    claims["nonce"] = code.expect("a code").as_ref().into();
    claims["iat"] = (claims["exp"].as_u64().expect("seconds") - 3600).into();
    serde_json::json!({ "access_token": "x", "token_type": "Bearer", "id_token": of_provider(&claims) }).to_string()
}

/// A person logs in by a browser: the field with the session.
#[track_caller]
fn log_in(edge: &TestEdge) -> String {
    let open = |path: &str, field: &str| edge.https(&format!("https://{SESSION}.test{path}"), &["-H", field]);
    let pair = |cookie: &str| cookie.split(';').next().unwrap_or_default().to_owned();
    let asked = open("/x", "Accept: text/html");
    let to = asked.header("location").unwrap_or_else(|| panic!("{}: {}", asked.status, asked.text()));
    let query = to.split_once('?').expect("a query").1.to_owned();
    let sent = |wanted: &str| {
        let mut fields = form_urlencoded::parse(query.as_bytes());
        fields.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned()).expect("the edge sends it")
    };
    let login = format!("Cookie: {}", pair(asked.header("set-cookie").expect("a login in flight")));
    let back = open(&format!("/.edge/oidc/callback?code={}&state={}", sent("nonce"), sent("state")), &login);
    assert_eq!(back.status, 303, "{}", back.text());
    let kept = back.all("set-cookie").into_iter().find(|cookie| !cookie.contains("-login-"));
    format!("Cookie: {}", pair(kept.expect("a session")))
}

/// What the provider publishes.
fn published(path: &str, host: &str) -> String {
    let base = format!("http://{host}");
    if path == "/keys" {
        let point = key().public_key_raw();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| data_encoding::BASE64URL_NOPAD.encode(half));
        return serde_json::json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y }] })
            .to_string();
    }
    let address = |path: &str| format!("{base}/{path}");
    serde_json::json!({ "issuer": base, "authorization_endpoint": address("authorize"), "token_endpoint": address("token"),
        "jwks_uri": address("keys") })
    .to_string()
}

/// The edge with a route for each case, the server behind them all, and the one that knows sessions.
struct Matrix {
    edge: TestEdge,
    backend: Backend,
    _provider: Backend,
    cases: Vec<Case>,
}

impl Matrix {
    fn start() -> Self {
        let provider = Backend::start(|exchange| {
            if exchange.target() != "/verify" {
                let host = exchange.header("host").unwrap_or_default().to_owned();
                let form = exchange.body()?;
                let text = match exchange.target() {
                    "/token" => redeemed(&form, &format!("http://{host}")),
                    target => published(target, &host),
                };
                return exchange.answer("200 OK", &[("content-type", "application/json")], text.as_bytes());
            }
            let is_open = exchange.header("x-forwarded-uri").is_some_and(|uri| uri.starts_with("/public"));
            let is_known = is_open || exchange.header("cookie") == Some("session=good");
            let status = if is_known { "200 OK" } else { "401 Unauthorized" };
            exchange.answer(status, &[], b"")
        });
        let backend = Backend::start(|exchange| {
            if exchange.header("upgrade") == Some("websocket") {
                exchange
                    .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
                return Ok(Then::Close);
            }
            exchange.drain()?;
            exchange.answer("200 OK", &[], b"hello")
        });
        let (mut cases, url) = (cases(&provider.url()), backend.url());
        let routes: String = cases.iter().map(|case| route(case, &url)).collect();
        let edge = TestEdge::start(|_| files(&routes));
        let session = cases.iter_mut().find(|case| case.name == SESSION).expect("a case");
        session.login = log_in(&edge);
        assert_eq!(edge.https("https://rate.test/first", &[]).status, 200);
        Self { edge, backend, _provider: provider, cases }
    }

    /// Whether the server heard of a request with this mark.
    fn heard(&self, mark: &str) -> bool {
        self.backend.heads().iter().any(|head| head.contains(mark))
    }

    /// Runs `turn` for every case: without a login first, then with one.
    #[track_caller]
    fn each(&self, name: &str, turn: impl Fn(&Turn<'_>) -> u16) {
        for case in &self.cases {
            for (passes, mark) in [(false, "refused"), (true, "passes")] {
                let mark = format!("{name}-{}-{mark}", case.name);
                let wanted = if passes { 200 } else { case.refused_with };
                let status = turn(&Turn { edge: &self.edge, case, passes, mark: &mark });
                let status = if status == 101 { 200 } else { status };
                assert_eq!(status, wanted, "{mark}");
                assert_eq!(self.heard(&mark), passes, "{mark}");
            }
        }
    }
}

fn route(Case { kind, name, settings, .. }: &Case, upstream: &str) -> String {
    format!(
        "[[route]]\nhost = \"{name}.test\"\nupstream = \"{upstream}\"\nentrypoint = [\"http\", \"https\"]\n\
         use = [\"{name}\"]\n[middleware.{name}]\nkind = \"{kind}\"\n{settings}\n"
    )
}

fn files(routes: &str) -> Vec<(String, String)> {
    static HASH: OnceLock<String> = OnceLock::new();
    let hash = HASH.get_or_init(|| bcrypt::hash("open sesame", 4).expect("a hash"));
    let line = |name: &str, token: &str| {
        let hash = HEXLOWER.encode(digest(&SHA256, token.as_bytes()).as_ref());
        format!("[[token]]\nname = \"{name}\"\nsha256 = \"{hash}\"\n")
    };
    let tokens = line("ci", TOKEN) + &line("reader", READER) + "paths = [\"/public\"]\n";
    let config = PLAIN
        .replace("tls = true", "tls = true\ntrusted_proxies = [\"127.0.0.1\"]")
        .replace("redirect = \"https\"", "trusted_proxies = [\"127.0.0.1\"]")
        // Each turn is a connection of its own, all of one client.
        + "\n[limits]\nclient_handshakes_per_second = 0\n";
    [
        ("edge.toml", config),
        ("routes/app.toml", routes.to_owned()),
        ("users", format!("ann:{hash}\n")),
        ("secret", SECRET.to_owned()),
        ("tokens.toml", tokens),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .to_vec()
}

/// One request of one case.
struct Turn<'a> {
    edge: &'a TestEdge,
    case: &'a Case,
    passes: bool,
    mark: &'a str,
}

impl Turn<'_> {
    fn host(&self) -> String {
        format!("{}.test", self.case.name)
    }

    fn target(&self) -> String {
        let path = if self.passes { self.case.paths.1 } else { self.case.paths.0 };
        format!("{path}?{}", self.mark)
    }

    /// The field with the login.
    fn field(&self) -> String {
        self.case.login.replace(MARK, self.mark)
    }

    /// A line with the login, or none.
    fn login(&self) -> String {
        if self.passes { format!("{}\r\n", self.field()) } else { String::new() }
    }

    /// The same turn as one that passes, or does not, under another mark.
    fn with<'a>(&'a self, passes: bool, mark: &'a str) -> Turn<'a> {
        Turn { passes, mark, ..*self }
    }

    fn connect(&self) -> Wire {
        TlsClient::new(self.edge).connect(&self.host())
    }

    /// A head of HTTP/1.1 without its empty line.
    fn head(&self, method: &str, fields: &str) -> String {
        format!("{method} {} HTTP/1.1\r\nHost: {}\r\n{}{fields}", self.target(), self.host(), self.login())
    }

    /// The answer to one request on a connection of its own.
    fn ask(&self, method: &str, fields: &str, body: &str) -> Reply {
        let mut wire = self.connect();
        wire.send(format!("{}\r\n{body}", self.head(method, fields)));
        wire.answer()
    }

    /// The status that curl gets over HTTP/2.
    fn curl(&self, args: &[&str]) -> u16 {
        let url = format!("https://{}{}", self.host(), self.target());
        let field = self.field();
        let login = if self.passes { vec!["-H", field.as_str()] } else { Vec::new() };
        let answer = self.edge.https(&url, &[&["--http2"], &login[..], args].concat());
        assert_eq!((answer.version.as_str(), answer.exit), ("2", 0), "{}", answer.said);
        answer.status
    }
}

/// Requirement: address list and path deny list, on this and every other turn of the protocol.
#[test]
fn http1() {
    let matrix = Matrix::start();
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "X"] {
        matrix.each(&format!("h1-{method}"), |turn| turn.ask(method, "", "").status);
    }
    matrix.each("h1-HEAD", |turn| {
        let mut wire = turn.connect();
        wire.send(turn.head("HEAD", "Connection: close\r\n") + "\r\n");
        let said = String::from_utf8_lossy(&wire.rest()).into_owned();
        assert!(said.ends_with("\r\n\r\n"), "HEAD has no body: {said}");
        said.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    });
    matrix.each("h1-preflight", |turn| {
        turn.ask("OPTIONS", "Origin: https://a\r\nAccess-Control-Request-Method: PUT\r\n", "").status
    });
}

#[test]
fn http1_in_clear() {
    let mut matrix = Matrix::start();
    let ask = |turn: &Turn<'_>| {
        let mut wire = Wire::http(turn.edge);
        wire.send(turn.head("GET", "") + "\r\n");
        wire.answer().status
    };
    // A session is for HTTPS alone, so nobody passes here.
    for case in matrix.cases.iter().filter(|case| case.kind == "oidc") {
        for passes in [false, true] {
            assert_eq!(ask(&Turn { edge: &matrix.edge, case, passes, mark: "clear-oidc" }), 403, "{}", case.name);
        }
    }
    assert!(!matrix.heard("clear-oidc"));
    matrix.cases.retain(|case| case.kind != "oidc");
    matrix.each("clear", ask);
}

#[test]
fn http2() {
    let matrix = Matrix::start();
    for method in ["GET", "POST", "OPTIONS", "DELETE"] {
        matrix.each(&format!("h2-{method}"), |turn| turn.curl(&["-X", method]));
    }
    matrix.each("h2-HEAD", |turn| turn.curl(&["--head"]));
    matrix.each("h2-body", |turn| turn.curl(&["--data-binary", "some text"]));
}

/// What the edge goes by is the type of the content. A real client of gRPC calls in proxying.rs and presets_apps.rs.
#[test]
fn grpc() {
    let matrix = Matrix::start();
    let fields = ["-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", "x"];
    matrix.each("h2-grpc", |turn| turn.curl(&fields));
    matrix.each("h1-grpc", |turn| {
        turn.ask("POST", "Content-Type: application/grpc\r\nContent-Length: 1\r\n", "x").status
    });
}

#[test]
fn upgrades() {
    let matrix = Matrix::start();
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    matrix.each("websocket", |turn| turn.ask("GET", websocket, "").status);
    for other in ["x", "h2c", "TLS/1.0", "websocket, x"] {
        let fields = format!("Connection: Upgrade\r\nUpgrade: {other}\r\n");
        let name = other.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        // What is no upgrade that is known is a plain request, or is refused before anybody is asked.
        for case in &matrix.cases {
            let mark = format!("upgrade-{name}-{}", case.name);
            let turn = Turn { edge: &matrix.edge, case, passes: false, mark: &mark };
            let status = turn.ask("GET", &fields, "").status;
            assert!(status == case.refused_with || status == 400, "{mark}: {status}");
            assert!(!matrix.heard(&mark), "{mark}");
        }
    }
    matrix.each("upgrade-x", |turn| turn.ask("GET", "Connection: Upgrade\r\nUpgrade: x\r\n", "").status);
}

#[test]
fn an_absolute_target() {
    Matrix::start().each("absolute", |turn| {
        let mut wire = turn.connect();
        let absolute = format!("GET https://{}{}", turn.host(), turn.target());
        let head = turn.head("GET", "").replacen(&format!("GET {}", turn.target()), &absolute, 1);
        assert!(head.starts_with("GET https://"), "{head}");
        wire.send(head + "\r\n");
        wire.answer().status
    });
}

/// Those that decide by the path let in what is below `/public`, and that must not be `/admin` to the server.
#[test]
fn no_spelling_of_a_path_is_a_way_past_a_rule_for_paths() {
    let matrix = Matrix::start();
    let reader = format!("Authorization: Bearer {READER}");
    for (kind, login) in
        [("api-token", reader.as_str()), ("forward-auth", "X-Nothing: x"), ("deny-path", "X-Nothing: x")]
    {
        let ask = |path: &str| {
            let mut wire = TlsClient::new(&matrix.edge).connect(&format!("{kind}.test"));
            wire.send(format!("GET {path}?{kind}-h1 HTTP/1.1\r\nHost: {kind}.test\r\n{login}\r\n\r\n"));
            let url = format!("https://{kind}.test{path}?{kind}-h2");
            [wire.answer().status, matrix.edge.https(&url, &["--http2", "--path-as-is", "-H", login]).status]
        };
        assert_eq!(ask("/public/x"), [200, 200], "{kind}");
        let heard = matrix.backend.requests();
        for path in [
            "/admin",
            "//admin",
            "/%61dmin",
            "/admin;x",
            "/public/../admin",
            "/public/..%2fadmin",
            "/public/%2e%2e/admin",
            "/public/..;/admin",
            "/public%2f..%2fadmin",
            "/public\\..\\admin",
        ] {
            let statuses = ask(path);
            assert!(statuses.iter().all(|status| [400, 401, 403].contains(status)), "{kind} {path}: {statuses:?}");
        }
        assert_eq!(matrix.backend.requests(), heard, "{kind}");
    }
}

#[test]
fn a_login_counts_for_its_own_request_alone() {
    let matrix = Matrix::start();
    for case in &matrix.cases {
        let marks = [0, 1, 2, 3].map(|n| format!("reuse-{n}-{}", case.name));
        let turn = Turn { edge: &matrix.edge, case, passes: true, mark: &marks[0] };
        let mut wire = turn.connect();
        for (n, wanted) in [(0, 200), (1, case.refused_with), (2, 200), (3, case.refused_with)] {
            let turn = turn.with(wanted == 200, &marks[n]);
            wire.send(turn.head("GET", "") + "\r\n");
            assert_eq!(wire.answer().status, wanted, "{}", marks[n]);
            assert_eq!(matrix.heard(&marks[n]), wanted == 200, "{}", marks[n]);
        }
        let marks = [0, 1].map(|n| format!("pipeline-{n}-{}", case.name));
        let (first, second) = (turn.with(true, &marks[0]), turn.with(false, &marks[1]));
        let mut wire = turn.connect();
        wire.send(format!("{}\r\n{}\r\n", first.head("GET", ""), second.head("GET", "")));
        assert_eq!((wire.answer().status, wire.answer().status), (200, case.refused_with), "{}", case.name);
        assert!(!matrix.heard(&marks[1]));
    }
}

#[test]
fn a_login_counts_for_its_own_stream_alone() {
    let matrix = Matrix::start();
    for case in &matrix.cases {
        let mark = format!("streams-{}", case.name);
        let first = Turn { edge: &matrix.edge, case, passes: true, mark: "streams-first" };
        let second = first.with(false, &mark);
        let to = format!("::{}", matrix.edge.address("https"));
        let [one, two] = [&first, &second].map(|turn| format!("https://{}{}", turn.host(), turn.target()));
        let field = first.field();
        let args = ["-v", "--http2", "-H", &field, "-o", "/dev/null", "--next"];
        let next =
            ["--silent", "--insecure", "--connect-to", &to, "--http2", "--write-out", "%{stderr}\n2 %{http_code}"];
        let answer = matrix.edge.https(&one, &[&args[..], &next, &["-v", &two]].concat());
        assert!(answer.said.contains("< HTTP/2 200") && answer.said.contains("Re-using existing"), "{}", answer.said);
        assert_eq!(answer.status, case.refused_with, "{}", answer.said);
        assert!(!matrix.heard(&mark));
    }
}

#[test]
fn a_body_waits_for_the_login() {
    let matrix = Matrix::start();
    matrix.each("expect", |turn| {
        let mut wire = turn.connect();
        wire.send(turn.head("POST", "Expect: 100-continue\r\nContent-Length: 4\r\n") + "\r\n");
        let first = wire.answer();
        if !turn.passes {
            return first.status;
        }
        assert_eq!(first.status, 100, "{}", first.head);
        wire.send("body");
        wire.answer().status
    });
    matrix.each("chunked", |turn| turn.ask("POST", "Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n").status);
    // Nobody reads a gigabyte to say no.
    for case in &matrix.cases {
        let turn = Turn { edge: &matrix.edge, case, passes: false, mark: "large" };
        let mut wire = turn.connect();
        wire.send(turn.head("PUT", "Content-Length: 1073741824\r\n") + "\r\n");
        assert_eq!(wire.answer().status, case.refused_with, "{}", case.name);
    }
    assert_eq!(matrix.backend.heads().iter().filter(|head| head.contains("large")).count(), 0);
}

#[test]
fn the_route_is_closed_where_what_protects_it_is_missing() {
    let backend = Backend::hello("open");
    for case in cases("http://127.0.0.1:1").iter().filter(|case| case.settings.contains("_file")) {
        let edge = TestEdge::start(|_: &Path| {
            let kept = ["edge.toml", "routes/app.toml"];
            files(&route(case, &backend.url())).into_iter().filter(|(name, _)| kept.contains(&&**name)).collect()
        });
        let answer = edge.https(&format!("https://{}.test/", case.name), &["-H", &case.login]);
        assert_eq!(answer.status, 503, "{}: {}", case.name, answer.text());
    }
    assert_eq!(backend.accepted(), 0);
}
