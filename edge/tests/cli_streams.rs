//! What the command line says of routes below HTTP, from files alone.

mod support {
    pub(crate) mod process;
}

use std::fs;
use std::process::Command;

use support::process::{Ran, run};
use tempfile::TempDir;

const EDGE: &str = "[entrypoint.https]\ntls = true\n\n[entrypoint.postgres]\nprotocol = \"postgres\"\n";
const ROUTES: &str = r#"
[[tcp]]
name = "apps"
host = "db.example.com"
entrypoint = "postgres"
database = "app"
upstream = "127.0.0.1:5432"

[[tcp]]
name = "admins"
host = "db.example.com"
entrypoint = "postgres"
database = "app"
user = "admin"
ip = { allow = ["10.0.0.0/8"] }
upstream = "127.0.0.1:5433"

[[tcp]]
name = "vault"
host = "vault.example.com"
entrypoint = "https"
upstream = "127.0.0.1:8200"

[[route]]
host = "web.example.com"
respond = "hello"
"#;

fn explain(args: &[&str]) -> Ran {
    let folder = files();
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    run(command.arg("explain").args(args).current_dir(folder.path()).env_clear())
}

fn files() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("routes")).expect("made");
    for (name, text) in [("edge.toml", EDGE), ("routes/all.toml", ROUTES)] {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

#[test]
fn explain_tells_the_way_of_a_postgres_session() {
    let ran = explain(&["postgres://ada@db.example.com/app"]);
    let expected = "\
db.example.com, database app, user ada
  entrypoint    postgres (0.0.0.0:5432, [::]:5432, postgres)
  routes        -> apps    routes/all.toml:2  takes it
                   admins  routes/all.toml:9  is for other databases or users
  tls           ends at the edge; the server is spoken to in clear
  servers       tcp://127.0.0.1:5432
";
    assert_eq!((ran.status.code(), ran.stdout.as_str()), (Some(0), expected), "{}", ran.stderr);
}

#[test]
fn explain_says_who_is_kept_out_and_what_nobody_takes() {
    let kept_out = explain(&["postgres://admin@db.example.com:5432/app", "--from", "192.0.2.1"]);
    assert!(
        kept_out.status.code() == Some(1) && kept_out.stdout.contains("keeps 192.0.2.1 out"),
        "{}",
        kept_out.stdout
    );
    assert_eq!(explain(&["postgres://admin@db.example.com/app", "--from", "10.0.0.1"]).status.code(), Some(0));
    let nobody = explain(&["postgres://ada@db.example.com/other"]);
    assert!(
        nobody.status.code() == Some(1) && nobody.stdout.contains("none takes the connection"),
        "{}",
        nobody.stdout
    );
}

#[test]
fn explain_knows_names_beside_https_and_leaves_requests_alone() {
    let passed = explain(&["https://vault.example.com/v1/secret", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&passed.stdout).expect("JSON");
    assert_eq!((&json["winner"]["name"], &json["entrypoint"]), (&"vault".into(), &"https".into()), "{json}");
    let request = explain(&["https://web.example.com/"]);
    assert!(request.stdout.starts_with("GET web.example.com/"), "{}", request.stdout);
}
