//! What streams say: every key, every default, every fault at its place.

use std::sync::Arc;
use std::time::Duration;

use crate::document::Source;
use crate::fixture::{Chance, check_files, check_in, check_sources};
use crate::route::{Issuer, RouteKind, RouteTls};
use crate::stream::{Mode, ProxyVersion, Stream, Tcp, TcpLimits, Udp, UdpLimits};
use crate::target::{Balance, Eject, HashOn, Probe};
use crate::world::Protocol;

fn one(text: &str) -> Arc<Stream> {
    let checked = check_files(&[("a.toml", text)]);
    assert_eq!(checked.faults, [], "{text}");
    checked.streams.into_iter().next().expect("one stream")
}

fn tcp(text: &str) -> Arc<Tcp> {
    match &*one(text) {
        Stream::Tcp(tcp) => Arc::clone(tcp),
        Stream::Udp(udp) => panic!("{udp:?}"),
    }
}

fn udp(text: &str) -> Arc<Udp> {
    match &*one(text) {
        Stream::Udp(udp) => Arc::clone(udp),
        Stream::Tcp(tcp) => panic!("{tcp:?}"),
    }
}

/// The only fault of a file: line, column, whether it is an error, why, and what to do.
#[track_caller]
fn fault(text: &str) -> (usize, usize, bool, String, String) {
    let checked = check_files(&[("a.toml", text)]);
    let [fault] = checked.faults.as_slice() else { panic!("not one fault: {:#?}\n{text}", checked.faults) };
    assert_eq!(checked.streams.is_empty(), fault.is_error(), "{text}");
    (fault.line, fault.column, fault.is_error(), fault.why.clone(), fault.hint.clone().unwrap_or_default())
}

#[test]
fn the_shortest_postgres_has_every_default() {
    let text = "[[tcp]]\nentrypoint = \"postgres\"\nhost = \"pg.${DOMAIN}\"\nupstream = \"127.0.0.1:5432\"\n";
    let tcp = tcp(text);
    assert_eq!((tcp.name.as_str(), tcp.file.as_str(), tcp.line), ("pg.example.com", "a.toml", 1));
    assert_eq!((tcp.entrypoints.join(","), tcp.mode, tcp.plaintext), ("postgres".into(), Mode::Terminate, false));
    assert_eq!(tcp.tls, RouteTls { issuer: Some(Issuer::Acme), chosen: false });
    assert!(tcp.databases.is_empty() && tcp.users.is_empty() && tcp.ip.allow.is_empty() && tcp.ip.deny.is_empty());
    assert_eq!((tcp.idle, tcp.send_proxy, tcp.limits), (None, None, TcpLimits::default()));
    let upstream = &tcp.upstream;
    assert_eq!(upstream.servers[0].to_string(), "tcp://127.0.0.1:5432");
    assert_eq!((&upstream.balance, &upstream.health), (&Balance::RoundRobin, &None));
    assert_eq!((upstream.eject, upstream.timeouts.connect), (Some(Eject::default()), Some(Duration::from_secs(10))));
    assert_eq!(
        tcp.text,
        "[[tcp]]\nentrypoint = \"postgres\"\nhost = \"pg.example.com\"\nupstream = \"127.0.0.1:5432\"\n"
    );
}

#[test]
fn the_shortest_udp_has_every_default() {
    let udp = udp("[[udp]]\nname = \"dns\"\nlisten = \"0.0.0.0:53\"\nupstream = \"10.0.0.2:53\"\n");
    assert_eq!((udp.name.as_str(), udp.line, udp.idle), ("dns", 1, Duration::from_secs(60)));
    assert_eq!(udp.listen, ["0.0.0.0:53".parse().expect("an address")]);
    assert_eq!(udp.upstream.servers[0].to_string(), "udp://10.0.0.2:53");
    assert_eq!((&udp.upstream.balance, &udp.upstream.health), (&Balance::Hash(HashOn::ClientIp), &None));
    assert_eq!(udp.limits, UdpLimits { sessions: 10_000, client_sessions: 256, client_rate: 0 });
}

