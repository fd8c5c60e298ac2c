//! Edits of route files while clients are served: what is good is live within a moment, what is not changes nothing.

mod support {
    pub(crate) mod client;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod process;
}

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;

use support::client::{Loop, Trust};
use support::edge::{PLAIN, TestEdge};
use support::process::eventually;

const FAST_CLIENTS: &str = "[limits]\nclient_handshakes_per_second = 0\n";

fn says(host: &str, text: &str) -> String {
    format!("[[route]]\nhost = \"{host}\"\nrespond = \"{text}\"\n")
}

fn named(name: &str, host: &str, text: &str) -> String {
    says(host, text).replace("host", &format!("name = \"{name}\"\nhost"))
}

fn start(routes: &[(&str, &str)]) -> TestEdge {
    TestEdge::with_config(&format!("{PLAIN}\n{FAST_CLIENTS}"), routes)
}

/// A loop of requests for `a.test`, which every edge here serves.
fn clients(edge: &TestEdge) -> Loop {
    let clients = Loop::start(edge.address("https"), "a.test", &Trust::roots(&[edge.local_root()]));
    clients.goes_on(5);
    clients
}

fn answers(edge: &TestEdge, host: &str, text: &str) -> bool {
    edge.https(&format!("https://{host}/"), &[]).text() == text
}

/// `POST /api/v1/reload` on the socket of the command line.
fn reload(edge: &TestEdge) -> serde_json::Value {
    let mut socket = UnixStream::connect(edge.path("state/edge.sock")).expect("the socket is there");
    let request =
        "POST /api/v1/reload HTTP/1.1\r\nhost: edge\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(body).expect("JSON")
}

#[test]
fn added_changed_and_removed_files_are_live_and_no_request_fails() {
    let edge = start(&[("a.toml", &says("a.test", "a"))]);
    let clients = clients(&edge);
    edge.write_route("b.toml", &says("b.test", "first"));
    eventually("the new route answers", || answers(&edge, "b.test", "first"));
    edge.write_route("b.toml", &says("b.test", "second"));
    eventually("the changed route answers", || answers(&edge, "b.test", "second"));
    edge.write_route("a.toml", &says("a.test", "changed"));
    eventually("the route of the loop is changed", || answers(&edge, "a.test", "changed"));
    edge.remove_route("b.toml");
    eventually("the removed host is nobody's", || edge.http("http://b.test/", &[]).status == 404);
    assert_eq!(edge.https("https://b.test/", &[]).exit, 35, "there is no certificate for it either");
    assert_eq!(edge.metric("edge_routes{state=\"live\"}"), Some(1.0));
    assert_eq!(edge.metric("edge_config_generation"), Some(5.0));
    assert_eq!(edge.metric_sum("edge_requests_total", &["route=\"b.test\""]), 0.0, "its series went with it");
    clients.end_without_failure();
}

#[test]
fn a_file_in_a_new_folder_is_found() {
    let edge = start(&[("a.toml", &says("a.test", "a"))]);
    fs::create_dir_all(edge.path("routes/team/x")).expect("made");
    fs::write(edge.path("routes/team/x/b.toml"), says("b.test", "b")).expect("written");
    eventually("it is live", || answers(&edge, "b.test", "b"));
    fs::write(edge.path("routes/team/x/b.toml"), says("b.test", "b2")).expect("written");
    eventually("its edits are live too", || answers(&edge, "b.test", "b2"));
}

