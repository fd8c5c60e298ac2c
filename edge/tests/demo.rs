//! `edge demo` as a new user meets it: the built binary, what it prints, and what comes of doing as it says.

mod support {
    pub(crate) mod curl;
    pub(crate) mod process;
    pub(crate) mod servers;
}

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use support::curl::{Answer, curl};
use support::process::{Process, Ran, eventually, run};
use support::servers::ws_client;

/// A demo in the data folder of a user of its own, on free ports.
struct Demo {
    process: Process,
    home: TempDir,
}

impl Demo {
    fn start() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        Self { process: spawn(home.path(), &[]), home }
    }

    /// Stops it as Ctrl-C does and starts it again.
    fn again(mut self, args: &[&str]) -> Self {
        self.process.signal("INT");
        assert_eq!(self.process.wait().code(), Some(0), "{}", self.process.tail());
        let process = spawn(self.home.path(), args);
        Self { process, ..self }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("edge-demo")
    }

    fn root_pem(&self) -> String {
        self.folder().join("state/local-ca/root.pem").display().to_string()
    }

    /// What is printed to be copied.
    fn commands(&self) -> Vec<String> {
        let output = self.process.output();
        let lines = output.lines().skip_while(|line| !line.starts_with("Copy")).skip(1);
        let lines = lines.take_while(|line| line.starts_with("  ")).map(str::trim);
        lines.filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    /// `hello.localhost:8443`, with the port as it was printed.
    fn authority(&self, name: &str) -> String {
        let output = self.process.output();
        let port = output.split("https://hello.localhost:").nth(1).and_then(|rest| rest.split('/').next());
        format!("{name}.localhost:{}", port.expect("the first page is printed"))
    }

    fn ask(&self, name: &str, path: &str, args: &[&str]) -> Answer {
        let (pem, url) = (self.root_pem(), format!("https://{}{path}", self.authority(name)));
        curl(&[&["--cacert", &pem, &url], args].concat())
    }

    fn add_route(&self, text: &str) {
        let file = self.folder().join("routes/demo.toml");
        let before = fs::read_to_string(&file).expect("the demo wrote it");
        fs::write(file, before + text).expect("it may be edited");
    }
}

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    // The state of the machine's own edge is none of the demo's business.
    command.arg("demo").args(args).env("XDG_DATA_HOME", home).env("EDGE_STATE", home.join("machine"));
    command
}

const ANY_PORTS: [&str; 6] = ["--https-port", "0", "--http-port", "0", "--admin-port", "0"];

fn spawn(home: &Path, args: &[&str]) -> Process {
    let mut process = Process::start(command(home, &ANY_PORTS).args(args));
    process.ready_when("the last line to copy is printed", |output| output.contains("/metrics\n"));
    process
}

/// A demo that cannot start: its sentence, and its exit code.
fn refused(home: &Path, args: &[&str]) -> (String, Option<i32>) {
    let Ran { status, stdout, stderr } = run(&mut command(home, args));
    assert_eq!(stdout, "");
    (stderr, status.code())
}

const ROUTE: &str = "\n[[route]]\nhost = \"new.localhost\"\nupstream = \"${ECHO}\"\n";

#[test]
fn every_printed_command_succeeds_as_it_stands() {
    let demo = Demo::start();
    let commands = demo.commands();
    let seen = [
        ("hello.localhost", "Hello from behind the edge"),
        ("echo.localhost", "GET /any/path HTTP/1.1\n"),
        ("note.localhost", "A note from edge itself.\n"),
        ("events.localhost", "data: event 3\n"),
        (
            "upload.localhost",
            "50000000 bytes\nsha256 ab46920a3bcd0891d34367719808bc3f832e4968ddfbfb464d093e306d2275ad\n",
        ),
        ("ws.localhost", "hello through a WebSocket\n"),
        ("/metrics", "# TYPE edge_requests_total counter\n"),
    ];
    assert_eq!(commands.len(), seen.len(), "{commands:?}");
    for (command, (part, answer)) in commands.iter().zip(seen) {
        assert!(command.contains(part), "{command}");
        // Neither a .curlrc nor a proxy of this machine takes part.
        let ran = run(Command::new("sh").args(["-c", command]).env("HOME", demo.home.path()).env("NO_PROXY", "*"));
        let said = ran.success();
        assert!(said.contains(answer), "{command}\n{said}");
    }
}

#[test]
fn the_first_page_comes_over_both_versions_of_http_with_a_good_certificate() {
    let demo = Demo::start();
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let answer = demo.ask("hello", "/", &[flag]);
        assert_eq!((answer.status, answer.version.as_str()), (200, version), "{}", answer.said);
        let authority = demo.authority("hello");
        let told = format!("<th>x-forwarded-host</th><td>{authority}</td>");
        assert!(answer.text().contains(&told) && answer.text().contains("x-request-id"), "{}", answer.text());
    }
}

