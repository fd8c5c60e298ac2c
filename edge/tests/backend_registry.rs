//! A container registry that wants tokens, behind the edge, with skopeo pushing to it and pulling from it.

mod support {
    pub(crate) mod clients;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod oci;
    pub(crate) mod process;
    pub(crate) mod servers;
}

use support::curl::Answer;
use support::edge::TestEdge;
use support::oci::{Registry, TokenIssuer, skopeo_copy};
use support::process::free_port;
use support::servers::image;

struct Stage {
    edge: TestEdge,
    issuer: TokenIssuer,
    _registry: Registry,
}

impl Stage {
    /// The realm is made of the edge's address; `rest` is more of the registry's route.
    #[track_caller]
    fn new(realm: impl FnOnce(&str) -> String, rest: &str) -> Self {
        let (issuer, port) = (TokenIssuer::start(), free_port());
        // The tokens come from another server of the same name.
        let routes = format!(
            "[[route]]\nname = \"registry\"\nhost = \"localhost\"\npreset = \"registry\"\n\
             upstream = \"http://127.0.0.1:{port}\"\n{rest}\n\
             [[route]]\nname = \"tokens\"\nhost = \"localhost\"\npath = \"=/v2/token\"\nupstream = \"{}\"\n",
            issuer.url
        );
        let edge = TestEdge::with_routes(&[("registry.toml", &routes)]);
        let registry = Registry::start(port, &realm(&address(&edge)), &issuer);
        Self { edge, issuer, _registry: registry }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", address(&self.edge))
    }

    /// A token by the way of a client: through the edge.
    #[track_caller]
    fn token(&self, scope: &str) -> String {
        let url = self.url(&format!("/v2/token?service=container_registry&scope={scope}"));
        let answer = self.edge.https(&url, &["--user", support::oci::ACCOUNT]);
        let json: serde_json::Value = serde_json::from_slice(&answer.body).expect("the issuer answers in JSON");
        json["token"].as_str().unwrap_or_else(|| panic!("no token: {json}")).to_owned()
    }

    #[track_caller]
    fn ask(&self, path: &str, token: &str, args: &[&str]) -> Answer {
        let token = format!("authorization: Bearer {token}");
        self.edge.https(&self.url(path), &[&["-H", &token], args].concat())
    }
}

fn address(edge: &TestEdge) -> String {
    format!("localhost:{}", edge.address("https").port())
}

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// Requirements: unlimited streaming request bodies, chunked in and out; raw path and query (`_state`); repeated headers are preserved
/// (`Accept`).
#[test]
fn skopeo_pushes_a_layer_of_40_mb_and_pulls_it_again() {
    let stage = Stage::new(|edge| format!("https://{edge}/v2/token"), "");
    let (image, back) = (image(40_000_000), tempfile::tempdir().expect("a folder"));
    let name = format!("docker://{}/team/x:1", address(&stage.edge));
    let small = stage.edge.memory();
    skopeo_copy(&stage.edge, &format!("oci:{}:1", image.path().display()), &name).success();
    skopeo_copy(&stage.edge, &name, &format!("oci:{}:1", back.path().display())).success();
    let blobs = |dir: &tempfile::TempDir| {
        let files = std::fs::read_dir(dir.path().join("blobs/sha256")).expect("an OCI layout").flatten();
        let mut names: Vec<_> = files.map(|file| file.file_name()).collect();
        names.sort();
        names
    };
    // A blob is named by the hash of its bytes, which skopeo checks.
    assert_eq!(blobs(&image), blobs(&back));
    assert!(stage.edge.memory() - small < 32e6, "the layer streams: {small} then {}", stage.edge.memory());
    assert!(stage.issuer.asked() >= 2);
    stage.edge.counts_at_least("edge_requests_total", &["route=\"registry\"", "method=\"PATCH\""], 1.0);
    repeated_accept_fields_stay_repeated(&stage);
}

