//! Where clients are sent, and that they cannot choose it.

use super::super::testing::{Request, ask, faults, get, made};
use super::*;

/// The place that a request is sent to, with the status.
fn sent(settings: &str, request: &Request) -> Option<(u16, String)> {
    match ask(&made("redirect", settings), request).0 {
        Flow::Answer(answer) => Some((answer.status.as_u16(), answer.headers[0].1.to_str().unwrap().to_owned())),
        _ => None,
    }
}

fn place(settings: &str, target: &'static str) -> Option<String> {
    sent(settings, &get(target)).map(|(_, to)| to)
}

#[test]
fn captures_of_the_canonical_path_make_the_new_place() {
    let settings =
        "from = '^/blog/(?<year>[0-9]{4})/(.*)$'\nto = \"https://blog.example/{year}/{2}{query}\"\nstatus = 301";
    for (target, wanted) in [
        ("/blog/2024/a%20b?x=1", Some("https://blog.example/2024/a%20b?x=1")),
        ("//blog/%32024/", Some("https://blog.example/2024/")),
        ("/blog/24/x", None),
    ] {
        assert_eq!(place(settings, target).as_deref(), wanted, "{target}");
    }
    assert_eq!(sent(settings, &get("/blog/2024/")).unwrap().0, 301);
}

#[test]
fn no_client_chooses_the_host() {
    for (settings, target, wanted) in [
        ("from = '^/go(.*)$'\nto = \"/{1}\"", "/go/evil.example", "/evil.example"),
        ("from = '^/go/(.*)$'\nto = \"/{1}\"", "/go/%2Fevil.example", "/%2Fevil.example"),
        ("from = '^/go/(.*)$'\nto = \"/{1}\"", "/go/%5Cevil.example", "/%5Cevil.example"),
        ("from = '^/old'\nto = \"https://{host}/new{path}\"", "/old/x", "https://app.example/new/old/x"),
        ("from = '^/old'\nto = \"https://new.example{path}{query}\"", "/old?a", "https://new.example/old?a"),
    ] {
        assert_eq!(place(settings, target).as_deref(), Some(wanted), "{settings}");
    }
    for to in [
        "https://{1}/",
        "https://new.example{1}",
        "https://{1}.example/",
        "//{1}x",
        "{1}",
        "https://a@b/{1}",
        "javascript:{1}",
    ] {
        let found = faults("redirect", &format!("from = '^/(.*)$'\nto = \"{to}\""));
        let is_relative = to.starts_with('/');
        assert_eq!(found.is_empty(), is_relative, "{to}: {found:?}");
    }
    assert_eq!(place("from = '^/(.*)$'\nto = \"//{1}\"", "/evil.example"), None, "that is where it is");
}

#[test]
fn hosts_schemes_and_slashes_are_made_what_they_should_be() {
    for (settings, target, wanted) in [
        ("www = \"add\"", "/a?b", Some("https://www.app.example:8443/a?b")),
        ("www = \"remove\"", "/a", None),
        ("scheme = \"https\"", "/a", None),
        ("slash = \"add\"", "/docs?x", Some("https://app.example:8443/docs/?x")),
        ("slash = \"add\"", "/docs/", None),
        ("slash = \"add\"", "/logo.png", None),
        ("slash = \"add\"", "*", None),
        ("slash = \"remove\"", "/docs//", Some("https://app.example:8443/docs")),
        ("slash = \"remove\"", "//evil/", Some("https://app.example:8443/evil")),
        ("slash = \"remove\"", "/", None),
        ("slash = \"remove\"", "//", Some("https://app.example:8443/")),
    ] {
        assert_eq!(place(settings, target).as_deref(), wanted, "{settings} {target}");
    }
    assert!(sent("slash = \"add\"", &get("/docs").method(Method::POST)).is_none(), "a form would lose its body");
}

#[test]
fn a_plain_request_is_sent_to_the_default_port_of_https() {
    let middleware = made("redirect", "scheme = \"https\"\nwww = \"remove\"");
    let request = get("/a");
    let mut done = super::super::Done::default();
    let from = Asker { scheme: "http", host: "www.app.example", authority: "www.app.example:8080", ..request.asker() };
    let Flow::Answer(answer) = middleware.request(&mut Ask { from, done: &mut done }) else { panic!("it passed") };
    assert_eq!((answer.status.as_u16(), answer.headers[0].1.to_str().unwrap()), (308, "https://app.example/a"));
}

#[test]
fn what_is_already_there_passes() {
    for settings in ["from = '^/(.*)$'\nto = \"/{1}\"", "from = '^/a'\nto = \"https://app.example:8443{path}{query}\""]
    {
        assert_eq!(place(settings, "/a?b").filter(|to| to.contains('b')), None, "{settings}");
    }
}

#[test]
fn settings_that_cannot_work_are_faults() {
    for (settings, wanted) in [
        ("status = 301", "nothing is ever redirected"),
        ("from = '^/a'", "belong together"),
        ("to = \"/a\"", "belong together"),
        ("from = '['\nto = \"/a\"", "not a regular expression"),
        ("from = '^/a'\nto = \"/{1}\"", "nothing called `{1}`"),
        ("from = '^/a'\nto = \"/b\"\nstatus = 304", "304 is not a redirect"),
    ] {
        let found = faults("redirect", settings);
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{settings}: {found:?}");
    }
}
