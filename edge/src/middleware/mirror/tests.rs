//! Which requests are copied, and what bounds them; that copies arrive is tested with real servers.

use bytes::Bytes;

use super::super::testing::{Request, ask, faults, get, made};
use super::super::{Done, through};
use super::*;

fn with_body(middleware: &Arc<dyn Middleware>, request: &Request) -> Done {
    let mut done = Done::default();
    middleware.request(&mut Ask { from: super::super::Asker { has_body: true, ..request.asker() }, done: &mut done });
    done
}

#[test]
fn the_share_is_exact_and_even() {
    let middleware = made("mirror", "to = \"http://127.0.0.1:9\"\npercent = 30\nat_once = 1000");
    let chosen: Vec<bool> = (0..200).map(|_| !ask(&middleware, &get("/")).1.on_sent.is_empty()).collect();
    for hundred in chosen.windows(100) {
        assert_eq!(hundred.iter().filter(|chosen| **chosen).count(), 30);
    }
}

#[test]
fn the_body_passes_as_it_is_and_a_large_one_gives_its_place_back() {
    let middleware = made("mirror", "to = \"http://127.0.0.1:9\"\nmax_body = \"10B\"\nat_once = 1");
    let mut first = with_body(&middleware, &get("/"));
    assert!(with_body(&middleware, &get("/")).request_body.is_empty(), "one at a time");
    for piece in ["0123456789", "x", "more"] {
        let passed = through(&mut first.request_body, Some(Bytes::from(piece)), false).expect("it never fails");
        assert_eq!(passed.as_deref(), Some(piece.as_bytes()));
    }
    assert!(!with_body(&middleware, &get("/")).request_body.is_empty(), "the place is free");
}

#[test]
fn a_request_that_ends_early_gives_its_place_back() {
    let middleware = made("mirror", "to = \"http://127.0.0.1:9\"\nat_once = 1");
    for _ in 0..3 {
        let done = with_body(&middleware, &get("/"));
        assert!(!done.on_sent.is_empty());
    }
    let upgrade = get("/").header("upgrade", "websocket");
    assert!(ask(&middleware, &upgrade).1.on_sent.is_empty());
}

#[test]
fn what_is_no_server_is_a_fault() {
    for to in ["127.0.0.1:9090", "ftp://a", "http://a/path", "http://u@a", "http://a?x", "http://", "/x"] {
        assert_eq!(faults("mirror", &format!("to = \"{to}\"")).len(), 1, "{to}");
    }
    for size in ["none", "65MiB"] {
        assert_eq!(faults("mirror", &format!("to = \"http://a\"\nmax_body = \"{size}\"")).len(), 1, "{size}");
    }
    assert!(faults("mirror", "to = \"https://shadow.example:8443/\"").is_empty());
}
