//! Every fault of `edge.toml` at its place with its hint, and what a good file says.

use std::fs;
use std::path::Path;
use std::time::Duration;

use certs::RealDisk;
use certs::server_config::MinVersion;
use rcgen::{CertificateParams, KeyPair};
use routes::check::Standing;
use routes::document::Source;
use routes::world::Protocol;
use tempfile::TempDir;

use super::*;
use crate::upstream::NameServers;

fn environment(vars: &[(&str, &str)]) -> Environment {
    Environment::new(vars.iter().map(|(name, value)| (name.into(), value.into())))
}

fn read_with(text: &str, vars: &[(&str, &str)]) -> Reading {
    Config::read(&Source::new("/nowhere/edge.toml", text), &environment(vars), &RealDisk)
}

fn read(text: &str) -> Reading {
    read_with(text, &[])
}

#[track_caller]
fn good(text: &str) -> Config {
    let Reading { config, faults, .. } = read(text);
    assert_eq!(faults, [], "{text}");
    config.expect("a file without faults gives settings")
}

/// Line, column, reason and hint of the only fault.
#[track_caller]
fn one(reading: Reading) -> (usize, usize, String, String) {
    let [fault] = reading.faults.as_slice() else { panic!("not one fault: {:#?}", reading.faults) };
    (fault.line, fault.column, fault.why.clone(), fault.hint.clone().unwrap_or_default())
}

/// A folder with a certificate and its key for some names.
fn folder_with_certificate(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write_certificate(folder.path(), names);
    folder
}

fn write_certificate(folder: &Path, names: &[&str]) {
    let key = KeyPair::generate().expect("a key");
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certificate = CertificateParams::new(names).and_then(|params| params.self_signed(&key)).expect("a certificate");
    fs::write(folder.join("a.pem"), certificate.pem()).expect("written");
    fs::write(folder.join("a.key"), key.serialize_pem()).expect("written");
}

fn read_in(folder: &Path, text: &str) -> Reading {
    let path = folder.join("edge.toml").display().to_string();
    Config::read(&Source::new(path, text), &Environment::default(), &RealDisk)
}

const PAIR: &str = "[[certificate]]\ncert = \"a.pem\"\nkey = \"a.key\"\n";

#[test]
fn an_empty_file_serves_http_and_https_on_every_address() {
    let config = good("");
    assert_eq!(config.entrypoints, Entrypoint::defaults());
    let [http, https] = config.entrypoints.as_slice() else { panic!("two") };
    let shown = |entrypoint: &Entrypoint| entrypoint.listen.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((shown(http), http.redirect.as_deref()), (vec!["0.0.0.0:80".into(), "[::]:80".into()], Some("https")));
    assert_eq!((shown(https), https.tls), (vec!["0.0.0.0:443".into(), "[::]:443".into()], true));
    assert_eq!(config.around.routes, Path::new("/nowhere/routes"));
    assert_eq!(config.state, Path::new("/var/lib/edge"));
    assert_eq!(config.admin.to_string(), "127.0.0.1:9180");
    assert_eq!((config.limits, config.log, config.tls), (Limits::default(), Log::default(), Tls::default()));
    assert_eq!((config.dns, config.stop_grace), (NameServers::System, Duration::from_secs(30)));
    assert!(config.acme.is_none() && config.certificates.is_empty());
}

const EVERY_KEY: &str = r#"
routes = "r"
state = "s"
[vars]
DOMAIN = "example.com"
[entrypoint.http]
listen = "127.0.0.1:0"
redirect = "https"
[entrypoint.https]
listen = ["127.0.0.1:8443", "[::1]:8443"]
protocol = "http"
tls = true
trusted_proxies = ["10.0.0.0/8", "192.0.2.1"]
proxy_protocol = true
[acme]
email = "ops@${DOMAIN}"
directory = "https://ca.${DOMAIN}/dir"
challenge = "http-01"
profile = "shortlived"
eab = { kid = "k", hmac = "c2VjcmV0" }
[tls]
min = "1.3"
default_certificate = "A.${DOMAIN}"
[limits]
client_connections = 1
client_handshakes_per_second = 2
connections = 3
keepalive_requests = 4
[admin]
listen = "127.0.0.1:0"
[log]
level = "debug"
format = "json"
access = "access.log"
redact = ["client", "query", "query:token", "header:Cookie"]
[dns]
servers = ["127.0.0.1:53"]
[stop]
grace = "5s"
"#;

