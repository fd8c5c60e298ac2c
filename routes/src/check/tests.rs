//! Whole files: what is rejected, where, and that nobody else is harmed.

use std::time::Duration;

use super::*;
use crate::fixture::{Chance, check_files, check_in, check_sources};
use crate::host::Host;
use crate::route::{ClientHeaders, HostHeader, Issuer, Limits, PathPolicy};
use crate::target::{Eject, HttpVersion, Probe, RetryOn, Statuses, Target, Timeouts};

fn one(text: &str) -> Arc<Route> {
    let checked = check_files(&[("a.toml", text)]);
    assert_eq!(checked.faults, [], "{text}");
    checked.routes.into_iter().next().expect("one route")
}

/// The faults of a file as (line, column, why).
fn faults(text: &str) -> Vec<(usize, usize, String)> {
    let checked = check_files(&[("a.toml", text)]);
    checked.faults.into_iter().map(|fault| (fault.line, fault.column, fault.why)).collect()
}

#[test]
fn the_shortest_route_has_every_default() {
    let route = one("[[route]]\nhost = \"mlflow.${DOMAIN}\"\nupstream = \"http://127.0.0.1:5000\"\n");
    assert_eq!((route.name.as_str(), route.file.as_str(), route.line), ("mlflow.example.com", "a.toml", 1));
    assert_eq!(route.rule.hosts, [Host::parse("mlflow.example.com").unwrap()]);
    assert_eq!(route.rule.entrypoints, ["https"]);
    assert_eq!((route.tls.issuer, route.tls.chosen), (Some(Issuer::Acme), false));
    assert_eq!(
        (&route.limits, route.path_policy, &route.host_header),
        (&Limits::default(), PathPolicy::Strict, &HostHeader::Keep)
    );
    let Target::Upstream(upstream) = &route.target else { panic!("{:?}", route.target) };
    assert_eq!(upstream.timeouts, Timeouts::default());
    assert_eq!((upstream.servers[0].to_string().as_str(), upstream.servers[0].weight), ("http://127.0.0.1:5000", 1));
    assert_eq!(route.text, "[[route]]\nhost = \"mlflow.example.com\"\nupstream = \"http://127.0.0.1:5000\"\n");
}

const LONG: &str = r#"
[[route]]
name = "harbor-core"
host = ["harbor.${DOMAIN}", "*.reg.${DOMAIN}"]
path = ["/api/", "=/v2", "~^/c/[0-9]+$"]
method = ["POST", "GET"]
header = { X-Canary = ["1", "2"], x-any = "*" }
query = { v = "2" }
client_ip = ["10.0.0.0/8", "::ffff:192.0.2.1", "2001:db8::/32"]
except = { path = "/v2/private/", header = { x-b = "$$" } }
entrypoint = ["https", "http"]
priority = 7
tls = { issuer = "internal" }
limits = { body = "1GiB", headers = "64KiB", fields = 50, min_rate = "none" }
path_policy = "strict"
host_header = "core:8443"
client_headers = "none"
[route.upstream]
servers = [{ url = "https://10.0.0.2:8443", weight = 2 }, "https://core", { url = "unix:/run/x.sock", backup = true }]
balance = "hash:header:X-User"
slow_start = "30s"
eject = { after = 2, time = "1s", max = "1m" }
health = { path = "/ping?x", every = "1s", timeout = "500ms", status = "200-299,401", up_after = 1, down_after = 2 }
timeouts = { connect = "1s", first_byte = "0", idle = "1h", pool_idle = "250ms" }
retries = { attempts = 2, on = ["connect", "broken", "unavailable"] }
tls = { ca_file = "ca.pem", server_name = "core", client_cert = "ca.pem", client_key = "key.pem", verify = false }
http = "1"
"#;