#[test]
fn the_mode_depends_on_the_entrypoint_and_the_host() {
    for (rest, mode, plaintext) in [
        ("entrypoint = \"postgres\"", Mode::Terminate, false),
        ("entrypoint = \"postgres\"\nhost = \"a\"", Mode::Terminate, false),
        ("entrypoint = \"postgres\"\ntls = { issuer = \"internal\" }", Mode::Terminate, false),
        ("entrypoint = \"postgres\"\nplaintext = true", Mode::Terminate, true),
        ("entrypoint = \"postgres\"\ntls = \"none\"", Mode::None, true),
        ("entrypoint = \"postgres\"\ntls = { mode = \"passthrough\" }", Mode::Passthrough, false),
        ("entrypoint = \"tcp\"", Mode::None, false),
        ("entrypoint = \"tcp\"\nhost = \"a\"", Mode::Terminate, false),
        ("entrypoint = \"tcp\"\ntls = \"passthrough\"", Mode::Passthrough, false),
        ("entrypoint = \"https\"\nhost = \"a\"", Mode::Passthrough, false),
        ("entrypoint = \"https\"\nhost = \"a\"\ntls = \"reencrypt\"", Mode::Reencrypt, false),
    ] {
        let tcp = tcp(&format!("[[tcp]]\nname = \"x\"\nupstream = \"127.0.0.1:1\"\n{rest}\n"));
        assert_eq!((tcp.mode, tcp.plaintext), (mode, plaintext), "{rest}");
        assert_eq!(tcp.tls.issuer.is_some(), mode.ends_tls() && !tcp.hosts.is_empty(), "{rest}");
    }
}

const LONG: &str = r#"
[[tcp]]
name = "db"
entrypoint = ["postgres"]
host = ["pg.${DOMAIN}", "*.wild.${DOMAIN}"]
database = ["log", "app$$"]
user = "ada"
tls = { mode = "reencrypt", issuer = "internal" }
plaintext = true
idle = "1h"
send_proxy = "v2"
ip = { allow = ["10.0.0.0/8", "::ffff:192.0.2.1"], deny = "10.1.0.0/16" }
limits = { connections = 100, client_connections = 10, client_rate = 5 }
[tcp.upstream]
servers = [{ url = "tcp://10.0.0.2:5432", weight = 2 }, "10.0.0.3:5432", { url = "db:5432", backup = true }]
balance = "least-requests"
health = { kind = "connect", every = "1s", timeout = "500ms", up_after = 1, down_after = 2 }
slow_start = "30s"
eject = false
timeouts = { connect = "3s" }
tls = { ca_file = "ca.pem", server_name = "db", client_cert = "ca.pem", client_key = "key.pem", verify = false }
"#;

#[test]
fn every_key_of_a_tcp_route_is_read() {
    let checked = check_files(&[("a.toml", LONG)]);
    assert_eq!(checked.errors().count(), 0, "{:?}", checked.faults);
    let Stream::Tcp(tcp) = &*checked.streams[0] else { panic!("{:?}", checked.streams) };
    assert_eq!((tcp.line, tcp.mode, tcp.plaintext), (2, Mode::Reencrypt, true));
    assert_eq!(tcp.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["pg.example.com", "*.wild.example.com"]);
    assert_eq!((tcp.databases.join(","), tcp.users.join(",")), ("app$,log".into(), "ada".into()));
    assert_eq!(tcp.tls, RouteTls { issuer: Some(Issuer::Internal), chosen: true });
    assert_eq!((tcp.idle, tcp.send_proxy), (Some(Duration::from_secs(3600)), Some(ProxyVersion::V2)));
    let networks = |networks: &[ipnet::IpNet]| networks.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(networks(&tcp.ip.allow), ["10.0.0.0/8", "192.0.2.1/32"]);
    assert_eq!(networks(&tcp.ip.deny), ["10.1.0.0/16"]);
    assert_eq!(tcp.limits, TcpLimits { connections: 100, client_connections: 10, client_rate: 5 });
    let upstream = &tcp.upstream;
    assert_eq!((upstream.servers.len(), upstream.servers[0].weight, upstream.servers[2].backup), (3, 2, true));
    assert_eq!((&upstream.balance, upstream.eject), (&Balance::LeastRequests, None));
    assert_eq!(
        (upstream.slow_start, upstream.timeouts.connect.map(|time| time.as_secs())),
        (Duration::from_secs(30), Some(3))
    );
    let health = upstream.health.as_ref().expect("it is asked for");
    assert_eq!((&health.probe, health.up_after, health.down_after), (&Probe::Connect, 1, 2));
    assert_eq!((health.every, health.timeout), (Duration::from_secs(1), Duration::from_millis(500)));
    let tls = &upstream.tls;
    assert_eq!((tls.ca_file.as_deref(), tls.server_name.as_deref(), tls.verify), (Some("ca.pem"), Some("db"), false));
    assert!(tls.client.is_some());
}

