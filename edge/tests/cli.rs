//! The built binary and the commands that need no running edge: what they print, and the codes they exit with.

mod support {
    pub(crate) mod process;
}

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{CertificateParams, KeyPair};
use support::process::{Ran, run};
use tempfile::TempDir;

/// A folder with an `edge.toml` and route files.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("below the folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        Self(folder)
    }

    fn edge(&self, args: &[&str]) -> Ran {
        run(edge(args).current_dir(self.0.path()))
    }
}

/// The binary, in an environment with nothing of the tester's.
fn edge(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    command.args(args).env_clear().env("LAB", "lab.example");
    command
}

fn code(ran: &Ran) -> Option<i32> {
    ran.status.code()
}

#[track_caller]
fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", ran.stdout, ran.stderr))
}

const EDGE: &str = "[vars]\nDOMAIN = \"example.com\"\n[acme]\nemail = \"ops@${DOMAIN}\"\n";
const HARBOR: &str = r#"
[[route]]
name = "harbor-core"
host = "harbor.${DOMAIN}"
path = ["/api/", "/v2/"]
upstream = { servers = [{ url = "http://10.0.0.2:8080", weight = 2 }, "https://10.0.0.3:8443"] }

[[route]]
name = "harbor-lab"
host = "harbor.${DOMAIN}"
path = "/api/"
header = { x-canary = "1" }
client_ip = "10.0.0.0/8"
upstream = "http://10.0.0.4:8080"

[[route]]
name = "harbor-portal"
host = "harbor.${DOMAIN}"
upstream = "http://10.0.0.2:8080"

[[route]]
host = "old.${LAB}"
redirect = "https://new.${LAB}{path}{query}"
"#;