#[test]
fn every_key_of_a_route_is_read() {
    let route = one(LONG);
    let rule = &route.rule;
    assert_eq!((rule.entrypoints.join(","), rule.priority, rule.weight()), ("http,https".into(), 7, 6));
    assert_eq!(rule.conditions.methods, ["GET", "POST"]);
    assert_eq!(rule.conditions.headers[1].0, "x-canary");
    assert_eq!(rule.conditions.client_ip[1].to_string(), "192.0.2.1/32");
    assert_eq!(route.limits, Limits { body: Some(1 << 30), headers: 64 << 10, fields: 50, min_rate: None });
    assert_eq!(route.host_header, HostHeader::Literal("core:8443".into()));
    let Target::Upstream(upstream) = &route.target else { panic!("{:?}", route.target) };
    assert_eq!((upstream.servers[0].weight, upstream.servers[1].address().as_str()), (2, "core:443"));
    assert_eq!((upstream.timeouts.first_byte, upstream.timeouts.idle), (None, Some(Duration::from_secs(3600))));
    assert_eq!((upstream.retries.attempts, upstream.http, upstream.tls.verify), (2, HttpVersion::One, false));
    assert_eq!((upstream.servers[2].backup, upstream.balance.to_string().as_str()), (true, "hash:header:x-user"));
    assert_eq!(upstream.retries.on, [RetryOn::Connect, RetryOn::Broken, RetryOn::Unavailable]);
    let seconds = Duration::from_secs;
    assert_eq!(upstream.eject, Some(Eject { after: 2, time: seconds(1), max: seconds(60) }));
    assert_eq!((upstream.slow_start, route.client_headers), (seconds(30), ClientHeaders::None));
    let health = upstream.health.as_ref().expect("it is asked for");
    let status = Statuses::parse("200-299,401").expect("good");
    assert_eq!(health.probe, Probe::Get { path: "/ping?x".into(), status });
    assert_eq!((health.every, health.timeout), (seconds(1), Duration::from_millis(500)));
    assert_eq!((health.up_after, health.down_after), (1, 2));
}

#[test]
fn short_and_long_forms_of_the_other_targets_are_read() {
    let text = |target: &str| format!("[[route]]\nhost = \"a.example\"\n{target}\n");
    for (short, long) in [
        (
            "redirect = \"https://b.example{path}{query}\"",
            "redirect = { to = \"https://b.example{path}{query}\", status = 308 }",
        ),
        ("files = \"dist\"", "files = { root = \"dist\", spa = false, index = \"index.html\", listing = false }"),
        (
            "respond = \"hi\"",
            "respond = { body = \"hi\", status = 200, content_type = \"text/plain; charset=utf-8\", headers = {} }",
        ),
        ("upstream = \"b:80\"", "upstream = { servers = \"http://b\" }"),
        ("upstream = [\"b:80\"]", "upstream = { servers = [{ url = \"http://b\" }], http = \"auto\" }"),
    ] {
        assert_eq!(one(&text(short)).target, one(&text(long)).target, "{short}");
    }
}

#[test]
fn the_text_of_a_route_checks_to_the_same_route_without_variables() {
    let again = |route: &Route| {
        let checked = check_sources(&[Source::new("history/x.toml", route.text.clone())], true);
        assert_eq!(checked.faults, [], "{}", route.text);
        checked.routes.into_iter().next().expect("one route")
    };
    for text in [LONG, "[[route]]\nname = \"a\"\nrespond = \"$$ ${DOMAIN} \\u0007 \\\" $${X}\"\n"] {
        let route = one(text);
        let second = again(&route);
        assert!(route.same_as(&second) && second.file == "history/x.toml", "{}", route.text);
    }
}

#[test]
fn random_routes_come_back_from_their_text_unchanged() {
    let mut chance = Chance(1);
    let keys = [
        "path = [\"/a b\", \"=/ü\"]",
        "method = \"GET\"",
        "header = { \"x!y\" = \"a\\tb\" }",
        "query = { \"ü ö\" = [\"\", \"*\"] }",
        "client_ip = \"192.0.2.1\"",
        "except = { host = \"x.a.example\" }",
        "entrypoint = \"http\"",
        "priority = -5",
        "limits = { fields = 3 }",
        "tls.issuer = \"internal\"",
        "host_header = \"upstream\"",
    ];
    for _ in 0..300 {
        let chosen: Vec<&str> = keys.into_iter().filter(|_| chance.below(2) == 0).collect();
        let text = format!(
            "[[route]]\nhost = \"*.a.example\"\n{}\nupstream = \"b\"\ntls.issuer = \"internal\"\n",
            chosen.join("\n")
        );
        let text = if chosen.iter().any(|key| key.starts_with("tls")) {
            text.replacen("tls.issuer = \"internal\"\n", "", 1)
        } else {
            text
        };
        let route = one(&text);
        let checked = check_sources(&[Source::new("a.toml", route.text.clone())], true);
        assert!(checked.routes[0].same_as(&route), "{text}\n{}", route.text);
    }
}