#[test]
fn every_key_is_read() {
    let config = good(EVERY_KEY);
    assert_eq!(
        (config.around.routes.as_path(), config.state.as_path()),
        (Path::new("/nowhere/r"), Path::new("/nowhere/s"))
    );
    let https = &config.entrypoints[1];
    assert_eq!((https.listen.len(), https.tls, https.proxy_protocol), (2, true, true));
    assert_eq!(https.trusted_proxies[1].to_string(), "192.0.2.1/32");
    let acme = config.acme.expect("it is set");
    assert_eq!((acme.email.as_deref(), acme.directory.url()), (Some("ops@example.com"), "https://ca.example.com/dir"));
    assert_eq!((acme.profile.as_deref(), acme.eab.expect("set").kid()), (Some("shortlived"), "k"));
    assert_eq!((config.tls.min, config.tls.default_certificate.as_deref()), (MinVersion::Tls13, Some("a.example.com")));
    let limits =
        Limits { client_connections: 1, client_handshakes_per_second: 2, connections: 3, keepalive_requests: 4 };
    assert_eq!(config.limits, limits);
    let redact =
        vec![Redact::Client, Redact::Query, Redact::Parameter("token".into()), Redact::Header("cookie".into())];
    let access = Access::File("/nowhere/access.log".into());
    assert_eq!(config.log, Log { level: Level::Debug, format: LogFormat::Json, access, redact });
    assert_eq!(config.dns, NameServers::Given(vec!["127.0.0.1:53".parse().expect("an address")]));
    assert_eq!(config.stop_grace, Duration::from_secs(5));
    assert_eq!(config.around.variable("DOMAIN").as_deref(), Some("example.com"));
}

