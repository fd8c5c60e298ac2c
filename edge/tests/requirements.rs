//! What the backends that people run need of an edge, each with a test that names it: `/// Requirement: ...` (or
//! `Requirements:`) above a test holds these words. A need that no test names is a promise that nothing keeps.

use std::fs;
use std::path::Path;

/// Words of the requirement, and who needs it.
const REQUIREMENTS: &[(&str, &str)] = &[
    ("unlimited streaming request bodies", "S3, MLflow, registries, Harbor, Nexus, DVC, Git LFS"),
    ("no buffering", "S3, MLflow, registries"),
    ("chunked in and out", "registries"),
    ("without a length", "DVC"),
    ("trailers", "Jaeger, and whoever sends them on HTTP/1"),
    ("`expect: 100-continue` is relayed end to end", "S3, MLflow, curl"),
    ("raw path and query", "S3, registries"),
    ("`_state`", "registries"),
    ("`?ns=`", "k3s"),
    ("repeated headers are preserved", "registries"),
    ("host is kept, with its port", "S3, MLflow, Grafana, pgAdmin"),
    ("host is set", "Ollama"),
    ("origin of the page itself is dropped", "MLflow, Ollama"),
    ("that of others stays", "MLflow, Ollama"),
    ("response rewrite: www-authenticate realm", "Gitea, registries, Harbor, Nexus"),
    ("response rewrite: location", "Nexus, MLflow, Harbor"),
    ("response rewrite: link", "registries, Gitea"),
    ("response rewrite: set-cookie with secure, path and domain", "pgAdmin"),
    ("websocket upgrade", "MinIO console, RustDesk, Grafana, pgAdmin, Open WebUI"),
    ("sse and ndjson flush", "Ollama, vLLM, Gitea"),
    ("disconnect propagation", "vLLM, Ollama"),
    ("grpc with its trailers", "Jaeger"),
    ("grpc (h2c and trailers)", "Jaeger"),
    ("strip prefix", "IMAGE"),
    ("add prefix", "Nexus docker"),
    ("replace prefix", "monarch"),
    ("slash redirect", "IMAGE"),
    ("regex redirect", "monarch"),
    ("negation", "IMAGE"),
    ("exact paths", "IMAGE, Dioptra"),
    ("static spa", "Dioptra"),
    ("port routes", "Dioptra, maestro"),
    ("bind addresses", "Dioptra, maestro"),
    ("several tls names on one port", "all"),
    ("wildcard certificates", "S3 virtual hosts"),
    ("connect timeout", "all"),
    ("first byte timeout", "all"),
    ("idle timeout", "all"),
    ("body cap of a route", "all"),
    ("no request with a body is sent twice", "all"),
    ("untrusted headers are stripped", "pgAdmin, Grafana, Open WebUI"),
    ("headers that name the client", "RustDesk"),
    ("logins by password", "Homepage, MLflow"),
    ("logins by token", "MLflow, LLM servers"),
    ("logins by another server", "all"),
    ("logins by openid connect", "all"),
    ("address list", "Nexus, maestro"),
    ("path deny list", "MinIO, Prometheus, Jaeger"),
    ("upstream ca bundle", "Dioptra, Harbor"),
    ("upstream tls", "Dioptra, Harbor"),
    ("sni", "Dioptra, Harbor"),
    ("active health checks", "all"),
    ("sni passthrough", "Postgres, whoever keeps TLS of its own"),
    ("postgres starttls", "Postgres"),
    ("postgres direct tls", "Postgres"),
    ("postgres cancel", "Postgres"),
    ("plain tcp", "Git over SSH"),
    ("tls terminated for tcp", "Redis"),
];

/// What no test here names, and why.
const LATER: &[(&str, &str)] = &[
    ("tcp keepalive", "no client can see it: a test of src/l4/dial.rs asks the socket"),
    ("total timeout", "a route has none: a transfer may go on as long as it goes on, and what stands still has limits"),
];

#[test]
fn every_requirement_of_the_backends_is_named_by_a_test() {
    let named = named();
    let missing: Vec<&str> =
        REQUIREMENTS.iter().map(|(words, _)| *words).filter(|words| !named.contains(words)).collect();
    assert!(missing.is_empty(), "no test names: {missing:#?}");
    let kept: Vec<&str> = LATER.iter().map(|(words, _)| *words).filter(|words| named.contains(words)).collect();
    assert!(kept.is_empty(), "named by a test, so no longer for later: {kept:#?}");
}

/// The words of the tests of all files, in lower case.
fn named() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut named = String::new();
    for file in fs::read_dir(folder).expect("the folder of this test").flatten() {
        let path = file.path();
        if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("requirements.rs") {
            let words = requirements_of(&fs::read_to_string(&path).expect("a source"));
            named += &words.unwrap_or_else(|words| panic!("{}: above no test: {words}", path.display()));
        }
    }
    named.to_lowercase()
}

/// The words of every doc comment with `Requirement:` or `Requirements:`, as one line each; those of one that stands above
/// something else than a test are the error.
fn requirements_of(source: &str) -> Result<String, String> {
    let mut all = String::new();
    let mut lines = source.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.strip_prefix("///") else { continue };
        let mut words = first.to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with("///")) {
            words.push_str(more.trim_start_matches('/'));
        }
        if !["Requirement: ", "Requirements: "].iter().any(|start| words.contains(start)) {
            continue;
        }
        let is_test = lines.next().is_some_and(|line| line == "#[test]" || line.starts_with("#[tokio::test"));
        let names_function = |line: &&str| line.starts_with("fn ") || line.starts_with("async fn ");
        if !is_test || lines.peek().filter(|line| names_function(line)).is_none() {
            return Err(words);
        }
        all += &words;
        all.push('\n');
    }
    Ok(all)
}

#[test]
fn only_what_stands_above_a_test_counts() {
    let test = "#[test]\nfn holds() {}\n";
    let read = |comment: &str, below: &str| requirements_of(&format!("{comment}\n{below}"));
    assert_eq!(read("/// Requirement: a, b\n/// and c.", test), Ok(" Requirement: a, b and c.\n".to_owned()));
    assert_eq!(read("/// Requirements: a; b.", test), Ok(" Requirements: a; b.\n".to_owned()));
    assert_eq!(read("/// Requires nothing.", test), Ok(String::new()));
    assert!(read("/// Requirement: a.", "fn helps() {}\n").is_err());
    assert!(read("/// Requirement: a.", "\n#[test]\nfn holds() {}\n").is_err());
}
