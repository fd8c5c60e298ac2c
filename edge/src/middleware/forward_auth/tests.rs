//! What another server is asked, and what becomes of each of its answers.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use http::Method;

use super::super::testing::{apply, ask_and_wait, get, made, reply, try_made_in};
use super::*;

/// A server that answers everything with these bytes: its address, and the heads that it was asked with.
fn server(answer: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (sender, heads) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut block = [0; 8192];
                while let Ok(count @ 1..) = stream.read(&mut block) {
                    let told = sender.send(String::from_utf8_lossy(&block[..count]).to_lowercase());
                    if told.is_err() || stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, heads)
}

fn login(address: &str, more: &str) -> std::sync::Arc<dyn Middleware> {
    made("forward-auth", &format!("url = \"http://{address}/verify?rd=1\"\ntimeout = \"2s\"\n{more}"))
}

#[tokio::test]
async fn who_may_pass_comes_with_what_the_answer_says() {
    let (address, heads) = server(
        "HTTP/1.1 204 Fine\r\nRemote-User: ann\r\nRemote-Groups: a\r\nRemote-Groups: b\r\nX-Other: no\r\n\
         Set-Cookie: session=2\r\n\r\n",
    );
    let middleware = login(
        &address,
        "copy_headers = [\"Remote-User\", \"Remote-Groups\", \"Remote-Email\"]\nuser_from = \"remote-user\"\n\
         request_headers = \"x-tenant\"",
    );
    let request = get("/a%20b?x=%2F")
        .method(Method::POST)
        .header("cookie", "session=1")
        .header("authorization", "Bearer x")
        .header("remote-user", "root")
        .header("remote_email", "root@evil")
        .header("x-forwarded-uri", "/public")
        .header("x-tenant", "blue")
        .header("content-length", "5")
        .header("transfer-encoding", "chunked")
        .header("upgrade", "x")
        .header("connection", "upgrade");
    let (flow, mut done) = ask_and_wait(&middleware, &request).await;
    assert!(matches!(flow, Flow::Next), "{flow:?}");
    assert_eq!(done.user.as_deref(), Some("ann"));
    let seen = apply(request.headers.clone(), done.edits.clone());
    assert_eq!(seen["remote-user"], "ann");
    assert_eq!(seen.get_all("remote-groups").iter().collect::<Vec<_>>(), ["a", "b"]);
    assert!(!seen.contains_key("remote_email") && !seen.contains_key("x-other"), "{seen:?}");
    assert_eq!(seen["authorization"], "Bearer x");
    let (_, fields) = reply(&middleware, &request, &mut done, 200, &[("set-cookie", "own=1")]);
    assert_eq!(fields.get_all("set-cookie").iter().collect::<Vec<_>>(), ["own=1", "session=2"]);

    let head = heads.recv().expect("it was asked");
    assert!(head.starts_with("get /verify?rd=1 http/1.1\r\n"), "{head}");
    for line in [
        "x-forwarded-method: post",
        "x-forwarded-proto: https",
        "x-forwarded-host: app.example:8443",
        "x-forwarded-uri: /a%20b?x=%2f",
        "x-forwarded-for: 192.0.2.7",
        "cookie: session=1",
        "authorization: bearer x",
        "x-tenant: blue",
        &format!("host: {address}"),
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    for name in ["upgrade", "connection", "transfer-encoding", "remote-user", "/public"] {
        assert!(!head.contains(name), "{name} in {head}");
    }
}

#[tokio::test]
async fn rules_for_paths_see_one_spelling_unless_there_are_none() {
    for (settings, line) in
        [("", "x-forwarded-uri: /admin/x?%2f"), ("path_rules = false", "x-forwarded-uri: //%61dmin;y/x?%2f")]
    {
        let (address, heads) = server("HTTP/1.1 204 Fine\r\n\r\n");
        let (flow, _) = ask_and_wait(&login(&address, settings), &get("//%61dmin;y/x?%2F")).await;
        assert!(matches!(flow, Flow::Next), "{flow:?}");
        let head = heads.recv().expect("it was asked");
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
}

#[tokio::test]
async fn any_other_answer_goes_to_the_client() {
    let (address, _heads) = server(
        "HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
         Keep-Alive: 5\r\nContent-Length: 5\r\n\r\nlogin",
    );
    let (flow, done) = ask_and_wait(&login(&address, ""), &get("/")).await;
    let Flow::Answer(answer) = flow else { panic!("{flow:?}") };
    let headers: HeaderMap = answer.headers.into_iter().collect();
    assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (302, &b"login"[..]));
    assert_eq!(headers["location"], "https://login.example/");
    assert!(!headers.contains_key("keep-alive") && !headers.contains_key("content-length"));
    assert!(done.user.is_none() && done.edits.is_empty());
}

#[tokio::test]
async fn without_a_good_answer_nobody_passes() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let mut middlewares = vec![login(&nobody.to_string(), "")];
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it is bound");
    middlewares.push(made("forward-auth", &format!("url = \"http://{address}/\"\ntimeout = \"100ms\"")));
    for answer in [
        "HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        middlewares.push(login(&server(answer).0, ""));
    }
    for middleware in middlewares {
        let (flow, done) = ask_and_wait(&middleware, &get("/")).await;
        let Flow::Refuse(denial) = flow else { panic!("{flow:?}") };
        assert_eq!((denial.reason, denial.detail), (Refusal::AuthUnavailable, None));
        assert!(done.user.is_none());
    }
}

#[test]
fn what_cannot_be_asked_is_not_made() {
    for (settings, wanted) in [
        ("", "cannot be read"),
        ("url = \"/verify\"", "is not the URL of a server"),
        ("url = \"ftp://a/\"", "is not the URL of a server"),
        ("url = \"http://user:password@a/\"", "is not the URL of a server"),
        ("url = \"http://a/\"\ntimeout = \"0\"", "without a limit"),
        ("url = \"http://a/\"\ncopy_headers = [\"Host\"]", "not the name of a field"),
        ("url = \"https://a/\"\nca_file = \"/nowhere\"", "cannot be read"),
    ] {
        let error = try_made_in(Path::new("/"), "forward-auth", settings).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{error}");
    }
}
