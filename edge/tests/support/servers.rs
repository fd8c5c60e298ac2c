//! Real programs of others around the edge: a file server, a container registry and its client,
//! Prometheus, gRPC and WebSocket peers. Each server listens on loopback and ends with its value.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::curl::curl;
use super::process::{Process, Ran, eventually, free_port, python, run, tool};

/// A server that runs until this is dropped, with the folder that it may use.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    dir: TempDir,
}

impl Server {
    /// As a route's `upstream`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// One that prints its port behind the word `port`.
    #[track_caller]
    fn printing_its_port(command: &mut Command, dir: TempDir) -> Self {
        let (mut process, mut port) = (Process::start(command), None);
        process.ready_when("the server prints its port", |output| {
            port = port_in(output);
            port.is_some()
        });
        Self { process, address: (Ipv4Addr::LOCALHOST, port.expect("it was printed")).into(), dir }
    }

    /// One that was given a port and is ready when this path answers 200.
    #[track_caller]
    fn ready_at(mut process: Process, port: u16, path: &str, dir: TempDir) -> Self {
        let url = format!("http://127.0.0.1:{port}{path}");
        process.ready_when(&format!("{url} answers 200"), |_| curl(&[&url]).status == 200);
        Self { process, address: (Ipv4Addr::LOCALHOST, port).into(), dir }
    }
}

fn port_in(output: &str) -> Option<u16> {
    let mut words = output.split_whitespace();
    words.find(|word| *word == "port")?;
    words.next()?.parse().ok()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(name)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Python's `http.server` on a folder with these files.
#[track_caller]
pub(crate) fn file_server(files: &[(&str, &str)]) -> Server {
    let dir = folder();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("the folder is writable");
    }
    let mut command = Command::new(python());
    command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]).current_dir(dir.path());
    Server::printing_its_port(&mut command, dir)
}

/// Debian's `docker-registry`, without accounts.
#[track_caller]
pub(crate) fn registry() -> Server {
    let (dir, port) = (folder(), free_port());
    let store = dir.path().join("store");
    let config = format!(
        "version: 0.1\nlog: {{ level: info }}\nhttp: {{ addr: \"127.0.0.1:{port}\" }}\n\
         storage: {{ filesystem: {{ rootdirectory: \"{}\" }}, delete: {{ enabled: true }} }}\n",
        store.display()
    );
    let file = dir.path().join("registry.yml");
    fs::write(&file, config).expect("the folder is writable");
    let process = Process::start(Command::new(tool("docker-registry")).arg("serve").arg(file));
    Server::ready_at(process, port, "/v2/", dir)
}

/// A container image with one layer of this many bytes, as a folder that [`skopeo`] can copy from by
/// `oci:FOLDER:1`.
#[track_caller]
pub(crate) fn image(bytes: usize) -> TempDir {
    let dir = folder();
    run(Command::new(python()).arg(script("oci_image.py")).arg(dir.path()).arg(bytes.to_string())).success();
    dir
}

/// The registry client, such as `["copy", "--dest-tls-verify=false", "oci:..", "docker://.."]`.
#[track_caller]
pub(crate) fn skopeo(args: &[&str]) -> Ran {
    run(Command::new("skopeo").arg("--insecure-policy").args(args))
}

/// Debian's Prometheus, scraping `target` every second under the job `edge`.
pub(crate) struct Prometheus(pub(crate) Server);

impl Prometheus {
    #[track_caller]
    pub(crate) fn scraping(target: SocketAddr) -> Self {
        let (dir, port) = (folder(), free_port());
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs: [ {{ job_name: edge, static_configs: [ {{ targets: [ \"{target}\" ] }} ] }} ]\n"
        );
        let file = dir.path().join("prometheus.yml");
        fs::write(&file, config).expect("the folder is writable");
        let mut command = Command::new(tool("prometheus"));
        command.arg("--config.file").arg(file).arg("--storage.tsdb.path").arg(dir.path().join("data"));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).current_dir(dir.path());
        Self(Server::ready_at(Process::start(&mut command), port, "/-/ready", dir))
    }

    /// One that scrapes nothing and lives at this port, below a prefix of this public address: `https://HOST/prom`.
    #[track_caller]
    pub(crate) fn below_a_prefix(port: u16, external_url: &str, prefix: &str) -> Self {
        let dir = folder();
        let file = dir.path().join("prometheus.yml");
        fs::write(&file, "").expect("the folder is writable");
        let mut command = Command::new(tool("prometheus"));
        command.arg("--config.file").arg(file).arg("--storage.tsdb.path").arg(dir.path().join("data"));
        command.arg(format!("--web.external-url={external_url}")).arg(format!("--web.route-prefix={prefix}"));
        command.args(["--web.enable-lifecycle", &format!("--web.listen-address=127.0.0.1:{port}")]);
        command.current_dir(dir.path());
        Self(Server::ready_at(Process::start(&mut command), port, &format!("{prefix}/-/ready"), dir))
    }

    /// Waits until its API says that the last scrape of the target went well.
    #[track_caller]
    pub(crate) fn wait_until_up(&self) {
        let url = format!("{}/api/v1/targets", self.0.url());
        eventually("Prometheus has scraped its target", || curl(&[&url]).text().contains(r#""health":"up""#));
    }

    /// The values that an expression has now, by its API.
    #[track_caller]
    pub(crate) fn query(&self, expression: &str) -> Vec<f64> {
        let url = format!("{}/api/v1/query", self.0.url());
        let answer = curl(&["--get", "--data-urlencode", &format!("query={expression}"), &url]);
        let json: serde_json::Value = serde_json::from_slice(&answer.body).expect("the API answers in JSON");
        let series = json["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {json}"));
        series.iter().filter_map(|series| series["value"][1].as_str()?.parse().ok()).collect()
    }
}

/// `promtool check metrics`: fails on what Prometheus cannot read, and says what it would name otherwise.
#[track_caller]
pub(crate) fn promtool_check(metrics: &str) -> Ran {
    let dir = folder();
    let file = dir.path().join("metrics");
    fs::write(&file, metrics).expect("the folder is writable");
    run(Command::new("sh").args(["-c", "exec \"$0\" check metrics < \"$1\""]).arg(tool("promtool")).arg(file))
}

/// A gRPC server that echoes, on HTTP/2 without TLS.
#[track_caller]
pub(crate) fn grpc_server() -> Server {
    Server::printing_its_port(Command::new(python()).arg("-u").arg(script("grpc_server.py")), folder())
}

/// A gRPC call: `code`, `details`, `messages`, `initial` and `trailers` as JSON. The arguments are those
/// of `grpc_client.py`.
#[track_caller]
pub(crate) fn grpc_call(args: &[&str]) -> serde_json::Value {
    let answer = run(Command::new(python()).arg(script("grpc_client.py")).args(args)).success();
    serde_json::from_str(&answer).expect("the client prints JSON")
}

/// The WebSocket client as a command, for one that stays.
pub(crate) fn ws_script() -> Command {
    let mut command = Command::new(python());
    command.arg("-u").arg(script("ws_client.py"));
    command
}

/// A WebSocket conversation; the arguments are those of `ws_client.py`.
#[track_caller]
pub(crate) fn ws_client(args: &[&str]) -> Ran {
    run(Command::new(python()).arg(script("ws_client.py")).args(args))
}
