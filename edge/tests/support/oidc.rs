//! A real OpenID Connect provider (`oidc-provider` of npm) with two users, a client that people log in by and one for
//! programs; and a browser's way through its login, without a browser.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use serde_json::{Value, json};

use super::curl::{Answer, curl};
use super::process::{Process, free_port, installed};

/// The client by which people log in (authorization code, PKCE is required), and its secret.
pub(crate) const CLIENT: (&str, &str) = ("edge", "secret-of-edge");
/// The client that gets tokens for itself, and its secret.
pub(crate) const ROBOT: (&str, &str) = ("robot", "secret-of-robot");

/// A provider on a port of its own. Users: `alice` of the group `team` and `bob` of none.
pub(crate) struct Oidc {
    process: Process,
    port: u16,
    settings: Value,
    /// As discovery names it.
    pub(crate) issuer: String,
}

impl Oidc {
    /// One that sends people back to these addresses only, after login and after logout.
    #[track_caller]
    pub(crate) fn start(redirects: &[&str]) -> Self {
        Self::start_with(redirects, &json!({}))
    }

    /// The same with tokens that live for so many seconds, such as `{"IdToken": 1, "AccessToken": 1}`.
    #[track_caller]
    pub(crate) fn start_with(redirects: &[&str], ttl: &Value) -> Self {
        let port = free_port();
        let settings = json!({
            "port": port,
            "ttl": ttl,
            "clients": [
                {"client_id": CLIENT.0, "client_secret": CLIENT.1, "redirect_uris": redirects,
                 "post_logout_redirect_uris": redirects, "grant_types": ["authorization_code", "refresh_token"]},
                {"client_id": ROBOT.0, "client_secret": ROBOT.1, "redirect_uris": [], "response_types": [],
                 "grant_types": ["client_credentials"]},
            ],
            "users": {
                "alice": {"name": "Alice", "preferred_username": "alice", "email": "alice@example.test",
                          "email_verified": true, "groups": ["team"]},
                "bob": {"name": "Bob", "preferred_username": "bob", "email": "bob@example.test",
                        "email_verified": true, "groups": []},
                "robot": {"groups": ["robots"]},
            },
        });
        Self { process: spawn(&settings), port, settings, issuer: format!("http://127.0.0.1:{port}") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Ends it: the provider is down.
    pub(crate) fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again at the same address, with other keys and without any session.
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(&self.settings);
    }

    /// Replaces its signing keys; the old ones are published no more.
    #[track_caller]
    pub(crate) fn rotate_keys(&self) {
        let answer = curl(&["--request", "POST", &format!("{}/test/rotate", self.issuer)]);
        assert_eq!(answer.status, 204, "{}", answer.said);
    }

    /// Goes where a client has sent the browser, logs in, and stops at the address outside of the provider to which it
    /// is sent back, with `code` and `state`.
    #[track_caller]
    pub(crate) fn log_in(&self, authorize: &str, user: &str) -> String {
        let jar = tempfile::NamedTempFile::new().expect("a temporary file");
        let jar = jar.path().display().to_string();
        let ask = |url: &str, more: &[&str]| curl(&[&["--cookie", &jar, "--cookie-jar", &jar, url], more].concat());
        let page = self.location(&ask(authorize, &[]));
        let form = ask(&page, &[]);
        assert!(form.text().contains("name=\"login\""), "no login form at {page}: {}", form.text());
        let name = format!("login={user}");
        let mut next = self.location(&ask(&page, &["-d", "prompt=login", "-d", &name, "-d", "password=any"]));
        while next.starts_with(&self.issuer) {
            next = self.location(&ask(&next, &[]));
        }
        next
    }

    #[track_caller]
    fn location(&self, answer: &Answer) -> String {
        let location = answer.header("location");
        let location = location.unwrap_or_else(|| panic!("{} and no redirect: {}", answer.status, answer.text()));
        if location.starts_with('/') { format!("{}{location}", self.issuer) } else { location.to_owned() }
    }

    /// An access token (a JWT) that [`ROBOT`] gets for this audience, such as `https://mlflow.test`.
    #[track_caller]
    pub(crate) fn robot_token(&self, audience: &str) -> String {
        let answer =
            self.token(ROBOT, &[("grant_type", "client_credentials"), ("resource", audience), ("scope", "api")]);
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// What the token endpoint says to this client.
    #[track_caller]
    pub(crate) fn token(&self, client: (&str, &str), fields: &[(&str, &str)]) -> Value {
        let account = format!("{}:{}", client.0, client.1);
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let data: Vec<&str> = fields.iter().flat_map(|field| ["--data-urlencode", field]).collect();
        let answer = curl(&[&["--user", &account, &format!("{}/token", self.issuer)], &*data].concat());
        serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.text()))
    }
}

#[track_caller]
fn spawn(settings: &Value) -> Process {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/oidc/provider.js");
    let mut command = Command::new(installed("venv-backends/node"));
    command.arg(script).arg(installed("npm-oidc/node_modules")).arg(settings.to_string());
    let mut process = Process::start(&mut command);
    process.ready_when("the provider prints its port", |output| output.contains("port "));
    process
}
