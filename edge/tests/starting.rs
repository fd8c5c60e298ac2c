//! A start that cannot be: each reason in one sentence that names the thing and what to do, with the right exit code.
//! And what a start finds beside routes: IPv6, and certificates in files that change while it serves.

mod support {
    pub(crate) mod client;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod process;
}

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use support::client::{Client, Loop, Trust};
use support::edge::{PLAIN, TestEdge};
use support::process::{Ran, eventually, run};

/// `edge run` in a new folder with this `edge.toml`, to its end.
#[track_caller]
fn refused(config: &str) -> Ran {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join("edge.toml"), config).expect("written");
    run_in(dir.path(), Command::new(env!("CARGO_BIN_EXE_edge")))
}

#[track_caller]
fn run_in(dir: &Path, mut command: Command) -> Ran {
    run(command.args(["run", "--config", "edge.toml"]).current_dir(dir).env_remove("EDGE_STATE"))
}

/// That it ended with this code and these words, and did not panic.
#[track_caller]
fn says(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.status.code(), Some(code), "{ran:?}");
    let missing = words.iter().find(|words| !ran.stderr.contains(**words));
    assert_eq!(missing, None, "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

fn listening_on(address: &str) -> String {
    PLAIN.replacen("127.0.0.1:0", address, 1)
}

#[test]
fn a_port_in_use_is_named_with_its_entrypoint() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let port = format!("port {} is taken", taken.local_addr().expect("it is bound").port());
    says(&refused(&listening_on(&address)), 1, &["entrypoint http cannot listen on", &address, &port, "ss -ltnp"]);
    let admin = PLAIN.replace("[admin]\nlisten = \"127.0.0.1:0\"", &format!("[admin]\nlisten = \"{address}\""));
    says(&refused(&admin), 1, &[&address]);
}

#[test]
fn a_port_without_permission_is_said_with_what_gives_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join("edge.toml"), listening_on("127.0.0.1:80")).expect("written");
    // Root may bind what it likes, unless that right is taken away; others have it not.
    let mut command = Command::new("setpriv");
    let is_root = run(Command::new("id").arg("-u")).success().trim() == "0";
    if is_root {
        command.arg("--bounding-set=-net_bind_service");
    }
    command.arg(env!("CARGO_BIN_EXE_edge"));
    says(&run_in(dir.path(), command), 1, &["entrypoint http", "port 80 needs root or CAP_NET_BIND_SERVICE", "setcap"]);
}

#[test]
fn an_address_of_nobody_is_said() {
    says(&refused(&listening_on("192.0.2.1:8080")), 1, &["entrypoint http", "no interface with 192.0.2.1"]);
}

#[test]
fn a_state_folder_that_cannot_be_used_is_said() {
    let at = |state: &str| PLAIN.replace("state = \"state\"", &format!("state = \"{state}\""));
    says(&refused(&at("edge.toml/state")), 1, &["state folder", "edge.toml/state cannot be made", "EDGE_STATE"]);
    says(&refused(&at("/proc/self/fd")), 1, &["state folder /proc/self/fd cannot be written to"]);
    says(&refused(&at("/proc/self")), 1, &["state folder /proc/self is open to others", "chmod 700"]);
}

#[test]
fn two_edges_do_not_share_a_state_folder() {
    let edge = TestEdge::with_routes(&[("a.toml", "[[route]]\nhost = \"a.test\"\nrespond = \"a\"\n")]);
    let dir = edge.path("");
    says(&run_in(&dir, Command::new(env!("CARGO_BIN_EXE_edge"))), 1, &["another edge uses the state folder"]);
    assert_eq!(edge.https("https://a.test/", &[]).text(), "a", "the first one serves on");
}

#[test]
fn a_configuration_with_faults_is_refused_with_all_of_them() {
    let config = PLAIN.replace("redirect", "redirct") + "\n[limits]\nclient_connections = \"many\"\n";
    let ran = refused(&config);
    says(&ran, 78, &["edge.toml:7:1", "redirct", "redirect", "edge.toml:17:22", "client_connections"]);
    says(&refused("routes = [\n"), 78, &["edge.toml:1"]);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ran = run_in(dir.path(), Command::new(env!("CARGO_BIN_EXE_edge")));
    assert_ne!(ran.status.code(), Some(0));
    assert!(ran.stderr.contains("edge.toml") && !ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn a_damaged_local_authority_is_said_and_left_as_it_is() {
    let mut edge = TestEdge::with_routes(&[("a.toml", "[[route]]\nhost = \"a.test\"\nrespond = \"a\"\n")]);
    assert_eq!(edge.stop(), Some(0));
    for name in ["root.pem", "root.key"] {
        let path = edge.path("state/local-ca").join(name);
        let whole = fs::read_to_string(&path).expect("it was made");
        let half = &whole[..whole.len() / 2];
        fs::write(&path, half).expect("written");
        let ran = run_in(&edge.path(""), Command::new(env!("CARGO_BIN_EXE_edge")));
        says(&ran, 1, &["the local authority in", "is damaged", "restore root.pem and root.key"]);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), half);
        fs::write(&path, whole).expect("written");
    }
    edge.restart();
    assert_eq!(edge.https("https://a.test/", &[]).text(), "a");
}

