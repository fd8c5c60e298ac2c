//! Presets of stores of images, packages and data, before stand-ins that do what such a server trips over.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod presets;
    pub(crate) mod process;
}

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use support::backend::{Backend, Exchange, Then};
use support::edge::{PLAIN, TestEdge};
use support::presets::{PROTOCOLS, before, own_address, pieces_pass_one_by_one, route, say, stream};

/// A registry that wants tokens of a service which it names as it was told to, and names uploads by what its proxy says.
struct RegistryStandIn {
    /// The address that it believes to have, for its token service.
    told: &'static str,
    health: &'static str,
}

impl RegistryStandIn {
    fn start(self) -> Backend {
        Backend::start(move |exchange| self.answer(exchange))
    }

    fn answer(&self, exchange: &mut Exchange<'_>) -> io::Result<Then> {
        let target = exchange.target().to_owned();
        let path = target.split('?').next().unwrap_or_default();
        let is_known = exchange.header("authorization") == Some("Bearer good");
        match path {
            _ if path == self.health => say(exchange, "200 OK", &[], "well"),
            _ if path.ends_with("/token") => say(exchange, "200 OK", &[], r#"{"token":"good"}"#),
            _ if !is_known => {
                let bearer = format!(r#"Bearer realm="{}/token",service="store",scope="repository:a:push""#, self.told);
                let fields = [("www-authenticate", bearer.as_str()), ("www-authenticate", "Basic realm=\"store\"")];
                say(exchange, "401 Unauthorized", &fields, "who are you?")
            }
            _ if exchange.line().starts_with("POST ") => {
                let at = format!("{}{path}1?_state=a%2Fb==", own_address(exchange));
                say(exchange, "202 Accepted", &[("location", &at)], "")
            }
            _ if exchange.line().starts_with("GET /v2/a/blobs/") => {
                let at = "http://store.example:9000/bucket/blob?X-Amz-Signature=1";
                say(exchange, "307 Temporary Redirect", &[("location", at)], "")
            }
            _ => {
                let bytes = exchange.drain()?.to_string();
                exchange.answer("201 Created", &[("x-target", &target), ("x-body-bytes", &bytes)], b"")
            }
        }
    }
}

/// Login, upload and download of a client that believes every address it is told.
#[track_caller]
fn a_client_gets_through(name: &str, edge: &TestEdge, realm: &str, on_server: &str) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.as_file().set_len(20 << 20).expect("there is room");
    let layer = format!("@{}", file.path().display());
    for protocol in PROTOCOLS {
        let https = |path: &str, args: &[&str]| {
            edge.https(&format!("https://{name}.test{path}"), &[&[protocol], args].concat())
        };
        let refused = https("/v2/", &[]);
        let bearer = format!(r#"Bearer realm="https://{name}.test{realm}",service="store",scope="repository:a:push""#);
        assert_eq!(
            (refused.status, refused.all("www-authenticate")),
            (401, vec![bearer.as_str(), "Basic realm=\"store\""])
        );
        assert_eq!(https(realm, &[]).text(), r#"{"token":"good"}"#);
        let known = ["-H", "Authorization: Bearer good"];
        let upload =
            https("/v2/a/blobs/uploads/", &[&known[..], &["-d", "", "-H", "X-Forwarded-Proto: http"]].concat());
        let at = format!("https://{name}.test{on_server}/v2/a/blobs/uploads/1?_state=a%2Fb==");
        assert_eq!((upload.status, upload.header("location")), (202, Some(at.as_str())), "{}", upload.text());
        let chunked = ["-X", "PATCH", "-H", "Transfer-Encoding: chunked", "--data-binary", layer.as_str()];
        let sent = https("/v2/a/blobs/uploads/1?_state=a%2Fb==", &[&known[..], &chunked].concat());
        assert_eq!((sent.status, sent.header("x-body-bytes")), (201, Some("20971520")));
        let target = format!("{on_server}/v2/a/blobs/uploads/1?_state=a%2Fb==");
        assert_eq!(sent.header("x-target"), Some(target.as_str()));
    }
}

/// Requirements: response rewrite of WWW-Authenticate and Location; unlimited streaming request bodies.
#[test]
fn harbor_with_a_wrong_external_url_sends_clients_here() {
    let harbor = RegistryStandIn { told: "http://harbor.internal:8080/service", health: "/api/v2.0/ping" }.start();
    let edge = before("harbor", &harbor.url(), "");
    a_client_gets_through("harbor", &edge, "/service/token", "");
}

/// Clients look for it before they log in, and the edge's own 401 comes where no registry was asked.
#[test]
fn the_edges_own_401_before_a_registry_looks_like_one_of_a_registry() {
    let backend = Backend::hello("layers");
    for preset in ["registry", "harbor", "gitea", "nexus-docker"] {
        let login = "use = [{ kind = \"basic-auth\", users_file = \"users\" }]";
        let edge = TestEdge::start(|_| {
            let hash = bcrypt::hash("open sesame", 4).expect("a hash");
            let files = [
                ("edge.toml", PLAIN.to_owned()),
                ("routes/app.toml", route(preset, &backend.url(), login)),
                ("users", format!("ann:{hash}\n")),
            ];
            files.map(|(name, text)| (name.to_owned(), text)).to_vec()
        });
        for protocol in PROTOCOLS {
            let url = format!("https://{preset}.test/v2/");
            for (args, status) in [(&[][..], 401), (&["-u", "ann:open sesame"][..], 200)] {
                let answer = edge.https(&url, &[&[protocol], args].concat());
                assert_eq!(answer.status, status, "{preset}: {}", answer.text());
                assert_eq!(answer.all("docker-distribution-api-version"), ["registry/2.0"], "{preset}");
            }
        }
    }
}

#[test]
fn a_harbor_token_for_very_many_projects_needs_a_larger_head() {
    let harbor = RegistryStandIn { told: "", health: "/api/v2.0/ping" }.start();
    let small = route("gitea", &harbor.url(), "");
    let large = route("harbor", &harbor.url(), "limits = { headers = \"64KiB\" }");
    let edge = TestEdge::with_routes(&[("small.toml", &small), ("large.toml", &large)]);
    let token = format!("x-token: {}", "a".repeat(40 * 1024));
    for protocol in PROTOCOLS {
        let ask = |url: &str| edge.https(url, &[protocol, "-H", &token, "-H", "authorization: Bearer good"]).status;
        assert_eq!(ask("https://harbor.test/v2/a/manifests/1"), 201, "{protocol}");
        assert_eq!(ask("https://gitea.test/v2/a/manifests/1"), 431, "{protocol}");
    }
}

/// Requirements: add prefix; response rewrite. Some addresses that Nexus gives name the repository, and they are served too.
#[test]
fn nexus_is_a_docker_registry_at_the_root_of_a_host() {
    let nexus = RegistryStandIn { told: "http://nexus.internal/v2", health: "/service/rest/v1/status" }.start();
    let (url, repository) = (nexus.url(), "/repository/docker-hosted");
    let prefixed = format!("path = \"/v2\"\nuse = [{{ kind = \"add-prefix\", prefix = \"{repository}\" }}]\n");
    let itself = "name = \"itself\"\npath = \"/repository/docker-hosted/v2\"";
    let both = prefixed + &route("nexus-docker", &url, itself);
    let edge = before("nexus-docker", &url, &both);
    a_client_gets_through("nexus-docker", &edge, "/v2/token", repository);
    let known = ["-H", "Authorization: Bearer good", "-T", "/dev/null"];
    let target = "/repository/docker-hosted/v2/a/manifests/1";
    let by_name = edge.https(&format!("https://nexus-docker.test{target}"), &known);
    assert_eq!(by_name.header("x-target"), Some(target));
    assert_eq!(edge.https("https://nexus-docker.test/service/rest/v1/status", &[]).status, 404);
}

/// Requirements: response rewrite, and what must not be rewritten; raw path and query.
#[test]
fn a_registry_may_send_elsewhere_for_blobs_and_not_for_tokens_of_this_host() {
    let registry = RegistryStandIn { told: "http://registry.test:80/v2", health: "/none" }.start();
    let edge = before("registry", &registry.url(), "");
    a_client_gets_through("registry", &edge, "/v2/token", "");
    let blob = edge.https("https://registry.test/v2/a/blobs/b", &["-H", "Authorization: Bearer good"]);
    let store = "http://store.example:9000/bucket/blob?X-Amz-Signature=1";
    assert_eq!((blob.status, blob.header("location")), (307, Some(store)));
    let args = ["--path-as-is", "-X", "PUT", "-d", "", "-H", "Authorization: Bearer good"];
    let odd = edge.https("https://registry.test/v2/a%2Fb//c/", &args);
    assert_eq!(odd.header("x-target"), Some("/v2/a%2Fb//c/"));
}

/// Requirements: response rewrite of WWW-Authenticate; SSE flush. Gitea up to 1.21: the realm is ROOT_URL. Events of the page are a stream.
#[test]
fn gitea_with_a_wrong_root_url_sends_clients_here_and_its_events_pass() {
    let gitea = RegistryStandIn { told: "http://10.0.0.7:32166/v2", health: "/api/healthz" };
    let (sender, pieces) = channel();
    let pieces = Mutex::new(pieces);
    let gitea = Backend::start(move |exchange| match exchange.target() {
        "/user/events" => stream(exchange, "text/event-stream", &pieces),
        _ => gitea.answer(exchange),
    });
    let edge = before("gitea", &gitea.url(), "");
    a_client_gets_through("gitea", &edge, "/v2/token", "");
    let accept = ["--http2", "-H", "Accept: text/event-stream"];
    pieces_pass_one_by_one(&edge, "https://gitea.test/user/events", &accept, sender);
}

/// Requirements: Host kept with its port; raw path. Nexus writes the addresses of packages into its answers, as the proxy's headers tell it.
#[test]
fn nexus_names_its_packages_by_the_address_that_the_client_asked_for() {
    let nexus = Backend::start(|exchange| {
        let body = format!("{}{}", own_address(exchange), exchange.target());
        say(exchange, "200 OK", &[], &body)
    });
    let edge = before("nexus", &nexus.url(), "");
    let port = edge.address("https").port();
    for protocol in PROTOCOLS {
        let url = format!("https://nexus.test:{port}/repository/npm-group/@team%2fapp");
        let answer =
            edge.https(&url, &[protocol, "-H", "X-Forwarded-Proto: http", "-H", "X-Forwarded-Host: evil.test"]);
        assert_eq!(answer.text(), url);
    }
}

/// Requirement: unlimited streaming request bodies, chunked. DVC's HTTP remote: 404 is how it learns what is missing, and it sends what it has in chunks.
#[test]
fn a_dvc_remote_takes_chunks_without_a_length() {
    let store = Mutex::new(Vec::new());
    let remote = Backend::start(move |exchange| {
        let body = exchange.body()?;
        let is_put = exchange.line().starts_with("PUT ");
        if is_put && exchange.header("transfer-encoding").is_none() {
            return exchange.answer("400 Bad Request", &[], b"it had a length");
        }
        let mut store = store.lock().expect("no script panics");
        if is_put {
            *store = body;
            return exchange.answer("201 Created", &[], b"");
        }
        let found = store.clone();
        match found.is_empty() {
            true => exchange.answer("404 Not Found", &[], b""),
            false => exchange.answer("200 OK", &[], &found),
        }
    });
    let edge = before("dvc-http", &remote.url(), "");
    let url = "https://dvc-http.test/data/files/md5/ab/cdef";
    assert_eq!(edge.https(url, &[]).status, 404);
    let put = edge.https(url, &["-X", "PUT", "-H", "Transfer-Encoding: chunked", "-d", "some data"]);
    assert_eq!((put.status, edge.https(url, &[]).text().as_str()), (201, "some data"));
}

/// Requirements: raw path and query; Host kept with its port. What a signature covers arrives byte for byte, its host and port among it.
#[test]
fn s3_requests_arrive_as_they_were_signed() {
    let server = Backend::echo();
    for (preset, edge) in [("s3", before("s3", &server.url(), "")), ("minio", before("minio", &server.url(), ""))] {
        let port = edge.address("https").port();
        for protocol in PROTOCOLS {
            let target = "/bucket//a%2Fb/../%7Ec/./d;e?x-id=PutObject&prefix=%2F&b&a=";
            let args = [protocol, "--path-as-is", "-H", "Accept-Encoding: identity", "-H", "x-amz-meta-a: 1"];
            let head = edge.https(&format!("https://{preset}.test:{port}{target}"), &args).text();
            assert!(head.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{head}");
            let head = head.to_ascii_lowercase();
            for field in
                [format!("host: {preset}.test:{port}"), "accept-encoding: identity".into(), "x-amz-meta-a: 1".into()]
            {
                assert!(head.contains(&format!("\r\n{field}\r\n")), "{head}");
            }
        }
    }
}

/// Requirement: raw path and query (`?ns=`). containerd, which k3s has inside, asks a mirror with the name of the registry
/// that it stands for.
#[test]
fn a_mirror_for_k3s_learns_whom_it_stands_for() {
    let mirror = Backend::echo();
    let edge = before("registry", &mirror.url(), "");
    for protocol in PROTOCOLS {
        for path in ["manifests/1.36", "blobs/sha256:0123456789abcdef"] {
            let target = format!("/v2/library/busybox/{path}?ns=docker.io");
            let head = edge.https(&format!("https://registry.test{target}"), &[protocol]).text();
            assert!(head.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{head}");
        }
        let target = "/v2/a/manifests/1?ns=registry.example%3A5000";
        assert_eq!(edge.https(&format!("https://registry.test{target}"), &[protocol, "--head"]).status, 200);
        assert!(mirror.heads().iter().any(|head| head.starts_with(&format!("HEAD {target} "))), "{:?}", mirror.heads());
    }
}

/// Requirement: path deny list.
#[test]
fn minio_has_no_administration_for_clients_in_any_spelling() {
    let server = Backend::echo();
    let edge = before("minio", &server.url(), "");
    for protocol in PROTOCOLS {
        for path in [
            "/minio/admin/v3/info",
            "/minio//admin",
            "/minio/%61dmin/",
            "/x/../minio/admin",
            "/minio%2fkms",
            "/Minio/V2/Metrics/cluster",
            "/minio/metrics/v3/api",
            "/minio/health/cluster",
            "/minio;a/admin",
            "/minio//../admin/v3/info",
            "/a//../../minio/admin",
        ] {
            let answer = edge.https(&format!("https://minio.test{path}"), &[protocol, "--path-as-is"]);
            assert_eq!(answer.status, 403, "{path}");
        }
        for path in ["/minio/health/live", "/bucket/minio/admin"] {
            assert_eq!(edge.https(&format!("https://minio.test{path}"), &[protocol]).status, 200, "{path}");
        }
    }
    assert!(server.heads().iter().all(|head| !head.to_ascii_lowercase().contains("kms")));
}
