//! Requests with tokens, keys that are published, changed, broken and gone.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use serde_json::json;

use super::super::signed::tests::Issuer;
use super::super::testing::{Request, apply, ask, ask_and_wait, get, made_in, try_made_in};
use super::*;

fn bearer(token: &str) -> Request {
    get("/").header("authorization", &format!("Bearer {token}"))
}

/// A folder with the set of `issuer` in a file.
fn folder(issuer: &Issuer) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("set.json"), issuer.set()).expect("it can be written");
    dir
}

#[track_caller]
fn refusal(flow: Flow) -> (Refusal, Option<String>) {
    let Flow::Refuse(denial) = flow else { panic!("{flow:?}") };
    (denial.reason, denial.detail)
}

/// A server that publishes what is set, or fails while it is empty; how often it was asked.
fn publisher() -> (String, Arc<Mutex<String>>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/certs", listener.local_addr().expect("it is bound"));
    let (set, count) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicUsize::new(0)));
    let (published, counter) = (Arc::clone(&set), Arc::clone(&count));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut block = [0; 8192];
            if stream.read(&mut block).is_ok_and(|count| count > 0) {
                counter.fetch_add(1, Ordering::SeqCst);
                let set = published.lock().expect("no test panics here").clone();
                let status = if set.is_empty() { "500 Broken" } else { "200 OK" };
                let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", set.len());
                drop(stream.write_all(format!("{head}{set}").as_bytes()));
            }
        }
    });
    (url, set, count)
}

#[test]
fn who_has_a_token_passes_with_its_claims() {
    let issuer = Issuer::new("one");
    let dir = folder(&issuer);
    let jobs = made_in(
        dir.path(),
        "jwt",
        "jwks_file = \"set.json\"\naudience = \"models\"\nuser_header = \"x-user\"\n\
         required_claims = { groups = [\"ml\", \"ops\"], scope = \"read\" }\n\
         claims_to_headers = { email = \"x-user-email\", groups = \"x-groups\", none = \"x-none\" }",
    );
    let token =
        issuer.token(json!({ "groups": ["x", "ops", "a,admin"], "scope": "write read", "email": "ann@example.com" }));
    let request = bearer(&token).header("x_user_email", "root@evil").header("x-none", "evil");
    let (flow, done) = ask(&jobs, &request);
    assert!(matches!(flow, Flow::Next), "{flow:?}");
    assert_eq!(done.user.as_deref(), Some("ann"));
    let seen = apply(request.headers.clone(), done.edits);
    let wanted = [("x-user", "ann"), ("x-user-email", "ann@example.com"), ("x-groups", "x,ops")];
    assert_eq!(seen.len(), wanted.len(), "{seen:?}");
    for (name, value) in wanted {
        assert_eq!(seen[name], value);
    }
    for claims in [json!({ "groups": "x", "scope": "read" }), json!({ "groups": ["ml"], "scope": "reader" }), json!({})]
    {
        let (flow, done) = ask(&jobs, &bearer(&issuer.token(claims)));
        assert_eq!(refusal(flow).0, Refusal::Forbidden);
        assert!(done.user.is_none() && done.edits.is_empty());
    }
}

#[test]
fn everybody_else_is_refused_with_the_reason() {
    let issuer = Issuer::new("one");
    let dir = folder(&issuer);
    let jobs = made_in(dir.path(), "jwt", "jwks_file = \"set.json\"\naudience = \"models\"");
    assert_eq!(refusal(ask(&jobs, &get("/")).0), (Refusal::Unauthorized, None));
    for (request, wanted) in [
        (bearer("abc"), "it is not a signed token"),
        (get("/").header("authorization", "Basic eDp5"), "it is not a signed token"),
        (bearer(&"x.".repeat(15_000)), "it is not a signed token"),
        (bearer(&issuer.token(json!({ "exp": 1 }))), "it has expired, or does not say when it does"),
        (bearer(&issuer.token(json!({ "aud": "other" }))), "it is for another audience"),
        (bearer(&Issuer::new("one").token(json!({}))), "its signature is wrong"),
        (bearer(&Issuer::new("two").token(json!({}))), "it is signed by a key that is not known here"),
        (bearer(&issuer.token(json!({ "sub": 5 }))), "it does not name a user"),
        (bearer(&issuer.token(json!({ "sub": "a\r\nb" }))), "it does not name a user"),
    ] {
        let (flow, done) = ask(&jobs, &request);
        assert_eq!(refusal(flow), (Refusal::BadLogin, Some(format!("The token is not accepted: {wanted}."))));
        assert!(done.user.is_none() && done.edits.is_empty());
    }
}