/// A file, line and column of its only fault, the reason and the hint.
type Row = (&'static str, (usize, usize), &'static str, &'static str);

const FAULTS: &[Row] = &[
    ("rotues = \"r\"", (1, 1), "unknown key `rotues`", "did you mean `routes`?"),
    ("routes = 1", (1, 10), "`routes`: expected a string (a folder), found an integer", ""),
    ("[entrypoint.https]\ntls = \"yes\"", (2, 7), "`tls`: expected a boolean, found a string", ""),
    (
        "[entrypoint.pg]\nlisten = \"0.0.0.0:5432\"\nprotocol = \"postgresql\"",
        (3, 12),
        "`protocol`: expected one of \"http\", \"postgres\", \"tcp\", found \"postgresql\"",
        "did you mean `postgres`?",
    ),
    (
        "[acme]\nchallenge = \"tls-alpn-01\"",
        (2, 13),
        "\"tls-alpn-01\" is not available in this version",
        "use \"http-01\"",
    ),
    (
        "[acme]\ndirectory = \"letsencript\"",
        (2, 13),
        "\"letsencript\" is no ACME directory; write letsencrypt, letsencrypt-staging, zerossl or an https:// address",
        "did you mean `letsencrypt`?",
    ),
    (
        "[acme]\nemail = \"ops\"",
        (2, 9),
        "`ops` is not an e-mail address",
        "write one address such as \"ops@example.com\"",
    ),
    (
        "[acme]\neab = { kid = \"k\", hmac = \"file:eab\" }",
        (2, 1),
        "cannot read /nowhere/eab: No such file or directory (os error 2)",
        "it should hold the secret and nothing else",
    ),
    (
        "[acme]\neab = { kid = \"k\", hmac = \"?\" }",
        (2, 1),
        "eab.hmac is not Base64url text; copy the HMAC key as the authority shows it",
        "",
    ),
    (
        "[acme]\ndirectory = \"zerossl\"",
        (2, 13),
        "zerossl makes accounts only with an external account binding",
        "copy it from its site: eab = { kid = \"..\", hmac = \"file:PATH\" }",
    ),
    (
        "[tls]\ndefault_certificate = \"*.a.example\"",
        (2, 23),
        "`*.a.example` is not one host",
        "name one host that the certificate is for",
    ),
    (
        "[admin]\nlisten = \"0.0.0.0:9180\"",
        (2, 10),
        "whoever reaches 0.0.0.0:9180 can read all metrics and use the API",
        "it has no password: listen on 127.0.0.1, or keep others out with a firewall",
    ),
    (
        "[admin]\nlisten = \"localhost:9180\"",
        (2, 10),
        "`localhost:9180` is not an address with a port",
        "write it like \"127.0.0.1:8080\" or \"[::1]:8080\"; names are not resolved here",
    ),
    (
        "[dns]\nservers = [\"1.1.1.1\"]",
        (2, 12),
        "`1.1.1.1` is not an address with a port",
        "add the port: \"1.1.1.1:PORT\"",
    ),
    (
        "[log]\nlevel = \"inof\"",
        (2, 9),
        "`level`: expected one of \"error\", \"warn\", \"info\", \"debug\", \"trace\", found \"inof\"",
        "did you mean `info`?",
    ),
    (
        "[log]\nredact = [\"cookie\"]",
        (2, 11),
        "`cookie` is no field of the access log",
        "write \"client\", \"query\", \"query:NAME\" or \"header:NAME\"",
    ),
    ("[limits]\nconnections = -1", (2, 15), "`connections` must be a whole number from 0 to 100000000", ""),
    (
        "[stop]\ngrace = \"30\"",
        (2, 9),
        "`grace` cannot be read from \"30\": its unit is missing or not known",
        "write a number with ms, s, m, h or d: \"5s\", \"2m\"; \"0\" is no limit",
    ),
    (
        "[vars]\nA = \"${B}\"\nB = \"b\"",
        (2, 8),
        "the variable `B` is not set",
        "set it under [vars] or in the environment, or write `${B:-default}`",
    ),
    ("[vars]\n\"a-b\" = \"\"", (2, 1), "`a-b` cannot be the name of a variable", "use letters, digits and `_`"),
    (
        "state = \"${STAET}\"\n[vars]\nSTATE = \"s\"",
        (1, 12),
        "the variable `STAET` is not set",
        "did you mean `STATE`?",
    ),
    ("routes = [", (1, 11), "not valid TOML: unclosed array, expected `]`", ""),
    ("[[certificate]]\ncert = \"a.pem\"", (1, 1), "the key `key` is missing", ""),
];

#[test]
fn each_fault_is_told_at_its_place_with_what_to_do() {
    for (text, place, why, hint) in FAULTS {
        let ((line, column), why, hint) = (*place, (*why).to_owned(), (*hint).to_owned());
        assert_eq!(one(read(text)), (line, column, why, hint), "{text}");
    }
}

const ENTRYPOINT_FAULTS: &[Row] = &[
    (
        "[entrypoint.web]\ntls = true",
        (1, 13),
        "the entrypoint `web` needs `listen`",
        "add listen = [\"0.0.0.0:PORT\", \"[::]:PORT\"]",
    ),
    (
        "[entrypoint.Web]\nlisten = \"127.0.0.1:1\"",
        (1, 13),
        "`Web` cannot be an entrypoint's name: it is a label in metrics",
        "use 1 to 50 lower-case letters, digits, `-` or `_`",
    ),
    (
        "[entrypoint.web]\nlisten = \":8080\"",
        (2, 10),
        "`:8080` is not an address with a port",
        "write \"0.0.0.0:8080\" and \"[::]:8080\"",
    ),
    ("[admin]\nlisten = \"9180\"", (2, 10), "`9180` is not an address with a port", "write \"127.0.0.1:9180\""),
    ("[entrypoint.web]\nlisten = []", (2, 10), "`listen` is an empty list", "name at least one address"),
    (
        "[entrypoint.https]",
        (1, 1),
        "the entrypoint `https` would speak plain HTTP",
        "add tls = true, or tls = false if it is meant so",
    ),
    (
        "[entrypoint.pg]\nlisten = \"127.0.0.1:1\"\nprotocol = \"postgres\"\ntls = true",
        (4, 1),
        "`tls` is for HTTP, and this entrypoint speaks `postgres`",
        "TLS is said by each [[tcp]] route: tls = \"terminate\"",
    ),
    (
        "[entrypoint.raw]\nlisten = \"127.0.0.1:1\"\nprotocol = \"tcp\"\ntls = false",
        (4, 1),
        "`tls` is for HTTP, and this entrypoint speaks `tcp`",
        "TLS is said by each [[tcp]] route: tls = \"terminate\"",
    ),
    (
        "[entrypoint.https]\ntls = true\n[entrypoint.postgres]\nprotocol = \"postgres\"\nredirect = \"https\"",
        (5, 1),
        "`redirect` is for HTTP, and this entrypoint speaks `postgres`",
        "remove it",
    ),
    (
        "[entrypoint.http]\nredirect = \"postgres\"\n[entrypoint.postgres]\nprotocol = \"postgres\"",
        (2, 12),
        "the entrypoint `postgres` has no TLS to redirect to",
        "add an entrypoint with tls = true, or remove `redirect`",
    ),
    (
        "[entrypoint.postgres]\nprotocol = \"postgres\"\nproxy_protocol = true",
        (3, 18),
        "no peer could connect: PROXY headers are taken from nobody",
        "name the load balancers in trusted_proxies",
    ),
    (
        "[entrypoint.postgres]",
        (1, 1),
        "the entrypoint `postgres` would speak HTTP on port 5432",
        "add protocol = \"postgres\"",
    ),
    (
        "[entrypoint.postgres]\nlisten = \"127.0.0.1:5432\"",
        (1, 1),
        "the entrypoint `postgres` would speak HTTP on port 5432",
        "add protocol = \"postgres\"",
    ),
    (
        "[entrypoint.postgres]\nprotocol = \"postgres\"\n[admin]\nlisten = \"127.0.0.1:5432\"",
        (1, 1),
        "127.0.0.1:5432 of admin.listen takes 0.0.0.0:5432 of the entrypoint `postgres` along",
        "give one of them another port or address",
    ),
    (
        "[acme]\n[entrypoint.https]\ntls = true\n[entrypoint.postgres]\nprotocol = \"postgres\"",
        (1, 1),
        "the CA cannot ask anything: http-01 needs an entrypoint without TLS on port 80",
        "add [entrypoint.http] with redirect = \"https\"",
    ),
    (
        "[entrypoint.https]\ntls = true\nproxy_protocol = true",
        (3, 18),
        "no peer could connect: PROXY headers are taken from nobody",
        "name the load balancers in trusted_proxies",
    ),
    (
        "[entrypoint.https]\ntls = true\ntrusted_proxies = [\"10.0.0.1/8\"]",
        (3, 20),
        "`10.0.0.1/8` has bits behind its prefix",
        "write \"10.0.0.0/8\"",
    ),
    (
        "[entrypoint.https]\ntls = true\ntrusted_proxies = [\"0.0.0.0/0\"]",
        (3, 19),
        "0.0.0.0/0 is everyone: any client can forge its address",
        "name the proxies alone",
    ),
    (
        "[entrypoint.https]\ntls = true\n[entrypoint.http]\nredirect = \"htps\"",
        (4, 12),
        "there is no entrypoint `htps`",
        "did you mean `https`?",
    ),
    (
        "[entrypoint.http]\nredirect = \"plain\"\n[entrypoint.plain]\nlisten = \"127.0.0.1:81\"",
        (2, 12),
        "the entrypoint `plain` has no TLS to redirect to",
        "add an entrypoint with tls = true, or remove `redirect`",
    ),
    (
        "[entrypoint.https]\ntls = true\nredirect = \"https\"",
        (3, 12),
        "`https` redirects to itself for ever",
        "add an entrypoint with tls = true, or remove `redirect`",
    ),
    (
        "[entrypoint.a]\nlisten = \"127.0.0.1:81\"\n[entrypoint.b]\nlisten = [\"127.0.0.1:81\"]",
        (4, 11),
        "127.0.0.1:81 is bound twice: by the entrypoint `a` and by the entrypoint `b`",
        "give one of them another port or address",
    ),
    (
        "[entrypoint.a]\nlisten = [\"0.0.0.0:81\", \"127.0.0.1:81\"]",
        (2, 25),
        "0.0.0.0:81 of the entrypoint `a` takes 127.0.0.1:81 of the entrypoint `a` along",
        "give one of them another port or address",
    ),
    (
        "[admin]\nlisten = \"127.0.0.1:443\"",
        (2, 10),
        "127.0.0.1:443 of admin.listen takes 0.0.0.0:443 of the default entrypoint `https` along",
        "give one of them another port or address",
    ),
    (
        "[acme]\n[entrypoint.https]\ntls = true",
        (1, 1),
        "the CA cannot ask anything: http-01 needs an entrypoint without TLS on port 80",
        "add [entrypoint.http] with redirect = \"https\"",
    ),
];

#[test]
fn each_fault_of_the_entrypoints_is_told() {
    for (text, place, why, hint) in ENTRYPOINT_FAULTS {
        let ((line, column), why, hint) = (*place, (*why).to_owned(), (*hint).to_owned());
        assert_eq!(one(read(text)), (line, column, why, hint), "{text}");
    }
}

#[test]
fn an_entrypoint_below_http_is_no_warning_on_any_port() {
    let config = good(
        "[entrypoint.postgres]\nprotocol = \"postgres\"\n[entrypoint.tls]\nprotocol = \"tcp\"\nlisten = \"127.0.0.1:443\"\n\
         trusted_proxies = [\"10.0.0.1\"]\nproxy_protocol = true\n",
    );
    let [postgres, tls] = config.entrypoints.as_slice() else { panic!("two") };
    let listen: Vec<String> = postgres.listen.iter().map(ToString::to_string).collect();
    assert_eq!(
        (postgres.protocol, postgres.tls, listen.join(" ")),
        (Protocol::Postgres, false, "0.0.0.0:5432 [::]:5432".into())
    );
    assert_eq!((tls.protocol, tls.tls, tls.proxy_protocol, tls.trusted_proxies.len()), (Protocol::Tcp, false, true, 1));
    let seen: Vec<_> =
        config.around.entrypoints.iter().map(|entrypoint| (entrypoint.protocol, entrypoint.tls)).collect();
    assert_eq!(seen, [(Protocol::Postgres, false), (Protocol::Tcp, false)]);
    // A name alone says nothing: this one is on another port.
    good("[entrypoint.postgres]\nlisten = \"127.0.0.1:8080\"\n");
}

#[test]
fn streams_are_checked_with_the_entrypoints_of_the_file() {
    let edge = "[entrypoint.https]\ntls = true\n[entrypoint.postgres]\nprotocol = \"postgres\"\n";
    let whys = |edge: &str, routes: &str| {
        let checked = check_routes(&good(edge), &[Source::new("r.toml", routes)], Standing::default());
        checked.faults.into_iter().map(|fault| (fault.line, fault.is_error(), fault.why)).collect::<Vec<_>>()
    };
    let bare = "[[tcp]]\nname = \"db\"\nupstream = \"127.0.0.1:5432\"\n";
    let named = "[[tcp]]\nhost = \"db.example\"\nupstream = \"127.0.0.1:5433\"\n";
    let why = "clients of `db` get a TLS alert: it has no `host`, so edge has no certificate for it";
    assert_eq!(whys(edge, bare), [(1, false, why.to_owned())]);
    assert_eq!(whys(edge, &format!("{bare}{named}")), [], "it borrows that of the other");
    assert_eq!(whys(edge, &format!("{bare}tls = \"passthrough\"\n")), []);
    assert_eq!(whys(edge, &format!("{bare}tls = \"none\"\n")), []);
    let default = "[tls]\ndefault_certificate = \"db.example\"\n";
    assert_eq!(whys(&format!("{edge}{default}"), named), [], "a stream has that host");
    let elsewhere = "[[route]]\nhost = \"db.example\"\nrespond = \"\"\n";
    assert_eq!(whys(&format!("{edge}{default}"), &format!("{bare}{elsewhere}")), []);
    let none = whys("[entrypoint.https]\ntls = true\n", bare);
    assert_eq!(none, [(1, true, "edge.toml has no entrypoint for connections below HTTP".to_owned())]);
}

#[test]
fn port_0_is_bound_as_often_as_one_likes() {
    good("[entrypoint.a]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n");
}

#[test]
fn all_faults_are_told_at_once_and_routes_can_still_be_checked() {
    let reading = read("rotues = 1\n[entrypoint.https]\ntls = 1\n[log]\nlevel = \"x\"\n[acme]\nemail = \"x\"\n");
    let keys: Vec<_> = reading.faults.iter().filter(|fault| fault.is_error()).map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["rotues", "entrypoint.https.tls", "log.level", "acme.email"]);
    assert!(reading.config.is_none());
    assert!(reading.around.is_some_and(|around| around.acme && around.entrypoints.len() == 1));
}