#[test]
fn each_fault_of_a_route_is_told_with_line_and_column() {
    let route = |rest: &str| format!("[[route]]\nhost = \"a.example\"\nupstream = \"b\"\n{rest}\n");
    for (rest, column, why) in [
        ("hots = 1", 1, "unknown key `hots`"),
        ("use = [\"tem\"]", 8, "there is no middleware `tem`"),
        ("use = [{ kind = \"tg\" }]", 17, "there is no kind of middleware `tg`"),
        ("preset = \"mflow\"", 10, "there is no preset `mflow`"),
        ("path = \"api\"", 8, "`api`: a path begins with `/` (prefix), `=/` (exact) or `~` (regular expression)"),
        ("path = [\"/a\", \"~(\"]", 15, "`~(`: the regular expression cannot be used: unclosed group"),
        ("path = \"~x\"", 8, "the regular expression `~x` may match in the middle of a path"),
        ("path = []", 8, "`path` is an empty list"),
        ("method = \"get\"", 10, "`get`: methods are case-sensitive"),
        ("header = { \"a b\" = \"1\" }", 12, "`a b` is not a header name"),
        ("header = { host = \"1\" }", 12, "a condition on the Host header"),
        ("header = { a = \"1\", A = \"2\" }", 10, "a header is named twice in different case"),
        ("client_ip = \"10.0.0.1/8\"", 13, "`10.0.0.1/8` has bits behind its prefix"),
        ("client_ip = \"10.0.0\"", 13, "`10.0.0` is not a network"),
        ("except = {}", 10, "`except` is empty: it would leave every request to others"),
        ("entrypoint = \"htps\"", 14, "there is no entrypoint `htps`"),
        ("entrypoint = \"postgres\"", 14, "the entrypoint `postgres` does not speak HTTP"),
        ("priority = 5000", 12, "`priority` must be a whole number from -1000 to 1000"),
        (
            "tls = { issuer = \"acmee\" }",
            18,
            "`issuer`: expected one of \"acme\", \"internal\", \"files\", found \"acmee\"",
        ),
        ("tls = { issuer = \"files\" }", 18, "no [[certificate]] of edge.toml is for `a.example`"),
        ("limits = { headers = \"none\" }", 22, "a request head needs a limit of at most 1MiB"),
        ("host_header = \"a b\"", 15, "`a b` cannot be sent as Host: the host has a byte that no name has"),
        ("respond = \"x\"", 1, "the route has a second target: `respond` besides `upstream`"),
        ("name = \"a/b\"", 8, "a route's name has 1 to 100 letters, digits, `-`, `_` or `.`"),
        (
            "path = \"/x\"\npath_policy = \"raw\"",
            15,
            "`raw` is for routes on which nothing depends on the path, and here something does",
        ),
    ] {
        let lines = rest.lines().count() + 3;
        assert_eq!(faults(&route(rest)), [(lines, column, why.to_owned())], "{rest}");
    }
}

#[test]
fn each_fault_of_hosts_and_servers_is_told_with_line_and_column() {
    for (rest, column, why) in [
        (
            "host = \"https://a.example\"\nrespond = \"\"",
            (2, 8),
            "`https://a.example`: a host is a name alone: no scheme, no path, no user",
        ),
        ("host = [\"a\", \"A.\"]\nrespond = \"\"", (2, 14), "the host `a` is named twice"),
        ("host = \"a.${DOMIAN}\"\nrespond = \"\"", (2, 13), "the variable `DOMIAN` is not set"),
        (
            "host = \"*.example.com\"\nrespond = \"\"",
            (2, 8),
            "no certificate for `*.example.com` can be had from the CA: wildcards need a DNS challenge",
        ),
        ("respond = \"\"", (1, 1), "a route without `host` needs a `name`"),
        ("host = \"a\"", (1, 1), "the route has no target"),
        ("host = \"a\"\nupstream = \"http://u:p@b\"", (3, 12), "`http://..@b`: a server has no user information"),
        ("host = \"a\"\nupstream = [\"b\", \"http://b:80\"]", (3, 18), "the server `b:80` is named twice"),
        (
            "host = \"a\"\nupstream = \"http://b/base\"",
            (3, 12),
            "`http://b/base`: a server is a scheme, a host and a port: it has no path, query or fragment",
        ),
        ("host = \"a\"\nupstream = []", (3, 12), "`upstream` is an empty list"),
        ("host = \"a\"\nupstream = { balance = \"round-robin\" }", (3, 12), "the key `servers` is missing"),
        (
            "host = \"a\"\nupstream = { servers = \"b\", http = 2 }",
            (3, 36),
            "this version of HTTP does not go with the server `http://b:80`",
        ),
        (
            "host = \"a\"\nupstream = { servers = \"b\", tls = { verify = false } }",
            (3, 35),
            "`tls` is not used: no server is `https`",
        ),
    ] {
        let expected = [(column.0, column.1, why.to_owned())];
        assert_eq!(faults(&format!("[[route]]\n{rest}\n")), expected, "{rest}");
    }
}

