//! DVC's two remotes behind the edge: S3 (MinIO), and plain HTTP (a stand-in), to which it sends bodies without a length.

mod support {
    pub(crate) mod clients;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod minio;
    pub(crate) mod process;
}

use std::fs;
use std::path::PathBuf;

use support::clients::{bare, client, clients, script};
use support::edge::TestEdge;
use support::minio::{KEY, Minio, SECRET};
use support::process::{Process, eventually_some, run};

/// A project with a folder of small files and a big one under DVC's care.
struct Project<'a> {
    edge: &'a TestEdge,
    folder: PathBuf,
}

const SMALL_FILES: usize = 40;
const BIG: usize = 30_000_000;

impl<'a> Project<'a> {
    #[track_caller]
    fn new(edge: &'a TestEdge) -> Self {
        let folder = edge.path("project");
        fs::create_dir_all(folder.join("data/many")).expect("the folder is ours");
        fs::write(folder.join("data/big"), vec![9; BIG]).expect("the folder is ours");
        for number in 0..SMALL_FILES {
            fs::write(folder.join(format!("data/many/{number}")), number.to_string()).expect("the folder is ours");
        }
        let project = Self { edge, folder };
        project.dvc(&["init", "--no-scm"]);
        project.dvc(&["add", "data"]);
        project
    }

    #[track_caller]
    fn dvc(&self, args: &[&str]) {
        let mut dvc = client(self.edge, "dvc");
        dvc.env("DVC_NO_ANALYTICS", "1").env("DVC_SITE_CACHE_DIR", self.edge.path("site")).current_dir(&self.folder);
        dvc.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_REGION", "us-east-1");
        run(dvc.args(["--quiet"]).args(args)).success();
    }

    /// Pushes, loses everything, pulls, and has everything again.
    #[track_caller]
    fn goes_there_and_back(&self) {
        self.dvc(&["push"]);
        fs::remove_dir_all(self.folder.join("data")).expect("it is there");
        fs::remove_dir_all(self.folder.join(".dvc/cache")).expect("it is there");
        self.dvc(&["pull"]);
        assert!(fs::read(self.folder.join("data/big")).expect("it is back") == vec![9; BIG]);
        let many = fs::read_dir(self.folder.join("data/many")).expect("it is back").count();
        assert_eq!(many, SMALL_FILES);
        self.dvc(&["status", "--cloud"]);
    }
}

/// Requirements: unlimited streaming request bodies; raw path and Host, which are signed.
#[test]
fn data_goes_to_s3_and_comes_back() {
    let minio = Minio::start("s3.test");
    let route =
        format!("[[route]]\nname = \"s3\"\nhost = \"s3.test\"\npreset = \"minio\"\nupstream = \"{}\"\n", minio.url);
    let edge = TestEdge::with_routes(&[("s3.toml", &route)]);
    let port = edge.address("https").port().to_string();
    run(script(&edge, "s3.py").args(["bucket", &port, "dvc-storage"])).success();
    let project = Project::new(&edge);
    project.dvc(&["remote", "add", "--default", "s3", "s3://dvc-storage/project"]);
    project.dvc(&["remote", "modify", "s3", "endpointurl", &format!("https://s3.test:{port}")]);
    project.goes_there_and_back();
    edge.counts_at_least("edge_requests_total", &["route=\"s3\"", "method=\"PUT\""], SMALL_FILES as f64);
}

/// Requirement: unlimited streaming request bodies, chunked and without a length.
#[test]
fn data_goes_to_a_plain_http_store_and_comes_back() {
    let store = tempfile::tempdir().expect("a folder");
    let mut command = bare("python");
    let server = Process::start(command.arg(clients().join("dvc_standin.py")).arg(store.path()));
    let port: u16 =
        eventually_some("it prints its port", || server.output().lines().next()?.strip_prefix("port ")?.parse().ok());
    let route = format!(
        "[[route]]\nname = \"dvc\"\nhost = \"dvc.test\"\npreset = \"dvc-http\"\nupstream = \"http://127.0.0.1:{port}\"\n"
    );
    let edge = TestEdge::with_routes(&[("dvc.toml", &route)]);
    let project = Project::new(&edge);
    let url = format!("https://dvc.test:{}/store", edge.address("https").port());
    project.dvc(&["remote", "add", "--default", "web", &url]);
    project.goes_there_and_back();
    assert!(server.output().matches("no length").count() >= SMALL_FILES, "{}", server.tail());
}
