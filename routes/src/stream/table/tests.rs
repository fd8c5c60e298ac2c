//! Who a connection is for, with nothing but the table.

use super::*;
use crate::fixture::check_files;

/// A table of these `[[tcp]]`, each given by its name and its further keys.
fn table(streams: &[(&str, &str)]) -> StreamTable {
    let text: String = streams
        .iter()
        .map(|(name, rest)| format!("[[tcp]]\nname = \"{name}\"\nupstream = \"127.0.0.1:1\"\n{rest}\n"))
        .collect();
    let checked = check_files(&[("a.toml", &text)]);
    assert_eq!(checked.errors().collect::<Vec<_>>(), Vec::<&crate::fault::Fault>::new(), "{text}");
    StreamTable::build(&checked.streams)
}

fn names(candidates: Candidates<'_>) -> Vec<&str> {
    candidates.iter().map(|tcp| tcp.name.as_str()).collect()
}

const PG: &str = "entrypoint = \"postgres\"";

#[test]
fn an_exact_host_comes_before_a_wildcard_before_none() {
    let table = table(&[
        ("none", PG),
        ("wild", &format!("{PG}\nhost = \"*.a.example\"\ntls = {{ issuer = \"internal\" }}")),
        ("exact", &format!("{PG}\nhost = \"x.a.example\"")),
    ]);
    let streams = table.entrypoint("postgres").expect("it has some");
    for (sni, name) in [
        (Some("x.a.example"), "exact"),
        (Some("X.A.example."), "exact"),
        (Some("y.a.example"), "wild"),
        (Some("a.example"), "none"),
        (Some("z.y.a.example"), "none"),
        (Some(""), "none"),
        (None, "none"),
    ] {
        assert_eq!(names(streams.by_sni(sni)), [name], "{sni:?}");
    }
    assert!(streams.has_names());
    assert_eq!(streams.default().map(|tcp| tcp.name.as_str()), Some("none"));
    assert!(table.entrypoint("https").is_none());
}

#[test]
fn without_sni_streams_that_share_their_hosts_are_meant_where_no_other_can_be() {
    let host = |names: &str| format!("{PG}\nhost = [{names}]");
    let of = |streams: &[(&str, &str)]| {
        let table = table(streams);
        let candidates = table.entrypoint("postgres").map(|streams| streams.by_sni(None));
        candidates.map(|found| found.iter().map(|tcp| tcp.name.clone()).collect::<Vec<_>>()).unwrap_or_default()
    };
    assert_eq!(of(&[("one", &host("\"a\", \"b\""))]), ["one"]);
    let db = |names: &str, db: &str| format!("{}\ndatabase = \"{db}\"", host(names));
    assert_eq!(of(&[("one", &db("\"a\", \"b\"", "x")), ("two", &db("\"b\", \"a\"", "y"))]), ["one", "two"]);
    assert_eq!(of(&[("one", &db("\"a\", \"b\"", "x")), ("two", &db("\"a\"", "y"))]), [""; 0]);
    assert_eq!(of(&[("one", &host("\"a\"")), ("two", &host("\"b\""))]), [""; 0]);
    assert_eq!(of(&[("one", &host("\"a\"")), ("bare", PG), ("two", &host("\"b\""))]), ["bare"]);
    assert_eq!(of(&[("one", &host("\"a\"")), ("bare", &format!("{PG}\nuser = \"ada\""))]), ["bare"]);
}

#[test]
fn an_unknown_name_is_for_nobody_where_each_stream_has_a_host() {
    let table = table(&[("one", &format!("{PG}\nhost = \"a.example\""))]);
    let candidates = table.entrypoint("postgres").map(|streams| streams.by_sni(Some("b.example"))).expect("some");
    assert!(candidates.is_empty() && candidates.choose("", "").is_none());
    assert_eq!(table.nearest("a.exampel"), Some("a.example"));
    assert_eq!(table.nearest("zzzzzzzzzz"), None);
}