#[test]
fn every_route_of_the_demo_answers() {
    let demo = Demo::start();
    for (name, path, words) in [
        ("mirror", "/", "host: mirror.localhost"),
        ("hello", "/api/x", "GET /api/x HTTP/1.1"),
        ("ws", "/", "new WebSocket"),
        ("events", "/", "new EventSource"),
        ("upload", "/", "<form"),
        ("note", "/", "A note"),
        ("files", "/read-me.txt", "This file lies"),
        ("files", "/", "read-me.txt"),
    ] {
        let answer = demo.ask(name, path, &[]);
        assert!(answer.status == 200 && answer.text().contains(words), "{name}{path}: {answer:?}");
    }
    let old = demo.ask("old", "/a?b=c", &[]);
    let to = format!("https://{}/a?b=c", demo.authority("hello"));
    assert_eq!((old.status, old.header("location")), (308, Some(to.as_str())));
}

#[test]
fn a_websocket_goes_through() {
    let demo = Demo::start();
    let authority = demo.authority("ws");
    let to = authority.replace("ws.localhost", "127.0.0.1");
    let answers =
        ws_client(&[&format!("wss://{authority}/"), "--connect", &to, "--ca", &demo.root_pem(), "one", "two"]);
    assert_eq!(answers.success(), "one\ntwo\n");
}

#[test]
fn events_come_while_the_answer_goes_on_and_do_not_hold_up_a_stop() {
    let mut demo = Demo::start();
    let url = format!("https://{}/stream", demo.authority("events"));
    let mut client = Process::start(Command::new("curl").args(["-qsN", "--cacert", &demo.root_pem(), &url]));
    client.ready_when("two events came and the stream is open", |output| output.contains("data: event 2\n"));
    demo.process.signal("INT");
    assert_eq!(demo.process.wait().code(), Some(0), "{}", demo.process.tail());
    client.wait();
}

#[test]
fn a_long_upload_is_counted_and_does_not_stay_in_memory() {
    let demo = Demo::start();
    let file = demo.home.path().join("long");
    File::create(&file).and_then(|file| file.set_len(50 << 20)).expect("a sparse file");
    let before = peak_kib(&demo);
    let answer = demo.ask("upload", "/long", &["-T", &file.display().to_string()]);
    assert!(answer.status == 200 && answer.text().starts_with("52428800 bytes\nsha256 "), "{answer:?}");
    let more = peak_kib(&demo) - before;
    assert!(more < 25 << 10, "{more} KiB more for 51200 KiB of body");
}

/// The most memory that the process has had.
fn peak_kib(demo: &Demo) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", demo.process.id())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).expect("Linux tells the peak")
}

#[test]
fn a_saved_edit_is_live_and_kept_until_a_fresh_start() {
    let demo = Demo::start();
    assert_ne!(demo.ask("new", "/", &[]).exit, 0, "nobody has named it yet");
    demo.add_route(ROUTE);
    eventually("the new route answers", || demo.ask("new", "/", &[]).status == 200);
    let demo = demo.again(&[]);
    assert_eq!(demo.ask("new", "/", &[]).status, 200, "on other ports of the samples");
    let demo = demo.again(&["--fresh"]);
    assert_ne!(demo.ask("new", "/", &[]).exit, 0);
    assert_eq!(demo.ask("hello", "/", &[]).status, 200, "{}", demo.process.tail());
    assert!(!demo.home.path().join("machine").exists(), "EDGE_STATE is left alone");
}

#[test]
fn a_taken_port_is_told_with_the_flag_to_give_and_nothing_is_written() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let (said, code) = refused(home.path(), &[&["--http-port", &port], &ANY_PORTS[..2], &ANY_PORTS[4..]].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with(&format!("error: port {port} is taken")) && said.contains("with --http-port"), "{said}");
    assert!(!home.path().join("edge-demo").exists());
}

#[test]
fn a_folder_is_not_used_twice_nor_taken_from_somebody_else() {
    let demo = Demo::start();
    let (said, code) = refused(demo.home.path(), &ANY_PORTS);
    assert!(code == Some(1) && said.contains("a demo runs in") && said.contains("--folder"), "{said}");
    let other = demo.home.path().join("other");
    fs::create_dir_all(other.join("routes")).expect("a new folder");
    fs::write(other.join("edge.toml"), "[acme]\n").expect("a new file");
    let folder = other.display().to_string();
    let (said, code) = refused(demo.home.path(), &[&["--fresh", "--folder", &folder], &ANY_PORTS[..]].concat());
    assert!(code == Some(1) && said.contains("was not written by `edge demo`"), "{said}");
    assert!(other.join("routes").exists() && other.join("edge.toml").exists());
}

#[test]
fn an_edit_of_edge_toml_that_cannot_be_served_is_shown_in_its_line() {
    let mut demo = Demo::start();
    demo.process.signal("INT");
    demo.process.wait();
    let file = demo.folder().join("edge.toml");
    let text = fs::read_to_string(&file).expect("the demo wrote it");
    fs::write(&file, text.replace("redirect = \"https\"", "redirekt = \"https\"")).expect("it may be edited");
    let (said, code) = refused(demo.home.path(), &ANY_PORTS);
    assert!(code == Some(78) && said.contains("redirekt = \"https\"") && said.contains("`redirect`"), "{said}");
}
