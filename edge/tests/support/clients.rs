//! Programs of the Python environment `venv-backends` as somebody at home uses them: they believe the root of the edge
//! and nobody else, and find each name below `.test` at loopback.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::process::Command;

use super::edge::TestEdge;
use super::process::{installed, run};

/// A program such as `aws`, with a home of its own in the folder of the edge. Nothing of the machine's settings is left.
#[track_caller]
pub(crate) fn client(edge: &TestEdge, program: &str) -> Command {
    let root = edge.path("state/local-ca/root.pem");
    let mut command = bare(program);
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "PIP_CERT", "TWINE_CERT"] {
        command.env(name, &root);
    }
    command.env("HOME", edge.path("."));
    command
}

/// One of the scripts beside the tests, run by the Python of that environment.
#[track_caller]
pub(crate) fn script(edge: &TestEdge, name: &str) -> Command {
    let mut command = client(edge, "python");
    command.arg(clients().join(name));
    command
}

/// Chromium does these steps (see `browser.py`): what it printed.
#[track_caller]
pub(crate) fn browse(edge: &TestEdge, steps: &[&str]) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).flat_map(|folder| BROWSERS.map(|name| folder.join(name)));
    let browser = found.into_iter().find(|file| file.exists());
    let browser = browser.unwrap_or_else(|| panic!("none of {BROWSERS:?} is in PATH: run ./dev setup"));
    run(script(edge, "browser.py").env("CHROMIUM", browser).args(steps)).success()
}

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A program of the environment that knows no edge: a server.
#[track_caller]
pub(crate) fn bare(program: &str) -> Command {
    let mut command = Command::new(installed(&format!("venv-backends/bin/{program}")));
    command.env_clear().env("PATH", path()).env("PYTHONPATH", clients().join("names")).env("PYTHONUNBUFFERED", "1");
    command.env("LANG", "C.UTF-8").env("NO_PROXY", "*");
    command
}

/// The environment's programs before those of the machine.
fn path() -> std::ffi::OsString {
    let mut path = installed("venv-backends/bin").into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

pub(crate) fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}