#[test]
fn each_fault_of_how_servers_are_chosen_is_told_with_line_and_column() {
    for (rest, column, why) in [
        (
            "host = \"a\"\nupstream = [{ url = \"b\", weight = 0 }, { url = \"c\", backup = true }]",
            (3, 12),
            "no server has a share: each is a backup or has the weight 0",
        ),
        (
            "host = \"a\"\nupstream = \"unix:app.sock\"",
            (3, 12),
            "`unix:app.sock`: a socket has an absolute path of at most 107 bytes",
        ),
        (
            "host = \"a\"\nupstream = { servers = \"b\", balance = \"sticky:\" }",
            (3, 39),
            "\"sticky:\" is no way to choose a server",
        ),
        ("host = \"a\"\nupstream = { servers = \"b\", health = { path = \"ping\" } }", (3, 47), "`ping` is no path"),
        (
            "host = \"a\"\nupstream = { servers = \"b\", health = { every = \"0\" } }",
            (3, 48),
            "`every` of a health check is at least 100ms",
        ),
        (
            "host = \"a\"\nupstream = { servers = \"b\", health = { path = \"/\", status = \"2xx\" } }",
            (3, 61),
            "`status` cannot be read: it is a list of statuses and ranges",
        ),
        (
            "host = \"a\"\nupstream = { servers = \"b\", health = { status = \"200\" } }",
            (3, 49),
            "`status` is not used: without `path` nothing is asked for",
        ),
        (
            "host = \"a\"\nupstream = { servers = \"b\", slow_start = \"1s\" }",
            (3, 42),
            "`slow_start` is not used: without health checks no server is found to be up again",
        ),
        (
            "host = \"a\"\nupstream = { servers = \"b\", eject = { time = \"0\" } }",
            (3, 37),
            "`eject` needs a `time` above 0 and a `max` that is not shorter",
        ),
    ] {
        let expected = [(column.0, column.1, why.to_owned())];
        assert_eq!(faults(&format!("[[route]]\n{rest}\n")), expected, "{rest}");
    }
}

#[test]
fn each_fault_of_files_and_answers_is_told_with_line_and_column() {
    for (rest, column, why) in [
        (
            "host = \"a\"\nupstream = { servers = \"https://b\", tls = { ca_file = \"no.pem\" } }",
            (3, 55),
            "`/etc/edge/no.pem` does not exist",
        ),
        (
            "host = \"a\"\nupstream = { servers = \"https://b\", tls = { ca_file = \"secret.pem\" } }",
            (3, 55),
            "`/etc/edge/secret.pem` cannot be read: permission denied",
        ),
        (
            "host = \"a\"\nupstream = { servers = \"https://b\", tls = { client_cert = \"ca.pem\" } }",
            (3, 45),
            "`client_cert` needs `client_key`",
        ),
        ("host = \"a\"\nfiles = \"ca.pem\"", (3, 9), "`/etc/edge/ca.pem` is a file, not a folder"),
        ("host = \"a\"\nfiles = { root = \"dist\", index = \"../x\" }", (3, 34), "`../x` is not the name of a file"),
        (
            "host = \"a\"\nredirect = { to = \"{path}\" }",
            (3, 19),
            "`{path}`: a redirect leads to `http://..`, `https://..`, `{scheme}://..` or to a path that begins with `/` and a name",
        ),
        (
            "host = \"a\"\nredirect = { to = \"/x\", status = 304 }",
            (3, 34),
            "a redirect has the status 301, 302, 303, 307 or 308",
        ),
        ("host = \"a\"\nrespond = { status = 204, body = \"x\" }", (3, 11), "an answer with status 204 has no body"),
        ("host = \"a\"\nrespond = { headers = { Date = \"x\" } }", (3, 25), "`Date` is set by the edge itself"),
    ] {
        let expected = [(column.0, column.1, why.to_owned())];
        assert_eq!(faults(&format!("[[route]]\n{rest}\n")), expected, "{rest}");
    }
}

