//! Tokens made by hand: what is for us and what only looks so.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::*;
use crate::middleware::signed::tests::Issuer;

const NOW: Unix = 1_800_000_000;

fn good() -> Value {
    json!({"iss": "https://id.test", "sub": "1", "aud": "edge", "exp": NOW + 60, "iat": NOW, "nonce": "n"})
}

fn with(changes: Value) -> Value {
    let mut claims = good();
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

fn checked(claims: Value, kind: Kind<'_>) -> Result<(), TokenFault> {
    let audience = ["edge".to_owned()];
    let expected = Expected { issuer: "https://id.test", audience: &audience, kind };
    let signer = Issuer::new("a");
    let keys = Keys::of_set(&signer.set()).expect("a set");
    expected.verify(&keys, &signer.sign(&claims), NOW).map(drop)
}

const ID: Kind<'static> = Kind::Id { nonce: Some("n"), client: "edge" };

#[test]
fn a_token_is_taken_from_its_issuer_for_us_and_in_time() {
    assert_eq!(checked(good(), ID), Ok(()));
    assert_eq!(checked(good(), Kind::Bearer), Ok(()));
    for (changes, fault) in [
        (json!({"iss": "https://id.test/"}), TokenFault::Issuer),
        (json!({"iss": null}), TokenFault::Issuer),
        (json!({"aud": "other"}), TokenFault::Audience),
        (json!({"aud": ["other", "Edge"]}), TokenFault::Audience),
        (json!({"aud": null}), TokenFault::Audience),
        (json!({"aud": {"edge": 1}}), TokenFault::Audience),
        (json!({"exp": NOW - LEEWAY}), TokenFault::Expired),
        (json!({"exp": null}), TokenFault::Expired),
        (json!({"exp": "2030"}), TokenFault::Expired),
        (json!({"nbf": NOW + LEEWAY + 1}), TokenFault::Early),
        (json!({"nbf": "soon"}), TokenFault::Early),
        (json!({"iat": NOW + LEEWAY + 1}), TokenFault::Early),
    ] {
        assert_eq!(checked(with(changes.clone()), Kind::Bearer), Err(fault), "{changes}");
        assert_eq!(checked(with(changes.clone()), ID), Err(fault), "{changes}");
    }
    for good in [json!({"aud": ["x", "edge"]}), json!({"exp": NOW + 1 - LEEWAY}), json!({"nbf": NOW + LEEWAY})] {
        assert_eq!(checked(with(good.clone()), Kind::Bearer), Ok(()), "{good}");
    }
}

#[test]
fn an_id_token_belongs_to_its_login_and_its_client() {
    for (changes, fault) in [
        (json!({"nonce": "m"}), TokenFault::Nonce),
        (json!({"nonce": null}), TokenFault::Nonce),
        (json!({"azp": "other"}), TokenFault::Audience),
        (json!({"aud": ["edge", "other"]}), TokenFault::Audience),
    ] {
        assert_eq!(checked(with(changes.clone()), ID), Err(fault), "{changes}");
        assert_eq!(checked(with(changes), Kind::Bearer), Ok(()));
    }
    assert_eq!(checked(with(json!({"aud": ["edge", "other"], "azp": "edge"})), ID), Ok(()));
    assert_eq!(checked(with(json!({"nonce": null})), Kind::Id { nonce: None, client: "edge" }), Ok(()));
}

#[test]
fn a_key_that_everybody_may_read_is_no_secret() {
    let signer = Issuer::new("a");
    let (set, audience) = (signer.set(), ["edge".to_owned()]);
    let keys = Keys::of_set(&set).expect("a set");
    let token = encode(&Header::default(), &good(), &EncodingKey::from_secret(set.as_bytes())).expect("a token");
    for kind in [ID, Kind::Bearer] {
        let expected = Expected { issuer: "https://id.test", audience: &audience, kind };
        assert_eq!(expected.verify(&keys, &token, NOW), Err(TokenFault::Algorithm));
    }
}