fn repeated_accept_fields_stay_repeated(stage: &Stage) {
    let token = stage.token("repository:team/x:pull");
    let list = "accept: application/vnd.docker.distribution.manifest.list.v2+json";
    let oci = format!("accept: {OCI}");
    let both = stage.ask("/v2/team/x/manifests/1", &token, &["-H", list, "-H", &oci]);
    assert_eq!((both.status, both.header("content-type")), (200, Some(OCI)), "{}", both.text());
    // So it looks when a proxy keeps one of the two.
    let first = stage.ask("/v2/team/x/manifests/1", &token, &["-H", list]);
    assert_eq!(first.status, 404, "{}", first.text());
}

/// Requirement: the scheme and the name with its port that a backend is told of, so that its addresses are right.
#[test]
fn the_registry_names_uploads_by_the_public_address() {
    let stage = Stage::new(|edge| format!("https://{edge}/v2/token"), "");
    let asked = stage.edge.https(&stage.url("/v2/"), &[]);
    let realm = format!("Bearer realm=\"{}\"", stage.url("/v2/token"));
    assert_eq!(asked.status, 401);
    assert!(asked.header("www-authenticate").is_some_and(|asks| asks.starts_with(&realm)), "{:?}", asked.headers);
    let token = stage.token("repository:team/y:push,pull");
    let begun = stage.ask("/v2/team/y/blobs/uploads/", &token, &["--request", "POST"]);
    let location = begun.header("location").unwrap_or_else(|| panic!("{}: {}", begun.status, begun.text()));
    assert!(location.starts_with(&stage.url("/v2/team/y/blobs/uploads/")), "{location}");
    // What it signed in the query comes back as it was, or it would refuse.
    let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let end = format!("{}&digest={digest}", &location[stage.url("").len()..]);
    let kind = ["-H", "content-type: application/octet-stream"];
    let put = stage.ask(&end, &token, &[&kind[..], &["--request", "PUT", "-d", "hello"]].concat());
    assert_eq!(put.status, 201, "{}", put.text());
    assert_eq!(stage.ask(&format!("/v2/team/y/blobs/{digest}"), &token, &[]).text(), "hello");
}

/// A realm of Gitea or Harbor that was told another name: nothing is there.
const WRONG: &str = "http://registry.internal.test:80/v2/token";

/// The trap: clients go where the realm sends them.
#[test]
fn a_realm_with_a_wrong_name_sends_clients_away() {
    let stage = Stage::new(|_| WRONG.to_owned(), "");
    let (image, name) = (image(1000), format!("docker://{}/team/x:1", address(&stage.edge)));
    let failed = skopeo_copy(&stage.edge, &format!("oci:{}:1", image.path().display()), &name);
    assert!(!failed.status.success());
    assert!(failed.stderr.contains("registry.internal.test"), "{}", failed.stderr);
    assert_eq!(stage.issuer.asked(), 0);
}

/// Requirement: response rewrite: WWW-Authenticate realm.
#[test]
fn with_the_realm_repaired_the_same_push_works() {
    for known in ["registry.internal.test:80", "*"] {
        let repair = format!("use = [{{ kind = \"realm\", hosts = [\"{known}\"] }}]");
        let stage = Stage::new(|_| WRONG.to_owned(), &repair);
        let (image, back) = (image(1_000_000), tempfile::tempdir().expect("a folder"));
        let name = format!("docker://{}/team/x:1", address(&stage.edge));
        skopeo_copy(&stage.edge, &format!("oci:{}:1", image.path().display()), &name).success();
        skopeo_copy(&stage.edge, &name, &format!("oci:{}:1", back.path().display())).success();
        assert!(stage.issuer.asked() >= 2, "tokens come from where the realm leads now");
        let challenge = stage.edge.https(&stage.url("/v2/"), &[]);
        let challenge = challenge.header("www-authenticate").unwrap_or_default();
        let repaired = format!("Bearer realm=\"{}\",service=\"container_registry\"", stage.url("/v2/token"));
        assert_eq!(challenge, repaired);
    }
}
