//! Which keys `edge.toml` has: the data behind its check, its JSON Schema and its reference.

use routes::shape::{Key, Shape};

/// The whole file.
pub const EDGE: Shape = Shape::Table(&[
    Key::new("routes", Shape::Text("a folder"), "The folder of route files, read with all folders below it.")
        .default("\"routes\""),
    Key::new(
        "state",
        Shape::Text("a folder"),
        "The folder of certificates, accounts and history. The environment variable `EDGE_STATE` wins.",
    )
    .default("\"/var/lib/edge\""),
    Key::new(
        "vars",
        Shape::Map(&Shape::TEXT),
        "Values for `${NAME}` and `${NAME:-default}` in this file and in route files; names not found here are taken \
         from the environment, which alone these values can use themselves.",
    ),
    Key::new(
        "entrypoint",
        Shape::Map(&ENTRYPOINT),
        "The addresses that are served, each under a name: `[entrypoint.https]`. Without any: `http` on port 80 with \
         `redirect = \"https\"`, and `https` on port 443 with `tls = true`.",
    ),
    Key::new("acme", ACME, "A public CA that certificates are had from. Without it, the own local CA signs them."),
    Key::new("tls", TLS, "TLS towards clients."),
    Key::new(
        "certificate",
        Shape::List(&CERTIFICATE),
        "Certificates that somebody else keeps, for routes with `tls = { issuer = \"files\" }`. Read again when they \
         change.",
    ),
    Key::new(
        "limits",
        LIMITS,
        "How much clients may open; `0` is no limit. A client is an IPv4 address or an IPv6 /64.",
    ),
    Key::new("admin", ADMIN, "Metrics, health, the API and the dashboard."),
    Key::new("log", LOG, "What is logged, and how."),
    Key::new("dns", DNS, "Who is asked for the addresses of upstreams."),
    Key::new("stop", STOP, "How the edge ends."),
]);

/// One `[entrypoint.NAME]`.
const ENTRYPOINT: Shape = Shape::Table(&[
    Key::new("listen", Shape::OneOrMany(&Shape::Text("an address with a port")), LISTEN_DOC)
        .default("port 80, 443 or 5432 of every address for `http`, `https` and `postgres`, else required"),
    Key::new("protocol", Shape::one_of(&["http", "postgres", "tcp"]), PROTOCOL_DOC).default("\"http\""),
    Key::new(
        "tls",
        Shape::Bool,
        "For HTTP: whether TLS is terminated. In other protocols each `[[tcp]]` says so itself.",
    )
    .default("false"),
    Key::new(
        "redirect",
        Shape::Text("an entrypoint's name"),
        "For HTTP: the entrypoint with TLS that every request is redirected to. ACME challenges are answered first.",
    ),
    Key::new(
        "trusted_proxies",
        Shape::List(&Shape::Text("a network")),
        "Networks and addresses of proxies whose forwarding headers and PROXY header are believed.",
    )
    .default("[]"),
    Key::new(
        "proxy_protocol",
        Shape::Bool,
        "Whether each connection begins with a PROXY header (version 1 or 2). Only `trusted_proxies` can connect then.",
    )
    .default("false"),
]);

const PROTOCOL_DOC: &str =
    "What is spoken: `http` for `[[route]]`; `postgres` and `tcp` for `[[tcp]]`, which HTTPS can hold too.";
const LISTEN_DOC: &str = "Addresses such as `0.0.0.0:443` and `[::]:443`. Port 0 is any free one.";

