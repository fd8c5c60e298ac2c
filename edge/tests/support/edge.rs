//! The built binary on ports of its own, in a folder of its own: started, asked, reloaded, stopped.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::curl::{Answer, curl};
use super::process::{Process, Ran, comes_true, run};

/// A running edge. It is killed and its folder removed when this is dropped.
pub(crate) struct TestEdge {
    process: Process,
    dir: TempDir,
    run: serde_json::Value,
}

/// An `edge.toml` for tests: both HTTP entrypoints and the admin address on any free port of loopback.
pub(crate) const PLAIN: &str = r#"
routes = "routes"
state = "state"

[entrypoint.http]
listen = ["127.0.0.1:0"]
redirect = "https"

[entrypoint.https]
listen = ["127.0.0.1:0"]
tls = true

[admin]
listen = "127.0.0.1:0"
"#;

impl TestEdge {
    /// Starts with [`PLAIN`] and these route files (name below `routes/`, text).
    #[track_caller]
    pub(crate) fn with_routes(routes: &[(&str, &str)]) -> Self {
        Self::with_config(PLAIN, routes)
    }

    #[track_caller]
    pub(crate) fn with_config(config: &str, routes: &[(&str, &str)]) -> Self {
        Self::start(|_| {
            let routes = routes.iter().map(|(name, text)| (format!("routes/{name}"), (*text).to_owned()));
            routes.chain([("edge.toml".to_owned(), config.to_owned())]).collect()
        })
    }

