//! What browsers are told, and what configurations are refused.

use super::super::testing::{Request, ask, faults, get, made, reply};
use super::*;

const SETTINGS: &str = "origins = [\"https://app.example\", \"https://*.dev.example\"]\nmethods = [\"GET\", \"PUT\"]\n\
                        headers = [\"Authorization\"]\nexpose = \"X-Total\"\ncredentials = true\nmax_age = \"10m\"";

fn of(origin: &str) -> Request {
    get("/").header("origin", origin)
}

fn preflight(origin: &str) -> Request {
    let request = of(origin).method(Method::OPTIONS).header("access-control-request-method", "PUT");
    request.header("access-control-request-headers", "authorization, x-other")
}

#[test]
fn a_preflight_is_answered_and_never_reaches_the_server() {
    let (flow, _) = ask(&made("cors", SETTINGS), &preflight("https://x.dev.example"));
    let Flow::Answer(answer) = flow else { panic!("{flow:?}") };
    let fields: Vec<_> = answer.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(answer.status, 204);
    assert_eq!(
        fields,
        [
            ("access-control-allow-origin", "https://x.dev.example"),
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-max-age", "600"),
            ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
            ("access-control-allow-headers", "Authorization"),
            ("access-control-allow-credentials", "true"),
        ]
    );
}

#[test]
fn a_preflight_of_a_stranger_is_refused_and_a_plain_options_passes() {
    let middleware = made("cors", SETTINGS);
    for origin in ["https://evil.example", "null", "https://app.example.evil.example", "x"] {
        let (flow, _) = ask(&middleware, &preflight(origin));
        assert!(matches!(flow, Flow::Refuse(denial) if denial.reason == Refusal::DeniedOrigin), "{origin}");
    }
    let options = of("https://app.example").method(Method::OPTIONS);
    assert!(matches!(ask(&middleware, &options).0, Flow::Next));
    assert!(matches!(ask(&middleware, &of("https://evil.example")).0, Flow::Next));
}

#[test]
fn answers_name_the_origin_and_vary_by_it() {
    let middleware = made("cors", SETTINGS);
    let of_server =
        [("access-control-allow-origin", "*"), ("access-control-allow-headers", "*"), ("vary", "Accept-Encoding")];
    let request = of("https://app.example");
    let (_, mut done) = ask(&middleware, &request);
    let (_, head) = reply(&middleware, &request, &mut done, 200, &of_server);
    assert_eq!(head["access-control-allow-origin"], "https://app.example");
    assert_eq!(head["access-control-allow-credentials"], "true");
    assert_eq!(head["access-control-expose-headers"], "X-Total");
    assert_eq!(head.get_all("vary").iter().collect::<Vec<_>>(), ["Accept-Encoding", "Origin"]);
    assert_eq!(head.len(), 5, "the server's own are gone: {head:?}");
    for request in
        [of("https://evil.example"), get("/"), of("https://app.example").header("origin", "https://app.example")]
    {
        let (_, head) = reply(&middleware, &request, &mut done, 200, &of_server);
        assert!(head.len() == 2 && head.get("vary").is_some(), "{head:?}");
    }
}

#[test]
fn everybody_means_a_star_without_credentials() {
    let middleware = made("cors", "origins = \"*\"\nheaders = \"*\"\nexpose = \"X-Total\"");
    let request = of("https://anybody.example");
    for request in [request.clone(), get("/"), request.header("origin", "https://other.example")] {
        let (_, mut done) = ask(&middleware, &request);
        let (_, head) = reply(&middleware, &request, &mut done, 200, &[]);
        assert_eq!((head.len(), &head["access-control-allow-origin"]), (2, &HeaderValue::from_static("*")));
        assert_eq!(head["access-control-expose-headers"], "X-Total", "a cache may keep it for a page");
    }
    let (flow, _) = ask(&middleware, &preflight("https://anybody.example"));
    let Flow::Answer(answer) = flow else { panic!("{flow:?}") };
    let headers = answer.headers.iter().find(|(name, _)| *name == header::ACCESS_CONTROL_ALLOW_HEADERS);
    assert_eq!(headers.map(|(_, value)| value.as_bytes()), Some(b"authorization, x-other".as_slice()));
    let bad = of("https://a.example").method(Method::OPTIONS).header("access-control-request-method", "GET");
    let (flow, _) = ask(&middleware, &bad.header("access-control-request-headers", "x: y"));
    let Flow::Answer(answer) = flow else { panic!("{flow:?}") };
    assert!(!answer.headers.iter().any(|(name, _)| *name == header::ACCESS_CONTROL_ALLOW_HEADERS));
}

#[test]
fn settings_that_would_open_too_much_are_faults() {
    for (settings, wanted) in [
        ("origins = \"*\"\ncredentials = true", "let every page act"),
        ("origins = \"null\"\ncredentials = true", "sandboxed"),
        ("origins = [\"app.example\"]", "not an origin"),
        ("origins = [\"https://app.example/\"]", "not an origin"),
        ("origins = \"*\"\nmethods = [\"GET, PUT\"]", "not a name"),
        ("origins = \"*\"\nheaders = [\"a b\"]", "not a name"),
    ] {
        let found = faults("cors", settings);
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{settings}: {found:?}");
    }
}