#[test]
fn a_file_that_does_not_parse_changes_nothing_even_over_a_restart() {
    let mut edge = start(&[("a.toml", &says("a.test", "a")), ("b.toml", &says("b.test", "b"))]);
    let clients = clients(&edge);
    edge.write_route("b.toml", "[[route]]\nhost = \"b.test\"\nrespond = \"b\n");
    eventually("the fault is noticed", || edge.metric("edge_routes{state=\"kept\"}") == Some(1.0));
    let row = edge.row("routes", "name", "b.test").expect("it is listed");
    assert_eq!((&row["state"], &row["faults"][0]["line"]), (&"kept".into(), &3.into()), "{row}");
    assert!(edge.log().contains(r#""line":3,"#), "{}", edge.log());
    assert!(answers(&edge, "b.test", "b") && answers(&edge, "a.test", "a"));
    clients.end_without_failure();
    // A kill waits for nothing, and the history is saved behind the load.
    eventually("the good version is saved", || in_history(&edge, "b.toml"));
    edge.restart();
    assert!(answers(&edge, "b.test", "b"), "its last good version is in the history");
    assert_eq!(edge.row("routes", "name", "b.test").expect("it is listed")["state"], "kept");
    edge.write_route("b.toml", &says("b.test", "mended"));
    eventually("it is mended", || answers(&edge, "b.test", "mended"));
    assert_eq!(edge.metric("edge_routes{state=\"kept\"}"), Some(0.0));
}

#[test]
fn a_route_without_sense_keeps_its_last_good_version_even_over_a_restart() {
    let two = says("b.test", "b") + &says("c.test", "c");
    let mut edge = start(&[("a.toml", &says("a.test", "a")), ("two.toml", &two)]);
    let clients = clients(&edge);
    edge.write_route("two.toml", &two.replace("respond = \"c\"", "upstream = \"http://:\"").replace("\"b\"", "\"b2\""));
    eventually("its neighbour in the file changes", || answers(&edge, "b.test", "b2"));
    assert!(answers(&edge, "c.test", "c"));
    let row = edge.row("routes", "name", "c.test").expect("it is listed");
    assert_eq!((&row["state"], &row["faults"][0]["line"]), (&"kept".into(), &6.into()), "{row}");
    clients.end_without_failure();
    eventually("the good versions are saved", || in_history(&edge, "two.toml"));
    edge.restart();
    assert!(answers(&edge, "c.test", "c") && answers(&edge, "b.test", "b2"));
}

#[test]
fn a_route_whose_files_went_bad_keeps_its_last_good_version() {
    let edge = start(&[("a.toml", &says("a.test", "a")), ("b.toml", &says("b.test", "b"))]);
    fs::write(edge.path("broken.pem"), "no certificate").expect("written");
    // It checks well: only the making of its servers finds that the file holds no certificate.
    let tls = "[[route]]\nhost = \"b.test\"\n[route.upstream]\nservers = [\"https://127.0.0.1:9\"]\ntls = { ca_file = \"broken.pem\" }\n";
    edge.write_route("b.toml", tls);
    eventually("it is kept", || edge.row("routes", "name", "b.test").is_some_and(|row| row["state"] == "kept"));
    assert!(answers(&edge, "b.test", "b") && answers(&edge, "a.test", "a"));
    let row = edge.row("routes", "name", "b.test").expect("it is listed");
    assert!(row["faults"][0]["why"].as_str().unwrap_or_default().contains("broken.pem"), "{row}");
}

#[test]
fn a_file_that_a_middleware_is_made_of_is_read_again_by_a_reload() {
    let route = format!(
        "{}use = [{{ kind = \"error-pages\", file = {{ 404 = \"gone.html\" }} }}]\n",
        says("b.test", "").replace("\"\"", "{ status = 404, body = \"none\" }")
    );
    let edge = TestEdge::start(|_| {
        let files = [
            ("edge.toml", PLAIN),
            ("gone.html", "one"),
            ("routes/a.toml", &says("a.test", "a")),
            ("routes/b.toml", &route),
        ];
        files.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec()
    });
    let page = || edge.https("https://b.test/", &["-H", "accept: text/html"]).text();
    assert_eq!(page(), "one");
    fs::write(edge.path("gone.html"), "two").expect("written");
    edge.reload().success();
    assert_eq!(page(), "two");
    let loaded = reload(&edge);
    assert!(loaded["changed"].as_array().is_none_or(Vec::is_empty), "nothing has changed since: {loaded}");
    fs::remove_file(edge.path("gone.html")).expect("it is there");
    edge.reload();
    let row = edge.row("routes", "name", "b.test").expect("it is listed");
    assert_eq!((page().as_str(), &row["state"]), ("two", &"kept".into()), "the last good one serves on: {row}");
    assert!(row["faults"][0]["why"].as_str().unwrap_or_default().contains("gone.html"), "{row}");
}

#[test]
fn a_new_route_with_a_fault_is_closed_with_the_id_of_the_fault() {
    let edge = start(&[("a.toml", &says("a.test", "a"))]);
    let clients = clients(&edge);
    edge.write_route("b.toml", "[[route]]\nhost = \"b.test\"\nupstream = \"http://:\"\n");
    eventually("it is rejected", || edge.metric("edge_routes{state=\"rejected\"}") == Some(1.0));
    let answer = edge.https("https://b.test/", &[]);
    assert_eq!(answer.status, 503, "{}", answer.said);
    let words = answer.text();
    assert!(words.contains("has a fault in its configuration") && words.contains("The fault has the id "), "{words}");
    assert!(words.contains("request id: "), "{words}");
    edge.counts("edge_refusals_total", &["reason=\"rejected_route\""], 1.0);
    let row = edge.row("routes", "name", "b.test").expect("it is listed");
    assert_eq!((&row["state"], &row["faults"][0]["line"]), (&"rejected".into(), &3.into()), "{row}");
    let ready = edge.ask_admin("/readyz");
    assert!(ready.text().contains("b.test is rejected"), "{}", ready.text());
    clients.end_without_failure();
}

#[test]
fn a_new_file_with_the_name_of_a_live_route_is_rejected_and_the_live_one_serves_on() {
    let edge = start(&[("b.toml", &named("app", "a.test", "b"))]);
    let clients = clients(&edge);
    edge.write_route("a.toml", &named("app", "new.test", "newcomer"));
    let said = edge.reload();
    let said = said.stdout + &said.stderr;
    assert!(said.contains("a.toml:2") && said.contains("b.toml:1"), "{said}");
    assert_eq!(edge.https("https://new.test/", &[]).status, 503);
    assert_eq!(edge.metric("edge_routes{state=\"rejected\"}"), Some(1.0));
    clients.goes_on(5);
    clients.end_without_failure();
    edge.remove_route("b.toml");
    eventually("the name is free", || answers(&edge, "new.test", "newcomer"));
}

#[test]
fn a_new_file_for_the_host_of_a_live_route_is_rejected_and_the_live_one_serves_on() {
    let mut edge = start(&[("b.toml", &named("old", "a.test", "b"))]);
    edge.write_route("a.toml", &named("new", "a.test", "newcomer"));
    let said = edge.reload();
    let said = said.stdout + &said.stderr;
    assert!(said.contains("a.toml:1") && said.contains("b.toml:1"), "{said}");
    assert!(answers(&edge, "a.test", "b"));
    let state = |edge: &TestEdge, name: &str| edge.row("routes", "name", name).expect("it is listed")["state"].clone();
    assert_eq!((state(&edge, "old"), state(&edge, "new")), ("live".into(), "rejected".into()));
    // Not even while the live one is only its last good version.
    edge.write_route("b.toml", "[[route\n");
    eventually("the old one is kept", || state(&edge, "old") == "kept");
    assert!(answers(&edge, "a.test", "b"));
    assert_eq!(state(&edge, "new"), "rejected");
    edge.restart();
    assert!(answers(&edge, "a.test", "b"), "nor while that is only in the history");
    assert_eq!((state(&edge, "old"), state(&edge, "new")), ("kept".into(), "rejected".into()));
    edge.remove_route("b.toml");
    eventually("the host is free", || answers(&edge, "a.test", "newcomer"));
}

#[test]
fn a_file_that_cannot_be_read_keeps_its_routes() {
    let edge = start(&[("a.toml", &says("a.test", "a")), ("b.toml", &says("b.test", "b"))]);
    let clients = clients(&edge);
    let path = edge.path("routes/b.toml");
    fs::remove_file(&path).expect("it was there");
    symlink("nowhere", &path).expect("made");
    eventually("it is noticed", || edge.metric("edge_routes{state=\"kept\"}") == Some(1.0));
    assert!(answers(&edge, "b.test", "b"));
    fs::remove_file(&path).expect("it was there");
    fs::write(&path, b"[[route]]\nhost = \"b.test\"\nrespond = \"\xff\"\n").expect("written");
    edge.logs("UTF-8");
    assert!(answers(&edge, "b.test", "b"));
    clients.end_without_failure();
}

#[test]
fn files_of_editors_are_ignored() {
    let edge = start(&[("a.toml", &says("a.test", "a"))]);
    for name in [".b.toml.swp", "b.toml~", ".#b.toml", "#b.toml#", "b.toml.tmp", "README.md"] {
        fs::write(edge.path("routes").join(name), "not TOML at all").expect("written");
    }
    edge.write_route("z.toml", &says("z.test", "z"));
    eventually("a later file is live", || answers(&edge, "z.test", "z"));
    assert_eq!(edge.metric_sum("edge_config_reloads_total", &["result=\"partial\""]), 0.0);
    assert_eq!(edge.api("routes").as_array().map(Vec::len), Some(2));
}

#[test]
fn sighup_and_the_command_load_now() {
    let mut edge = start(&[("a.toml", &says("a.test", "a"))]);
    edge.write_route("b.toml", &says("b.test", "b"));
    edge.reload().success();
    assert!(answers(&edge, "b.test", "b"), "it is live when the command returns");
    edge.write_route("c.toml", "[[route]]\nhost = \"c.test\"\nrespnd = \"c\"\n");
    let said = edge.reload();
    let said = said.stdout + &said.stderr;
    assert!(said.contains("c.toml") && said.contains("respnd"), "{said}");
    edge.write_route("c.toml", &says("c.test", "c"));
    edge.process().signal("HUP");
    eventually("the signal was enough", || answers(&edge, "c.test", "c"));
}

#[test]
fn the_folder_of_routes_may_come_late_and_go_for_a_while() {
    let config = PLAIN.replace("routes = \"routes\"", "routes = \"inner/late\"");
    let edge = TestEdge::with_config(&config, &[]);
    edge.logs("is not there, so nothing is served");
    let folder = edge.path("inner/late");
    fs::create_dir_all(&folder).expect("made");
    fs::write(folder.join("a.toml"), says("a.test", "a")).expect("written");
    eventually("the late folder is served", || answers(&edge, "a.test", "a"));
    fs::rename(&folder, edge.path("inner/away")).expect("moved");
    edge.reload();
    assert!(answers(&edge, "a.test", "a"), "nobody meant to remove every route");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("a.toml"), says("a.test", "again")).expect("written");
    eventually("the folder is watched again", || answers(&edge, "a.test", "again"));
    fs::write(folder.join("a.toml"), says("a.test", "once more")).expect("written");
    eventually("its edits are live", || answers(&edge, "a.test", "once more"));
}

#[test]
fn a_folder_of_routes_that_is_missing_at_a_start_is_served_from_history() {
    let mut edge = start(&[("a.toml", &says("a.test", "a")), ("team/b.toml", &says("b.test", "b"))]);
    assert_eq!(edge.stop(), Some(0));
    fs::rename(edge.path("routes"), edge.path("unmounted")).expect("moved");
    edge.restart();
    assert!(answers(&edge, "a.test", "a") && answers(&edge, "b.test", "b"));
    assert_eq!(edge.metric("edge_routes{state=\"kept\"}"), Some(2.0));
    fs::rename(edge.path("unmounted"), edge.path("routes")).expect("moved back");
    eventually("the routes are live", || edge.metric("edge_routes{state=\"live\"}") == Some(2.0));
}

fn in_history(edge: &TestEdge, name: &str) -> bool {
    let (mut folders, mut found) = (vec![edge.path("state/history")], false);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            found |= entry.file_name() == name;
            folders.push(entry.path());
        }
    }
    found
}

