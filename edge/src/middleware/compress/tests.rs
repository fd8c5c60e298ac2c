//! Which answers are compressed, and what their heads say then.

use std::sync::Arc;

use super::super::testing::{Request, get, made, reply};
use super::super::{Done, through};
use super::*;

type Head<'a> = &'a [(&'a str, &'a str)];

/// The coding of the answer, its head, and whether its body goes through an encoder.
fn answered(
    settings: &str,
    request: &Request,
    status: u16,
    fields: Head<'_>,
) -> (Option<String>, http::HeaderMap, bool) {
    let middleware = made("compress", settings);
    let mut done = Done::default();
    let (_, head) = reply(&middleware, request, &mut done, status, fields);
    let coding = head.get("content-encoding").map(|value| value.to_str().unwrap().to_owned());
    (coding, head, !done.response_body.is_empty())
}

fn accepting(codings: &str) -> Request {
    get("/page").header("accept-encoding", codings)
}

const PAGE: [(&str, &str); 2] = [("content-type", "text/html; charset=utf-8"), ("content-length", "5000")];

#[test]
fn a_text_is_compressed_as_the_client_likes_it_best() {
    for (codings, wanted) in [("gzip, br", "br"), ("gzip, br, zstd", "zstd"), ("gzip;q=1, br;q=0.5", "gzip")] {
        let (coding, head, filtered) = answered("", &accepting(codings), 200, &PAGE);
        assert_eq!((coding.as_deref(), filtered), (Some(wanted), true));
        assert_eq!(head["vary"], "Accept-Encoding");
        assert!(head.get("content-length").is_none());
    }
    let (coding, _, _) = answered("codings = [\"gzip\", \"br\"]", &accepting("br, gzip"), 200, &PAGE);
    assert_eq!(coding.as_deref(), Some("gzip"), "our order among equals");
}

#[test]
fn a_strong_tag_becomes_weak_and_ranges_are_no_longer_offered() {
    let fields = [PAGE[0], PAGE[1], ("etag", "\"abc\""), ("accept-ranges", "bytes"), ("vary", "Origin")];
    let (_, head, _) = answered("", &accepting("gzip"), 200, &fields);
    assert_eq!(head["etag"], "W/\"abc\"");
    assert!(head.get("accept-ranges").is_none());
    assert_eq!(head.get_all("vary").iter().collect::<Vec<_>>(), ["Origin", "Accept-Encoding"]);
    let fields = [PAGE[0], ("etag", "W/\"abc\""), ("vary", "accept-encoding, Origin")];
    let (_, head, _) = answered("", &accepting("gzip"), 200, &fields);
    assert_eq!((&head["etag"], head.get_all("vary").iter().count()), (&"W/\"abc\"".parse().unwrap(), 1));
}