#[test]
fn variables_come_from_the_file_then_from_the_environment() {
    let text = "routes = \"${A}/${B}/${C:-c}\"\n[vars]\nA = \"${X:-own}\"\n";
    let routes = |vars: &[(&str, &str)]| read_with(text, vars).around.expect("valid TOML").routes;
    assert_eq!(routes(&[("A", "theirs"), ("B", "b")]), Path::new("/nowhere/own/b/c"));
    assert_eq!(routes(&[("X", "x"), ("B", "b"), ("C", "3")]), Path::new("/nowhere/x/b/3"));
}

#[test]
fn the_state_folder_of_the_environment_wins() {
    let config = read_with("state = \"s\"", &[("EDGE_STATE", "/tmp/e")]).config.expect("no faults");
    assert_eq!(config.state, Path::new("/tmp/e"));
}

#[test]
fn a_secret_is_read_from_its_file_and_shown_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("eab"), "c2VjcmV0\n").expect("written");
    let reading = read_in(folder.path(), "[acme]\neab = { kid = \"k\", hmac = \"file:eab\" }\n");
    assert_eq!(reading.faults, []);
    let config = reading.config.expect("no faults");
    assert!(!format!("{config:?}").contains("c2VjcmV0"));
    assert!(config.acme.expect("set").eab.is_some());
}

