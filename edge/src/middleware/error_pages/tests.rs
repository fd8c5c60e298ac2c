//! Who gets a page, what its head says, and pages that cannot be used.

use super::super::testing::{Request, faults, get, made, made_in, reply, try_made_in};
use super::super::{Done, through};

fn browser() -> Request {
    get("/").header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
}

const PAGES: &str = "servers = true\ntext = { 404 = \"<p>{status} {host}\", \"400-499\" = \"client\", 5xx = \"down\" }";

/// The page that a client gets instead of `gone`; none if it gets that.
fn page(settings: &str, request: &Request, status: u16, fields: &[(&str, &str)]) -> (Option<String>, http::HeaderMap) {
    let mut done = Done::default();
    let (kept, head) = reply(&made("error-pages", settings), request, &mut done, status, fields);
    assert_eq!(kept, status);
    let mut body = Vec::new();
    for (chunk, end) in [(Some("go".into()), false), (Some("ne".into()), false), (None, true)] {
        body.extend(through(&mut done.response_body, chunk, end).expect("it cannot fail").unwrap_or_default());
    }
    let body = String::from_utf8(body).unwrap();
    ((body != "gone").then_some(body), head)
}

#[test]
fn the_narrowest_page_is_taken_and_the_status_stays() {
    for (status, wanted) in
        [(404, Some("<p>404 app.example")), (403, Some("client")), (502, Some("down")), (200, None), (302, None)]
    {
        assert_eq!(page(PAGES, &browser(), status, &[]).0.as_deref(), wanted, "{status}");
    }
}

#[test]
fn fields_of_the_old_body_go_and_others_stay() {
    let fields = [
        ("content-type", "application/json"),
        ("content-length", "4"),
        ("content-encoding", "gzip"),
        ("etag", "\"x\""),
        ("www-authenticate", "Basic"),
        ("retry-after", "1"),
    ];
    let (_, head) = page(PAGES, &browser(), 401, &fields);
    assert_eq!(head["content-type"], "text/html; charset=utf-8");
    assert_eq!((&head["www-authenticate"], &head["retry-after"]), (&"Basic".parse().unwrap(), &"1".parse().unwrap()));
    assert_eq!(head.len(), 4, "{head:?}");
}

#[test]
fn programs_and_answers_without_a_body_are_left_alone() {
    for request in [
        get("/"),
        get("/").header("accept", "*/*"),
        get("/").header("accept", "application/json"),
        get("/").header("accept", "text/html;q=0"),
        browser().method(http::Method::HEAD),
        browser().header("upgrade", "websocket"),
    ] {
        assert!(page(PAGES, &request, 500, &[("content-type", "text/plain")]).0.is_none(), "{request:?}");
    }
    assert!(page(PAGES, &browser(), 500, &[("content-length", "0")]).0.is_none());
    assert!(page("text = { 5xx = \"down\" }", &browser(), 500, &[]).0.is_none(), "servers speak for themselves");
}

#[test]
fn caches_are_told_that_there_is_a_page_for_others() {
    let program = get("/").header("accept", "application/json");
    let vary = |settings: &str, request: &Request, status: u16, fields: &[(&str, &str)]| {
        let (_, head) = page(settings, request, status, fields);
        head.get_all("vary").iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for request in [&browser(), &program] {
        assert_eq!(vary(PAGES, request, 404, &[]), ["Accept"]);
        let origin = [("vary", "Origin"), ("vary", "Accept-Encoding, accept")];
        assert_eq!(vary(PAGES, request, 404, &origin), ["Origin", "Accept-Encoding, accept"], "it says so already");
        assert!(vary(PAGES, request, 200, &[]).is_empty(), "there is no page for this");
        assert!(vary("text = { 404 = \"x\" }", request, 404, &[]).is_empty(), "servers speak for themselves");
    }
}

#[test]
fn a_page_is_read_from_its_file_when_the_route_is_built() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("down.html"), "of a file").unwrap();
    let settings = "servers = true\nfile = { 5xx = \"down.html\" }";
    let middleware = made_in(dir.path(), "error-pages", settings);
    let mut done = Done::default();
    reply(&middleware, &browser(), &mut done, 503, &[]);
    assert_eq!(through(&mut done.response_body, None, true).unwrap().unwrap(), "of a file");
    std::fs::write(dir.path().join("down.html"), vec![b'x'; (1 << 20) + 1]).unwrap();
    let error = try_made_in(dir.path(), "error-pages", settings).unwrap_err();
    assert!(error.to_string().contains("larger than 1 MiB"), "{error}");
    std::fs::remove_file(dir.path().join("down.html")).unwrap();
    let error = try_made_in(dir.path(), "error-pages", settings).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn what_cannot_be_a_page_is_a_fault() {
    for (settings, wanted) in [
        ("servers = true", "there is no page"),
        ("text = { 200 = \"x\" }", "not an error status"),
        ("text = { 5xx = \"x\", \"500-599\" = \"y\" }", "two pages"),
        ("file = { 404 = \"none.html\" }", "does not exist"),
    ] {
        let found = faults("error-pages", settings);
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{settings}: {found:?}");
    }
}