const ACME: Shape = Shape::Table(&[
    Key::new("email", Shape::Text("an e-mail address"), "Where the CA writes when something is wrong."),
    Key::new(
        "directory",
        Shape::Text("a directory"),
        "`letsencrypt`, `letsencrypt-staging`, `zerossl`, or the https:// address of another ACME directory.",
    )
    .default("\"letsencrypt\""),
    Key::new(
        "ca_file",
        Shape::Text("a file"),
        "PEM roots that the directory's own HTTPS is checked against, for a private CA.",
    )
    .default("the system's roots"),
    Key::new(
        "challenge",
        Shape::OneOf { now: &["http-01"], later: &["tls-alpn-01", "dns-01"] },
        "How the CA is shown that a name is ours.",
    )
    .default("\"http-01\""),
    Key::new("profile", Shape::TEXT, "The certificate profile to ask for, e.g. `tlsserver` or `shortlived`."),
    Key::new("eab", EAB, "External account binding, for a CA that wants one."),
]);

const EAB: Shape = Shape::Table(&[
    Key::new("kid", Shape::TEXT, "The key identifier that the CA shows for the account.").required(),
    Key::new("hmac", Shape::TEXT, "The HMAC key as the CA shows it (Base64url). `file:PATH` reads it from a file.")
        .required(),
]);

const TLS: Shape = Shape::Table(&[
    Key::new("min", Shape::one_of(&["1.2", "1.3"]), "The oldest version that is spoken.").default("\"1.2\""),
    Key::new(
        "default_certificate",
        Shape::Text("a host name"),
        "The name whose certificate clients get that send none or an unknown one. Without it they get a TLS alert.",
    ),
]);

/// One `[[certificate]]`.
const CERTIFICATE: Shape = Shape::Table(&[
    Key::new("cert", Shape::Text("a file"), "The PEM chain, the leaf first.").required(),
    Key::new("key", Shape::Text("a file"), "The PEM private key, without a passphrase.").required(),
]);

const LIMITS: Shape = Shape::Table(&[
    Key::new("client_connections", COUNT, "Open connections of one client.").default("512"),
    Key::new("client_handshakes_per_second", COUNT, "New connections per second of one client.").default("100"),
    Key::new("connections", COUNT, "Open connections in all; `0`: what the descriptor limit allows.").default("0"),
    Key::new("keepalive_requests", COUNT, "Requests on one connection.").default("1000"),
]);

const COUNT: Shape = Shape::Integer { min: 0, max: 100_000_000 };

const ADMIN: Shape = Shape::Table(&[
    Key::new(
        "listen",
        Shape::Text("an address with a port"),
        "Where it is served. It has no password: keep it on loopback or in a private network.",
    )
    .default("\"127.0.0.1:9180\""),
    Key::new(
        "hosts",
        Shape::OneOrMany(&Shape::Text("a name")),
        "Names besides `localhost` by which it may be asked for, such as that of its container. Addresses always may. Other \
         names are refused, or a page that a browser shows could have its name point here and ask.",
    )
    .default("none"),
]);

const LOG: Shape = Shape::Table(&[
    Key::new(
        "level",
        Shape::one_of(&["error", "warn", "info", "debug", "trace"]),
        "The least important line to write.",
    )
    .default("\"info\""),
    Key::new("format", Shape::one_of(&["auto", "json", "pretty"]), "`auto`: for people on a terminal, else JSON.")
        .default("\"auto\""),
    Key::new(
        "access",
        Shape::Text("`stdout`, `off` or a file"),
        "Where a line for each request goes. A file is opened again on SIGHUP.",
    )
    .default("\"stdout\""),
    Key::new(
        "redact",
        Shape::List(&Shape::TEXT),
        "What is never written: `client`, `query`, `query:NAME` (one parameter) or `header:NAME`.",
    )
    .default("[]"),
]);

const DNS: Shape = Shape::Table(&[Key::new(
    "servers",
    Shape::List(&Shape::Text("an address with a port")),
    "Name servers such as `10.0.0.1:53`.",
)
.default("those of the system")]);

const STOP: Shape = Shape::Table(&[Key::new(
    "grace",
    Shape::Duration,
    "How long requests and tunnels may go on after SIGTERM; `0`: they are cut at once.",
)
.default("\"30s\"")]);