#[test]
fn a_bad_route_harms_no_other_and_all_its_faults_are_told_at_once() {
    let text = "[[route]]\nhost = \"a b\"\npath = \"x\"\nupstream = \"ftp://b\"\nzzzzzzzz = 1\n[[route]]\nhost = \"good.example\"\nrespond = \"hi\"\n";
    let checked = check_files(&[("a.toml", text)]);
    assert_eq!(checked.routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>(), ["good.example"]);
    assert_eq!(checked.rejected.len(), 1);
    let lines: Vec<_> = checked.faults.iter().map(|fault| (fault.line, fault.column, fault.route.as_deref())).collect();
    let name = Some("route[0]");
    assert_eq!(lines, [(2, 8, name), (3, 8, name), (4, 12, name), (5, 1, name)]);
    assert_eq!(checked.rejected[0].rule, None, "nobody knows which requests it is for");
}

#[test]
fn a_rejected_route_keeps_its_rule_where_the_fault_is_elsewhere() {
    let checked = check_files(&[("a.toml", "[[route]]\nhost = \"a.example\"\npath = \"/admin\"\nfiles = \"nope\"\n")]);
    let rejected = &checked.rejected[0];
    assert_eq!((rejected.name.as_str(), rejected.line, rejected.hosts.len()), ("a.example", 1, 1));
    assert!(rejected.rule.is_some());
    assert_eq!(rejected.fault_id(), checked.faults[0].id());
}

#[test]
fn a_file_with_a_syntax_error_or_foreign_bytes_harms_no_other_file() {
    let sources = [
        Source::new("c.toml", "[[route]]\nhost = \"c.example\"\nrespond = \"\"\n"),
        Source::new("b.toml", b"[[route]]\nhost = \"\xff\"\n".to_vec()),
        Source::new("a.toml", "[[route]\nhost = \"a.example\"\n"),
        Source::new("d.toml", "# nothing yet\n"),
    ];
    let checked = check_sources(&sources, true);
    assert_eq!(checked.broken_files, ["a.toml", "b.toml"]);
    assert_eq!(checked.routes.len(), 1);
    let b: Vec<_> =
        checked.faults.iter().filter(|fault| fault.file == "b.toml").map(|fault| (fault.line, fault.column)).collect();
    assert_eq!(b, [(2, 9)]);
    assert_eq!(checked.warnings().map(|fault| fault.file.as_str()).collect::<Vec<_>>(), ["d.toml"]);
    assert!(check_sources(&[], true).faults.is_empty(), "no files are no fault of a file");
}

#[test]
fn what_is_no_route_in_a_route_file_is_a_fault_that_harms_no_route() {
    let good = "[[route]]\nhost = \"a.example\"\nrespond = \"\"\n";
    for (text, place, why) in [
        (format!("rout = 1\n{good}"), (1, 1), "unknown key `rout`"),
        (format!("{good}[tcp]\nname = \"x\"\n"), (4, 1), "`tcp` is a list of tables, found a table"),
        (format!("{good}[middleware.team]\nkind = \"x\"\n"), (5, 8), "there is no kind of middleware `x`"),
    ] {
        let checked = check_files(&[("a.toml", &text)]);
        let found: Vec<_> =
            checked.faults.iter().map(|fault| ((fault.line, fault.column), fault.why.as_str())).collect();
        assert_eq!((found, checked.routes.len()), (vec![(place, why)], 1), "{text}");
    }
    assert_eq!(faults("[route]\nhost = \"a\"\n"), [(1, 1, "`route` is a list of tables, found a table".into())]);
    assert_eq!(faults("route = [1]\n"), [(1, 10, "`route` is a list of tables, found an integer".into())]);
}

