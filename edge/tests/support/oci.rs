//! Debian's container registry with accounts, and who gives tokens for it.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::clients::{bare, clients};
use super::curl::curl;
use super::edge::TestEdge;
use super::process::{Process, Ran, eventually_some, run, tool};

/// The account that [`TokenIssuer`] knows, as skopeo takes it.
pub(crate) const ACCOUNT: &str = "team:secret";

/// A stand-in for the token services of Gitea, Harbor and Nexus.
pub(crate) struct TokenIssuer {
    process: Process,
    pub(crate) url: String,
    dir: TempDir,
}

impl TokenIssuer {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut command = bare("python");
        command.arg(clients().join("registry_tokens.py")).arg(dir.path().join("issuer.pem"));
        let process = Process::start(&mut command);
        let port = eventually_some("the issuer prints its port", || {
            process.output().strip_prefix("port ").and_then(|rest| rest.lines().next()?.parse::<u16>().ok())
        });
        Self { process, url: format!("http://127.0.0.1:{port}"), dir }
    }

    /// How often it was asked for a token.
    pub(crate) fn asked(&self) -> usize {
        self.process.output().matches("/v2/token?").count()
    }
}

/// A registry that sends clients to `realm` for tokens, and takes those of the issuer.
pub(crate) struct Registry {
    _process: Process,
    _dir: TempDir,
}

impl Registry {
    /// At this port of loopback.
    #[track_caller]
    pub(crate) fn start(port: u16, realm: &str, issuer: &TokenIssuer) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (store, bundle) = (dir.path().join("store"), issuer.dir.path().join("issuer.pem"));
        let config = format!(
            "version: 0.1\nlog: {{ level: info }}\nhttp: {{ addr: \"127.0.0.1:{port}\" }}\n\
             storage: {{ filesystem: {{ rootdirectory: \"{}\" }}, delete: {{ enabled: true }} }}\n\
             auth: {{ token: {{ realm: \"{realm}\", service: container_registry, issuer: tests, rootcertbundle: \"{}\" }} }}\n",
            store.display(),
            bundle.display(),
        );
        let file = dir.path().join("registry.yml");
        fs::write(&file, config).expect("the folder is writable");
        let mut process = Process::start(Command::new(tool("docker-registry")).arg("serve").arg(file));
        let url = format!("http://127.0.0.1:{port}/v2/");
        process.ready_when("the registry asks for a token", |_| curl(&[&url]).status == 401);
        Self { _process: process, _dir: dir }
    }
}

/// Copies an image between a folder and the registry at `localhost` behind the edge, whose root alone is trusted.
#[track_caller]
pub(crate) fn skopeo_copy(edge: &TestEdge, from: &str, to: &str) -> Ran {
    let certificates = edge.path("registry-certificates");
    fs::create_dir_all(&certificates).expect("the folder is ours");
    fs::copy(edge.path("state/local-ca/root.pem"), certificates.join("ca.crt")).expect("the edge has a root");
    let side = if from.starts_with("docker:") { "src" } else { "dest" };
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy", "copy", "--preserve-digests", &format!("--{side}-creds"), ACCOUNT]);
    command.arg(format!("--{side}-cert-dir")).arg(certificates).args([from, to]);
    run(&mut command)
}
