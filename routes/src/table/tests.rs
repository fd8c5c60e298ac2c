//! Precedence, hosts, closed places; and random tables against a search that tries every route.

use std::collections::HashSet;

use super::*;
use crate::fixture::{Chance, check_files};
use crate::path::Canonical;

pub(crate) fn table(text: &str) -> Table {
    let checked = check_files(&[("a.toml", text)]);
    Table::build(checked.routes, &checked.rejected)
}

pub(crate) fn request<'a>(host: &'a str, path: &'a str) -> Request<'a> {
    let client = "192.0.2.1".parse().expect("an address");
    Request { entrypoint: "https", host, path, method: "GET", query: "", headers: &(), client }
}

fn route(name: &str, rest: &str) -> String {
    format!("[[route]]\nname = \"{name}\"\nrespond = \"\"\ntls.issuer = \"internal\"\n{rest}\n")
}

fn winner<'t>(table: &'t Table, request: &Request<'_>) -> &'t str {
    match table.find(request) {
        Found::Route(route) => &route.name,
        Found::Closed(closed) => &closed.fault_id,
        Found::Nothing => "-",
    }
}

#[test]
fn an_exact_host_comes_before_a_wildcard_before_none() {
    let table = table(
        &[
            route("none", ""),
            route("wild", "host = \"*.example.com\""),
            route("exact", "host = \"a.example.com\"\npath = \"/x\""),
            route("none-x", "path = \"/x\""),
        ]
        .concat(),
    );
    for (host, path, name) in [
        ("a.example.com", "/x", "exact"),
        ("a.example.com", "/y", "wild"),
        ("b.example.com", "/x", "wild"),
        ("c.b.example.com", "/x", "none-x"),
        ("example.com", "/", "none"),
        ("[::1]", "/", "none"),
    ] {
        assert_eq!(winner(&table, &request(host, path)), name, "{host}{path}");
    }
}

#[test]
fn an_exact_path_comes_before_the_longest_prefix_before_a_regex_before_none() {
    let host = "host = \"a\"\n";
    let table = table(
        &[
            route("none", host),
            route("api", &format!("{host}path = \"/api\"")),
            route("api-below", &format!("{host}path = \"/api/\"")),
            route("v2", &format!("{host}path = \"/api/v2\"")),
            route("exact", &format!("{host}path = \"=/api/v2\"")),
            route("exact-folder", &format!("{host}path = \"=/api/v2/\"")),
            route("regex", &format!("{host}path = \"~^/(x|api)\"")),
            route("regex-more", &format!("{host}path = \"~^/x/\"\nmethod = \"GET\"")),
        ]
        .concat(),
    );
    for (path, name) in [
        ("/api", "api"),
        ("/api/", "api-below"),
        ("/api/x", "api-below"),
        ("/apis", "regex"),
        ("/api/v2", "exact"),
        ("/api/v2/", "exact-folder"),
        ("/api/v2/x/y", "v2"),
        ("/api/v22", "api-below"),
        ("/x", "regex"),
        ("/x/y", "regex-more"),
        ("/y", "none"),
        ("*", "none"),
    ] {
        assert_eq!(winner(&table, &request("a", path)), name, "{path}");
    }
}

#[test]
fn more_conditions_come_before_priority_before_the_place_in_the_file() {
    let host = "host = \"a\"\npath = \"/x\"\n";
    let table = table(
        &[
            route("first", &format!("{host}header = {{ a = \"*\" }}")),
            route("second", &format!("{host}query = {{ b = \"*\" }}")),
            route("loud", &format!("{host}priority = 9")),
            route("two", &format!("{host}method = \"GET\"\nquery = {{ c = \"1\" }}")),
            route("plain", host),
        ]
        .concat(),
    );
    let headers = vec![("a", "1")];
    for (query, with_header, name) in
        [("", false, "loud"), ("b", true, "first"), ("b", false, "second"), ("b&c=1", true, "two")]
    {
        let headers: &dyn crate::rule::Headers = if with_header { &headers } else { &() };
        let request = Request { query, headers, ..request("a", "/x") };
        assert_eq!(winner(&table, &request), name, "{query}");
    }
}

#[test]
fn a_rejected_route_closes_its_own_requests_and_no_others() {
    let text = [
        route("open", "host = \"a.example\""),
        "[[route]]\nname = \"admin\"\nhost = \"a.example\"\npath = \"/admin\"\nfiles = \"missing\"\n".to_owned(),
        route("wild", "host = \"*.example\""),
    ]
    .concat();
    let table = table(&text);
    assert_eq!(winner(&table, &request("a.example", "/")), "open");
    let Found::Closed(closed) = table.find(&request("a.example", "/admin/x")) else { panic!("not closed") };
    assert_eq!(
        (closed.name.as_str(), closed.file.as_str(), closed.line, closed.fault_id.len()),
        ("admin", "a.toml", 6, 8)
    );
    assert_eq!(path_counts(&table, "a.example", "/y"), Some(true), "what is closed depends on the path");
}

