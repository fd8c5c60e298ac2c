//! Streams beside each other and beside routes: what clashes, and who stays.

use std::sync::Arc;

use crate::check::Checked;
use crate::fixture::{check_files, check_over_all};
use crate::route::{Route, RouteKind};
use crate::stream::Stream;
use crate::table::{Found, Table};

fn tcp(name: &str, rest: &str) -> String {
    format!("[[tcp]]\nname = \"{name}\"\nupstream = \"127.0.0.1:1\"\n{rest}\n")
}

fn udp(name: &str, listen: &str) -> String {
    format!("[[udp]]\nname = \"{name}\"\nupstream = \"10.0.0.2:1\"\nlisten = [{listen}]\n")
}

fn route(name: &str, rest: &str) -> String {
    format!("[[route]]\nname = \"{name}\"\nrespond = \"\"\n{rest}\n")
}

/// The errors of a file a.toml and a file b.toml, each as `file:line: why`.
fn errors(a: &str, b: &str) -> Vec<String> {
    let checked = check_files(&[("a.toml", a), ("b.toml", b)]);
    checked.errors().map(|fault| format!("{}:{}: {}", fault.file, fault.line, fault.why)).collect()
}

#[test]
fn two_streams_that_cannot_be_told_apart_are_a_fault_that_names_both() {
    let pg = "entrypoint = \"postgres\"";
    for (first, second, clash) in [
        ("", "", true),
        ("host = \"a.example\"", "", false),
        ("host = \"a.example\"", "host = \"A.example.\"", true),
        ("host = \"a.example\"", "host = [\"b.example\", \"a.example\"]", true),
        ("host = \"a.example\"", "host = \"b.example\"", false),
        ("host = \"x.wild.example.com\"", "host = \"*.wild.example.com\"\ntls.issuer = \"internal\"", false),
        ("database = \"x\"", "", false),
        ("database = \"x\"", "database = \"x\"", true),
        ("database = [\"x\", \"y\"]", "database = [\"y\", \"z\"]", true),
        ("database = \"x\"", "database = \"y\"", false),
        ("user = \"x\"", "user = [\"x\", \"y\"]", true),
        ("database = \"x\"", "user = \"x\"", false),
        ("database = \"x\"\nuser = \"a\"", "database = \"x\"\nuser = \"b\"", false),
        ("database = \"x\"\nuser = \"a\"", "database = [\"x\", \"y\"]\nuser = [\"a\", \"b\"]", true),
        ("database = \"x\"\nuser = \"a\"", "database = \"x\"", false),
        ("tls = \"passthrough\"", "database = \"x\"", true),
        ("tls = \"none\"", "database = \"x\"", false),
    ] {
        let found = errors(&tcp("one", &format!("{pg}\n{first}")), &tcp("two", &format!("{pg}\n{second}")));
        assert_eq!(found.len(), usize::from(clash), "{first} | {second}: {found:?}");
        if let Some(why) = found.first() {
            let names = "b.toml:1: the TCP routes `one` and `two` cannot be told apart: both take";
            assert!(why.starts_with(names) && why.ends_with("`one` is at a.toml:1"), "{why}");
        }
    }
    let other = errors(&tcp("one", "entrypoint = \"tcp\""), &tcp("two", pg));
    assert!(other.is_empty(), "each has an entrypoint of its own: {other:?}");
}

#[test]
fn a_host_is_there_for_requests_or_for_connections() {
    let (through, requests) = ("entrypoint = \"https\"\nhost = \"a.example\"", "host = \"a.example\"\npath = \"/x\"");
    let expected = |name: &str, other: &str| {
        format!(
            "b.toml:3: `a.example` on the entrypoint `https` is to be both `{name}`'s and that of the {other} at a.toml:1"
        )
    };
    let place =
        |found: Vec<String>| found.into_iter().map(|why| why.replace("b.toml:4:", "b.toml:3:")).collect::<Vec<_>>();
    assert_eq!(
        place(errors(&route("web", requests), &tcp("tunnel", through))),
        [expected("tunnel", "route `web`").replace("b.toml:3", "b.toml:5")]
    );
    assert_eq!(
        place(errors(&tcp("tunnel", through), &route("web", requests))),
        [expected("web", "TCP route `tunnel`")]
    );
    for (routes, streams) in [
        ("host = \"a.example\"\nentrypoint = \"http\"", through),
        ("host = \"b.example\"", through),
        (
            "host = \"*.wild.example.com\"\ntls.issuer = \"files\"",
            "entrypoint = \"https\"\nhost = \"x.wild.example.com\"",
        ),
        ("host = \"a.example\"", "entrypoint = \"tcp\"\nhost = \"a.example\""),
    ] {
        assert_eq!(errors(&route("web", routes), &tcp("tunnel", streams)), [""; 0], "{routes} {streams}");
    }
}