#[test]
fn the_host_of_a_rejected_stream_is_for_nobody() {
    let mut table = table(&[
        ("bare", PG),
        ("wild", &format!("{PG}\nhost = \"*.a.example\"\ntls = {{ issuer = \"internal\" }}")),
        ("kept", &format!("{PG}\nhost = \"kept.example\"")),
    ]);
    let closed = ["x.a.example", "b.example", "*.c.example", "kept.example"];
    table.close(&closed.map(|name| Host::parse(name).expect("a host")), &SessionRule::default());
    assert!(table.is_closed("x.a.example") && table.is_closed("y.c.example") && !table.is_closed("y.a.example"));
    let streams = table.entrypoint("postgres").expect("it has some");
    for (sni, name) in [
        (Some("x.a.example"), None),
        (Some("b.example"), None),
        (Some("y.c.example"), None),
        (Some("y.a.example"), Some("wild")),
        (Some("kept.example"), Some("kept")),
        (Some("c.example"), Some("bare")),
        (None, Some("bare")),
    ] {
        assert_eq!(names(streams.by_sni(sni)), Vec::from_iter(name), "{sni:?}");
    }
    assert_eq!(streams.iter().count(), 3);
}

#[test]
fn both_database_and_user_come_before_one_before_none() {
    let table = table(&[
        ("none", PG),
        ("user", &format!("{PG}\nuser = [\"ada\", \"bob\"]")),
        ("database", &format!("{PG}\ndatabase = [\"app\", \"log\"]")),
        ("both", &format!("{PG}\ndatabase = \"app\"\nuser = \"ada\"")),
    ]);
    let streams = table.entrypoint("postgres").expect("it has some");
    let candidates = streams.by_sni(None);
    for (database, user, name) in [
        ("app", "ada", "both"),
        ("app", "bob", "database"),
        ("app", "eve", "database"),
        ("log", "ada", "database"),
        ("other", "ada", "user"),
        ("other", "eve", "none"),
        ("App", "Ada", "none"),
        ("", "", "none"),
    ] {
        let chosen = candidates.choose(database, user).map(|tcp| tcp.name.as_str());
        assert_eq!(chosen, Some(name), "{database} {user}");
    }
    assert_eq!(names(candidates), ["both", "database", "user", "none"]);
    assert_eq!(streams.default().map(|tcp| tcp.name.as_str()), Some("none"));
    assert!(!streams.has_names() && candidates.passthrough().is_none());
}

#[test]
fn there_is_no_default_where_each_stream_asks_for_something() {
    let table = table(&[("one", &format!("{PG}\ndatabase = \"app\""))]);
    let streams = table.entrypoint("postgres").expect("it has some");
    assert!(streams.default().is_none());
    assert!(streams.by_sni(None).choose("other", "ada").is_none());
}

#[test]
fn a_passthrough_is_the_only_one_of_its_name() {
    let table = table(&[
        ("through", &format!("{PG}\nhost = \"a.example\"\ntls = \"passthrough\"")),
        ("ends", &format!("{PG}\nhost = \"b.example\"")),
    ]);
    let streams = table.entrypoint("postgres").expect("it has some");
    let of = |sni| streams.by_sni(Some(sni)).passthrough().map(|tcp| tcp.name.as_str());
    assert_eq!((of("a.example"), of("b.example")), (Some("through"), None));
}

#[test]
fn the_certificate_of_a_client_without_sni_is_that_of_a_host() {
    let host = |table: &StreamTable, sni| {
        let streams = table.entrypoint("postgres").expect("it has some");
        streams.by_sni(sni).certificate_host().map(ToString::to_string)
    };
    let named = ("named", format!("{PG}\nhost = [\"*.a.example\", \"a.example\"]\ntls = {{ issuer = \"internal\" }}"));
    let alone = table(&[(named.0, &named.1)]);
    assert_eq!(host(&alone, None).as_deref(), Some("a.example"));
    let beside = table(&[(named.0, &named.1), ("bare", PG)]);
    assert_eq!(host(&beside, None).as_deref(), Some("a.example"), "a stream without host borrows it");
    assert_eq!(host(&table(&[("bare", PG)]), None), None);
    let through = table(&[("through", &format!("{PG}\nhost = \"a.example\"\ntls = \"passthrough\""))]);
    assert_eq!(host(&through, None), None, "the server shows its own");
    let wild = table(&[("wild", &format!("{PG}\nhost = \"*.a.example\"\ntls = {{ issuer = \"internal\" }}"))]);
    assert_eq!(host(&wild, Some("x.a.example")).as_deref(), Some("*.a.example"));
}