const LONG_UDP: &str = r#"
[[udp]]
name = "dns"
listen = ["0.0.0.0:53", "[::]:53", "127.0.0.1:0", "127.0.0.1:0"]
idle = "10s"
ip = { allow = [], deny = ["192.0.2.0/24"] }
limits = { sessions = 5, client_sessions = 4, client_rate = 3 }
upstream = { servers = [{ url = "udp://10.0.0.2:53", weight = 3 }, "10.0.0.3:53"], balance = "round-robin" }
"#;

#[test]
fn every_key_of_a_udp_route_is_read() {
    let udp = udp(LONG_UDP);
    assert_eq!((udp.listen.len(), udp.idle, udp.ip.deny.len()), (4, Duration::from_secs(10), 1));
    assert_eq!(udp.limits, UdpLimits { sessions: 5, client_sessions: 4, client_rate: 3 });
    assert_eq!((udp.upstream.servers[0].weight, &udp.upstream.balance), (3, &Balance::RoundRobin));
}

#[test]
fn written_defaults_are_the_defaults() {
    let short =
        "[[tcp]]\nname = \"x\"\nentrypoint = \"postgres\"\nupstream = { servers = \"127.0.0.1:1\", health = true }\n";
    let long = "[[tcp]]\nname = \"x\"\nentrypoint = \"postgres\"\ntls = \"terminate\"\nplaintext = false\nidle = \"0\"\n\
        send_proxy = \"off\"\nip = { deny = [] }\nlimits = { connections = 0, client_connections = 0, client_rate = 0 }\n\
        upstream = { servers = [{ url = \"tcp://127.0.0.1:1\", weight = 1, backup = false }], balance = \"round-robin\", \
        health = { kind = \"postgres\", every = \"5s\", timeout = \"2s\", up_after = 2, down_after = 3 }, \
        slow_start = \"0\", eject = { after = 5, time = \"10s\", max = \"300s\" }, timeouts = { connect = \"10s\" } }\n";
    let without_text = |text: &str| Tcp { text: String::new(), ..(*tcp(text)).clone() };
    assert_eq!(without_text(short), without_text(long));
    let short = "[[udp]]\nname = \"x\"\nlisten = \"127.0.0.1:1\"\nupstream = \"127.0.0.1:2\"\n";
    let long = "[[udp]]\nname = \"x\"\nlisten = [\"127.0.0.1:1\"]\nidle = \"60s\"\nip = { deny = [] }\n\
        limits = { sessions = 10000, client_sessions = 256, client_rate = 0 }\n\
        upstream = { servers = \"udp://127.0.0.1:2\", balance = \"hash:client-ip\" }\n";
    let without_text = |text: &str| Udp { text: String::new(), ..(*udp(text)).clone() };
    assert_eq!(without_text(short), without_text(long));
}

#[test]
fn checks_ask_what_the_entrypoint_speaks() {
    for (entrypoint, health, probe) in [
        ("postgres", "true", Probe::Postgres),
        ("postgres", "{ every = \"1s\" }", Probe::Postgres),
        ("postgres", "{ kind = \"connect\" }", Probe::Connect),
        ("tcp", "true", Probe::Connect),
        ("tcp", "{ kind = \"postgres\" }", Probe::Postgres),
    ] {
        let upstream = format!("upstream = {{ servers = \"127.0.0.1:1\", health = {health} }}");
        let tcp = tcp(&format!("[[tcp]]\nname = \"x\"\nentrypoint = \"{entrypoint}\"\n{upstream}\n"));
        assert_eq!(tcp.upstream.health.as_ref().map(|health| &health.probe), Some(&probe), "{entrypoint} {health}");
    }
    let tcp = tcp(
        "[[tcp]]\nname = \"x\"\nentrypoint = \"tcp\"\nupstream = { servers = \"127.0.0.1:1\", timeouts = { connect = \"0\" } }\n",
    );
    assert_eq!(tcp.upstream.timeouts.connect, None);
}