#[test]
fn check_is_content_with_good_files() {
    let files = Files::new(&[("edge.toml", EDGE), ("routes/harbor.toml", HARBOR)]);
    let ran = files.edge(&["check"]);
    assert_eq!((code(&ran), ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.stdout, "no faults in edge.toml and 1 route file; 4 routes can serve\n");
}

#[test]
fn check_tells_every_fault_of_every_file_in_one_run() {
    let files = Files::new(&[
        ("edge.toml", "rotues = \"r\"\n[acme]\ndirectory = \"letsencript\"\n"),
        ("routes/a.toml", "[[route]]\nhost = \"a b\"\nupstream = \"ftp://x\"\n"),
        ("routes/b.toml", "[[route]]\nhots = \"b.example\"\n"),
        ("routes/c.toml", "[[route]\n"),
        ("routes/d.toml", "[[route]]\nhost = \"d.example\"\nrespond = \"\"\n"),
    ]);
    let ran = files.edge(&["check"]);
    assert_eq!(code(&ran), Some(1));
    for said in [
        "edge.toml:1:1: unknown key `rotues`\n  |\n1 | rotues = \"r\"\n  | ^\n  hint: did you mean `routes`?\n",
        "edge.toml:3:13: \"letsencript\" is no ACME directory",
        "routes/a.toml:2:8: `a b`: not a valid host name",
        "routes/a.toml:3:12: ",
        "routes/b.toml:2:1: unknown key `hots`",
        "routes/c.toml:1:",
        "; 1 of 3 routes can serve\n",
    ] {
        assert!(ran.stdout.contains(said), "{said}\n---\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\u{1b}'), "colours are for terminals");
}

#[test]
fn check_writes_json_for_programs() {
    let files = Files::new(&[("edge.toml", EDGE), ("routes/a.toml", "[[route]]\nhots = \"b.example\"\n")]);
    let report = json(&files.edge(&["check", "--json"]));
    assert_eq!((report["ok"].as_bool(), report["routes"]["rejected"].as_u64()), (Some(false), Some(1)));
    let faults = report["faults"].as_array().expect("a list");
    let unknown = faults.iter().find(|fault| fault["why"] == "unknown key `hots`").expect("it is told");
    assert_eq!((&unknown["file"], &unknown["line"]), (&"routes/a.toml".into(), &2.into()));
    assert_eq!(report["errors"].as_u64(), Some(faults.len() as u64));
}

#[test]
fn check_judges_bytes_that_are_no_text_and_files_that_are_not_there() {
    let files = Files::new(&[("edge.toml", EDGE)]);
    let ran = files.edge(&["check"]);
    assert_eq!(code(&ran), Some(0), "a warning is no failure");
    assert!(ran.stdout.starts_with("routes: warning: the folder of route files is not there"), "{}", ran.stdout);
    fs::create_dir(files.0.path().join("routes")).expect("made");
    fs::write(files.0.path().join("routes/a.toml"), b"# \xff\n").expect("written");
    let ran = files.edge(&["check"]);
    assert!(ran.stdout.starts_with("routes/a.toml:1:3: the file is not UTF-8"), "{}", ran.stdout);
    fs::remove_file(files.0.path().join("edge.toml")).expect("removed");
    let ran = files.edge(&["check"]);
    assert_eq!(code(&ran), Some(1));
    assert!(ran.stdout.starts_with("edge.toml: there is no such file\n  hint: "), "{}", ran.stdout);
}

#[test]
fn check_names_the_file_of_a_certificate_that_cannot_be_served() {
    let key = || KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["a.example".to_owned()])
        .and_then(|params| params.self_signed(&key()))
        .expect("a certificate");
    let files = Files::new(&[
        ("edge.toml", "[[certificate]]\ncert = \"a.pem\"\nkey = \"a.key\"\n"),
        ("routes/a.toml", HARBOR.replace("${DOMAIN}", "a.example").as_str()),
        ("a.pem", &certificate.pem()),
        ("a.key", &key().serialize_pem()),
    ]);
    let ran = files.edge(&["check"]);
    assert_eq!(code(&ran), Some(1));
    let said = "edge.toml:3:7: a.pem with a.key: the private key does not belong to the certificate";
    assert!(ran.stdout.starts_with(said), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("; 4 routes can serve\n"), "{}", ran.stdout);
}

#[test]
fn the_file_is_found_by_option_variable_or_place() {
    let files = Files::new(&[("etc/edge.toml", EDGE), ("etc/routes/harbor.toml", HARBOR)]);
    let said = "no faults in edge.toml and 1 route file; 4 routes can serve\n";
    assert_eq!(files.edge(&["check", "--config", "etc/edge.toml"]).stdout, said);
    let ran = run(edge(&["check"]).current_dir(files.0.path()).env("EDGE_CONFIG", "etc/edge.toml"));
    assert_eq!(ran.stdout, said);
}

#[test]
fn explain_tells_the_whole_way_of_a_request() {
    let files = Files::new(&[("edge.toml", EDGE), ("routes/harbor.toml", HARBOR)]);
    let ran = files.edge(&["explain", "https://harbor.example.com/api/x?y=1"]);
    assert_eq!((code(&ran), ran.stderr.as_str()), (Some(0), ""));
    let expected = "\
GET harbor.example.com/api/x
  entrypoint    https (0.0.0.0:443, [::]:443, TLS)
  certificate   for harbor.example.com, from letsencrypt
  routes           harbor-lab     upstream  routes/harbor.toml:8   header `x-canary` is not `1`
                -> harbor-core    upstream  routes/harbor.toml:2   wins
                   harbor-portal  upstream  routes/harbor.toml:16  fits too, but `harbor-core` comes first
  servers       http://10.0.0.2:8080 (weight 2)
                https://10.0.0.3:8443 (weight 1)
  balance       round-robin
  health        judged by requests alone
  eject         after 5 failures in a row, for 10s and longer each time
  retries       connect; at most 1 more
  http          HTTP/2 where TLS agrees on it, else HTTP/1.1
  timeouts      connect 5s, first byte 60s, idle 300s
  Host          as the client sent it
";
    assert_eq!(ran.stdout, expected);
}

#[test]
fn explain_takes_method_headers_and_client_into_account() {
    let files = Files::new(&[("edge.toml", EDGE), ("routes/harbor.toml", HARBOR)]);
    let url = "https://harbor.example.com/api/x";
    let winner = |args: &[&str]| {
        let args: Vec<&str> = ["explain", url, "--json"].iter().chain(args).copied().collect();
        json(&files.edge(&args))["winner"].as_str().map(str::to_owned)
    };
    assert_eq!(winner(&[]).as_deref(), Some("harbor-core"));
    let canary = ["--header", "X-Canary: 1", "--from", "10.1.2.3", "--method", "POST"];
    assert_eq!(winner(&canary).as_deref(), Some("harbor-lab"));
    assert_eq!(winner(&canary[..2]).as_deref(), Some("harbor-core"));
}

#[test]
fn explain_follows_redirects_of_entrypoints_and_shows_those_of_routes() {
    let files = Files::new(&[("edge.toml", EDGE), ("routes/harbor.toml", HARBOR)]);
    let ran = files.edge(&["explain", "http://old.lab.example/a%20b?c"]);
    assert_eq!(code(&ran), Some(0), "{}", ran.stderr);
    for said in [
        "  entrypoint    http, which redirects to https (0.0.0.0:443, [::]:443, TLS)\n",
        "  redirect      308 to https://new.lab.example/a%20b?c\n",
    ] {
        assert!(ran.stdout.contains(said), "{said}\n---\n{}", ran.stdout);
    }
}

#[test]
fn explain_knows_that_the_ca_is_answered_before_any_redirect() {
    let files = Files::new(&[("edge.toml", EDGE), ("routes/harbor.toml", HARBOR)]);
    let says = |url: &str| files.edge(&["explain", url]).stdout.contains("while the CA checks the host");
    assert!(says("http://harbor.example.com/.well-known/acme-challenge/x"));
    assert!(!says("https://harbor.example.com/.well-known/acme-challenge/x"));
}

#[test]
fn explain_says_why_nothing_is_served() {
    let broken = format!("{HARBOR}\n[[route]]\nhost = \"bad.example.com\"\nfiles = \"missing\"\n");
    let files = Files::new(&[("edge.toml", EDGE), ("routes/harbor.toml", &broken)]);
    for (url, said) in [
        ("harbr.example.com", "none is for harbr.example.com; the nearest host is harbor.example.com"),
        ("harbr.example.com", "the alert unrecognized_name"),
        ("bad.example.com", "  certificate   for bad.example.com, from the own local CA\n"),
        ("bad.example.com", "wins, but is rejected: answered with 503 and the fault id "),
        ("bad.example.com", "the route files have 1 error: see `edge check`"),
        ("https://harbor.example.com/api/%2Fx", "answered with 400: the path has an encoded slash (%2f)"),
    ] {
        let ran = files.edge(&["explain", url]);
        assert_eq!(code(&ran), Some(1), "{url}");
        assert!(ran.stdout.contains(said), "{said}\n---\n{}", ran.stdout);
    }
    let ran = files.edge(&["explain", "https://harbor.example.com:444"]);
    assert_eq!(code(&ran), Some(1));
    assert!(ran.stderr.starts_with("error: no entrypoint listens on port 444\n  hint: "), "{}", ran.stderr);
}

#[test]
fn explain_refuses_to_guess_when_edge_toml_has_errors() {
    let files = Files::new(&[("edge.toml", "[log]\nlevel = \"x\"\n"), ("routes/harbor.toml", HARBOR)]);
    let ran = files.edge(&["explain", "https://harbor.example.com"]);
    assert_eq!((code(&ran), ran.stdout.as_str()), (Some(1), ""));
    let said = "error: edge.toml cannot be used: line 2: `level`: expected one of";
    assert!(
        ran.stderr.starts_with(said) && ran.stderr.ends_with("hint: `edge check` tells every fault with its line\n")
    );
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_right() {
    let files = Files::new(&[]);
    for (args, said) in [
        (&["chekc"][..], "unrecognized subcommand 'chekc'"),
        (&["check", "--jsn"], "unexpected argument '--jsn'"),
        (&["explain"], "<URL>"),
        (
            &["explain", "ftp://a"],
            "the scheme `ftp` is not served here; write http://, https://, postgres:// or tcp://",
        ),
        (&["explain", "a", "--header", "x"], "write it as 'Name: value'"),
        (&["schema", "nothing"], "edge, routes"),
        (&[], "Usage: edge <COMMAND>"),
    ] {
        let ran = files.edge(args);
        assert_eq!(code(&ran), Some(2), "{args:?}");
        assert!(ran.stderr.contains(said), "{said}\n---\n{}", ran.stderr);
    }
}

#[test]
fn schema_is_a_json_schema_of_one_or_both_kinds_of_file() {
    let files = Files::new(&[]);
    let schema = |args: &[&str]| json(&files.edge(args));
    assert_eq!(schema(&["schema", "edge"])["properties"]["admin"]["type"], "object");
    assert!(schema(&["schema", "routes"])["properties"]["route"].is_object());
    let both = schema(&["schema"]);
    assert_eq!(both["$defs"]["edge"], schema(&["schema", "edge"]));
    assert_eq!(both["$defs"]["routes"], schema(&["schema", "routes"]));
}

#[test]
fn completions_and_manual_pages_are_printed() {
    let files = Files::new(&[]);
    for shell in ["bash", "zsh", "fish"] {
        assert!(files.edge(&["completions", shell]).success().contains("explain"), "{shell}");
    }
    assert!(files.edge(&["man"]).success().contains("edge\\-check(1)"));
    assert!(files.edge(&["man", "explain"]).success().contains(".TH edge-explain 1"));
    let ran = files.edge(&["man", "nothing"]);
    assert_eq!(
        (code(&ran), ran.stderr.as_str()),
        (Some(1), "error: edge has no command `nothing`\n  hint: `edge --help` lists all commands\n")
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut command = edge(&["schema"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("edge starts");
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("text");
    assert_eq!((child.wait().expect("it ends").code(), said.as_str()), (Some(0), ""));
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("edge lies in the workspace").join("docs")
}

#[test]
fn the_generated_pages_are_not_stale() {
    let files = Files::new(&[("docs/x", "")]);
    files.edge(&["docs", "--write", "docs"]).success();
    for name in ["CONFIG.md", "METRICS.md", "MIDDLEWARES.md"] {
        let read = |folder: &Path| fs::read_to_string(folder.join(name)).expect("it is there");
        assert!(read(&docs()) == read(&files.0.path().join("docs")), "docs/{name} is stale: run ./dev docs");
    }
}

#[test]
fn the_examples_of_the_reference_are_a_good_configuration() {
    let page = fs::read_to_string(docs().join("CONFIG.md")).expect("it is there");
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [edge, routes, entrypoints, tcp, udp] = blocks.as_slice() else { panic!("{} examples", blocks.len()) };
    let files = Files::new(&[("edge.toml", edge), ("routes/a.toml", routes)]);
    assert_eq!(files.edge(&["check"]).success(), "no faults in edge.toml and 1 route file; 1 route can serve\n");
    let (edge, routes) = ([*edge, *entrypoints].concat(), [*routes, *tcp, *udp].concat());
    let files = Files::new(&[("edge.toml", &edge), ("routes/a.toml", &routes)]);
    assert_eq!(files.edge(&["check"]).success(), "no faults in edge.toml and 1 route file; 3 routes can serve\n");
}

/// Runs the binary with this standard input.
#[track_caller]
fn with_input(args: &[&str], input: &[u8]) -> std::process::Output {
    let mut command = edge(args);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    // Who refuses before reading has closed it.
    drop(child.stdin.take().expect("a pipe").write_all(input));
    child.wait_with_output().expect("it ends")
}

#[test]
fn a_password_becomes_the_line_of_a_users_file() {
    for (args, prefix) in [
        (&["hash", "ann"][..], "ann:$argon2id$v=19$m=19456,t=2,p=1$"),
        (&["hash", "--bcrypt", "ann"], "ann:$2y$10$"),
        (&["hash"], "$argon2id$"),
    ] {
        let ran = with_input(args, b"open sesame\r\nmore");
        let line = String::from_utf8(ran.stdout).expect("text");
        assert!(ran.status.success() && line.starts_with(prefix) && line.ends_with('\n'), "{line}");
        assert_eq!(line.lines().count(), 1);
        assert!(ran.stderr.is_empty());
    }
    let twice = [0, 1].map(|_| with_input(&["hash", "--json", "ann"], b"x").stdout);
    assert_ne!(twice[0], twice[1], "each has a salt of its own");
    let json: serde_json::Value = serde_json::from_slice(&twice[0]).expect("JSON");
    assert!(json["name"] == "ann" && json["hash"].as_str().expect("a hash").starts_with("$argon2id$"));
}

#[test]
fn what_cannot_be_a_login_gets_no_hash() {
    for (args, input, wanted) in [
        (&["hash", "a:b"][..], vec![b'x'], "`a:b` cannot be the name of a user"),
        (&["hash", "ann"], vec![], "the password is empty"),
        (&["hash", "ann"], vec![b'x'; 1025], "more than 1024 bytes"),
        (&["hash", "--bcrypt", "ann"], vec![b'x'; 73], "bcrypt sees only the first 72 bytes"),
    ] {
        let ran = with_input(args, &input);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.code() == Some(1) && ran.stdout.is_empty(), "{said}");
        assert!(said.contains(wanted), "{said}");
    }
    assert_eq!(code(&run(&mut edge(&["hash", "--token"]))), Some(2), "a token has a name");
}

#[test]
fn a_new_token_is_shown_beside_the_lines_for_its_file() {
    let ran = run(&mut edge(&["hash", "--token", "ci"]));
    assert!(ran.status.success(), "{}", ran.stderr);
    let token = ran.stderr.trim_end().rsplit(' ').next().expect("a word");
    assert!(token.starts_with("edge_") && !ran.stdout.contains(token), "{}", ran.stderr);
    let file: toml::Table = ran.stdout.parse().expect("TOML");
    assert_eq!(file["token"][0]["name"].as_str(), Some("ci"));
    assert_eq!(file["token"][0]["sha256"].as_str().map(str::len), Some(64));
}
