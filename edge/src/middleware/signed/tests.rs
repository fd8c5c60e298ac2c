//! Tokens that are good, foreign, tampered with, for others, too early and too late.

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;

use super::*;

const NOW: f64 = 1_800_000_000.0;

/// Somebody who signs tokens, with a key of this name.
pub(in crate::middleware) struct Issuer {
    key: KeyPair,
    id: &'static str,
}

impl Issuer {
    pub(in crate::middleware) fn new(id: &'static str) -> Self {
        Self { key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"), id }
    }

    /// The public key as a point.
    fn public(&self) -> Vec<u8> {
        self.key.public_key_raw().to_vec()
    }

    fn jwk(&self) -> Value {
        let point = self.public();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| BASE64URL_NOPAD.encode(half));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "alg": "ES256", "x": x, "y": y })
    }

    /// Its JWK set.
    pub(in crate::middleware) fn set(&self) -> String {
        set_of(&[self.jwk()])
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.id.into()), ..Header::new(Algorithm::ES256) }
    }

    pub(in crate::middleware) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.header(), claims)
    }

    fn sign_as(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).expect("a token")
    }

    /// A token for the next hour with these claims too.
    pub(in crate::middleware) fn token(&self, more: Value) -> String {
        let mut claims = json!({ "aud": "models", "sub": "ann", "exp": Timestamp::now().as_second() + 3600 });
        for (name, value) in more.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        self.sign(&claims)
    }
}

fn set_of(jwks: &[Value]) -> String {
    json!({ "keys": jwks }).to_string()
}

fn keys(jwks: &[Value]) -> Keys {
    Keys::of_set(&set_of(jwks)).expect("a set")
}

/// Tokens of this issuer, for us by one of our two names.
fn verified(keys: &Keys, token: &str, algorithms: &[Algorithm]) -> Result<Claims, TokenFault> {
    let (issuers, audiences) = (["https://issuer".to_owned()], ["models".to_owned(), "data".to_owned()]);
    let (issuer, audience) = (Accepted::OneOf(&issuers), Accepted::OneOf(&audiences));
    keys.verify(token, &Expected { algorithms, issuer, audience, leeway: 30.0 }, NOW)
}

/// Good claims with these changed; null takes one away.
fn claims(changes: Value) -> Value {
    let mut claims = json!({ "iss": "https://issuer", "aud": "models", "sub": "ann", "exp": NOW + 60.0 });
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    claims
}

#[test]
fn a_good_token_is_opened() {
    let issuer = Issuer::new("one");
    let keys = Keys::of_set(&issuer.set()).expect("a key");
    let token = issuer.sign(&claims(json!({ "aud": ["other", "data"], "nbf": NOW + 10.0, "iat": NOW })));
    let claims = verified(&keys, &token, PUBLIC).expect("it is good");
    assert_eq!(claims["sub"], "ann");
    for others in [&[Algorithm::RS256, Algorithm::ES384][..], SECRET, &[]] {
        assert_eq!(verified(&keys, &token, others), Err(TokenFault::Algorithm), "{others:?}");
    }
}

#[test]
fn what_a_token_says_must_hold() {
    let issuer = Issuer::new("one");
    let keys = Keys::of_set(&issuer.set()).expect("a key");
    for (changes, wanted) in [
        (json!({ "exp": NOW - 30.0 }), TokenFault::Expired),
        (json!({ "exp": null }), TokenFault::Expired),
        (json!({ "exp": "2100" }), TokenFault::Expired),
        (json!({ "nbf": NOW + 31.0 }), TokenFault::Early),
        (json!({ "nbf": "0" }), TokenFault::Early),
        (json!({ "iat": NOW + 31.0 }), TokenFault::Early),
        (json!({ "iss": "https://issuer/" }), TokenFault::Issuer),
        (json!({ "iss": ["https://issuer"] }), TokenFault::Issuer),
        (json!({ "iss": null }), TokenFault::Issuer),
        (json!({ "aud": "model" }), TokenFault::Audience),
        (json!({ "aud": [] }), TokenFault::Audience),
        (json!({ "aud": null }), TokenFault::Audience),
    ] {
        let token = issuer.sign(&claims(changes.clone()));
        assert_eq!(verified(&keys, &token, PUBLIC), Err(wanted), "{changes}");
    }
    let late = issuer.sign(&claims(json!({ "exp": NOW - 29.0 })));
    assert!(verified(&keys, &late, PUBLIC).is_ok(), "clocks may be apart a little");
}