#[test]
fn the_text_of_a_stream_checks_to_the_same_stream_without_variables() {
    for text in [LONG, LONG_UDP, "[[tcp]]\nname = \"x\"\nentrypoint = \"tcp\"\nupstream = \"unix:/run/x.sock\"\n"] {
        let stream = check_files(&[("a.toml", text)]).streams.remove(0);
        let again = check_sources(&[Source::new("history/x.toml", stream.text())], true);
        assert_eq!(again.errors().count(), 0, "{}", stream.text());
        let again = &again.streams[0];
        assert!(stream.same_as(again) && again.file() == "history/x.toml", "{}", stream.text());
        let other = stream.text().replacen("name = \"", "name = \"y", 1);
        assert!(!stream.same_as(&check_sources(&[Source::new("x.toml", other)], true).streams[0]));
    }
    let [tcp, udp] = [LONG, LONG_UDP].map(|text| check_files(&[("a.toml", text)]).streams.remove(0));
    assert!(!tcp.same_as(&udp));
}

/// What follows `[[tcp]]` and its upstream, the place of the only fault, and its sentence.
type Row = (&'static str, (usize, usize), &'static str);

const TCP_FAULTS: &[Row] = &[
    ("name = \"x\"", (1, 1), "it is not said which entrypoint serves it, and there are several"),
    ("entrypoint = \"tcp\"", (1, 1), "a route without `host` needs a `name`"),
    ("name = \"a/b\"\nentrypoint = \"tcp\"", (3, 8), "a route's name has 1 to 100 letters, digits, `-`, `_` or `.`"),
    ("name = \"x\"\nentrypoint = \"tpc\"", (4, 14), "there is no entrypoint `tpc`"),
    ("name = \"x\"\nentrypoint = []", (4, 14), "`entrypoint` is an empty list"),
    ("name = \"x\"\nentrypoint = \"http\"", (4, 14), "the entrypoint `http` speaks plain HTTP and nothing else"),
    (
        "name = \"x\"\nentrypoint = [\"tcp\", \"postgres\"]",
        (4, 14),
        "the entrypoints `tcp` and `postgres` speak different protocols",
    ),
    ("name = \"x\"\nentrypoint = \"https\"", (1, 1), "on an entrypoint of HTTPS a TCP route needs a `host`"),
    (
        "host = \"a\"\nentrypoint = \"https\"\ntls = \"none\"",
        (5, 7),
        "on an entrypoint of HTTPS every connection begins with TLS",
    ),
    ("host = \"a\"\nentrypoint = \"tcp\"\ntls = \"none\"", (5, 7), "without TLS no client says which host it wants"),
    (
        "host = \"a\"\nentrypoint = \"postgres\"\ntls = { mode = \"none\" }",
        (5, 16),
        "without TLS no client says which host it wants",
    ),
    (
        "host = \"192.0.2.1\"\nentrypoint = \"tcp\"",
        (3, 8),
        "no client asks for `192.0.2.1`: TLS names hosts, never addresses",
    ),
    (
        "host = \"a:5432\"\nentrypoint = \"tcp\"",
        (3, 8),
        "`a:5432`: a host has no port: which ports are served is said by the entrypoints",
    ),
    (
        "host = \"*.a.example\"\nentrypoint = \"tcp\"",
        (3, 8),
        "no certificate for `*.a.example` can be had from the CA: wildcards need a DNS challenge",
    ),
    (
        "host = \"a\"\nentrypoint = \"tcp\"\ntls = { issuer = \"files\" }",
        (5, 18),
        "no [[certificate]] of edge.toml is for `a`",
    ),
    (
        "host = \"a\"\nentrypoint = \"tcp\"\ntls = \"teminate\"",
        (5, 7),
        "`tls`: expected one of \"none\", \"terminate\", \"reencrypt\", \"passthrough\", found \"teminate\"",
    ),
    (
        "name = \"x\"\nentrypoint = \"tcp\"\ndatabase = \"app\"",
        (5, 1),
        "`database` is for entrypoints with protocol = \"postgres\"",
    ),
    (
        "name = \"x\"\nentrypoint = \"tcp\"\nuser = \"ada\"",
        (5, 1),
        "`user` is for entrypoints with protocol = \"postgres\"",
    ),
    ("name = \"x\"\nentrypoint = \"postgres\"\nuser = \"\"", (5, 8), "`` cannot be the name of a user"),
    ("name = \"x\"\nentrypoint = \"postgres\"\ndatabase = []", (5, 12), "`database` is an empty list"),
    (
        "name = \"x\"\nentrypoint = \"postgres\"\ntls = \"passthrough\"\ndatabase = \"app\"",
        (6, 1),
        "with `passthrough` edge cannot read which database a client wants",
    ),
    (
        "name = \"x\"\nentrypoint = \"tcp\"\nplaintext = true",
        (5, 1),
        "`plaintext` is for entrypoints with protocol = \"postgres\"",
    ),
    (
        "name = \"x\"\nentrypoint = \"postgres\"\ntls = \"passthrough\"\nplaintext = true",
        (6, 13),
        "with `passthrough` a client without TLS names no host, and is for no server",
    ),
    (
        "name = \"x\"\nentrypoint = \"postgres\"\ntls = \"none\"\nplaintext = false",
        (6, 13),
        "nobody could connect: neither with TLS nor without",
    ),
    (
        "name = \"x\"\nentrypoint = \"tcp\"\nsend_proxy = \"v3\"",
        (5, 14),
        "`send_proxy`: expected one of \"off\", \"v1\", \"v2\", found \"v3\"",
    ),
    (
        "name = \"x\"\nentrypoint = \"tcp\"\nip = { allow = [\"10.0.0.1/8\"] }",
        (5, 17),
        "`10.0.0.1/8` has bits behind its prefix",
    ),
    (
        "name = \"x\"\nentrypoint = \"tcp\"\nlimits = { connections = -1 }",
        (5, 26),
        "`connections` must be a whole number from 0 to 100000000",
    ),
    (
        "name = \"x\"\nentrypoint = \"tcp\"\nidle = \"5\"",
        (5, 8),
        "`idle` cannot be read from \"5\": its unit is missing or not known",
    ),
    ("name = \"x\"\nentrypoint = \"tcp\"\nusr = 1", (5, 1), "unknown key `usr`"),
    ("name = \"x\"\nentrypoint = \"tcp\"\nhost = \"a.${DOMIAN}\"", (5, 13), "the variable `DOMIAN` is not set"),
];

