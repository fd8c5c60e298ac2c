//! What the command line tells of presets and middlewares: where each value comes from, and what a backend must be told.

mod support {
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
}

use std::fs;

use support::edge::edge;
use support::process::Ran;

const ROUTES: &str = r#"
[[route]]
host = "mlflow.example.com"
preset = "mlflow"
use = ["mark"]
[route.upstream]
servers = "http://127.0.0.1:5000"
timeouts = { idle = "7s" }

[middleware.mark]
kind = "headers"
request = { set = { x-mark = "1" } }
"#;

fn run(args: &[&str]) -> Ran {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("routes")).expect("made");
    fs::write(dir.path().join("edge.toml"), "").expect("written");
    fs::write(dir.path().join("routes/a.toml"), ROUTES).expect("written");
    edge(dir.path(), args)
}

#[test]
fn check_tells_what_the_backend_must_be_told_without_calling_it_a_fault() {
    let ran = run(&["check"]);
    assert_eq!(ran.status.code(), Some(0), "{}", ran.stdout);
    let note = "note: route mlflow.example.com (mlflow): start it with `--allowed-hosts mlflow.example.com`";
    assert!(ran.stdout.contains(note), "{}", ran.stdout);
    let report: serde_json::Value = serde_json::from_str(&run(&["check", "--json"]).stdout).expect("JSON");
    assert_eq!(report["notes"][0]["preset"], "mlflow");
}

#[test]
fn explain_tells_each_middleware_and_who_set_which_value() {
    let ran = run(&["explain", "https://mlflow.example.com/"]);
    let words: Vec<String> =
        ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let has = |wanted: &str| words.iter().any(|line| line.contains(wanted));
    assert!(has("mark { kind = \"headers\", request = { set = { x-mark = \"1\" } } }"), "{}", ran.stdout);
    assert!(has("upstream.timeouts.idle \"7s\" by the route"), "{}", ran.stdout);
    assert!(has("upstream.timeouts.first_byte \"120s\" by the preset"), "{}", ran.stdout);
    assert!(has("--allowed-hosts mlflow.example.com"), "{}", ran.stdout);
    let answer: serde_json::Value =
        serde_json::from_str(&run(&["explain", "https://mlflow.example.com/", "--json"]).stdout).expect("JSON");
    let steps = answer["middlewares"].as_array().expect("a list");
    assert!(steps.iter().any(|step| step["name"] == "mark" && step["from"] == "route"), "{steps:?}");
    assert_eq!(answer["preset"]["name"], "mlflow");
}

#[test]
fn check_finds_a_users_file_that_the_edge_would_not_take() {
    let routes = "[[route]]\nhost = \"a.example.com\"\nupstream = \"http://127.0.0.1:1\"\n\
        use = [{ kind = \"basic-auth\", users_file = \"users\" }]\n";
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("routes")).expect("made");
    for (name, text) in [("edge.toml", ""), ("routes/a.toml", routes), ("users", "ada:garbage\n")] {
        fs::write(dir.path().join(name), text).expect("written");
    }
    let ran = edge(dir.path(), &["check"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(ran.stdout.contains("routes/a.toml:1:1: the middleware `basic-auth` cannot be used"), "{}", ran.stdout);
    assert!(ran.stdout.contains("line 1: user `ada`") && ran.stdout.contains("0 of 1 "), "{}", ran.stdout);
}