#[test]
fn nobody_is_expected_by_no_name() {
    let claims = claims(json!({}));
    let claims = claims.as_object().expect("an object");
    let of = |issuer, audience| {
        check(claims, &Expected { algorithms: &[Algorithm::ES256], issuer, audience, leeway: 0.0 }, NOW)
    };
    assert_eq!(of(Accepted::Any, Accepted::Any), Ok(()));
    assert_eq!(of(Accepted::OneOf(&[]), Accepted::Any), Err(TokenFault::Issuer));
    assert_eq!(of(Accepted::Any, Accepted::OneOf(&[])), Err(TokenFault::Audience));
}

#[test]
fn only_a_signature_of_the_issuer_counts() {
    let (issuer, stranger) = (Issuer::new("one"), Issuer::new("one"));
    let keys = Keys::of_set(&issuer.set()).expect("a key");
    let good = claims(json!({}));
    let of = |token: &str| verified(&keys, token, PUBLIC).expect_err("it is not good");
    assert_eq!(of(&stranger.sign(&good)), TokenFault::Signature);
    assert_eq!(of(&Issuer::new("two").sign(&good)), TokenFault::UnknownKey);
    // A public key is no secret.
    for secret in [issuer.public(), issuer.set().into_bytes()] {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("one".into());
        let token = encode(&header, &good, &EncodingKey::from_secret(&secret)).expect("a token");
        assert_eq!(of(&token), TokenFault::Algorithm);
    }
    let token = issuer.sign(&good);
    let [head, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let part = |json: Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    for none in ["none", "None", "NONE", "XX999"] {
        let head = part(json!({ "alg": none, "typ": "JWT", "kid": "one" }));
        for signature in ["", signature] {
            assert_eq!(of(&format!("{head}.{body}.{signature}")), TokenFault::Algorithm, "{none}");
        }
    }
    let other = part(claims(json!({ "sub": "root" })));
    assert_eq!(of(&format!("{head}.{other}.{signature}")), TokenFault::Signature);
    assert_eq!(of(&format!("{head}.{body}.")), TokenFault::Signature);
    let critical = part(json!({ "alg": "ES256", "kid": "one", "crit": ["x"], "x": 1 }));
    assert_eq!(of(&format!("{critical}.{body}.{signature}")), TokenFault::Malformed);
    for end in 0..token.len() {
        of(&token[..end]);
    }
    assert_eq!(of(&"a".repeat(LONGEST + 1)), TokenFault::Malformed);
}

#[test]
fn a_set_is_read_without_what_cannot_be_used() {
    let issuer = Issuer::new("one");
    let mut set: Value = serde_json::from_str(&issuer.set()).expect("JSON");
    let keys = set["keys"].as_array_mut().expect("a list");
    keys.push(json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "secret" }));
    keys.push(json!({ "kty": "new", "kid": "unknown" }));
    keys.push(json!("nonsense"));
    let mut encrypts = keys[0].clone();
    encrypts["use"] = json!("enc");
    keys.push(encrypts);
    let mut another = keys[0].clone();
    another["alg"] = json!("ES512");
    keys.push(another);
    assert_eq!(Keys::of_set(&set.to_string()).expect("one key").0.len(), 1);
    for (text, wanted) in [
        ("", "line 1: it is not JSON"),
        ("{}", "it has no `keys`"),
        ("{\"keys\":[]}", "it holds no public key"),
        ("{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}", "it holds no public key"),
        ("<html>", "line 1: it is not JSON"),
    ] {
        let why = Keys::of_set(text).expect_err(wanted);
        assert!(why.starts_with(wanted), "{why}");
    }
    let text = issuer.set();
    for end in 0..text.len() {
        assert!(Keys::of_set(&text[..end]).is_err(), "{end}");
    }
}

#[test]
fn a_secret_checks_what_it_has_signed() {
    let secret = "0123456789abcdef0123456789abcdef";
    let keys = Keys::of_secret(&format!("{secret}\n")).expect("long enough");
    let sign = |secret: &str| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        encode(&Header::new(Algorithm::HS256), &claims(json!({})), &key).expect("a token")
    };
    assert!(verified(&keys, &sign(secret), SECRET).is_ok());
    let other = "x123456789abcdef0123456789abcdef";
    assert_eq!(verified(&keys, &sign(other), SECRET), Err(TokenFault::Signature));
    let public = Issuer::new("one").sign(&claims(json!({})));
    assert_eq!(verified(&keys, &public, SECRET), Err(TokenFault::Algorithm));
    assert!(Keys::of_secret("too short").is_err() && Keys::of_secret("").is_err());
}