#[test]
fn each_fault_of_a_tcp_route_is_told_at_its_place() {
    for (rest, place, why) in TCP_FAULTS {
        let (line, column, is_error, found, _) = fault(&format!("[[tcp]]\nupstream = \"127.0.0.1:1\"\n{rest}\n"));
        assert_eq!(((line, column), is_error, found.as_str()), (*place, true, *why), "{rest}");
    }
}

const UPSTREAM_FAULTS: &[Row] = &[
    ("\"db\"", (4, 12), "`db`: the server has no port"),
    ("\"http://db:80\"", (4, 12), "`http://db:80`: the scheme `http` is not known"),
    (
        "\"tcp://db:1/x\"",
        (4, 12),
        "`tcp://db:1/x`: a server is a scheme, a host and a port: it has no path, query or fragment",
    ),
    ("\"ada:pw@db:1\"", (4, 12), "`..@db:1`: a server has no user information"),
    ("\"unix:x\"", (4, 12), "`unix:x`: a socket has an absolute path of at most 107 bytes"),
    ("[\"db:1\", \"tcp://db:1\"]", (4, 21), "the server `db:1` is named twice"),
    ("[]", (4, 12), "`upstream` is an empty list"),
    ("[{ url = \"db:1\", backup = true }]", (4, 12), "no server has a share: each is a backup or has the weight 0"),
    (
        "{ servers = \"db:1\", balance = \"sticky:ID\" }",
        (4, 42),
        "\"sticky:ID\" is for requests: below HTTP there is no header and no cookie",
    ),
    (
        "{ servers = \"db:1\", balance = \"hash:header:x\" }",
        (4, 42),
        "\"hash:header:x\" is for requests: below HTTP there is no header and no cookie",
    ),
    ("{ servers = \"db:1\", balance = \"leastconn\" }", (4, 42), "\"leastconn\" is no way to choose a server"),
    (
        "{ servers = \"db:1\", health = { kind = \"http\" } }",
        (4, 50),
        "`kind`: expected one of \"connect\", \"postgres\", found \"http\"",
    ),
    ("{ servers = \"db:1\", health = { path = \"/\" } }", (4, 43), "unknown key `path`"),
    ("{ servers = \"db:1\", health = { every = \"1ms\" } }", (4, 51), "`every` of a health check is at least 100ms"),
    (
        "{ servers = \"db:1\", eject = { time = \"0\" } }",
        (4, 40),
        "`eject` needs a `time` above 0 and a `max` that is not shorter",
    ),
    ("{ servers = \"db:1\", retries = {} }", (4, 32), "unknown key `retries`"),
    ("{ balance = \"round-robin\" }", (4, 12), "the key `servers` is missing"),
    (
        "\"127.0.0.1:21115\"",
        (4, 12),
        "`127.0.0.1:21115`: RustDesk takes whoever comes to this port from its own machine for an administrator",
    ),
    (
        "[\"10.0.0.2:21117\", \"localhost:21117\"]",
        (4, 31),
        "`localhost:21117`: RustDesk takes whoever comes to this port from its own machine for an administrator",
    ),
    (
        "{ servers = [{ url = \"[::1]:21117\" }] }",
        (4, 33),
        "`[::1]:21117`: RustDesk takes whoever comes to this port from its own machine for an administrator",
    ),
];

