//! The OpenID Connect provider of the tests by itself: what a test of logins leans on is tested too.

mod support {
    pub(crate) mod curl;
    pub(crate) mod oidc;
    pub(crate) mod process;
}

use serde_json::Value;

use support::curl::curl;
use support::oidc::{CLIENT, Oidc};

const BACK: &str = "https://app.test/callback";
const VERIFIER: &str = "the-verifier-of-a-test-is-long-enough-if-it-goes-on";
/// The SHA-256 of it, as PKCE wants it.
const CHALLENGE: &str = "TUT01dt_Orm1oKncOfm-vDe7_nhcNQcUk0mD2OVAxsA";

fn discovery(provider: &Oidc) -> Value {
    let answer = curl(&[&format!("{}/.well-known/openid-configuration", provider.issuer)]);
    serde_json::from_slice(&answer.body).expect("discovery is JSON")
}

fn keys(provider: &Oidc) -> Vec<String> {
    let keys: Value = serde_json::from_slice(&curl(&[&format!("{}/jwks", provider.issuer)]).body).expect("JSON");
    let keys = keys["keys"].as_array().expect("a list").iter();
    keys.map(|key| key["kid"].as_str().expect("each key has a name").to_owned()).collect()
}

/// What a token says, without checking who signed it.
fn claims(token: &str) -> Value {
    let middle = token.split('.').nth(1).expect("a JWT has three parts");
    let bytes = data_encoding::BASE64URL_NOPAD.decode(middle.as_bytes()).expect("base64");
    serde_json::from_slice(&bytes).expect("claims are JSON")
}

fn field<'a>(url: &'a str, name: &str) -> &'a str {
    let (_, query) = url.split_once('?').expect("a query");
    query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).expect("the field is there")
}

#[test]
fn a_person_logs_in_and_the_client_learns_who_it_is() {
    let provider = Oidc::start(&[BACK]);
    let about = discovery(&provider);
    assert_eq!(about["issuer"], provider.issuer);
    let authorize = about["authorization_endpoint"].as_str().expect("an address");
    let authorize = format!(
        "{authorize}?client_id={}&response_type=code&scope=openid%20email%20groups&redirect_uri={BACK}\
         &state=s1&nonce=n1&code_challenge={CHALLENGE}&code_challenge_method=S256",
        CLIENT.0
    );
    let back = provider.log_in(&authorize, "alice");
    assert!(back.starts_with(BACK) && field(&back, "state") == "s1", "{back}");
    let fields = [("grant_type", "authorization_code"), ("code", field(&back, "code")), ("redirect_uri", BACK)];
    let without = provider.token(CLIENT, &fields);
    assert_eq!(without["error"], "invalid_grant", "PKCE is asked for: {without}");
    let back = provider.log_in(&authorize, "alice");
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", field(&back, "code")),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
    ];
    let token = provider.token(CLIENT, &fields);
    let who = claims(token["id_token"].as_str().unwrap_or_else(|| panic!("{token}")));
    assert_eq!((&who["sub"], &who["nonce"], &who["aud"]), (&"alice".into(), &"n1".into(), &CLIENT.0.into()));
    assert_eq!((&who["email"], &who["groups"]), (&"alice@example.test".into(), &serde_json::json!(["team"])));
}

#[test]
fn a_program_gets_a_token_for_one_audience() {
    let provider = Oidc::start(&[BACK]);
    let token = claims(&provider.robot_token("https://mlflow.test"));
    assert_eq!((&token["iss"], &token["aud"]), (&provider.issuer.as_str().into(), &"https://mlflow.test".into()));
    assert_eq!(token["groups"], serde_json::json!(["robots"]));
    assert_eq!(provider.token(("robot", "wrong"), &[("grant_type", "client_credentials")])["error"], "invalid_client");
}

#[test]
fn it_can_change_its_keys_and_be_down_and_come_back() {
    let mut provider = Oidc::start(&[BACK]);
    let first = keys(&provider);
    provider.rotate_keys();
    let second = keys(&provider);
    assert!(second.len() == first.len() && first.iter().all(|key| !second.contains(key)));
    provider.stop();
    assert_eq!(curl(&[&provider.issuer]).exit, 7, "nobody listens");
    provider.start_again();
    assert_eq!(discovery(&provider)["issuer"], provider.issuer);
}