#[test]
fn a_route_whose_rule_is_wrong_closes_its_host_unless_others_live_there() {
    let bad =
        |host: &str| format!("[[route]]\nname = \"bad-{host}\"\nhost = \"{host}\"\npath = \"x\"\nrespond = \"\"\n");
    let table = table(
        &[
            bad("a.example"),
            bad("b.example"),
            route("b", "host = \"b.example\""),
            route("wild", "host = \"*.example\""),
        ]
        .concat(),
    );
    assert!(matches!(table.find(&request("a.example", "/")), Found::Closed(_)), "not given to the wildcard");
    assert_eq!(winner(&table, &request("b.example", "/x")), "b");
    assert_eq!(winner(&table, &request("c.example", "/x")), "wild");
    assert!(table.serves("a.example"), "its name is served, so that the 503 can be told");
}

#[test]
fn hosts_for_certificates_come_once_with_the_chosen_issuer() {
    let plain = |name: &str, rest: &str| format!("[[route]]\nname = \"{name}\"\nrespond = \"\"\n{rest}\n");
    let table = table(
        &[
            plain("one", "host = [\"a.example\", \"b.example\"]"),
            plain("two", "host = \"a.example\"\npath = \"/x\"\ntls.issuer = \"internal\""),
            plain("three", "host = \"c.example\"\nentrypoint = \"http\""),
            plain("four", ""),
        ]
        .concat(),
    );
    let hosts: Vec<String> = table.hosts().map(|(host, issuer)| format!("{host} {}", issuer.as_str())).collect();
    assert_eq!(hosts, ["a.example internal", "b.example acme"]);
    assert!(table.serves("c.example") && !table.serves("d.example") && table.serves_any());
    assert_eq!(table.routes().count(), 4);
}

#[test]
fn paths_matter_where_something_depends_on_them_and_the_host_is_not_raw() {
    let table = table(
        &[
            route("plain", "host = \"plain.example\""),
            route("path", "host = \"path.example\"\npath = \"/x\""),
            route("except", "host = \"except.example\"\nexcept = { path = \"/x\" }"),
            route("raw", "host = [\"raw.example\", \"*.raw.example\"]\npath_policy = \"raw\""),
            "[[route]]\nhost = \"files.example\"\nfiles = \"dist\"\n".to_owned(),
        ]
        .concat(),
    );
    for (host, matters, policy) in [
        ("plain.example", false, PathPolicy::Strict),
        ("path.example", true, PathPolicy::Strict),
        ("except.example", true, PathPolicy::Strict),
        ("files.example", true, PathPolicy::Strict),
        ("raw.example", false, PathPolicy::Raw),
        ("b.raw.example", false, PathPolicy::Raw),
    ] {
        let found = path_counts(&table, host, "/x").or_else(|| path_counts(&table, host, "/y"));
        assert_eq!((found, table.policy(host)), (Some(matters), policy), "{host}");
    }
}

/// Whether a path with two readings is refused where this request leads; none where it leads to no route.
fn path_counts(table: &Table, host: &str, path: &str) -> Option<bool> {
    table.find(&request(host, path)).route().map(|route| table.path_matters(host, route))
}

#[test]
fn a_raw_host_is_no_way_around_the_rules_of_wider_hosts_that_its_requests_fall_through_to() {
    for (condition, matters) in [
        ("", false),
        ("method = \"PUT\"", true),
        ("entrypoint = \"http\"", true),
        ("header = { a = \"1\" }", true),
        ("client_ip = \"10.0.0.0/8\"", true),
    ] {
        let raw = route("raw", &format!("host = \"a.x.example\"\npath_policy = \"raw\"\n{condition}"));
        for wide in ["host = \"*.x.example\"", ""] {
            let admin = route("admin", &format!("{wide}\npath = \"/admin/\""));
            let table = table(&[raw.as_str(), &admin, &route("rest", wide)].concat());
            assert_eq!(path_counts(&table, "a.x.example", "/x"), Some(matters), "{condition} {wide}");
        }
    }
    let raw = route("raw", "host = \"a.x.example\"\npath_policy = \"raw\"\nmethod = \"PUT\"");
    let behind = [&raw, &route("wild", "host = \"*.x.example\""), &route("admin", "path = \"/admin/\"")];
    let table = table(&behind.map(String::as_str).concat());
    assert_eq!(path_counts(&table, "a.x.example", "/x"), Some(false), "no reading gets behind the wildcard");
}

#[test]
fn the_nearest_host_is_found_among_very_many() {
    let mut text = route("wild", "host = \"*.s3.example.com\"");
    text.push_str(
        &(0..5000).map(|n| route(&format!("r{n}"), &format!("host = \"node{n}.example.com\""))).collect::<String>(),
    );
    text.push_str(&route("mlflow", "host = \"mlflow.example.com\""));
    let table = table(&text);
    for (host, near) in [
        ("mlfow.example.com", Some("mlflow.example.com")),
        ("lmflow.example.com", Some("mlflow.example.com")),
        ("mlflow.exmaple.com", Some("mlflow.example.com")),
        ("completely-different.test", None),
        ("", None),
    ] {
        assert_eq!(table.nearest(host), near, "{host}");
    }
    assert_eq!(table.nearest(&"a".repeat(10_000)), None);
    assert_eq!(Table::default().nearest("a"), None);
}