#[test]
fn only_a_published_key_signs_and_every_changed_byte_is_seen() {
    let (ours, theirs) = (Issuer::new("a"), Issuer::new("a"));
    let token = ours.sign(&claims(json!({})));
    let set = keys(&[Issuer::new("b").jwk(), ours.jwk()]);
    assert_eq!(set.open(&token, PUBLIC).expect("good")["sub"], "ann");
    assert_eq!(set.open(&theirs.sign(&claims(json!({}))), PUBLIC), Err(TokenFault::Signature));
    assert_eq!(keys(&[theirs.jwk()]).open(&token, PUBLIC), Err(TokenFault::Signature));
    assert_eq!(keys(&[Issuer::new("b").jwk()]).open(&token, PUBLIC), Err(TokenFault::UnknownKey));
    for index in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'Q' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("ASCII");
        assert!(set.open(&changed, PUBLIC).is_err(), "byte {index}");
        assert!(set.open(&token[..index], PUBLIC).is_err(), "the first {index}");
    }
}

#[test]
fn a_token_without_a_key_name_is_tried_with_each() {
    let signer = Issuer::new("a");
    let token = signer.sign_as(&Header::new(Algorithm::ES256), &claims(json!({})));
    assert!(keys(&[Issuer::new("b").jwk(), signer.jwk()]).open(&token, PUBLIC).is_ok());
    assert_eq!(keys(&[Issuer::new("b").jwk()]).open(&token, PUBLIC), Err(TokenFault::Signature));
    // But not with all of many: that would be work for anybody to order.
    let mut many: Vec<_> = (0..MOST_TRIES).map(|_| Issuer::new("b").jwk()).collect();
    many.push(signer.jwk());
    assert_eq!(keys(&many).open(&token, PUBLIC), Err(TokenFault::Signature));
    assert!(
        keys(&many).open(&signer.sign(&claims(json!({}))), PUBLIC).is_ok(),
        "one that names its key is tried with that"
    );
}

#[test]
fn tokens_that_anybody_can_make_are_refused() {
    let signer = Issuer::new("a");
    let set = keys(&[signer.jwk()]);
    let none = format!("{}.{}.", BASE64URL_NOPAD.encode(b"{\"alg\":\"none\"}"), BASE64URL_NOPAD.encode(b"{}"));
    assert_eq!(set.open(&none, PUBLIC), Err(TokenFault::Algorithm));
    // Signed with the public key as if it were a shared secret.
    let secret = EncodingKey::from_secret(&signer.public());
    let header = Header { kid: Some("a".into()), ..Header::new(Algorithm::HS256) };
    assert_eq!(
        set.open(&encode(&header, &claims(json!({})), &secret).expect("signed"), PUBLIC),
        Err(TokenFault::Algorithm)
    );
    let shared = json!({"kty": "oct", "kid": "s", "alg": "HS256", "k": "c2VjcmV0"});
    assert!(Keys::of_set(&set_of(&[shared])).is_err());
    let critical = Header { crit: Some(vec!["exp".into()]), ..signer.header() };
    assert_eq!(set.open(&signer.sign_as(&critical, &claims(json!({}))), PUBLIC), Err(TokenFault::Malformed));
    for odd in ["", ".", "..", "a.b.c", "a.b", &"a".repeat(LONGEST + 1)] {
        assert_eq!(set.open(odd, PUBLIC), Err(TokenFault::Malformed), "{odd:.20}");
    }
}

#[test]
fn keys_that_cannot_be_used_harm_no_other() {
    let signer = Issuer::new("a");
    let encrypting = {
        let mut jwk = signer.jwk();
        jwk["use"] = "enc".into();
        jwk
    };
    assert!(Keys::of_set(&set_of(&[encrypting])).is_err());
    for unknown in ["ES512", "RSA-OAEP", "HS256", "none", "es256"] {
        let of_none = {
            let mut jwk = signer.jwk();
            jwk["alg"] = unknown.into();
            jwk
        };
        assert!(Keys::of_set(&set_of(&[of_none])).is_err(), "{unknown}");
    }
    let other = {
        let mut jwk = signer.jwk();
        jwk["alg"] = "ES384".into();
        jwk
    };
    assert_eq!(keys(&[other]).open(&signer.sign(&claims(json!({}))), PUBLIC), Err(TokenFault::UnknownKey));
    let odd = [json!(7), json!({"kty": "new"}), json!({"kty": "EC", "crv": "P-256", "x": "!", "y": ""}), signer.jwk()];
    assert!(keys(&odd).open(&signer.sign(&claims(json!({}))), PUBLIC).is_ok());
    for bad in ["", "{}", "[]", "{\"keys\":7}"] {
        assert!(Keys::of_set(bad).is_err(), "{bad}");
    }
}