    /// Writes the files that `files` names for the new folder (paths below it, `edge.toml` among them),
    /// starts the binary there and waits until it listens.
    #[track_caller]
    pub(crate) fn start(files: impl FnOnce(&Path) -> Vec<(String, String)>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("routes")).expect("the folder is new");
        for (name, text) in files(dir.path()) {
            write(&dir.path().join(name), &text);
        }
        let mut edge = Self { process: spawn(dir.path()), dir, run: serde_json::Value::Null };
        edge.wait_until_it_listens();
        edge
    }

    /// Ends the process at once and starts another in the same folder, on new ports.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(self.dir.path());
        self.wait_until_it_listens();
    }

    /// `state/run.json` is written once everything listens; one of an earlier process has another id.
    fn wait_until_it_listens(&mut self) {
        let (file, id) = (self.path("state/run.json"), self.process.id());
        let mut found = None;
        self.process.ready_when("edge writes state/run.json", |_| {
            let text = fs::read_to_string(&file).unwrap_or_default();
            found = serde_json::from_str::<serde_json::Value>(&text).ok().filter(|run| run["pid"] == id);
            found.is_some()
        });
        self.run = found.expect("it was found");
    }

    /// A path in the folder of this edge.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub(crate) fn log(&self) -> String {
        self.process.output()
    }

    /// The first address of an entrypoint.
    #[track_caller]
    pub(crate) fn address(&self, entrypoint: &str) -> SocketAddr {
        self.addresses(entrypoint)[0]
    }

    /// All addresses of an entrypoint, in the order of `listen`.
    #[track_caller]
    pub(crate) fn addresses(&self, entrypoint: &str) -> Vec<SocketAddr> {
        let addresses = self.run["entrypoints"][entrypoint].as_array();
        let addresses = addresses.unwrap_or_else(|| panic!("no entrypoint {entrypoint} in {}", self.run));
        let addresses = addresses.iter().filter_map(|address| address.as_str()?.parse().ok());
        addresses.collect()
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.run["admin"].as_str().and_then(|text| text.parse().ok()).expect("run.json names the admin address")
    }

    /// Replaces a route file as an editor does: whole, by rename.
    pub(crate) fn write_route(&self, name: &str, text: &str) {
        let path = self.path("routes").join(name);
        let beside = path.with_extension("new~");
        write(&beside, text);
        fs::rename(beside, path).expect("the folder is there");
    }

    pub(crate) fn remove_route(&self, name: &str) {
        fs::remove_file(self.path("routes").join(name)).expect("the file was written before");
    }

    /// Runs another command of the binary on this edge's configuration, such as `["routes", "--json"]`.
    #[track_caller]
    pub(crate) fn command(&self, args: &[&str]) -> Ran {
        run(Command::new(env!("CARGO_BIN_EXE_edge")).args(args).arg("--config").arg(self.path("edge.toml")))
    }

    /// `edge reload`: returns when the new routes are live.
    #[track_caller]
    pub(crate) fn reload(&self) -> Ran {
        self.command(&["reload"])
    }

    /// `/metrics` of the admin address.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        let answer = curl(&[&format!("http://{}/metrics", self.admin())]);
        assert_eq!(answer.status, 200, "{}", answer.said);
        answer.text()
    }

    /// The value of the series with exactly this name and these labels, in the order of `/metrics`.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        self.metrics().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// The sum of all series of a family whose labels contain each of `labels`, such as `route="a"`.
    #[track_caller]
    pub(crate) fn metric_sum(&self, family: &str, labels: &[&str]) -> f64 {
        let metrics = self.metrics();
        let of_family = metrics.lines().filter(|line| {
            let rest = line.strip_prefix(family).unwrap_or_default();
            rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
        });
        of_family.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// Waits until these series are `wanted` in sum. A client may have its answer before the request is counted, so what a
    /// test counts behind an answer it waits for.
    #[track_caller]
    pub(crate) fn counts(&self, family: &str, labels: &[&str], wanted: f64) {
        let counted = self.counted(family, labels, wanted);
        assert!(counted == wanted, "{family} {labels:?} is {counted}, not {wanted}:\n{}", self.metrics());
    }

    /// The same where more is as good.
    #[track_caller]
    pub(crate) fn counts_at_least(&self, family: &str, labels: &[&str], wanted: f64) {
        let counted = self.counted(family, labels, wanted);
        assert!(counted >= wanted, "{family} {labels:?} is {counted}, below {wanted}:\n{}", self.metrics());
    }

    #[track_caller]
    fn counted(&self, family: &str, labels: &[&str], wanted: f64) -> f64 {
        let mut counted = 0.0;
        comes_true(|| {
            counted = self.metric_sum(family, labels);
            counted >= wanted
        });
        counted
    }

    /// Asks the entrypoint `https` for `url`, whatever name and port it has, without checking the
    /// certificate. `args` go to curl as they are.
    #[track_caller]
    pub(crate) fn https(&self, url: &str, args: &[&str]) -> Answer {
        let to = format!("::{}", self.address("https"));
        curl(&[&["--insecure", "--connect-to", &to, url], args].concat())
    }

    /// The same over the entrypoint `http`.
    #[track_caller]
    pub(crate) fn http(&self, url: &str, args: &[&str]) -> Answer {
        let to = format!("::{}", self.address("http"));
        curl(&[&["--connect-to", &to, url], args].concat())
    }

    /// Waits until the log has a line with this text.
    #[track_caller]
    pub(crate) fn logs(&self, text: &str) {
        assert!(
            comes_true(|| self.log().contains(text)),
            "the log never said {text:?}; it says:\n{}",
            self.process.tail()
        );
    }

    /// Stops it by SIGTERM: its exit code.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.process.signal("TERM");
        self.process.wait().code()
    }
}

/// Whatever a test did to an edge: none of its tasks may have panicked over it.
impl Drop for TestEdge {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let counted = curl(&[&format!("http://{}/metrics", self.admin())]).text();
        let panics = counted.lines().find_map(|line| line.strip_prefix("edge_task_panics_total "));
        let said = self.log().contains("panicked");
        assert!(!said && matches!(panics, None | Some("0")), "a task panicked:\n{}", self.process.tail());
    }
}

fn spawn(dir: &Path) -> Process {
    let config = dir.join("edge.toml");
    // A state folder of the environment would be shared by all tests.
    Process::start(
        Command::new(env!("CARGO_BIN_EXE_edge"))
            .args(["run", "--config"])
            .arg(config)
            .current_dir(dir)
            .env_remove("EDGE_STATE"),
    )
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be made");
    fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// Runs the binary by itself, as for `edge check` of a folder that never serves.
#[track_caller]
pub(crate) fn edge(dir: &Path, args: &[&str]) -> Ran {
    run(Command::new(env!("CARGO_BIN_EXE_edge")).args(args).current_dir(dir).env_remove("EDGE_STATE"))
}
