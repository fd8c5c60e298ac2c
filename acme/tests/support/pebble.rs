//! Pebble, Let's Encrypt's test authority, and its DNS server, as child processes on free loopback ports.
//! For any test that wants a real authority: include it with `#[path]`. It needs rcgen and tempfile, nothing of ours.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// What kind of authority.
pub(crate) struct Options {
    /// Where it looks for answers to HTTP-01, on 127.0.0.1, whatever the name.
    pub(crate) http_port: u16,
    /// How long its certificates are good, in seconds.
    pub(crate) validity: u64,
    /// Key identifier and key (Base64url), if accounts must be bound.
    pub(crate) eab: Option<(&'static str, &'static str)>,
    /// A domain that it refuses, with all below it.
    pub(crate) blocked: &'static str,
}

impl Options {
    /// Answers on this port, certificates for an hour.
    pub(crate) fn new(http_port: u16) -> Self {
        Self { http_port, validity: 3600, eab: None, blocked: "blocked.example.test" }
    }
}

/// A running authority; it ends with this value.
pub(crate) struct Pebble {
    /// Its ACME directory.
    pub(crate) directory: String,
    /// PEM root that its HTTPS is signed by. Not the root of the certificates it issues.
    pub(crate) ca_file: PathBuf,
    /// Where it shows the root of the certificates that it issues, by HTTPS: PEM.
    pub(crate) issuing_root: String,
    folder: tempfile::TempDir,
    children: Vec<Child>,
}

impl Pebble {
    /// Starts it and waits until it answers. Another process may take a port in between: then once more.
    pub(crate) fn start(options: &Options) -> Self {
        for _ in 0..5 {
            let mut pebble = Self::prepare();
            if pebble.launch(options) {
                return pebble;
            }
        }
        panic!("pebble did not start in five tries");
    }

    /// What it has written so far, for a test that fails or counts.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("pebble.log")).unwrap_or_default()
    }

    fn prepare() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let ca_file = folder.path().join("ca.pem");
        https_certificate(folder.path(), &ca_file);
        Self { directory: String::new(), ca_file, issuing_root: String::new(), folder, children: Vec::new() }
    }

    fn launch(&mut self, options: &Options) -> bool {
        let [dns, control, acme, management] = [(); 4].map(|()| free_port());
        self.directory = format!("https://127.0.0.1:{acme}/dir");
        self.issuing_root = format!("https://127.0.0.1:{management}/roots/0");
        let config = self.folder.path().join("pebble.json");
        fs::write(&config, configuration(options, acme, management)).expect("the configuration can be written");
        let dns = format!("127.0.0.1:{dns}");
        let names = [
            ["-http01", ""],
            ["-https01", ""],
            ["-tlsalpn01", ""],
            ["-defaultIPv6", ""],
            ["-dns01", &dns],
            ["-management", &format!("127.0.0.1:{control}")],
        ];
        self.spawn("pebble-challtestsrv", &names.concat());
        let config = config.display().to_string();
        self.spawn("pebble", &["-config", &config, "-dnsserver", &dns]);
        self.answers(control) && self.answers(acme) && self.answers(management)
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) {
        let log = File::create(self.folder.path().join(format!("{program}.log"))).expect("a log can be made");
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "5")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a file handle can be cloned"))
            .stdout(log)
            .spawn();
        match child {
            Ok(child) => self.children.push(child),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                panic!("{program} is not installed: run ./dev setup")
            }
            Err(error) => panic!("{program} cannot be started: {error}"),
        }
    }

    /// Whether the port is answered before one of the programs gives up.
    fn answers(&mut self, port: u16) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if self.children.iter_mut().any(|child| matches!(child.try_wait(), Ok(Some(_)))) {
                return false;
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            // A program that is gone already needs no end.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn configuration(options: &Options, acme: u16, management: u16) -> String {
    let (required, keys) = match options.eab {
        Some((kid, hmac)) => (true, format!("\"{kid}\": \"{hmac}\"")),
        None => (false, String::new()),
    };
    let Options { http_port, validity, blocked, .. } = options;
    let tls_port = free_port();
    format!(
        r#"{{"pebble": {{"listenAddress": "127.0.0.1:{acme}", "managementListenAddress": "127.0.0.1:{management}",
            "certificate": "https.pem", "privateKey": "https.key", "httpPort": {http_port}, "tlsPort": {tls_port},
            "externalAccountBindingRequired": {required}, "externalAccountMACKeys": {{{keys}}},
            "domainBlocklist": ["{blocked}"], "certificateValidityPeriod": {validity}}}}}"#
    )
}

/// A root of our own and a certificate by it for Pebble's own HTTPS: the package brings none.
fn https_certificate(folder: &Path, ca_file: &Path) {
    let write = |path: &Path, text: String| fs::write(path, text).expect("a file can be written");
    let root_key = KeyPair::generate().expect("a key can be made");
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write(ca_file, root.self_signed(&root_key).expect("a root can be made").pem());
    let key = KeyPair::generate().expect("a key can be made");
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]);
    let leaf = leaf.expect("the names are good").signed_by(&key, &Issuer::from_params(&root, &root_key));
    write(&folder.join("https.pem"), leaf.expect("a leaf can be made").pem());
    write(&folder.join("https.key"), key.serialize_pem());
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    // Below the range from which the system takes the ports of outgoing connections: one of those is not taken from
    // under us while a program is starting.
    loop {
        let chance = RandomState::new().hash_one("a port");
        let port = 10_000 + u16::try_from(chance % 20_000).expect("below 20,000");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
