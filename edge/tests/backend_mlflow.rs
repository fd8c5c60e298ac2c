//! MLflow behind the edge: its own client, a browser on its pages, and the two things that it checks for itself (Host and
//! Origin), with the artifacts on its disk or, by addresses that it signs, in an S3 server behind the same edge.

mod support {
    pub(crate) mod clients;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod minio;
    pub(crate) mod mlflow;
    pub(crate) mod oidc;
    pub(crate) mod process;
}

use support::clients::{browse, script};
use support::edge::TestEdge;
use support::minio::{KEY, Minio, SECRET};
use support::mlflow::Mlflow;
use support::oidc::{CLIENT, Oidc};
use support::process::{eventually, free_port, run};

/// Its one worker takes 300 MiB before it answers whether it is well.
const PATIENT: &str = "upstream.health.timeout = \"1m\"";

fn route(name: &str, port: u16, rest: &str) -> String {
    let upstream = format!("upstream.servers = \"http://127.0.0.1:{port}\"\n{PATIENT}");
    format!("[[route]]\nname = \"{name}\"\nhost = \"{name}.test\"\npreset = \"mlflow\"\n{upstream}\n{rest}\n")
}

/// The address of a name at the edge, as a browser shows it.
fn origin(edge: &TestEdge, name: &str) -> String {
    format!("https://{name}.test:{}", edge.address("https").port())
}

/// What `--allowed-hosts` and `--cors-allowed-origins` must say, since a port in them is compared too.
fn allowed(edge: &TestEdge) -> [String; 4] {
    let origin = origin(edge, "mlflow");
    let host = origin.trim_start_matches("https://").to_owned();
    ["--allowed-hosts".to_owned(), host, "--cors-allowed-origins".to_owned(), origin]
}

/// The edge asks for its health every few seconds, and may have found it down while it started.
#[track_caller]
fn is_up(edge: &TestEdge, uri: &str) {
    eventually("the edge finds MLflow up", || edge.https(&format!("{uri}/version"), &[]).status == 200);
}

#[track_caller]
fn client(edge: &TestEdge, args: &[&str]) {
    run(script(edge, "mlflow_client.py").args(args)).success();
}

/// Requirements: Host kept with its port or set, Origin kept or dropped; unlimited streaming bodies without buffering; raw path.
#[test]
fn its_client_and_a_browser_work_through_the_edge() {
    let port = free_port();
    let edge = TestEdge::with_routes(&[
        ("mlflow.toml", &route("mlflow", port, "")),
        ("bare.toml", &route("bare", port, "host_header = \"mlflow.test\"")),
        ("untold.toml", &route("untold", port, "host_header = \"upstream\"")),
    ]);
    let mut allowed = allowed(&edge);
    allowed[1] += &format!(",127.0.0.1:{port}");
    let _mlflow = Mlflow::start(port, &allowed.each_ref().map(String::as_str), &[]);
    let uri = origin(&edge, "mlflow");
    is_up(&edge, &uri);
    client(&edge, &["runs", &uri]);
    a_big_artifact_goes_up_and_comes_back(&edge, &uri);
    a_name_without_its_port_is_refused(&edge, &uri);
    the_page_and_nobody_else_may_ask(&edge, &uri);
    // A server that was told nothing of this name, which is the edge's to repair.
    the_page_and_nobody_else_may_ask(&edge, &origin(&edge, "untold"));
    the_page_shows_experiments(&edge, &uri);
}

fn a_big_artifact_goes_up_and_comes_back(edge: &TestEdge, uri: &str) {
    let small = edge.memory();
    client(edge, &["artifact", uri, "300"]);
    assert!(edge.memory() - small < 48e6, "{small} then {}", edge.memory());
    for family in ["edge_request_bytes_total", "edge_response_bytes_total"] {
        edge.counts_at_least(family, &["route=\"mlflow\""], 300.0 * 1024.0 * 1024.0);
    }
}

/// The trap, shown by a route that falls into it.
fn a_name_without_its_port_is_refused(edge: &TestEdge, uri: &str) {
    let list = "/api/2.0/mlflow/experiments/search?max_results=10";
    assert_eq!(edge.https(&format!("{uri}{list}"), &[]).status, 200);
    let refused = edge.https(&format!("{}{list}", origin(edge, "bare")), &[]);
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("Invalid Host header"), "{}", refused.text());
}

fn the_page_and_nobody_else_may_ask(edge: &TestEdge, uri: &str) {
    let ask = |origin: &str| {
        let (url, origin) = (format!("{uri}/ajax-api/2.0/mlflow/experiments/search"), format!("origin: {origin}"));
        edge.https(&url, &["-H", &origin, "-H", "content-type: application/json", "-d", "{\"max_results\": 10}"])
    };
    let answer = ask(uri);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("through the edge"), "{}", answer.text());
    let refused = ask("https://evil.test");
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("Cross-origin"), "{}", refused.text());
}

fn the_page_shows_experiments(edge: &TestEdge, uri: &str) {
    let go = format!("go={uri}/#/experiments");
    let shown = "until=document.body.innerText.includes('through the edge')";
    let said = browse(edge, &[&go, shown, "print=document.body.innerText"]);
    assert!(said.contains("artifact of 300 MiB"), "{said}");
}