#[test]
fn history_that_cannot_be_used_now_is_kept_for_later() {
    let root = rcgen::generate_simple_self_signed(["b.test".to_owned()]).expect("made").cert.pem();
    let with_root = "[[route]]\nhost = \"b.test\"\n\
        upstream = { servers = [\"https://127.0.0.1:1\"], tls = { ca_file = \"ca.pem\" } }\n";
    let mut edge = start(&[("a.toml", &says("a.test", "a")), ("../ca.pem", &root), ("b.toml", with_root)]);
    assert_eq!(edge.metric("edge_routes{state=\"live\"}"), Some(2.0), "{}", edge.log());
    assert_eq!(edge.stop(), Some(0));
    assert!(in_history(&edge, "a.toml") && in_history(&edge, "b.toml"), "a stop waits until it is saved");
    fs::remove_file(edge.path("ca.pem")).expect("it is there");
    edge.restart();
    assert_eq!(edge.metric("edge_routes{state=\"rejected\"}"), Some(1.0));
    assert_eq!(edge.stop(), Some(0));
    assert!(in_history(&edge, "b.toml"), "of a route that is rejected");
    edge.write_route("b.toml", "[[route]\n");
    edge.restart();
    assert_eq!(edge.stop(), Some(0));
    assert!(in_history(&edge, "b.toml"), "of a file that is broken");
}

