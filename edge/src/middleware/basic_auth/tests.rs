//! Logins that are right, wrong, malformed, too many, and a users file that changes.

use std::path::Path;

use data_encoding::BASE64;
use tempfile::TempDir;

use super::super::testing::{Request, apply, ask, ask_and_wait, get, made, made_in, try_made_in};
use super::*;

fn hashed(password: &str) -> String {
    bcrypt::hash(password, 4).expect("a hash")
}

/// A folder with a users file of `ann` (bcrypt) and `bob` (argon2), both with the password `secret`.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let hash = super::super::passwords::argon2id(b"secret").expect("a hash");
    write(dir.path(), &format!("ann:{}\nbob:{hash}\n", hashed("secret")));
    dir
}

fn write(dir: &Path, text: &str) {
    std::fs::write(dir.join("users"), text).expect("it can be written");
}

fn login(user: &str, password: &str) -> Request {
    get("/").header("authorization", &format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes())))
}

/// What a request is refused with, and the fields of the answer.
#[track_caller]
fn refusal(flow: Flow) -> (Refusal, Vec<(String, String)>) {
    let Flow::Refuse(denial) = flow else { panic!("{flow:?}") };
    let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
    (denial.reason, denial.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
}

#[tokio::test]
async fn who_has_a_name_and_its_password_passes() {
    let dir = folder();
    let team = made_in(dir.path(), "basic-auth", "users_file = \"users\"\nuser_header = \"X-Remote-User\"");
    for user in ["ann", "bob"] {
        let request = login(user, "secret").header("x-remote-user", "root");
        let (flow, done) = ask_and_wait(&team, &request).await;
        assert!(matches!(flow, Flow::Next), "{flow:?}");
        assert_eq!(done.user.as_deref(), Some(user));
        let seen = apply(request.headers.clone(), done.edits);
        assert_eq!(seen.get_all("x-remote-user").iter().collect::<Vec<_>>(), [user]);
        assert!(!seen.contains_key("authorization"), "the login is the edge's own");
        assert!(matches!(ask(&team, &request).0, Flow::Next), "it is remembered, so nothing is hashed");
    }
    let passes = made_in(dir.path(), "basic-auth", "users_file = \"users\"\npass_authorization = true");
    let (_, done) = ask_and_wait(&passes, &login("ann", "secret")).await;
    assert!(done.edits.is_empty());
}

#[tokio::test]
async fn everybody_else_is_asked_to_log_in() {
    let dir = folder();
    let team = made_in(dir.path(), "basic-auth", "users_file = \"users\"\nrealm = \"The team\"");
    let challenge = [("www-authenticate".to_owned(), "Basic realm=\"The team\", charset=\"UTF-8\"".to_owned())];
    let (flow, done) = ask(&team, &get("/"));
    assert_eq!(refusal(flow), (Refusal::Unauthorized, challenge.to_vec()));
    assert!(done.user.is_none() && done.edits.is_empty());
    for request in [
        login("ann", "Secret"),
        login("ann", ""),
        login("eve", "secret"),
        login("ANN", "secret"),
        login("ann", "secret").header("authorization", "Basic eA=="),
        get("/").header("authorization", "Basic %%%"),
        get("/").header("authorization", "Basic YW5u"),
        get("/").header("authorization", "Bearer YW5uOnNlY3JldA=="),
        get("/").header("authorization", &format!("Basic {}", "A".repeat(30_000))),
    ] {
        let (flow, done) = ask_and_wait(&team, &request).await;
        assert_eq!(refusal(flow), (Refusal::BadLogin, challenge.to_vec()), "{request:?}");
        assert!(done.user.is_none() && done.edits.is_empty());
    }
}

#[tokio::test]
async fn a_client_that_guesses_is_braked_and_others_are_not() {
    let dir = folder();
    let team = made_in(dir.path(), "basic-auth", "users_file = \"users\"\nwrong_logins = 3\nwrong_window = \"1h\"");
    assert!(matches!(ask_and_wait(&team, &login("ann", "secret")).await.0, Flow::Next));
    for _ in 0..10 {
        let (flow, _) = ask_and_wait(&team, &login("ann", "old password")).await;
        assert_eq!(refusal(flow).0, Refusal::BadLogin);
    }
    assert!(matches!(ask(&team, &login("ann", "secret")).0, Flow::Next), "the same wrong login counts once");
    for guess in ["1", "2"] {
        assert_eq!(refusal(ask_and_wait(&team, &login("bob", guess)).await.0).0, Refusal::BadLogin);
    }
    for request in [login("ann", "secret"), login("bob", "3"), login("bob", "1")] {
        let (reason, fields) = refusal(ask(&team, &request).0);
        assert_eq!(reason, Refusal::LoginThrottled);
        let [(name, wait)] = &fields[..] else { panic!("{fields:?}") };
        assert_eq!(name, "retry-after");
        assert!((3500..=3600).contains(&wait.parse::<u64>().expect("seconds")), "{wait}");
    }
    assert_eq!(refusal(ask(&team, &get("/")).0).0, Refusal::Unauthorized, "who says nothing guesses nothing");
    let mut other = login("bob", "secret");
    other.client = "192.0.2.8".parse().expect("an address");
    assert!(matches!(ask_and_wait(&team, &other).await.0, Flow::Next));
}

#[tokio::test]
async fn a_changed_file_counts_within_a_second() {
    let dir = folder();
    let team = made_in(dir.path(), "basic-auth", "users_file = \"users\"");
    assert!(matches!(ask_and_wait(&team, &login("ann", "secret")).await.0, Flow::Next));
    write(dir.path(), &format!("ann:{}\n", hashed("other")));
    let began = Instant::now();
    while !matches!(ask_and_wait(&team, &login("ann", "other")).await.0, Flow::Next) {
        assert!(began.elapsed() < Duration::from_secs(30), "the new password is never right");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (flow, _) = ask_and_wait(&team, &login("ann", "secret")).await;
    assert_eq!(refusal(flow).0, Refusal::BadLogin, "what was remembered is forgotten");
    assert_eq!(refusal(ask_and_wait(&team, &login("bob", "secret")).await.0).0, Refusal::BadLogin);
}

#[tokio::test]
async fn many_requests_with_one_new_login_pass_together() {
    let dir = folder();
    let team = made_in(dir.path(), "basic-auth", "users_file = \"users\"");
    let requests: Vec<_> = (0..50).map(|_| login("bob", "secret")).collect();
    let flows = futures_util::future::join_all(requests.iter().map(|request| ask_and_wait(&team, request))).await;
    assert!(flows.iter().all(|(flow, _)| matches!(flow, Flow::Next)));
}

#[tokio::test]
async fn users_may_stand_in_the_route_file() {
    let hash = hashed("secret");
    let team = made("basic-auth", &format!("users = \"ann:{hash}\""));
    assert!(matches!(ask_and_wait(&team, &login("ann", "secret")).await.0, Flow::Next));
    assert_eq!(refusal(ask(&team, &get("/")).0).1[0].1, "Basic realm=\"basic-auth\", charset=\"UTF-8\"");
}

#[test]
fn what_cannot_protect_a_route_is_not_made() {
    let dir = folder();
    let hash = hashed("x");
    for (settings, wanted) in [
        ("".to_owned(), "it knows no users"),
        ("users_file = \"missing\"".to_owned(), "cannot be read"),
        ("users_file = \".\"".to_owned(), "cannot be read"),
        ("users = []".to_owned(), "it knows no users"),
        ("users = [\"ann\"]".to_owned(), "it is not `name:hash`"),
        (format!("users = [\"ann:{hash}\", \"ann:{hash}\"]"), "is there already"),
        (format!("users_file = \"users\"\nusers = [\"ann:{hash}\"]"), "line 1: the user `ann` is there already"),
        ("users_file = \"users\"\nrealm = \"a\\\"b\"".to_owned(), "a realm is plain"),
        ("users_file = \"users\"\nuser_header = \"Host\"".to_owned(), "not the name of a field"),
    ] {
        let error = try_made_in(dir.path(), "basic-auth", &settings).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{error}");
    }
    write(dir.path(), "ann:secret");
    let error = try_made_in(dir.path(), "basic-auth", "users_file = \"users\"").expect_err("broken").to_string();
    assert!(error.contains("line 1: user `ann`: the hash is neither bcrypt"), "{error}");
}