#[tokio::test]
async fn published_keys_are_asked_for_again_when_they_change() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let (url, set, count) = publisher();
    let dir = tempfile::tempdir().expect("a folder");
    let settings = format!("jwks_url = \"{url}\"\naudience = \"models\"\nrefresh = \"1h\"\nrefetch = \"1s\"");
    let jobs = made_in(dir.path(), "jwt", &settings);
    let (old_token, new_token) = (bearer(&old.token(json!({}))), bearer(&new.token(json!({}))));
    assert_eq!(refusal(ask_and_wait(&jobs, &old_token).await.0).0, Refusal::AuthUnavailable, "there are no keys yet");
    *set.lock().expect("no panic") = old.set();
    passes_in_the_end(&jobs, &old_token).await;
    assert_eq!(refusal(ask_and_wait(&jobs, &new_token).await.0).0, Refusal::BadLogin);
    *set.lock().expect("no panic") = new.set();
    passes_in_the_end(&jobs, &new_token).await;
    assert_eq!(refusal(ask_and_wait(&jobs, &old_token).await.0).0, Refusal::BadLogin, "its key is gone");
    // What is published now cannot be used: the last good keys stay.
    for broken in ["", "<html>", "{\"keys\":[]}"] {
        *set.lock().expect("no panic") = broken.to_owned();
        let before = count.load(Ordering::SeqCst);
        let began = Instant::now();
        while count.load(Ordering::SeqCst) == before {
            assert!(began.elapsed() < Duration::from_secs(30), "it is asked for a key that is not known");
            assert_eq!(refusal(ask_and_wait(&jobs, &old_token).await.0).0, Refusal::BadLogin);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(matches!(ask_and_wait(&jobs, &new_token).await.0, Flow::Next), "{broken}");
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_question() {
    let (known, stranger) = (Issuer::new("known"), Issuer::new("stranger"));
    let (url, set, count) = publisher();
    *set.lock().expect("no panic") = known.set();
    let dir = tempfile::tempdir().expect("a folder");
    let jobs = made_in(dir.path(), "jwt", &format!("jwks_url = \"{url}\"\naudience = \"models\"\nrefetch = \"1h\""));
    let request = bearer(&stranger.token(json!({})));
    let flows = futures_util::future::join_all((0..100).map(|_| ask_and_wait(&jobs, &request))).await;
    assert!(flows.into_iter().all(|(flow, _)| refusal(flow).0 == Refusal::BadLogin));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// Keys may be asked for once a second in these tests.
async fn passes_in_the_end(jobs: &Arc<dyn Middleware>, request: &Request) {
    let began = Instant::now();
    while !matches!(ask_and_wait(jobs, request).await.0, Flow::Next) {
        assert!(began.elapsed() < Duration::from_secs(30), "the key never becomes known");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn what_cannot_check_a_token_is_not_made() {
    let dir = folder(&Issuer::new("one"));
    std::fs::write(dir.path().join("short"), "secret").expect("it can be written");
    for (settings, wanted) in [
        ("", "it needs one of"),
        ("jwks_file = \"set.json\"\nsecret_file = \"set.json\"\naudience = \"a\"", "it needs one of"),
        ("jwks_file = \"set.json\"", "`audience` is missing"),
        ("jwks_file = \"set.json\"\naudience = []", "`audience` is missing"),
        ("jwks_file = \"none\"\naudience = \"a\"", "cannot be read"),
        ("jwks_file = \"short\"\naudience = \"a\"", "it is not JSON"),
        ("secret_file = \"short\"", "at least 32 bytes"),
        ("jwks_url = \"certs\"\naudience = \"a\"", "not the URL of a server"),
        (
            "jwks_file = \"set.json\"\naudience = \"a\"\nalgorithms = \"HS256\"",
            "HS256 cannot be checked with these keys",
        ),
        ("secret_file = \"set.json\"\nalgorithms = [\"ES256\"]", "ES256 cannot be checked with these keys"),
        ("jwks_file = \"set.json\"\naudience = \"a\"\nalgorithms = []", "without an algorithm"),
        ("jwks_file = \"set.json\"\naudience = \"a\"\nclaims_to_headers = { a = \"te\" }", "not the name of a field"),
    ] {
        let error = try_made_in(dir.path(), "jwt", settings).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{error}");
    }
}