/// Requirement: response rewrite and the scheme that a backend is told of; here its redirect is right by itself.
#[test]
fn it_lives_below_a_prefix_too() {
    let port = free_port();
    // Everything moves, the answer to the health check too.
    let edge = TestEdge::with_routes(&[(
        "mlflow.toml",
        &format!(
            "[[route]]\nhost = \"mlflow.test\"\npath = \"/mlflow\"\npreset = \"mlflow\"\n\
             upstream.servers = \"http://127.0.0.1:{port}\"\nupstream.health.path = \"/mlflow/health\"\n{PATIENT}\n"
        ),
    )]);
    let allowed = allowed(&edge);
    let args = [&allowed.each_ref().map(String::as_str)[..], &["--static-prefix", "/mlflow"]].concat();
    let _mlflow = Mlflow::start(port, &args, &[]);
    let uri = format!("{}/mlflow", origin(&edge, "mlflow"));
    is_up(&edge, &uri);
    let redirect = edge.https(&uri, &[]);
    assert_eq!((redirect.status, redirect.header("location")), (308, Some(format!("{uri}/").as_str())));
    client(&edge, &["runs", &uri]);
}

/// Requirements: Host kept for what is signed; one backend reaches another through the edge by its public name.
#[test]
fn big_artifacts_go_to_s3_by_addresses_that_it_signs() {
    let (port, minio) = (free_port(), Minio::start("s3.test"));
    let s3 =
        format!("[[route]]\nname = \"s3\"\nhost = \"s3.test\"\npreset = \"minio\"\nupstream = \"{}\"\n", minio.url);
    let edge = TestEdge::with_routes(&[("mlflow.toml", &route("mlflow", port, "")), ("s3.toml", &s3)]);
    let allowed = allowed(&edge);
    let args = [&allowed.each_ref().map(String::as_str)[..], &["--artifacts-destination", "s3://artifacts/mlflow"]];
    let (root, endpoint) = (edge.path("state/local-ca/root.pem").display().to_string(), origin(&edge, "s3"));
    let settings = [
        ("MLFLOW_S3_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "us-east-1"),
        ("AWS_CA_BUNDLE", &root),
    ];
    run(script(&edge, "s3.py").arg("bucket").arg(edge.address("https").port().to_string()).arg("artifacts")).success();
    let _mlflow = Mlflow::start(port, &args.concat(), &settings);
    let uri = origin(&edge, "mlflow");
    is_up(&edge, &uri);
    run(script(&edge, "mlflow_client.py")
        .args(["artifact", &uri, "64"])
        .env("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
        .env("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "10485760")
        .env("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", "10485760"))
    .success();
    // The parts go to S3.
    edge.counts_at_least("edge_requests_total", &["route=\"s3\"", "method=\"PUT\""], 7.0);
    let through = edge.metric_sum("edge_request_bytes_total", &["route=\"mlflow\""]);
    assert!(through < 1e6, "and not by way of the server: {through}");
}

/// Requirement: auth (OIDC) before a backend that has none: people log in by their browser, programs bring tokens.
#[test]
fn people_log_in_and_programs_bring_tokens() {
    let port = free_port();
    let edge = TestEdge::with_routes(&[("mlflow.toml", &route("mlflow", port, ""))]);
    let uri = origin(&edge, "mlflow");
    let provider = Oidc::start(&[&format!("{uri}/.edge/oidc/callback"), &format!("{uri}/")]);
    let login = format!(
        "use = [\"people\"]\n[middleware.people]\nkind = \"oidc\"\nissuer = \"{}\"\nclient_id = \"{}\"\n\
         client_secret = \"{}\"\nscopes = [\"profile\", \"email\", \"groups\"]\nallow_groups = [\"team\", \"robots\"]\n\
         bearer = true\naudience = [\"https://mlflow.test\"]",
        provider.issuer, CLIENT.0, CLIENT.1
    );
    edge.write_route("mlflow.toml", &route("mlflow", port, &login));
    edge.reload().success();
    let _mlflow = Mlflow::start(port, &allowed(&edge).each_ref().map(String::as_str), &[]);
    eventually("the edge finds MLflow up", || edge.https(&uri, &[]).status != 503);
    let stranger = edge.https(&format!("{uri}/api/2.0/mlflow/experiments/search?max_results=1"), &[]);
    assert_eq!(stranger.status, 401, "{}", stranger.text());
    let token = provider.robot_token("https://mlflow.test");
    run(script(&edge, "mlflow_client.py").args(["runs", &uri]).env("MLFLOW_TRACKING_TOKEN", token)).success();
    a_person_logs_in_and_out(&edge, &uri);
}

fn a_person_logs_in_and_out(edge: &TestEdge, uri: &str) {
    let (go, log_out) = (format!("go={uri}/"), format!("go={uri}/.edge/oidc/logout"));
    let asked = "until=!!document.querySelector('input[name=login]')";
    let submit = "do=document.querySelector('button[type=submit]').click()";
    let log_in = |name| {
        [
            go.clone(),
            asked.into(),
            format!("type=input[name=login]|{name}"),
            "type=input[name=password]|any".into(),
            submit.into(),
        ]
    };
    let inside = [
        "until=location.host.startsWith('mlflow.test') && document.readyState == 'complete'",
        "do=location.hash = '#/experiments'",
        "until=document.body.innerText.includes('through the edge')",
        &log_out,
        "until=!!document.querySelector('button[name=logout]')",
        "do=document.querySelector('button[name=logout]').click()",
        // The provider leads back, and the edge leads there again.
        asked,
        "print=location.host",
    ];
    let steps = log_in("alice");
    let said = browse(edge, &[&steps.each_ref().map(String::as_str)[..], &inside].concat());
    assert!(said.starts_with("127.0.0.1:"), "the login is asked for again: {said}");
    // Somebody whom the provider knows and who is in no group that may.
    let steps = log_in("bob");
    let refused = ["until=document.body.innerText.includes('403')", "print=document.body.innerText"];
    browse(edge, &[&steps.each_ref().map(String::as_str)[..], &refused].concat());
}