#[test]
fn one_address_is_bound_by_one_stream_of_datagrams() {
    for (first, second, why) in [
        (
            "\"127.0.0.1:53\"",
            "\"127.0.0.1:54\", \"127.0.0.1:53\"",
            Some("127.0.0.1:53 is bound twice: by `two` and by the UDP route `one` at a.toml:1"),
        ),
        (
            "\"0.0.0.0:53\"",
            "\"127.0.0.1:53\"",
            Some("127.0.0.1:53 of `two` and 0.0.0.0:53 of the UDP route `one` at a.toml:1 cannot both be bound"),
        ),
        ("\"0.0.0.0:53\"", "\"[::]:53\"", None),
        ("\"127.0.0.1:0\"", "\"127.0.0.1:0\"", None),
        ("\"127.0.0.1:53\"", "\"127.0.0.2:53\"", None),
    ] {
        let found = errors(&udp("one", first), &udp("two", second));
        assert_eq!(
            found,
            why.map(|why| format!("b.toml:4: {why}")).into_iter().collect::<Vec<_>>(),
            "{first} {second}"
        );
    }
}

#[test]
fn a_name_is_unique_among_all_kinds_of_route() {
    let kinds = [route("x", "host = \"a.example\""), tcp("x", "entrypoint = \"tcp\""), udp("x", "\"127.0.0.1:1\"")];
    for (first, a) in kinds.iter().enumerate() {
        for (second, b) in kinds.iter().enumerate().filter(|(second, _)| *second != first) {
            let checked = check_files(&[("a.toml", a), ("b.toml", b)]);
            let whys: Vec<_> = checked.faults.iter().map(|fault| fault.why.as_str()).collect();
            assert_eq!(whys, ["the name `x` is taken by the route at a.toml:1"], "{first} {second}");
            let kind = [RouteKind::Http, RouteKind::Tcp, RouteKind::Udp][second];
            assert_eq!((checked.rejected[0].kind, checked.rejected[0].name_taken), (kind, true));
        }
    }
    let one_file = check_files(&[("a.toml", &format!("{}{}", kinds[2], kinds[0]))]);
    assert_eq!(one_file.streams.len(), 1, "the first of a file has it, whatever its kind");
}

#[test]
fn a_host_has_one_issuer_whoever_serves_it() {
    let found = errors(
        &route("web", "host = \"a.example\"\ntls.issuer = \"acme\""),
        &tcp("db", "entrypoint = \"postgres\"\nhost = \"a.example\"\ntls.issuer = \"internal\""),
    );
    let why =
        "the certificate of `a.example` is to come from `internal` here and from `acme` in the route `web` at a.toml:1";
    assert_eq!(found, [format!("b.toml:6: {why}")]);
    let gives_way = errors(
        &route("web", "host = \"a.example\""),
        &tcp("db", "entrypoint = \"postgres\"\nhost = \"a.example\"\ntls.issuer = \"internal\""),
    );
    assert_eq!(gives_way, [""; 0]);
}

#[test]
fn a_raw_default_beside_names_is_a_warning_where_servers_speak_first() {
    let warnings = |a: &str, b: &str| {
        let checked = check_files(&[("a.toml", a), ("b.toml", b)]);
        assert_eq!((checked.errors().count(), checked.streams.len()), (0, 2));
        checked.faults.into_iter().map(|fault| (fault.file, fault.line, fault.why)).collect::<Vec<_>>()
    };
    let (raw, named) = (tcp("ssh", "entrypoint = \"tcp\""), tcp("web", "entrypoint = \"tcp\"\nhost = \"a.example\""));
    let why = |at: &str| {
        format!(
            "where the server speaks first, clients of `ssh` wait 3 s: on the entrypoint `tcp` a name is waited for, by \
             which `web` at {at}:1 is chosen"
        )
    };
    assert_eq!(warnings(&raw, &named), [("a.toml".to_owned(), 1, why("b.toml"))]);
    assert_eq!(warnings(&named, &raw), [("b.toml".to_owned(), 1, why("a.toml"))]);
    let through = tcp("ssh", "entrypoint = \"tcp\"\ntls = \"passthrough\"");
    assert_eq!(warnings(&through, &named), []);
    let [pg, pg_named] =
        ["tls = \"none\"", "host = \"a.example\""].map(|rest| format!("entrypoint = \"postgres\"\n{rest}"));
    assert_eq!(warnings(&tcp("clear", &pg), &tcp("db", &pg_named)), [], "clients of PostgreSQL speak first");
}