#[test]
fn an_answer_that_could_break_by_it_goes_untouched() {
    let untouched: [(&str, u16, Head<'_>); 21] = [
        ("already encoded", 200, &[PAGE[0], ("content-encoding", "br")]),
        ("no-transform", 200, &[PAGE[0], ("cache-control", "public, No-Transform")]),
        ("a part", 206, &[PAGE[0], ("content-range", "bytes 0-99/5000")]),
        ("a range under another status", 200, &[PAGE[0], ("content-range", "bytes 0-99/5000")]),
        ("no content", 204, &PAGE),
        ("not modified", 304, &PAGE),
        ("switching", 101, &PAGE),
        ("too small", 200, &[PAGE[0], ("content-length", "1023")]),
        ("empty", 200, &[PAGE[0], ("content-length", "0")]),
        ("a picture", 200, &[("content-type", "image/png")]),
        ("no type", 200, &[]),
        ("events", 200, &[("content-type", "text/event-stream;charset=utf-8")]),
        ("lines", 200, &[("content-type", "application/x-ndjson")]),
        ("gRPC", 200, &[("content-type", "application/grpc+proto")]),
        ("unbuffered", 200, &[PAGE[0], ("x-accel-buffering", "no")]),
        ("of S3", 200, &[PAGE[0], ("x-amz-request-id", "1")]),
        ("a checksum", 200, &[PAGE[0], ("content-md5", "Q2hlY2s=")]),
        ("a digest", 200, &[PAGE[0], ("repr-digest", "sha-256=:x:")]),
        ("a signature", 200, &[PAGE[0], ("signature", "s=:x:")]),
        ("multipart", 200, &[("content-type", "multipart/x-mixed-replace; boundary=x")]),
        ("a lookalike", 200, &[("content-type", "text")]),
    ];
    let settings = "types = [\"text/*\", \"application/*\", \"multipart/*\"]";
    for (what, status, fields) in untouched {
        let (_, head, filtered) = answered(settings, &accepting("gzip"), status, fields);
        let before = get("/");
        let before = fields.iter().fold(before, |request, (name, value)| request.header(name, value)).headers;
        assert!(!filtered && head == before, "{what}: {head:?}");
    }
}

#[test]
fn signed_requests_are_answered_untouched() {
    for request in [
        accepting("gzip").header("authorization", "AWS4-HMAC-SHA256 Credential=x"),
        accepting("gzip").header("x-amz-date", "x"),
        get("/b/k?X-Amz-Signature=x&a=b").header("accept-encoding", "gzip"),
        get("/b/k?a=b&AWSAccessKeyId=x").header("accept-encoding", "gzip"),
        get("/b/k?x-goog-signature").header("accept-encoding", "gzip"),
    ] {
        let (_, head, filtered) = answered("", &request, 200, &PAGE);
        assert!(!filtered && head.len() == 2, "{head:?}");
    }
}

#[test]
fn who_takes_no_coding_learns_only_that_it_varies() {
    let head_request = accepting("gzip").method(Method::HEAD);
    for request in [get("/"), accepting("identity"), accepting("deflate"), accepting("gzip;q=0"), head_request] {
        let (coding, head, filtered) = answered("", &request, 200, &PAGE);
        assert!(coding.is_none() && !filtered);
        assert_eq!(
            (&head["vary"], &head["content-length"]),
            (&"Accept-Encoding".parse().unwrap(), &"5000".parse().unwrap())
        );
    }
}

#[test]
fn a_304_names_the_tag_under_which_the_client_has_it() {
    let known = accepting("gzip").header("if-none-match", "W/\"abc\", \"x\"");
    let (_, head, _) = answered("", &known, 304, &[("etag", "\"abc\"")]);
    assert_eq!(head["etag"], "W/\"abc\"");
    let other = accepting("gzip").header("if-none-match", "\"abc\"");
    assert_eq!(answered("", &other, 304, &[("etag", "\"abc\"")]).1["etag"], "\"abc\"");
}

#[test]
fn beyond_so_many_at_once_answers_go_as_they_are_until_one_has_gone() {
    let places: &Semaphore = Box::leak(Box::new(Semaphore::new(2)));
    let (types, codings) = (vec!["text/*".to_owned()], vec![Coding::Gzip]);
    let middleware: Arc<dyn Middleware> = Arc::new(Compress { types, min: 0, codings, places });
    let answer = || {
        let mut done = Done::default();
        let (_, head) = reply(&middleware, &accepting("gzip"), &mut done, 200, &PAGE);
        (head, done.response_body)
    };
    let [(_, mut ends), (_, given_up)] = [answer(), answer()];
    assert_eq!((ends.len(), given_up.len()), (1, 1));
    let (head, filters) = answer();
    assert!(filters.is_empty() && head.get("content-encoding").is_none());
    assert_eq!(
        (&head["content-length"], &head["vary"]),
        (&"5000".parse().unwrap(), &"Accept-Encoding".parse().unwrap())
    );
    drop(given_up);
    let (head, again) = answer();
    assert_eq!((again.len(), &head["content-encoding"]), (1, &"gzip".parse().unwrap()));
    assert!(answer().1.is_empty());
    through(&mut ends, None, true).expect("memory takes all");
    assert_eq!(answer().1.len(), 1);
}