#[test]
fn hosts_are_those_that_need_certificates() {
    let table = table(&[
        ("one", &format!("{PG}\nhost = [\"a.example\", \"b.example\"]\ndatabase = \"x\"")),
        ("two", &format!("{PG}\nhost = \"a.example\"\ndatabase = \"y\"\ntls = {{ issuer = \"internal\" }}")),
        (
            "three",
            "entrypoint = \"tcp\"\nhost = \"*.c.example\"\ntls = { mode = \"reencrypt\", issuer = \"internal\" }",
        ),
        ("four", "entrypoint = \"tcp\"\nhost = \"d.example\"\ntls = \"passthrough\""),
        ("five", "entrypoint = \"tcp\""),
    ]);
    let hosts: Vec<_> = table.hosts().map(|(host, issuer)| (host.to_string(), issuer)).collect();
    let expected = [("a.example", Issuer::Internal), ("b.example", Issuer::Acme), ("*.c.example", Issuer::Internal)];
    assert_eq!(hosts, expected.map(|(host, issuer)| (host.to_owned(), issuer)));
    let chosen = ["a.example", "b.example"].map(|name| table.chosen_issuer(&Host::parse(name).expect("a host")));
    assert_eq!(chosen, [Some(Issuer::Internal), None]);
    for (name, served) in
        [("a.example", true), ("b.example", true), ("x.c.example", true), ("c.example", false), ("d.example", false)]
    {
        assert_eq!(table.serves(name), served, "{name}");
    }
}

#[test]
fn a_stream_is_found_on_each_of_its_entrypoints_once() {
    let table = table(&[
        ("one", "entrypoint = \"tcp\"\nhost = [\"a.example\", \"b.example\"]"),
        ("two", "entrypoint = \"tcp\""),
        ("three", "entrypoint = \"https\"\nhost = \"c.example\""),
    ]);
    let all = |entrypoint| {
        let mut names: Vec<_> =
            table.entrypoint(entrypoint).into_iter().flat_map(Streams::iter).map(|tcp| tcp.name.as_str()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!((all("tcp"), all("https"), all("postgres")), (vec!["one", "two"], vec!["three"], vec![]));
    assert!(StreamTable::build(&[]).entrypoint("tcp").is_none());
}

#[test]
fn sessions_of_a_rejected_stream_go_to_no_wider_one_and_others_are_not_touched() {
    let host = format!("{PG}\nhost = \"db.example\"");
    let mut table = table(&[
        ("all", &host),
        ("ada", &format!("{host}\ndatabase = \"app\"\nuser = \"ada\"")),
        ("other", &format!("{PG}\nhost = \"other.example\"")),
    ]);
    let app = SessionRule { databases: vec!["app".to_owned()], users: Vec::new() };
    table.close(&[Host::parse("db.example").expect("a host")], &app);
    let streams = table.entrypoint("postgres").expect("it has some");
    let chosen = |sni, database, user| streams.by_sni(Some(sni)).choose(database, user).map(|tcp| tcp.name.as_str());
    assert_eq!(chosen("db.example", "app", "bob"), None, "it was for the rejected one");
    assert_eq!(chosen("db.example", "app", "ada"), Some("ada"), "this one asks for more");
    assert_eq!(chosen("db.example", "shop", "bob"), Some("all"));
    assert_eq!(chosen("other.example", "app", "bob"), Some("other"));
}