#[test]
fn ipv6_is_served_beside_ipv4() {
    let config = PLAIN.replace("[\"127.0.0.1:0\"]", "[\"127.0.0.1:0\", \"[::1]:0\"]");
    let edge = TestEdge::with_config(&config, &[("a.toml", "[[route]]\nhost = \"a.test\"\nrespond = \"a\"\n")]);
    let run = fs::read_to_string(edge.path("state/run.json")).expect("it is written");
    let run: serde_json::Value = serde_json::from_str(&run).expect("JSON");
    for place in [0, 1] {
        let to = format!("::{}", run["entrypoints"]["https"][place].as_str().expect("an address"));
        let answer = support::curl::curl(&["--insecure", "--connect-to", &to, "https://a.test/"]);
        assert_eq!(answer.text(), "a", "{to}: {}", answer.said);
    }
    eventually("the client is logged", || edge.access("/").iter().any(|line| line["client"] == "::1"));
}

type Ca = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

/// Chain and key for `a.test`, as PEM.
fn pair(ca: &Ca) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["a.test".to_owned()]).expect("a good name");
    (params.signed_by(&key, ca).expect("a certificate").pem(), key.serialize_pem())
}

fn replace(edge: &TestEdge, pair: &(String, String)) {
    for (name, text) in [("a.pem", &pair.0), ("a.key", &pair.1)] {
        let (beside, path) = (edge.path("tls/new"), edge.path("tls").join(name));
        fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).expect("written");
    }
}

#[test]
fn certificates_in_files_are_swapped_while_clients_are_served() {
    let ca = authority();
    let (first, second, other) = (pair(&ca), pair(&ca), pair(&ca));
    let config = format!(
        "{PLAIN}\n[limits]\nclient_handshakes_per_second = 0\n\n[[certificate]]\ncert = \"tls/a.pem\"\nkey = \"tls/a.key\"\n"
    );
    let route = "[[route]]\nhost = \"a.test\"\nrespond = \"a\"\ntls = { issuer = \"files\" }\n";
    let files =
        [("edge.toml", config.as_str()), ("routes/a.toml", route), ("tls/a.pem", &first.0), ("tls/a.key", &first.1)];
    let edge = TestEdge::start(|_| files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    let trust = Trust::roots(&[ca.pem()]);
    let served = || Client::connect(edge.address("https"), "a.test", &trust).expect("a good one").certificate();
    let is = |pair: &(String, String), der: &[u8]| pem_der(&pair.0) == der;
    assert!(is(&first, &served()));
    let clients = Loop::start(edge.address("https"), "a.test", &trust);
    replace(&edge, &second);
    eventually("the second pair is served", || is(&second, &served()));
    // A pair that does not belong together is not taken, and said.
    replace(&edge, &(other.0.clone(), first.1.clone()));
    edge.logs("a new certificate is not taken; the one before is served");
    assert!(is(&second, &served()));
    replace(&edge, &other);
    eventually("the mended pair is served", || is(&other, &served()));
    clients.goes_on(5);
    clients.end_without_failure();
    assert!(edge.metric_sum("edge_certificate_not_after_seconds", &["issuer=\"files\"", "a.test"]) > 0.0);
}

fn pem_der(pem: &str) -> Vec<u8> {
    use rustls_pki_types::pem::PemObject as _;
    rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM").to_vec()
}

#[test]
fn roots_of_the_authority_that_are_missing_fail_orders_and_not_the_start() {
    let config = format!("{PLAIN}\n[acme]\ndirectory = \"https://127.0.0.1:1/dir\"\nca_file = \"missing.pem\"\n");
    let route = "[[route]]\nhost = \"a.example.com\"\nrespond = \"a\"\n";
    let edge = TestEdge::with_config(&config, &[("a.toml", route)]);
    assert_eq!(edge.https("https://a.example.com/", &[]).text(), "a");
    edge.logs("missing.pem");
    edge.logs("put the roots there, or change or remove [acme] ca_file");
}

#[test]
fn roots_of_the_system_that_cannot_be_saved_do_not_keep_it_from_starting() {
    let edge = TestEdge::start(|dir| {
        fs::create_dir_all(dir.join("state/upstream-roots.pem/in-the-way")).expect("made");
        fs::set_permissions(dir.join("state"), fs::Permissions::from_mode(0o700)).expect("allowed");
        let route = "[[route]]\nhost = \"a.test\"\nrespond = \"a\"\n";
        [("edge.toml", PLAIN), ("routes/a.toml", route)].map(|(name, text)| (name.to_owned(), text.to_owned())).into()
    });
    assert_eq!(edge.https("https://a.test/", &[]).text(), "a");
    edge.logs("the roots for upstream servers are not saved");
}