#[test]
fn each_fault_of_the_servers_of_a_tcp_route_is_told_at_its_place() {
    for (upstream, place, why) in UPSTREAM_FAULTS {
        let (line, column, is_error, found, hint) =
            fault(&format!("[[tcp]]\nname = \"x\"\nentrypoint = \"tcp\"\nupstream = {upstream}\n"));
        assert_eq!(((line, column), is_error, found.as_str()), (*place, true, *why), "{upstream}");
        assert!(!hint.contains("http"), "{upstream}: {hint}");
    }
    for good in ["\"10.0.0.2:21117\"", "\"127.0.0.1:21116\"", "\"127.0.0.1:21118\""] {
        one(&format!("[[tcp]]\nname = \"x\"\nentrypoint = \"tcp\"\nupstream = {good}\n"));
    }
    let none = fault("[[tcp]]\nname = \"x\"\nentrypoint = \"tcp\"\n");
    assert_eq!((none.0, none.3.as_str()), (1, "the key `upstream` is missing"));
    let socket = "[[tcp]]\nname = \"x\"\nentrypoint = \"postgres\"\ntls = { mode = \"reencrypt\", issuer = \"files\" }\nupstream = \"unix:/x\"\n";
    assert_eq!(fault(socket).3, "PostgreSQL speaks no TLS on a socket of this machine");
}

#[test]
fn all_faults_of_a_stream_are_told_at_once() {
    let text = "[[tcp]]\nhost = \"a b\"\nentrypoint = \"x\"\nidle = 1\nupstream = { servers = \"ftp://b\", balance = \"y\" }\n";
    let checked = check_files(&[("a.toml", text)]);
    let lines: Vec<_> = checked.faults.iter().map(|fault| (fault.line, fault.column, fault.route.as_deref())).collect();
    let name = Some("tcp[0]");
    assert_eq!(lines, [(2, 8, name), (3, 14, name), (4, 8, name), (5, 24, name), (5, 45, name)]);
    let rejected = &checked.rejected[0];
    assert_eq!((rejected.kind, rejected.line, rejected.rule.is_none()), (RouteKind::Tcp, 1, true));
}

#[test]
fn each_warning_of_a_tcp_route_says_what_to_do() {
    let reencrypt = "entrypoint = \"postgres\"\nhost = \"a.example\"\nupstream = \"10.0.0.2:1\"\ntls = ";
    let clear = "entrypoint = \"postgres\"\nhost = \"a.example\"\nupstream = ";
    let tcp = "entrypoint = \"tcp\"\nhost = \"a.example\"\n";
    for (rest, place, why, hint) in [
        (format!("{reencrypt}\"reencrypt\""), (5, 7), "logins with SCRAM passwords fail for psql", "passthrough"),
        (
            format!("{reencrypt}{{ mode = \"reencrypt\", issuer = \"internal\" }}"),
            (5, 16),
            "logins with SCRAM passwords fail for psql",
            "issuer = \"files\"",
        ),
        (
            format!("{clear}\"192.0.2.1:5432\""),
            (4, 12),
            "passwords and data go in clear to `192.0.2.1:5432`",
            "reencrypt",
        ),
        (
            format!("{clear}[\"10.0.0.1:5432\", \"db.example.com:5432\"]"),
            (4, 30),
            "passwords and data go in clear to `db.example.com:5432`",
            "reencrypt",
        ),
        (
            format!("{tcp}upstream = {{ servers = \"db:1\", tls = {{ verify = false }} }}"),
            (4, 38),
            "`tls` is not used: with `terminate`",
            "reencrypt",
        ),
        (
            format!("{tcp}upstream = \"db:1\"\ntls = {{ mode = \"passthrough\", issuer = \"internal\" }}"),
            (5, 40),
            "`issuer` is not used: with `passthrough`",
            "remove",
        ),
        (
            format!("{tcp}upstream = {{ servers = \"db:1\", slow_start = \"1s\" }}"),
            (4, 45),
            "`slow_start` is not used",
            "health = true",
        ),
        (format!("{tcp}upstream = \"169.254.169.254:80\""), (4, 12), "`169.254.169.254` is a link-local address", ""),
    ] {
        let (line, column, is_error, found, advice) = fault(&format!("[[tcp]]\n{rest}\n"));
        assert_eq!(((line, column), is_error), (place, false), "{rest}");
        assert!(found.starts_with(why) && advice.contains(hint), "{rest}: {found}: {advice}");
    }
}

