//! Which addresses mean this place, and that all else stays as it is.

use super::super::Done;
use super::super::testing::{get, made, reply};
use super::links;

fn location(settings: &str, given: &str) -> String {
    let (_, fields) = reply(&made("realm", settings), &get("/"), &mut Done::default(), 201, &[("location", given)]);
    fields["location"].to_str().expect("text").to_owned()
}

#[test]
fn places_that_mean_us_are_moved_here_and_others_stay() {
    for (given, wanted) in [
        ("http://app.example/v2/x?_state=a%2Fb", "https://app.example:8443/v2/x?_state=a%2Fb"),
        ("https://APP.example:443/", "https://app.example:8443/"),
        ("http://127.0.0.1:5000/v2/", "https://app.example:8443/v2/"),
        ("http://old.internal:3000/x#y", "https://app.example:8443/x#y"),
        ("http://old.internal", "https://app.example:8443"),
        ("http://127.0.0.1:9000/bucket", "http://127.0.0.1:9000/bucket"),
        ("https://s3.example/bucket?sig=1", "https://s3.example/bucket?sig=1"),
        ("https://app.example.evil/", "https://app.example.evil/"),
        ("https://app.example@evil/", "https://app.example@evil/"),
        ("/relative", "/relative"),
        ("ftp://app.example/", "ftp://app.example/"),
    ] {
        assert_eq!(location("hosts = [\"old.internal\"]", given), wanted);
        assert_eq!(location("hosts = [\"*\", \"old.internal\"]", given), wanted, "any is for realms alone");
    }
}

#[test]
fn realms_are_rewritten_in_every_challenge_of_a_401() {
    let challenges = [
        ("www-authenticate", "Bearer realm=\"http://wrong:80/token\",service=\"s\""),
        ("www-authenticate", "Basic realm=\"x\""),
    ];
    let answer = |settings, status| {
        let (_, fields) = reply(&made("realm", settings), &get("/"), &mut Done::default(), status, &challenges);
        fields
            .get_all("www-authenticate")
            .iter()
            .map(|value| value.to_str().expect("text").to_owned())
            .collect::<Vec<_>>()
    };
    let moved = ["Bearer realm=\"https://app.example:8443/token\",service=\"s\"", "Basic realm=\"x\""];
    assert_eq!(answer("hosts = \"wrong\"", 401), moved);
    assert_eq!(answer("hosts = \"*\"", 401), moved);
    assert_eq!(answer("", 401), challenges.map(|(_, value)| value));
    assert_eq!(answer("hosts = \"*\"", 200), challenges.map(|(_, value)| value));
}

#[test]
fn targets_of_links_are_rewritten_and_their_titles_not() {
    let change = |target: &str| target.starts_with("http://a").then(|| target.replacen("http://a", "https://b", 1));
    let text = "<http://a/x?n=1>; rel=\"next\"; title=\"<http://a> \\\" <http://a>\", <http://c>; rel=x, <http://a/y>";
    let wanted =
        "<https://b/x?n=1>; rel=\"next\"; title=\"<http://a> \\\" <http://a>\", <http://c>; rel=x, <https://b/y>";
    assert_eq!(links(text, change).as_deref(), Some(wanted));
    for end in 0..=text.len() {
        links(&text[..end], change);
    }
}