#[test]
fn the_later_of_two_routes_with_one_name_is_rejected_and_told_where_the_first_is() {
    let route = |host: &str| format!("[[route]]\nname = \"x\"\nhost = \"{host}\"\nrespond = \"\"\n");
    let checked = check_files(&[("b.toml", &route("b.example")), ("a.toml", &route("a.example"))]);
    assert_eq!(checked.routes[0].file, "a.toml");
    let fault = &checked.rejected[0].faults[0];
    assert_eq!((fault.file.as_str(), fault.line, fault.column), ("b.toml", 2, 8));
    assert_eq!(fault.why, "the name `x` is taken by the route at a.toml:1");
}

#[test]
fn two_routes_that_cannot_be_told_apart_are_a_fault_that_names_both() {
    let route = |name: &str, rest: &str| {
        format!("[[route]]\nname = \"{name}\"\nhost = [\"{name}.example\", \"a.example\"]\nrespond = \"\"\n{rest}\n")
    };
    for (first, second, clash) in [
        ("", "", true),
        ("path = [\"/a\", \"/b\"]", "path = \"/b\"", true),
        ("path = \"/a\"", "path = \"/a/\"", false),
        ("path = \"/a\"", "path = \"=/a\"", false),
        ("method = \"GET\"", "method = [\"GET\", \"POST\"]", true),
        ("method = \"GET\"", "method = \"POST\"", false),
        ("method = \"GET\"", "", false),
        ("client_ip = \"10.0.0.0/8\"", "client_ip = \"10.1.0.0/16\"", true),
        ("client_ip = \"10.0.0.0/8\"", "client_ip = \"11.0.0.0/8\"", false),
        ("header = { a = \"1\" }", "header = { A = \"1\" }", true),
        ("header = { a = \"1\" }", "header = { a = \"2\" }", false),
        ("priority = 1", "", false),
        ("entrypoint = \"http\"", "", false),
        ("entrypoint = [\"http\", \"https\"]", "", true),
    ] {
        let checked = check_files(&[("a.toml", &route("one", first)), ("b.toml", &route("two", second))]);
        let errors: Vec<_> = checked.errors().collect();
        assert_eq!(errors.len(), usize::from(clash), "{first} | {second}: {errors:?}");
        if let Some(fault) = errors.first() {
            assert!(
                fault.why.contains("`one` and `two`") && fault.why.ends_with("`one` is at a.toml:1"),
                "{}",
                fault.why
            );
            assert_eq!((fault.file.as_str(), fault.line), ("b.toml", 1));
        }
    }
}

#[test]
fn a_route_that_can_never_win_is_a_warning() {
    let route = |name: &str, rest: &str| {
        format!("[[route]]\nname = \"{name}\"\nhost = \"a.example\"\nrespond = \"\"\n{rest}\n")
    };
    for (first, second, shadowed) in [
        ("priority = 1", "", true),
        ("priority = 1\nmethod = \"GET\"", "", false),
        ("priority = 1\nmethod = [\"GET\", \"PUT\"]", "method = \"GET\"", true),
        ("priority = 1\nmethod = \"GET\"", "method = [\"GET\", \"PUT\"]", false),
        ("path = \"/\"", "path = \"~^/x\"", true),
        ("path = \"/\"", "header = { a = \"1\" }", true),
        ("path = \"/\"\nmethod = \"GET\"", "path = \"~^/x\"", false),
        ("path = \"/\"", "path = \"/x\"", false),
        ("path = \"/\"\nentrypoint = \"http\"", "path = \"~^/x\"", false),
        ("path = \"/\"", "path = [\"/x\", \"~^/x\"]", false),
    ] {
        let checked = check_files(&[("a.toml", &format!("{}{}", route("one", first), route("two", second)))]);
        let warned =
            checked.warnings().any(|fault| fault.why.starts_with("the route `two` can never win: `one` at a.toml:1"));
        assert_eq!((warned, checked.routes.len()), (shadowed, 2), "{first} | {second}: {:?}", checked.faults);
    }
}