#[test]
fn no_warning_is_given_where_all_is_well() {
    let files = "tls = { mode = \"reencrypt\", issuer = \"files\" }";
    one(&format!(
        "[[tcp]]\nentrypoint = \"postgres\"\nhost = \"*.wild.example.com\"\nupstream = \"db.example.com:1\"\n{files}\n"
    ));
    for server in ["127.0.0.1:1", "unix:/run/s", "10.0.0.1:1", "postgres:1", "db.internal:1", "[fd00::1]:1"] {
        one(&format!("[[tcp]]\nentrypoint = \"postgres\"\nhost = \"a.example\"\nupstream = \"{server}\"\n"));
    }
    one("[[tcp]]\nentrypoint = \"tcp\"\nhost = \"a.example\"\nupstream = \"192.0.2.1:1\"\n");
    one("[[tcp]]\nentrypoint = \"tcp\"\nhost = \"a.example\"\nupstream = \"192.0.2.1:1\"\ntls = \"reencrypt\"\n");
    one(
        "[[tcp]]\nentrypoint = \"postgres\"\nhost = \"a.example\"\nupstream = \"192.0.2.1:1\"\ntls = \"passthrough\"\n",
    );
}

/// What is written, where the fault is, whether it is an error, and what it says.
const UDP_FAULTS: &[(&str, (usize, usize), bool, &str)] = &[
    ("upstream = \"db:1\"\nlisten = \"127.0.0.1:1\"", (1, 1), true, "the key `name` is missing"),
    ("name = \"x\"\nupstream = \"db:1\"", (1, 1), true, "the key `listen` is missing"),
    ("name = \"x\"\nlisten = \"127.0.0.1:1\"", (1, 1), true, "the key `upstream` is missing"),
    (
        "name = \"\"\nupstream = \"db:1\"\nlisten = \"127.0.0.1:1\"",
        (2, 8),
        true,
        "a route's name has 1 to 100 letters, digits, `-`, `_` or `.`",
    ),
    ("name = \"x\"\nupstream = \"db:1\"\nlisten = []", (4, 10), true, "`listen` is an empty list"),
    (
        "name = \"x\"\nupstream = \"db:1\"\nlisten = \"localhost:1\"",
        (4, 10),
        true,
        "`localhost:1` is not an address with a port",
    ),
    (
        "name = \"x\"\nupstream = \"db:1\"\nlisten = \"127.0.0.1\"",
        (4, 10),
        true,
        "`127.0.0.1` is not an address with a port",
    ),
    (
        "name = \"x\"\nupstream = \"db:1\"\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:1\"]",
        (4, 26),
        true,
        "127.0.0.1:1 is named twice",
    ),
    (
        "name = \"x\"\nupstream = \"db:1\"\nlisten = [\"0.0.0.0:1\", \"127.0.0.1:1\"]",
        (4, 24),
        true,
        "0.0.0.0:1 takes 127.0.0.1:1 along",
    ),
    (
        "name = \"x\"\nupstream = \"unix:/x\"\nlisten = \"127.0.0.1:1\"",
        (3, 12),
        true,
        "`unix:/x`: datagrams are sent to a host and a port, not to a socket of this machine",
    ),
    (
        "name = \"x\"\nupstream = \"tcp://db:1\"\nlisten = \"127.0.0.1:1\"",
        (3, 12),
        true,
        "`tcp://db:1`: the scheme `tcp` is not known",
    ),
    (
        "name = \"x\"\nupstream = { servers = \"db:1\", health = true }\nlisten = \"127.0.0.1:1\"",
        (3, 32),
        true,
        "unknown key `health`",
    ),
    (
        "name = \"x\"\nupstream = { servers = \"db:1\", balance = \"sticky:a\" }\nlisten = \"127.0.0.1:1\"",
        (3, 42),
        true,
        "\"sticky:a\" is for requests: below HTTP there is no header and no cookie",
    ),
    (
        "name = \"x\"\nupstream = \"db:1\"\nlisten = \"127.0.0.1:1\"\nidle = \"0\"",
        (5, 8),
        true,
        "`idle` of datagrams is at least 1s: nothing else tells that a session is over",
    ),
    (
        "name = \"x\"\nupstream = \"db:1\"\nlisten = \"127.0.0.1:1\"\nlimits = { connections = 1 }",
        (5, 12),
        true,
        "unknown key `connections`",
    ),
    ("name = \"x\"\nupstream = \"db:1\"\nlisten = \"127.0.0.1:1\"\nhost = \"a\"", (5, 1), true, "unknown key `host`"),
    (
        "name = \"x\"\nupstream = \"127.0.0.1:1\"\nlisten = \"0.0.0.0:1\"",
        (3, 12),
        false,
        "127.0.0.1:1 is the route itself, which listens on 0.0.0.0:1",
    ),
    (
        "name = \"x\"\nupstream = \"[::1]:1\"\nlisten = [\"127.0.0.1:1\", \"[::1]:1\"]",
        (3, 12),
        false,
        "[::1]:1 is the route itself, which listens on [::1]:1",
    ),
];

