//! MinIO behind the edge, used by boto3 and awscli. S3 signs the name, the path, the query and the body that it is asked
//! for, so that whatever a proxy changes is a 403: what these tests need is nothing less than every byte.

mod support {
    pub(crate) mod clients;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod minio;
    pub(crate) mod process;
}

use std::fs;
use std::process::Command;

use support::clients::{browse, client, script};
use support::edge::TestEdge;
use support::minio::{KEY, Minio, SECRET};
use support::process::run;

struct Stage {
    edge: TestEdge,
    _minio: Minio,
}

impl Stage {
    #[track_caller]
    fn new() -> Self {
        Self::with_preset("minio")
    }

    #[track_caller]
    fn with_preset(preset: &str) -> Self {
        let minio = Minio::start("s3.test");
        let url = &minio.url;
        let route = format!(
            "[[route]]\nname = \"s3\"\nhost = [\"s3.test\", \"*.s3.test\"]\npreset = \"{preset}\"\nupstream = \"{url}\"\n\
             [[route]]\nname = \"other\"\nhost = \"other.test\"\npreset = \"s3\"\nupstream = \"{url}\"\n\
             [[route]]\nhost = \"rewritten.test\"\nhost_header = \"upstream\"\nupstream = \"{url}\"\n\
             [[route]]\nname = \"console\"\nhost = \"console.test\"\npreset = \"minio-console\"\nupstream = \"{}\"\n",
            minio.console
        );
        Self { edge: TestEdge::with_routes(&[("s3.toml", &route)]), _minio: minio }
    }

    fn port(&self) -> u16 {
        self.edge.address("https").port()
    }

    /// Runs a part of `clients/s3.py`.
    #[track_caller]
    fn boto3(&self, part: &str) {
        run(script(&self.edge, "s3.py").arg(part).arg(self.port().to_string())).success();
    }

    /// `awscli`, with the account of the server.
    #[track_caller]
    fn aws(&self, args: &[&str]) -> String {
        let mut aws: Command = client(&self.edge, "aws");
        aws.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_REGION", "us-east-1");
        aws.env("AWS_EC2_METADATA_DISABLED", "true")
            .arg("--endpoint-url")
            .arg(format!("https://s3.test:{}", self.port()));
        run(aws.args(args)).success()
    }
}

/// The same on a fresh server.
#[track_caller]
fn boto3(part: &str) -> Stage {
    let stage = Stage::new();
    stage.boto3(part);
    stage
}

/// Requirement: Host is kept, with its port.
#[test]
fn objects_come_and_go_by_path_and_by_name_of_the_bucket() {
    boto3("objects");
}

/// Requirement: raw path and query are passed through.
#[test]
fn keys_may_have_any_sign() {
    boto3("keys");
}

/// Requirement: raw path and query are passed through, and Host is kept, by the preset for any server that checks signatures.
#[test]
fn a_server_whose_maker_nobody_knows_is_used_in_the_same_way() {
    for part in ["objects", "keys", "multipart"] {
        Stage::with_preset("s3").boto3(part);
    }
}

/// Requirement: Host is kept; what is signed for one name is worth nothing at another.
#[test]
fn wrong_secrets_and_other_names_are_refused_by_the_server() {
    boto3("refused");
}

/// Requirement: raw path and query are passed through, and Host is kept.
#[test]
fn presigned_addresses_work_for_the_name_that_they_are_signed_for() {
    boto3("presigned");
}

/// Requirement: unlimited streaming request bodies, no buffering, byte for byte.
#[test]
fn bodies_whose_chunks_are_signed_pass_unchanged() {
    boto3("chunk_signed");
}

/// Requirement: unlimited streaming request bodies; ranges and their answers pass.
#[test]
fn a_file_of_24_mib_goes_up_in_parts_and_comes_back() {
    let stage = boto3("multipart");
    stage.edge.counts_at_least("edge_request_bytes_total", &["route=\"s3\""], 48e6);
}

/// Requirement: `Expect: 100-continue` is relayed end to end.
#[test]
fn the_server_says_whether_a_body_is_wanted() {
    boto3("expect");
}

/// Requirement: raw path and query, Host and streaming bodies, as awscli needs them.
#[test]
fn awscli_copies_lists_and_mirrors() {
    let stage = Stage::new();
    let here = |name: &str| stage.edge.path(name).display().to_string();
    fs::create_dir_all(here("tree/a b/ü")).expect("the folder is ours");
    let big = vec![7; 20 << 20];
    fs::write(here("tree/big"), &big).expect("the folder is ours");
    for number in 0..20 {
        fs::write(here(&format!("tree/a b/ü/{number}+")), number.to_string()).expect("the folder is ours");
    }
    stage.aws(&["s3", "mb", "s3://tree"]);
    stage.aws(&["s3", "sync", "--no-progress", &here("tree"), "s3://tree/x"]);
    let listed = stage.aws(&["s3", "ls", "--recursive", "s3://tree"]);
    assert_eq!(listed.lines().count(), 21, "{listed}");
    stage.aws(&["s3", "sync", "--no-progress", "s3://tree/x", &here("back")]);
    assert!(fs::read(here("back/big")).expect("it came back") == big);
    assert_eq!(fs::read_to_string(here("back/a b/ü/17+")).expect("it came back"), "17");
    let url = stage.aws(&["s3", "presign", "s3://tree/x/a b/ü/3+"]);
    assert_eq!(stage.edge.https(url.trim(), &["--path-as-is"]).text(), "3");
    let twice = stage.aws(&["s3", "sync", "--no-progress", &here("tree"), "s3://tree/x"]);
    assert_eq!(twice, "", "nothing has changed");
}

/// Requirement: websocket upgrade, as the console asks for its lists.
#[test]
fn the_console_lists_objects_in_a_browser() {
    let stage = boto3("objects");
    let go = format!("go=https://console.test:{}/login", stage.port());
    let (key, secret) = (format!("type=#accessKey|{KEY}"), format!("type=#secretKey|{SECRET}"));
    let there = format!("do=location.href = 'https://console.test:{}/browser/box'", stage.port());
    let said = browse(
        &stage.edge,
        &[
            &go,
            &key,
            &secret,
            "do=document.querySelector('button[type=submit]').click()",
            "until=!location.pathname.startsWith('/login')",
            &there,
            "until=document.body.innerText.includes('Created on')",
            // The folder `a`, which comes over the socket.
            "until=[...document.querySelectorAll('.fileNameText')].some(name => name.innerText.trim() == 'a')",
            "print=document.body.innerText",
        ],
    );
    assert!(said.contains("box"), "{said}");
    stage.edge.counts_at_least("edge_requests_total", &["route=\"console\"", "code=\"101\""], 1.0);
}
