//! The page as Prometheus reads it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::telemetry::LoginResult;

fn metrics() -> Metrics {
    Metrics::new(BuildInfo { version: "0.1.0", commit: "abc" })
}

fn served(method: &str, code: u16) -> Served<'_> {
    Served { method, code, seconds: 0.004, request_bytes: 3, response_bytes: 5 }
}

#[test]
fn a_request_counts_in_all_its_families() {
    let metrics = metrics();
    let route = metrics.route("blog");
    let open = route.begin();
    route.served(&served("GET", 200));
    route.served(&served("GET", 200));
    let page = metrics.render();
    for line in [
        r#"edge_requests_total{code="200",method="GET",route="blog"} 2"#,
        r#"edge_requests_in_flight{route="blog"} 1"#,
        r#"edge_request_bytes_total{route="blog"} 6"#,
        r#"edge_response_bytes_total{route="blog"} 10"#,
        r#"edge_request_duration_seconds_bucket{route="blog",le="0.0025"} 0"#,
        r#"edge_request_duration_seconds_bucket{route="blog",le="0.005"} 2"#,
        r#"edge_build_info{commit="abc",version="0.1.0"} 1"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    drop(open);
    assert!(metrics.render().contains("edge_requests_in_flight{route=\"blog\"} 0"));
}

#[test]
fn invented_methods_and_codes_make_no_new_series() {
    let metrics = metrics();
    let route = metrics.route("blog");
    for n in 0..50 {
        route.served(&served(&format!("M{n}"), 600 + n));
    }
    let page = metrics.render();
    let line = r#"edge_requests_total{code="OTHER",method="OTHER",route="blog"} 50"#;
    assert!(page.contains(line), "{page}");
}

#[test]
fn more_combinations_than_are_kept_at_hand_are_counted_all_the_same() {
    let metrics = metrics();
    let route = metrics.route("blog");
    for _ in 0..2 {
        for code in 200..260 {
            route.served(&served("GET", code));
        }
    }
    let page = metrics.render();
    assert_eq!(page.matches(r#"method="GET",route="blog"} 2"#).count(), 60);
}

#[test]
fn a_route_without_requests_has_no_series_and_a_forgotten_one_neither() {
    let metrics = metrics();
    let (_idle, blog, shop) = (metrics.route("idle"), metrics.route("blog"), metrics.route("shop"));
    for route in [&blog, &shop] {
        route.served(&served("GET", 200));
        route.retried(Retry::ConnectFailed);
        let server = route.upstream("http://a");
        server.tried(Outcome::Answered, Some(0.1));
        server.set_up(true);
        server.checked(true);
        server.ejected();
        metrics.refused(route.name(), Refusal::NoUpstream);
    }
    metrics.refused("", Refusal::UnknownHost);
    metrics.retain_routes(|route| route != "blog");
    let page = metrics.render();
    assert!(!page.contains("idle") && !page.contains("blog"), "{page}");
    assert!(page.contains(r#"edge_upstream_up{route="shop",upstream="http://a"} 1"#));
    metrics.retain_upstreams(|_, upstream| upstream != "http://a");
    assert!(!metrics.render().contains("http://a"));
    metrics.retain_routes(|_| false);
    let page = metrics.render();
    assert!(!page.contains("shop"), "{page}");
    assert!(page.contains(r#"edge_refusals_total{reason="unknown_host",route=""} 1"#));
}

#[test]
fn whether_a_server_is_up_is_told_by_those_who_know() {
    let metrics = metrics();
    let server = metrics.route("blog").upstream("http://a:1");
    let up = |n: u8| format!("edge_upstream_up{{route=\"blog\",upstream=\"http://a:1\"}} {n}");
    server.tried(Outcome::ConnectFailed, None);
    server.set_up(false);
    assert!(metrics.render().contains(&up(0)));
    server.set_up(true);
    server.tried(Outcome::Answered, Some(0.2));
    server.tried(Outcome::TimedOut, None);
    let page = metrics.render();
    assert!(page.contains(&up(1)), "{page}");
    let count = r#"edge_upstream_duration_seconds_count{route="blog",upstream="http://a:1"} 1"#;
    assert!(page.contains(count));
}

#[tokio::test]
async fn panics_of_watched_tasks_are_counted() {
    let (metrics, tasks) = (metrics(), Tasks::new(tokio::runtime::Handle::current()));
    metrics.watch(&tasks);
    tasks.spawn("bad", |_| async { panic!("on purpose") });
    while tasks.running() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(metrics.render().contains("edge_task_panics_total 1"));
}

/// Needs Debian's `prometheus`, which `./dev test` installs.
#[test]
fn promtool_finds_nothing_to_complain_about() {
    let metrics = metrics();
    let route = metrics.route("ro\"ute\\\n");
    route.served(&served("GET", 200));
    route.retried(Retry::StaleConnection);
    let server = route.upstream("http://a");
    server.tried(Outcome::Broken, Some(0.1));
    server.checked(false);
    server.ejected();
    let _kept = route.last_good("team");
    route.logins().count(LoginResult::Done);
    route.mirrored(Mirrored::Sent);
    metrics.refused("", Refusal::NoRoute);
    let other = metrics.other();
    for vec in [&other.connections_open, &other.renew_at, &other.routes] {
        vec.with_label_values(&["x"]).set(1);
    }
    for vec in [&other.not_after, &other.acme_last_error] {
        vec.with_label_values(&["x", "y"]).set(1);
    }
    for vec in [&other.connections, &other.acme_orders] {
        vec.with_label_values(&["x", "y"]).inc();
    }
    for vec in [&other.reloads, &other.dns_lookups] {
        vec.with_label_values(&["x"]).inc();
    }
    other.handshakes.with_label_values(&["x", "y", "z", "ok"]).inc();
    drop(route.begin());
    let (tcp, udp) = (metrics.tcp("db"), metrics.udp("dns"));
    tcp.received(1);
    tcp.ended("client_closed");
    udp.datagrams("received", "forwarded").inc();
    drop((tcp.begin(), udp.begin()));

    let page = metrics.render();
    for family in FAMILIES {
        let head = format!("# HELP {} {}\n", family.name, family.help);
        assert!(page.contains(&head), "{} is missing", family.name);
    }
    let said = promtool(&page);
    assert_eq!(said, (true, String::new()));
}

fn promtool(page: &str) -> (bool, String) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: apt-get install prometheus");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(page.as_bytes()).expect("promtool reads all");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}
