//! Requests with tokens that are known, foreign, malformed or bound to something else.

use http::Method;
use tempfile::TempDir;

use super::super::testing::{Request, apply, ask, get, made_in, try_made_in};
use super::super::tokens;
use super::*;

fn folder(more: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let (token, hash) = tokens::make().expect("randomness");
    let text = format!("[[token]]\nname = \"ci\"\nsha256 = \"{hash}\"\n{more}\n");
    std::fs::write(dir.path().join("tokens.toml"), text).expect("it can be written");
    (dir, token)
}

fn bearer(token: &str) -> Request {
    get("/api/x").header("authorization", &format!("Bearer {token}"))
}

#[track_caller]
fn refusal(flow: Flow) -> (Refusal, String) {
    let Flow::Refuse(denial) = flow else { panic!("{flow:?}") };
    let [(name, value)] = &denial.headers[..] else { panic!("{denial:?}") };
    assert_eq!(name, WWW_AUTHENTICATE);
    (denial.reason, value.to_str().expect("text").to_owned())
}

#[test]
fn who_has_a_token_passes_as_its_name() {
    let (dir, token) = folder("");
    let machines = made_in(dir.path(), "api-token", "tokens_file = \"tokens.toml\"\nuser_header = \"x-user\"");
    let request = bearer(&token).header("x_user", "root");
    let (flow, done) = ask(&machines, &request);
    assert!(matches!(flow, Flow::Next), "{flow:?}");
    assert_eq!(done.user.as_deref(), Some("ci"));
    let seen = apply(request.headers.clone(), done.edits);
    assert_eq!((seen.len(), seen["x-user"].as_bytes()), (1, &b"ci"[..]), "{seen:?}");
}

#[test]
fn a_header_of_its_own_may_carry_it() {
    let (dir, token) = folder("");
    let settings = "tokens_file = \"tokens.toml\"\nheader = \"X-Api-Key\"";
    let machines = made_in(dir.path(), "api-token", settings);
    let request = get("/").header("x-api-key", &token).header("authorization", "Basic eDp5");
    let (flow, done) = ask(&machines, &request);
    assert!(matches!(flow, Flow::Next), "{flow:?}");
    let seen = apply(request.headers.clone(), done.edits);
    assert!(seen.contains_key("authorization") && !seen.contains_key("x-api-key"), "{seen:?}");
    let (reason, challenge) = refusal(ask(&machines, &bearer(&token)).0);
    assert_eq!((reason, challenge.as_str()), (Refusal::Unauthorized, "ApiKey realm=\"api\""));
    let twice = get("/").header("x-api-key", &token).header("x-api-key", &token);
    assert_eq!(refusal(ask(&machines, &twice).0).0, Refusal::BadLogin);
}

#[test]
fn everybody_else_is_refused_with_the_reason() {
    let (dir, token) = folder("methods = [\"GET\"]\npaths = [\"/api/\"]");
    let machines = made_in(dir.path(), "api-token", "tokens_file = \"tokens.toml\"");
    let of = |request: &Request| refusal(ask(&machines, request).0);
    assert_eq!(of(&get("/api/x")), (Refusal::Unauthorized, "Bearer realm=\"api\"".to_owned()));
    let (foreign, _) = tokens::make().expect("randomness");
    let invalid = (Refusal::BadLogin, "Bearer realm=\"api\", error=\"invalid_token\"".to_owned());
    for request in [
        bearer(&foreign),
        bearer(&format!("{token}x")),
        bearer(&"x".repeat(30_000)),
        bearer("a b"),
        bearer("\u{fc}"),
        get("/api/x").header("authorization", "Basic eDp5"),
        bearer(&token).header("authorization", "Bearer x"),
    ] {
        assert_eq!(of(&request), invalid, "{request:?}");
    }
    let scope = (Refusal::Forbidden, "Bearer realm=\"api\", error=\"insufficient_scope\"".to_owned());
    assert_eq!(of(&bearer(&token).method(Method::POST)), scope);
    let elsewhere = get("/other").header("authorization", &format!("Bearer {token}"));
    assert_eq!(of(&elsewhere), scope);
    assert!(matches!(ask(&machines, &bearer(&token)).0, Flow::Next));
}

#[test]
fn a_token_that_has_expired_is_foreign() {
    let (dir, token) = folder("expires = 2020-01-01");
    let machines = made_in(dir.path(), "api-token", "tokens_file = \"tokens.toml\"");
    assert_eq!(refusal(ask(&machines, &bearer(&token)).0).0, Refusal::BadLogin);
}

#[test]
fn what_cannot_protect_a_route_is_not_made() {
    let (dir, _) = folder("paths = [\"/api/\"]");
    for (settings, wanted) in [
        ("", "its settings cannot be read"),
        ("tokens_file = \"missing\"", "cannot be read"),
        ("tokens_file = \"tokens.toml\"\nheader = \"Host\"", "not the name of a field"),
        ("tokens_file = \"tokens.toml\"\npath_scopes = false", "line 1: token `ci`: it has paths"),
    ] {
        let error = try_made_in(dir.path(), "api-token", settings).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{error}");
    }
}