#[test]
fn values_of_variables_are_not_shown() {
    let config = read_with("[vars]\nP = \"hidden-1\"\n", &[("Q", "hidden-2")]).config.expect("no faults");
    assert!(!format!("{config:?}").contains("hidden"));
}

#[test]
fn a_certificate_gives_its_names_to_routes() {
    let folder = folder_with_certificate(&["*.a.example", "b.example"]);
    let reading = read_in(folder.path(), PAIR);
    assert_eq!(reading.faults, []);
    let config = reading.config.expect("no faults");
    assert_eq!(config.certificates[0].cert, folder.path().join("a.pem"));
    let route = "[[route]]\nhost = \"x.a.example\"\ntls = { issuer = \"files\" }\nrespond = \"\"\n";
    assert_eq!(check_routes(&config, &[Source::new("r.toml", route)], Standing::default()).faults, []);
}

#[test]
fn a_broken_certificate_is_a_fault_at_its_file_and_stops_nothing_else() {
    type Break = fn(&Path);
    let cases: [(Break, (usize, usize), &str); 5] = [
        (|folder| fs::remove_file(folder.join("a.pem")).expect("removed"), (2, 8), "a.pem: No such file"),
        (|folder| fs::remove_file(folder.join("a.key")).expect("removed"), (3, 7), "a.key: No such file"),
        (
            |folder| fs::write(folder.join("a.key"), "hello").expect("written"),
            (3, 7),
            "no PEM section for a private key",
        ),
        (|folder| fs::write(folder.join("a.pem"), [0xff]).expect("written"), (2, 8), "is not PEM text"),
        (
            |folder| {
                let key = KeyPair::generate().expect("a key").serialize_pem();
                fs::write(folder.join("a.key"), key).expect("written");
            },
            (3, 7),
            "the private key does not belong to the certificate",
        ),
    ];
    for (break_it, place, why) in cases {
        let folder = folder_with_certificate(&["a.example"]);
        break_it(folder.path());
        let reading = read_in(folder.path(), PAIR);
        assert!(reading.config.is_some(), "{why}");
        let (line, column, told, _) = one(reading);
        assert_eq!((line, column), place, "{told}");
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn roots_of_a_private_ca_are_looked_at() {
    let folder = folder_with_certificate(&["ca.example"]);
    let with = |file| format!("[acme]\nca_file = \"{file}\"\n");
    assert_eq!(read_in(folder.path(), &with("a.pem")).faults, []);
    let missing = read_in(folder.path(), &with("b.pem"));
    assert!(missing.config.is_some());
    assert!(one(missing).2.ends_with("b.pem: No such file or directory (os error 2)"));
    assert!(one(read_in(folder.path(), &with("a.key"))).2.contains("no PEM section for a certificate"));
}

#[test]
fn a_default_certificate_that_nobody_has_is_a_warning() {
    let config = good("[tls]\ndefault_certificate = \"ap.example\"\n");
    let routes = |host: &str| [Source::new("r.toml", format!("[[route]]\nhost = \"{host}\"\nrespond = \"\"\n"))];
    assert_eq!(check_routes(&config, &routes("ap.example"), Standing::default()).faults, []);
    let faults = check_routes(&config, &routes("app.example"), Standing::default()).faults;
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].hint.as_deref(), Some("did you mean `app.example`?"));
}

