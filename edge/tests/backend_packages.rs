//! A Python package index behind the edge (pypiserver, in the place of Nexus' PyPI side): twine publishes to it, pip installs
//! from it, and both trust the root of the edge.

mod support {
    pub(crate) mod clients;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod process;
}

use std::fs;
use std::process::Command;

use support::clients::{bare, client, clients};
use support::curl::curl;
use support::edge::TestEdge;
use support::process::{Process, Ran, eventually, free_port, run};

/// `team` with the password `secret`, as `openssl passwd -apr1` writes it.
const USERS: &str = "team:$apr1$salt$VEpBc9VHGUKwI9.yg13Iu0\n";
const SIZE: usize = 20_000_000;

struct Stage {
    edge: TestEdge,
    _index: Process,
}

impl Stage {
    #[track_caller]
    fn new() -> Self {
        let port = free_port();
        // Health has another address than that of Nexus.
        let route = format!(
            "[[route]]\nname = \"pypi\"\nhost = \"pypi.test\"\npreset = \"nexus\"\n\
             upstream.servers = \"http://127.0.0.1:{port}\"\nupstream.health.path = \"/health\"\n"
        );
        let edge = TestEdge::with_routes(&[("pypi.toml", &route)]);
        let (users, store) = (edge.path("users.htpasswd"), edge.path("packages"));
        fs::write(&users, USERS).and_then(|()| fs::create_dir(&store)).expect("the folder is ours");
        let mut command = bare("pypi-server");
        command.args(["run", "--interface", "127.0.0.1", "--port", &port.to_string(), "--disable-fallback"]);
        command.arg("--passwords").arg(users).arg(store);
        let mut index = Process::start(&mut command);
        let health = format!("http://127.0.0.1:{port}/health");
        index.ready_when("pypiserver is healthy", |_| curl(&[&health]).status == 200);
        // It may have been asked before it listened.
        eventually("the edge finds it healthy", || edge.https("https://pypi.test/health", &[]).status == 200);
        Self { edge, _index: index }
    }

    fn url(&self, path: &str) -> String {
        format!("https://pypi.test:{}{path}", self.edge.address("https").port())
    }

    #[track_caller]
    fn publish(&self, password: &str, package: &str) -> Ran {
        let mut twine = client(&self.edge, "twine");
        twine.args(["upload", "--non-interactive", "--disable-progress-bar", "--repository-url", &self.url("/")]);
        run(twine.args(["--username", "team", "--password", password]).arg(self.edge.path(&wheel(package))))
    }

    #[track_caller]
    fn make(&self, package: &str, size: usize) {
        let mut make = bare("python");
        make.arg(clients().join("wheel.py")).arg(self.edge.path("."));
        run(make.args([package, "1.0", &size.to_string()])).success();
    }

    /// Installs into this folder; by itself a pip does not know the edge's root.
    #[track_caller]
    fn install(&self, mut pip: Command, folder: &str) -> Ran {
        pip.env("PIP_CONFIG_FILE", "/dev/null").env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_NO_CACHE_DIR", "1");
        pip.args(["install", "--retries", "0", "--index-url", &self.url("/simple/"), "behind-the-edge==1.0"]);
        run(pip.arg("--target").arg(self.edge.path(folder)))
    }
}

fn wheel(package: &str) -> String {
    format!("{package}-1.0-py3-none-any.whl")
}

/// Requirements: unlimited streaming request bodies; Authorization passes to the server that asks for it; raw path.
#[test]
fn twine_publishes_and_pip_installs() {
    let stage = Stage::new();
    // The index refuses before it has read the body and closes: what is still being sent would be answered by a reset,
    // which takes the 403 with it. A small package is sent whole by then.
    stage.make("small", 100);
    let refused = stage.publish("wrong", "small");
    assert!(!refused.status.success() && refused.stdout.contains("403"), "{refused:?}");
    stage.make("behind_the_edge", SIZE);
    stage.publish("secret", "behind_the_edge").success();
    stage.edge.counts_at_least("edge_request_bytes_total", &["route=\"pypi\""], SIZE as f64);
    stage.install(client(&stage.edge, "pip"), "installed").success();
    let data = stage.edge.path("installed/behind_the_edge/data");
    assert_eq!(fs::metadata(data).expect("it is installed").len(), SIZE as u64);
    let stranger = stage.install(bare("pip"), "nothing");
    assert!(
        !stranger.status.success() && format!("{stranger:?}").contains("CERTIFICATE_VERIFY_FAILED"),
        "{stranger:?}"
    );
}