/// Precedence said in another way: by trying every route and ranking those that fit.
fn by_trying_all<'t>(table: &'t Table, request: &Request<'_>) -> Option<&'t str> {
    let fitting = table.routes().zip(0..).filter(|(route, _)| route.rule.full_mismatch(request).is_none());
    let best = fitting.min_by_key(|(route, index)| {
        let rule = &route.rule;
        let hosts = rule.hosts.iter().filter(|host| host.matches(request.host));
        let host = hosts.map(|host| u8::from(host.is_wildcard())).min().unwrap_or(2);
        let paths = rule.conditions.paths.iter().filter(|path| path.matches(request.path));
        let path = paths.map(|path| match path {
            PathPattern::Exact(_) => (0, 0),
            PathPattern::Prefix(prefix) => (1, usize::MAX - prefix.len()),
            PathPattern::Regex(_) => (2, 0),
        });
        (host, path.min().unwrap_or((3, 0)), Reverse(rule.weight()), Reverse(rule.priority), *index)
    });
    best.map(|(route, _)| route.name.as_str())
}

const HOSTS: [&str; 5] = ["a.example", "b.example", "x.a.example", "*.a.example", "*.example"];
const PATHS: [&str; 11] = ["/", "/a", "/a/", "/a/b", "=/a", "=/a/", "=/", "~^/a", "~b$", "/a/b/c", "=/a/b/c"];
const REQUESTS: [&str; 9] = ["/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/a/b/c/d", "/ab", "*"];

/// A table of random routes; those that clash with an earlier one are left out, as a check would.
pub(crate) fn random_table(chance: &mut Chance) -> Table {
    let mut text = String::new();
    for index in 0..1 + chance.below(12) {
        let mut rest = String::new();
        for (key, values) in [("host", &HOSTS[..]), ("path", &PATHS[..])] {
            let some: HashSet<&str> = (0..chance.below(3)).map(|_| chance.pick(values)).collect();
            if !some.is_empty() {
                rest.push_str(&format!("{key} = {:?}\n", some.into_iter().collect::<Vec<_>>()));
            }
        }
        let others = [
            "method = \"GET\"",
            "method = [\"POST\", \"GET\"]",
            "header = { a = \"1\" }",
            "query = { b = \"*\" }",
            "client_ip = \"192.0.2.0/24\"",
            "except = { method = \"GET\" }",
            "entrypoint = \"http\"",
        ];
        let mut keys = HashSet::new();
        for _ in 0..chance.below(3) {
            let line = chance.pick(&others);
            if keys.insert(line.split(' ').next()) {
                rest.push_str(&format!("{line}\n"));
            }
        }
        rest.push_str(&format!("priority = {}\n", chance.below(2)));
        text.push_str(&route(&format!("r{index}"), &rest));
    }
    let checked = check_files(&[("a.toml", &text)]);
    assert!(checked.errors().all(|fault| fault.why.contains("cannot be told apart")), "{:?}", checked.faults);
    Table::build(checked.routes, &[])
}

pub(crate) fn random_request<'a>(chance: &mut Chance, headers: &'a dyn crate::rule::Headers) -> Request<'a> {
    Request {
        entrypoint: chance.pick(&["https", "https", "http"]),
        method: chance.pick(&["GET", "POST", "PUT"]),
        query: chance.pick(&["", "b=1"]),
        headers: if chance.below(2) == 0 { headers } else { &() },
        client: chance.pick(&["192.0.2.1", "::ffff:192.0.2.9", "198.51.100.1"]).parse().expect("an address"),
        ..request(
            chance.pick(&["a.example", "b.example", "x.a.example", "y.a.example", "c.test"]),
            chance.pick(&REQUESTS),
        )
    }
}

#[test]
fn random_tables_find_what_trying_every_route_finds() {
    let headers = vec![("A", "1")];
    let mut chance = Chance(42);
    let mut hits = 0;
    for _ in 0..400 {
        let table = random_table(&mut chance);
        for _ in 0..60 {
            let request = random_request(&mut chance, &headers);
            let found = table.find(&request).route().map(|route| route.name.as_str());
            assert_eq!(found, by_trying_all(&table, &request), "{}{} {}", request.host, request.path, request.method);
            hits += usize::from(found.is_some());
        }
    }
    assert!(hits > 5_000, "the tables are wide enough to prove something: {hits}");
}

#[test]
fn a_very_deep_path_is_matched_without_deep_calls() {
    let table = table(&route("a", "host = \"a\"\npath = \"/a/a/a\""));
    let raw = "/a".repeat(100_000);
    assert_eq!(winner(&table, &request("a", &Canonical::read(raw.as_bytes()).path)), "a");
}
