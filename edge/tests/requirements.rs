//! What the backends that people run need of an edge, each with a test that names it: `/// Requirement: ...` above a test
//! holds these words. A need that no test names is a promise that nothing keeps.

use std::fs;
use std::path::Path;

/// Words of the requirement, and who needs it.
const REQUIREMENTS: &[(&str, &str)] = &[
    ("unlimited streaming request bodies", "S3, MLflow, registries, Harbor, Nexus, DVC, Git LFS"),
    ("no buffering", "S3, MLflow, registries"),
    ("chunked and without a length", "DVC, registries"),
    ("`Expect: 100-continue` is relayed end to end", "S3, MLflow, curl"),
    ("raw path and query are passed through", "S3, registries, k3s"),
    ("repeated headers are preserved", "registries"),
    ("Host is kept, with its port", "S3, MLflow, Grafana, pgAdmin"),
    ("Host is set", "Ollama"),
    ("Origin of the page itself is dropped", "MLflow"),
    ("response rewrite: WWW-Authenticate realm", "Gitea, registries, Harbor, Nexus"),
    ("response rewrite: Location", "Nexus, MLflow, Harbor"),
    ("response rewrite: Set-Cookie", "pgAdmin"),
    ("websocket upgrade", "MinIO console, RustDesk, Grafana, pgAdmin, Open WebUI"),
    ("SSE and NDJSON flush", "Ollama, vLLM, Gitea"),
    ("disconnect propagation", "vLLM, Ollama"),
    ("gRPC", "Jaeger"),
    ("strip prefix", "IMAGE"),
    ("add prefix", "Nexus docker"),
    ("negation", "IMAGE"),
    ("static SPA", "Dioptra"),
    ("port routes and bind addresses", "Dioptra, maestro"),
    ("several TLS names on one port", "all"),
    ("wildcard certificates", "S3 virtual hosts"),
    ("timeouts of a route", "all"),
    ("body cap of a route", "all"),
    ("no request with a body is sent twice", "all"),
    ("untrusted headers are stripped", "pgAdmin, Grafana, Open WebUI"),
    ("headers that name the client", "RustDesk"),
    ("logins by password", "Homepage, MLflow"),
    ("logins by token", "MLflow, LLM servers"),
    ("logins by another server", "all"),
    ("logins by OpenID Connect", "all"),
    ("address list", "Nexus, maestro"),
    ("path deny list", "MinIO, Prometheus, Jaeger"),
    ("upstream CA bundle", "Dioptra, Harbor"),
    ("active health checks", "all"),
];

#[test]
fn every_requirement_of_the_backends_is_named_by_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut named = String::new();
    for file in fs::read_dir(folder).expect("the folder of this test").flatten() {
        let path = file.path();
        if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("requirements.rs") {
            named += &requirements_of(&fs::read_to_string(&path).expect("a source"));
        }
    }
    let missing: Vec<&str> =
        REQUIREMENTS.iter().map(|(words, _)| *words).filter(|words| !named.contains(words)).collect();
    assert!(missing.is_empty(), "no test names: {missing:#?}");
}

/// The words of every doc comment that begins with `Requirement:`, as one line each.
fn requirements_of(source: &str) -> String {
    let mut words = String::new();
    let mut lines = source.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.strip_prefix("/// ").filter(|line| line.contains("Requirement: ")) else { continue };
        words.push_str(first);
        while let Some(more) = lines.peek().and_then(|line| line.strip_prefix("///")) {
            words.push_str(more);
            lines.next();
        }
        words.push('\n');
    }
    words
}