#[test]
fn a_rejected_stream_takes_no_requests() {
    let text = tcp("tunnel", "entrypoint = \"https\"\nhost = \"a.example\"\nidle = 1");
    let checked = check_files(&[("a.toml", &text)]);
    assert_eq!((checked.rejected[0].kind, checked.rejected[0].hosts.len()), (RouteKind::Tcp, 1));
    let table = Table::build(checked.routes, &checked.rejected);
    assert!(!table.serves("a.example"));
    let request = crate::rule::Request {
        entrypoint: "https",
        host: "a.example",
        path: "/",
        method: "GET",
        query: "",
        headers: &(),
        client: "192.0.2.1".parse().expect("an address"),
    };
    assert!(matches!(table.find(&request), Found::Nothing));
}

/// The good streams and routes and the rejected ones, each as `file name`.
fn outcome(checked: &Checked) -> (Vec<String>, Vec<String>) {
    let streams = checked.streams.iter().map(|stream| format!("{} {}", stream.file(), stream.name()));
    let routes = checked.routes.iter().map(|route| format!("{} {}", route.file, route.name));
    (streams.chain(routes).collect(), checked.rejected.iter().map(|one| format!("{} {}", one.file, one.name)).collect())
}

fn live(files: &[(&str, &str)]) -> (Vec<Arc<Route>>, Vec<Arc<Stream>>) {
    let checked = check_files(files);
    assert_eq!(checked.faults, []);
    (checked.routes, checked.streams)
}

#[test]
fn a_stream_that_serves_keeps_its_place_and_its_name_from_newcomers() {
    let edited = |text: &str| text.replace("127.0.0.1:1\"", "127.0.0.1:2\"").replace("10.0.0.2:1\"", "10.0.0.2:2\"");
    for (old, newcomer) in [
        (tcp("old", "entrypoint = \"tcp\""), tcp("new", "entrypoint = \"tcp\"")),
        (tcp("old", "entrypoint = \"tcp\""), tcp("old", "entrypoint = \"postgres\"\nhost = \"n.example\"")),
        (udp("old", "\"127.0.0.1:53\""), udp("new", "\"0.0.0.0:53\"")),
        (udp("old", "\"127.0.0.1:53\""), tcp("old", "entrypoint = \"tcp\"")),
        (tcp("old", "entrypoint = \"https\"\nhost = \"a.example\""), route("new", "host = \"a.example\"")),
        (route("old", "host = \"a.example\""), tcp("new", "entrypoint = \"https\"\nhost = \"a.example\"")),
        (route("old", "host = \"a.example\""), udp("old", "\"127.0.0.1:53\"")),
    ] {
        let (routes, streams) = live(&[("b", &old)]);
        let name = if newcomer.contains("\"new\"") { "a new" } else { "a old" };
        for now in [old.clone(), edited(&old), format!("{old}unknown = 1\n"), "[[".to_owned()] {
            let checked = check_over_all(&routes, &streams, &[("a", &newcomer), ("b", &now)]);
            let (good, rejected) = outcome(&checked);
            assert!(rejected.contains(&name.to_owned()), "{old}{newcomer}{now}: {rejected:?}");
            assert_eq!(good.contains(&"b old".to_owned()), !now.contains("unknown") && now != "[[", "{now}");
        }
        let freed = check_over_all(&routes, &streams, &[("a", &newcomer), ("b", "# nothing\n")]);
        assert_eq!(outcome(&freed), (vec![name.to_owned()], vec![]), "what nobody has any more is free");
    }
}

#[test]
fn an_edit_takes_no_place_of_a_stream_that_serves_as_it_was() {
    let at = |name: &str, port: u16| udp(name, &format!("\"127.0.0.1:{port}\""));
    let (routes, streams) = live(&[("a", &at("a", 1)), ("b", &at("b", 2))]);
    let onto = check_over_all(&routes, &streams, &[("a", &at("a", 2)), ("b", &at("b", 2))]);
    assert_eq!(outcome(&onto), (vec!["b b".into()], vec!["a a".into()]));
    let swapped = check_over_all(&routes, &streams, &[("a", &at("a", 2)), ("b", &at("b", 1))]);
    assert_eq!(outcome(&swapped).0, ["a a", "b b"]);
}