#[test]
fn a_host_has_one_issuer_and_one_reading_of_paths() {
    let route = |name: &str, rest: &str| {
        format!("[[route]]\nname = \"{name}\"\nhost = \"a.example\"\nrespond = \"\"\n{rest}\n")
    };
    let whys = |first: &str, second: &str| {
        let text = format!("{}{}", route("one", first), route("two", second));
        check_files(&[("a.toml", &text)]).faults.into_iter().map(|fault| fault.why).collect::<Vec<_>>()
    };
    let chosen = whys("path = \"/x\"\ntls.issuer = \"acme\"", "tls.issuer = \"internal\"");
    assert_eq!(
        chosen,
        [
            "the certificate of `a.example` is to come from `internal` here and from `acme` in the route `one` at a.toml:1"
        ]
    );
    assert!(whys("path = \"/x\"\ntls.issuer = \"internal\"", "").is_empty(), "a default gives way");
    let raw = whys("path_policy = \"raw\"", "path = \"/x\"");
    assert_eq!(
        raw,
        [
            "on `a.example` one route has path_policy = \"raw\" and another depends on the path: `one` at a.toml:1 and this one"
        ]
    );
    assert_eq!(whys("path = \"/x\"", "path_policy = \"raw\"").len(), 1);
}

#[test]
fn without_acme_the_own_ca_signs_and_acme_cannot_be_chosen() {
    let text = "[[route]]\nhost = \"*.a.example\"\nrespond = \"\"\n";
    assert_eq!(check_in(&[("a.toml", text)], false).routes[0].tls.issuer, Some(Issuer::Internal));
    let chosen = check_in(
        &[("a.toml", "[[route]]\nhost = \"a.example\"\nrespond = \"\"\ntls = { issuer = \"acme\" }\n")],
        false,
    );
    assert_eq!(chosen.faults[0].why, "the issuer is `acme`, but edge.toml has no [acme]");
    let files = "[[route]]\nhost = [\"x.wild.example.com\", \"*.wild.example.com\"]\nrespond = \"\"\ntls = { issuer = \"files\" }\n";
    assert_eq!(check_in(&[("a.toml", files)], false).routes[0].tls.issuer, Some(Issuer::Files));
    let plain =
        check_files(&[("a.toml", "[[route]]\nhost = \"*.a.example\"\nentrypoint = \"http\"\nrespond = \"\"\n")]);
    assert_eq!(plain.routes[0].tls.issuer, None, "no certificate is needed in clear");
}

#[test]
fn ten_thousand_lines_are_checked_and_their_last_fault_is_found() {
    let mut text: String = (0..3333).map(|n| format!("[[route]]\nhost = \"h{n}.example\"\nrespond = \"\"\n")).collect();
    text.push_str("hots = 1\n");
    let checked = check_files(&[("a.toml", &text)]);
    assert_eq!((checked.routes.len(), checked.rejected.len()), (3332, 1));
    assert_eq!((checked.faults[0].line, checked.faults[0].column), (10_000, 1));
}

#[test]
fn no_prefix_of_a_route_file_makes_the_check_panic() {
    for end in 0..=LONG.len() {
        let checked = check_sources(&[Source::new("a.toml", &LONG.as_bytes()[..end])], true);
        assert!(checked.routes.len() + checked.rejected.len() <= 1);
    }
}

#[test]
fn routes_need_an_entrypoint_that_speaks_http() {
    struct NoDisk;
    impl crate::world::Disk for NoDisk {
        fn look(&self, _: &std::path::Path) -> crate::world::Seen {
            crate::world::Seen::Missing
        }
    }
    let world = World {
        vars: crate::document::Vars::NONE,
        entrypoints: &[],
        acme: false,
        certificates: &[],
        folder: std::path::Path::new("/"),
        disk: &NoDisk,
        kinds: &crate::world::NoKinds,
    };
    let checked = check(&[Source::new("a.toml", "[[route]]\nhost = \"a\"\nrespond = \"\"\n")], &world);
    assert_eq!(checked.faults[0].why, "edge.toml has no entrypoint that speaks HTTP");
}

#[test]
fn no_damaged_route_file_makes_the_check_panic() {
    let mut chance = Chance(3);
    for _ in 0..3_000 {
        let mut bytes = LONG.as_bytes().to_vec();
        for _ in 0..1 + chance.below(4) {
            let at = chance.below(bytes.len());
            match chance.below(3) {
                0 => bytes[at] = chance.pick(&["\"", "[", "=", "\n", "$", "{", ".", "\u{0}", "*", "1"]).as_bytes()[0],
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[chance.below(bytes.len())]),
            }
        }
        let checked = check_sources(&[Source::new("a.toml", bytes)], true);
        assert!(checked.rejected.iter().all(|rejected| rejected.faults.iter().any(Fault::is_error)));
    }
}