#[test]
fn no_prefix_of_a_file_panics() {
    let text = "routes = \"${A:-é}\"\n[vars]\nA = \"b\"\n[entrypoint.https]\nlisten = [\"[::]:443\"]\ntls = true\n[acme]\neab = { kid = \"\", hmac = \"x\" }\n";
    for end in 0..=text.len() {
        let source = Source::new("edge.toml", &text.as_bytes()[..end]);
        let reading = Config::read(&source, &Environment::default(), &RealDisk);
        assert!(reading.config.is_some() || !reading.faults.is_empty());
    }
}

#[test]
fn a_file_that_is_not_utf8_says_where() {
    let reading =
        Config::read(&Source::new("edge.toml", b"a = 1\nb = \"\xff\"".as_slice()), &environment(&[]), &RealDisk);
    assert_eq!((reading.config.is_none(), reading.around.is_none()), (true, true));
    let (line, column, why, _) = one(reading);
    assert_eq!((line, column, why.as_str()), (2, 6, "the file is not UTF-8"));
}

#[test]
fn files_are_loaded_from_disk_with_the_faults_of_all() {
    let folder = folder_with_certificate(&["a.example"]);
    fs::create_dir(folder.path().join("routes")).expect("made");
    fs::write(folder.path().join("routes/a.toml"), "[[route]]\nhots = \"a\"\n").expect("written");
    fs::write(folder.path().join("edge.toml"), "[log]\nlevel = \"x\"\n").expect("written");
    let Loaded { config, around, sources, faults } = load(&folder.path().join("edge.toml"), &Environment::default());
    assert!(config.is_none());
    assert_eq!(faults.len(), 1);
    let faults = around.expect("valid TOML").check(&sources, Standing::default()).faults;
    assert!(faults.iter().any(|fault| fault.why == "unknown key `hots`"), "{faults:#?}");
}