#[test]
fn an_edit_of_edge_toml_says_that_a_restart_is_needed() {
    let edge = start(&[("a.toml", &says("a.test", "a"))]);
    let mut turn = 0;
    eventually("the edit is noticed", || {
        turn += 1;
        fs::write(edge.path("edge.toml"), format!("{PLAIN}\n# edit {turn}\n")).expect("written");
        edge.log().contains("edge.toml was changed; it is read at the next start")
    });
    assert!(answers(&edge, "a.test", "a"));
}

#[test]
fn a_thousand_reloads_leave_nothing_behind() {
    let routes = |turn: usize| {
        let port = 40_000 + turn % 2;
        format!("[[route]]\nhost = \"b.test\"\nupstream = [\"http://localhost:{port}\", \"http://127.0.0.1:{port}\"]\n")
    };
    let edge = start(&[("a.toml", &says("a.test", "a"))]);
    let clients = clients(&edge);
    let turns = |from: usize, to: usize| {
        for turn in from..to {
            edge.write_route("b.toml", &routes(turn));
            assert_eq!(reload(&edge)["faults"], serde_json::json!([]));
        }
    };
    turns(0, 200);
    let lines = edge.metrics().lines().count();
    // A leak grows in each of these; the allocator's own steps do not.
    let mut memory = vec![edge.memory()];
    for from in [200, 450, 700, 950] {
        turns(from, from + 250);
        memory.push(edge.memory());
    }
    assert!(edge.metric("edge_config_generation").is_some_and(|generation| generation > 1_000.0));
    assert!(memory.windows(2).any(|pair| pair[1] - pair[0] < 1e6), "{memory:?}");
    assert!(edge.metric("edge_process_open_fds").is_some_and(|files| files < 60.0));
    assert!(edge.metrics().lines().count() <= lines + 2, "{}", edge.metrics());
    clients.end_without_failure();
}
