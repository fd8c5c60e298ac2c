//! Tokens made by hand: what is for us and what only looks so.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::json;

use super::*;

const NOW: Unix = 1_800_000_000;

struct Signer {
    key: KeyPair,
    id: &'static str,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        Self { key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"), id }
    }

    fn jwk(&self) -> Value {
        let point = self.key.der_bytes();
        let (x, y) = (BASE64URL_NOPAD.encode(&point[1..33]), BASE64URL_NOPAD.encode(&point[33..65]));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y})
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.id.into()), ..Header::new(Algorithm::ES256) }
    }

    fn sign(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).expect("signed")
    }
}

fn keys(jwks: &[Value]) -> Keys {
    Keys::read(json!({ "keys": jwks }).to_string().as_bytes()).expect("a set")
}

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
    check(claims.as_object().expect("an object"), &expected, NOW)
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
fn only_a_published_key_signs_and_every_changed_byte_is_seen() {
    let (ours, theirs) = (Signer::new("a"), Signer::new("a"));
    let token = ours.sign(&ours.header(), &good());
    let set = keys(&[Signer::new("b").jwk(), ours.jwk()]);
    assert_eq!(set.open(&token).expect("good")["sub"], "1");
    assert_eq!(set.open(&theirs.sign(&theirs.header(), &good())), Err(TokenFault::Signature));
    assert_eq!(keys(&[theirs.jwk()]).open(&token), Err(TokenFault::Signature));
    assert_eq!(keys(&[Signer::new("b").jwk()]).open(&token), Err(TokenFault::UnknownKey));
    for index in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'Q' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("ASCII");
        assert!(set.open(&changed).is_err(), "byte {index}");
        assert!(set.open(&token[..index]).is_err(), "the first {index}");
    }
}

#[test]
fn a_token_without_a_key_name_is_tried_with_each() {
    let signer = Signer::new("a");
    let token = signer.sign(&Header::new(Algorithm::ES256), &good());
    assert!(keys(&[Signer::new("b").jwk(), signer.jwk()]).open(&token).is_ok());
    assert_eq!(keys(&[Signer::new("b").jwk()]).open(&token), Err(TokenFault::Signature));
}

#[test]
fn tokens_that_anybody_can_make_are_refused() {
    let signer = Signer::new("a");
    let set = keys(&[signer.jwk()]);
    let none = format!("{}.{}.", BASE64URL_NOPAD.encode(b"{\"alg\":\"none\"}"), BASE64URL_NOPAD.encode(b"{}"));
    assert_eq!(set.open(&none), Err(TokenFault::Malformed));
    // Signed with the public key as if it were a shared secret.
    let secret = EncodingKey::from_secret(signer.key.der_bytes());
    let header = Header { kid: Some("a".into()), ..Header::new(Algorithm::HS256) };
    assert_eq!(set.open(&encode(&header, &good(), &secret).expect("signed")), Err(TokenFault::Algorithm));
    let shared = json!({"kty": "oct", "kid": "s", "alg": "HS256", "k": "c2VjcmV0"});
    assert!(keys(&[shared]).is_empty());
    let critical = Header { crit: Some(vec!["exp".into()]), ..signer.header() };
    assert_eq!(set.open(&signer.sign(&critical, &good())), Err(TokenFault::Malformed));
    for odd in ["", ".", "..", "a.b.c", "a.b", &"a".repeat(LONGEST + 1)] {
        assert_eq!(set.open(odd), Err(TokenFault::Malformed), "{odd:.20}");
    }
}

#[test]
fn keys_that_cannot_be_used_harm_no_other() {
    let signer = Signer::new("a");
    let encrypting = { let mut jwk = signer.jwk(); jwk["use"] = "enc".into(); jwk };
    assert!(keys(&[encrypting]).is_empty());
    let other = { let mut jwk = signer.jwk(); jwk["alg"] = "ES384".into(); jwk };
    assert_eq!(keys(&[other]).open(&signer.sign(&signer.header(), &good())), Err(TokenFault::UnknownKey));
    let odd = [json!(7), json!({"kty": "new"}), json!({"kty": "EC", "crv": "P-256", "x": "!", "y": ""}), signer.jwk()];
    assert!(keys(&odd).open(&signer.sign(&signer.header(), &good())).is_ok());
    for bad in ["", "{}", "[]", "{\"keys\":7}"] {
        assert!(Keys::read(bad.as_bytes()).is_none(), "{bad}");
    }
}