#[test]
fn each_fault_of_a_udp_route_is_told_at_its_place() {
    for &(rest, place, is_error, why) in UDP_FAULTS {
        let (line, column, found_error, found, _) = fault(&format!("[[udp]]\n{rest}\n"));
        assert_eq!(((line, column), found_error, found.as_str()), (place, is_error, why), "{rest}");
    }
    one("[[udp]]\nname = \"x\"\nlisten = \"192.0.2.1:1\"\nupstream = \"127.0.0.1:1\"\n");
}

#[test]
fn the_only_entrypoint_below_http_is_the_default() {
    use crate::fixture::check_on;
    let text = "[[tcp]]\nname = \"x\"\nupstream = \"127.0.0.1:1\"\n";
    let checked = check_on(&[("https", Protocol::Http, true), ("db", Protocol::Postgres, false)], text);
    assert_eq!(checked.faults, []);
    let Stream::Tcp(tcp) = &*checked.streams[0] else { panic!("{:?}", checked.streams) };
    assert_eq!((tcp.entrypoints.join(","), tcp.mode), ("db".into(), Mode::Terminate));
    let none = check_on(&[("https", Protocol::Http, true)], text);
    assert_eq!(none.faults[0].why, "edge.toml has no entrypoint for connections below HTTP");
    let several = check_files(&[("a.toml", text)]);
    assert_eq!(several.faults[0].hint.as_deref(), Some("write entrypoint = one of \"postgres\", \"tcp\""));
}

#[test]
fn without_acme_the_own_ca_signs() {
    let text = "[[tcp]]\nentrypoint = \"tcp\"\nhost = \"*.a.example\"\nupstream = \"127.0.0.1:1\"\n";
    let checked = check_in(&[("a.toml", text)], false);
    let Stream::Tcp(tcp) = &*checked.streams[0] else { panic!("{:?}", checked.streams) };
    assert_eq!(tcp.tls.issuer, Some(Issuer::Internal));
}

#[test]
fn no_prefix_and_no_damage_of_a_file_of_streams_makes_the_check_panic() {
    let whole = format!("{LONG}{LONG_UDP}");
    for end in 0..=whole.len() {
        let checked = check_sources(&[Source::new("a.toml", &whole.as_bytes()[..end])], true);
        assert!(checked.streams.len() + checked.rejected.len() <= 2);
    }
    let mut chance = Chance(4);
    for _ in 0..2_000 {
        let mut bytes = whole.clone().into_bytes();
        for _ in 0..1 + chance.below(4) {
            let at = chance.below(bytes.len());
            match chance.below(3) {
                0 => bytes[at] = chance.pick(&["\"", "[", "=", "\n", "$", "{", ".", "\u{0}", "*", "1"]).as_bytes()[0],
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[chance.below(bytes.len())]),
            }
        }
        let checked = check_sources(&[Source::new("a.toml", bytes)], true);
        assert!(checked.rejected.iter().all(|rejected| rejected.faults.iter().any(crate::fault::Fault::is_error)));
    }
}