#[test]
fn a_missing_edge_toml_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = load(&folder.path().join("edge.toml"), &Environment::default());
    assert!(loaded.config.is_none());
    let told = loaded.faults[0].to_string();
    assert!(told.ends_with("edge.toml: there is no such file\n  hint: write it (even an empty one works), name another with --config, or try `edge demo`"), "{told}");
    let told = load(folder.path(), &Environment::default()).faults[0].to_string();
    assert!(told.contains("it cannot be read: Is a directory"), "{told}");
}

#[test]
fn an_empty_routes_folder_is_a_warning_and_no_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("edge.toml"), "").expect("written");
    let why = || {
        let loaded = load(&folder.path().join("edge.toml"), &Environment::default());
        assert!(loaded.config.is_some() && !loaded.faults[0].is_error());
        loaded.faults[0].why.clone()
    };
    assert_eq!(why(), "the folder of route files is not there, so nothing is served");
    fs::create_dir(folder.path().join("routes")).expect("made");
    assert_eq!(why(), "the folder of route files has no *.toml files, so nothing is served");
}

#[test]
fn a_file_of_ten_thousand_lines_is_read_and_its_last_line_judged() {
    let text = (0..3_333)
        .fold(String::new(), |text, n| text + &format!("[[route]]\nhost = \"h{n}.example\"\nrespond = \"\"\n"));
    let checked = check_routes(&good(""), &[Source::new("r.toml", text + "respnd = 1\n")], Standing::default());
    assert_eq!((checked.routes.len(), checked.faults.len(), checked.faults[0].line), (3_332, 1, 10_000));
}

#[test]
fn a_line_with_a_secret_is_not_repeated_in_a_fault() {
    let typo = read("[acme]\neab = { kid = \"k\", hmac = \"pa55 word\", kdi = 1 }\n").faults;
    let syntax = read("[acme]\neab = { kid = \"k\", hmac = \"pa55 word }\n").faults;
    assert!(typo.len() == 2 && !syntax.is_empty());
    for fault in typo.iter().chain(&syntax) {
        assert!(!format!("{fault}{fault:?}").contains("pa55"), "{fault}");
    }
}

#[test]
fn an_account_binding_without_its_key_identifier_is_a_warning() {
    let reading = read("[acme]\neab = { kid = \"\", hmac = \"file:/run/secrets/eab\" }\n");
    assert!(reading.config.is_some_and(|config| config.acme.is_some_and(|acme| acme.eab.is_none())));
    assert_eq!(reading.faults[0].why, "`kid` is empty, so no account is bound");
}
