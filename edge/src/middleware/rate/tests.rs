//! The middleware with time as an argument.

use super::super::Done;
use super::super::testing::{ask, get, made, made_in, reply};
use super::super::tokens;
use super::*;

use crate::middleware::testing::Request;
use crate::telemetry::{BuildInfo, Metrics};

fn rate_of(law: Law, by: By) -> Rate {
    let settings = Settings { law, by, tell: true, remember: 1_000 };
    let metrics = Metrics::new(BuildInfo { version: "0", commit: "" }).route("app");
    let building =
        Building { folder: "/".as_ref(), state: "/".as_ref(), route: "app", name: "fair", metrics: &metrics };
    Rate::build(settings, &building).expect("it opens nothing")
}

fn at(rate: &Rate, request: &Request, user: Option<&str>, now: Duration) -> Flow {
    let mut done = Done { user: user.map(str::to_owned), ..Done::default() };
    rate.at(&mut Ask { from: request.asker(), done: &mut done }, now)
}

const NOW: Duration = Duration::from_secs(100);

#[test]
fn a_request_too_many_is_refused_and_told_when_to_come_back() {
    let rate = rate_of(Law::new(2, Duration::from_secs(60), 2), By::Client);
    let request = get("/");
    for _ in 0..2 {
        assert!(matches!(at(&rate, &request, None, NOW), Flow::Next));
    }
    let Flow::Refuse(denial) = at(&rate, &request, None, NOW + Duration::from_millis(500)) else { panic!("passed") };
    assert_eq!(denial.reason, Refusal::RateLimited);
    let fields: Vec<_> = denial.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let wanted = [("retry-after", "30"), ("ratelimit-policy", "\"fair\";q=2;w=60"), ("ratelimit", "\"fair\";r=0;t=30")];
    assert_eq!(fields, wanted);
    assert!(matches!(at(&rate, &request, None, NOW + Duration::from_millis(30_500)), Flow::Next), "as it was told");
}

#[test]
fn clients_share_a_bucket_by_address_and_by_64_bits_of_ipv6() {
    let rate = rate_of(Law::new(1, Duration::from_secs(60), 1), By::Client);
    let passes = |address: &str| {
        let request = Request { client: address.parse().unwrap(), ..get("/") };
        matches!(at(&rate, &request, None, NOW), Flow::Next)
    };
    assert!(passes("192.0.2.1") && passes("192.0.2.2") && passes("2001:db8::1") && passes("2001:db8:0:1::1"));
    assert!(!passes("192.0.2.1") && !passes("::ffff:192.0.2.1"), "a mapped address is the same client");
    assert!(!passes("2001:db8::ffff:1"), "the same /64");
}

#[test]
fn users_and_header_fields_have_buckets_of_their_own() {
    let law = Law::new(1, Duration::from_secs(60), 1);
    let by_user = rate_of(law, By::User);
    for user in [Some("ann"), Some("bob"), None] {
        assert!(matches!(at(&by_user, &get("/"), user, NOW), Flow::Next), "{user:?}");
        assert!(matches!(at(&by_user, &get("/"), user, NOW), Flow::Refuse(_)), "{user:?}");
    }
    let by_key = rate_of(law, By::Header(HeaderName::from_static("x-key")));
    for request in [get("/").header("x-key", "a"), get("/").header("x-key", "b"), get("/")] {
        assert!(matches!(at(&by_key, &request, None, NOW), Flow::Next));
        assert!(matches!(at(&by_key, &request, None, NOW), Flow::Refuse(_)));
    }
}

#[test]
fn a_credential_counts_that_was_checked_and_hidden_from_the_server() {
    let dir = tempfile::tempdir().expect("a folder");
    let made: [(String, String); 2] = std::array::from_fn(|_| tokens::make().expect("randomness"));
    let line = |(index, (_, hash)): (usize, &(String, String))| {
        format!("[[token]]\nname = \"t{index}\"\nsha256 = \"{hash}\"\n")
    };
    let text: String = made.iter().enumerate().map(line).collect();
    std::fs::write(dir.path().join("tokens.toml"), text).expect("it can be written");
    let login = made_in(dir.path(), "api-token", "tokens_file = \"tokens.toml\"\nheader = \"X-Api-Key\"");
    let rate = rate_of(Law::new(1, Duration::from_secs(60), 1), By::Header(HeaderName::from_static("x-api-key")));
    for (token, _) in &made {
        let request = get("/").header("x-api-key", token);
        for passes in [true, false] {
            let (flow, mut done) = ask(&login, &request);
            assert!(matches!(flow, Flow::Next), "{flow:?}");
            let flow = rate.at(&mut Ask { from: request.asker(), done: &mut done }, NOW);
            assert_eq!(matches!(flow, Flow::Next), passes, "each token has a bucket of its own");
        }
    }
}

#[test]
fn a_field_that_was_dropped_unchecked_makes_no_bucket() {
    let name = HeaderName::from_static("remote-user");
    let rate = rate_of(Law::new(1, Duration::from_secs(60), 1), By::Header(name.clone()));
    for (value, passes) in [("a", true), ("b", false)] {
        let (request, mut done) = (get("/").header("remote-user", value), Done::default());
        let mut ask = Ask { from: request.asker(), done: &mut done };
        ask.headers().remove(name.clone());
        assert_eq!(matches!(rate.at(&mut ask, NOW), Flow::Next), passes, "one address, one bucket");
    }
}

#[test]
fn answers_tell_what_is_left_unless_they_are_told_not_to() {
    let request = get("/");
    let middleware = made("rate", "rate = \"10/m\"\nburst = 5");
    let (_, mut done) = ask(&middleware, &request);
    let (_, fields) = reply(&middleware, &request, &mut done, 200, &[]);
    assert_eq!(fields["ratelimit-policy"], "\"rate\";q=5;w=30");
    assert_eq!(fields["ratelimit"], "\"rate\";r=4;t=6");
    let quiet = made("rate", "rate = \"10/m\"\nheaders = false");
    let (_, mut done) = ask(&quiet, &request);
    assert!(reply(&quiet, &request, &mut done, 200, &[]).1.is_empty());
}

#[test]
fn rates_are_read_as_people_write_them() {
    let second = Duration::from_secs(1);
    for (text, wanted) in [
        ("100/s", Some((100, second))),
        ("30 / m", Some((30, 60 * second))),
        ("1/d", Some((1, 86_400 * second))),
        ("0/s", None),
        ("-1/s", None),
        ("100", None),
        ("100/", None),
        ("1.5/s", None),
        ("100/week", None),
        ("99999999999/s", None),
    ] {
        assert_eq!(rate(text), wanted, "{text}");
    }
}
