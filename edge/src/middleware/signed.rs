//! Signed tokens (JWT): whose key signed one, and whether it is for us, now. What else it must say is for who asks.

use std::fmt;

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// What a token says.
pub(super) type Claims = Map<String, Value>;

/// Keys that tokens are checked with.
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenFault {
    /// It is no signed token.
    #[error("it is not a signed token")]
    Malformed,
    /// Signed in a way that is not accepted here.
    #[error("it is signed by an algorithm that is not accepted here")]
    Algorithm,
    /// Signed by a key that is not known.
    #[error("it is signed by a key that is not known here")]
    UnknownKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// Of somebody else.
    #[error("it is of another issuer")]
    Issuer,
    /// For somebody else.
    #[error("it is for another audience")]
    Audience,
    /// Too late.
    #[error("it has expired, or does not say when it does")]
    Expired,
    /// Too early.
    #[error("it is not valid yet")]
    Early,
    /// It does not say who asks.
    #[error("it does not name a user")]
    Nobody,
    /// Of another login.
    #[error("it belongs to another login")]
    Nonce,
}

impl TokenFault {
    /// For who sent the token.
    pub(super) fn sentence(self) -> String {
        format!("The token is not accepted: {self}.")
    }
}

/// What a token must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    /// Of the kind that the keys are.
    pub(super) algorithms: &'a [Algorithm],
    pub(super) issuer: Accepted<'a>,
    pub(super) audience: Accepted<'a>,
    /// For clocks that are not quite right, in seconds.
    pub(super) leeway: f64,
}

/// Which texts a claim may have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Accepted<'a> {
    /// All, and it may be missing.
    Any,
    /// This one.
    Only(&'a str),
    /// One of these; of an empty list none is.
    OneOf(&'a [String]),
}

impl Accepted<'_> {
    fn has_one_of(self, texts: &[&str]) -> bool {
        match self {
            Self::Any => true,
            Self::Only(one) => texts.contains(&one),
            Self::OneOf(ours) => texts.iter().any(|text| ours.iter().any(|one| one == text)),
        }
    }
}

/// Most keys of a set that are looked at.
const MOST_KEYS: usize = 64;
/// Most keys that one token is tried with: each costs a signature check, and anybody can send tokens that name no key.
const MOST_TRIES: usize = 8;
/// Longer ones are no tokens.
const LONGEST: usize = 16 * 1024;
/// What HMAC-SHA256 needs (RFC 7518 section 3.2).
const SHORTEST_SECRET: usize = 32;

/// Algorithms with two keys, of which the one that checks need not be kept.
pub(super) const PUBLIC: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Algorithms with one shared secret.
pub(super) const SECRET: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

impl Keys {
    /// Reads a JWK set, without the keys that cannot be used or are secrets: whoever may read such a set could sign.
    ///
    /// # Errors
    /// When there is no key left.
    pub(super) fn of_set(json: &str) -> Result<Self, String> {
        let set: Value =
            serde_json::from_str(json).map_err(|error| format!("line {}: it is not JSON", error.line()))?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("it has no `keys`, so it is no JWK set")?;
        let keys: Vec<Key> = keys.iter().take(MOST_KEYS).filter_map(key).collect();
        if keys.is_empty() { Err("it holds no public key that can be used".to_owned()) } else { Ok(Self(keys)) }
    }

    /// The one key that is a shared secret.
    ///
    /// # Errors
    /// When it is so short that it could be guessed from a token.
    pub(super) fn of_secret(text: &str) -> Result<Self, String> {
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.len() < SHORTEST_SECRET {
            return Err(format!("a secret has at least {SHORTEST_SECRET} bytes; a shorter one can be guessed"));
        }
        Ok(Self(vec![Key { id: None, algorithm: None, key: DecodingKey::from_secret(secret.as_bytes()) }]))
    }

    /// The claims of a token, once it is known to be signed by one of these keys, for us, and now (in seconds since
    /// 1970).
    ///
    /// # Errors
    /// The reason for which it is not accepted.
    pub(super) fn verify(&self, token: &str, expected: &Expected<'_>, now: f64) -> Result<Claims, TokenFault> {
        let claims = self.open(token, expected.algorithms)?;
        check(&claims, expected, now)?;
        Ok(claims)
    }

    fn open(&self, token: &str, algorithms: &[Algorithm]) -> Result<Claims, TokenFault> {
        if token.len() > LONGEST {
            return Err(TokenFault::Malformed);
        }
        let header = decode_header(token).map_err(|error| match error.kind() {
            // Among the names that are no algorithms of the library is `none`.
            jsonwebtoken::errors::ErrorKind::Json(_) if names_algorithm(token) => TokenFault::Algorithm,
            _ => TokenFault::Malformed,
        })?;
        // What must be understood is not.
        if header.crit.is_some() || header.enc.is_some() {
            return Err(TokenFault::Malformed);
        }
        if !algorithms.contains(&header.alg) {
            return Err(TokenFault::Algorithm);
        }
        let mut fault = TokenFault::UnknownKey;
        let fits = |key: &&Key| {
            let is_named = header.kid.is_none() || key.id.is_none() || header.kid == key.id;
            // A public key is never taken for a shared secret: the family is the key's own.
            is_named && key.key.family() == header.alg.family() && key.algorithm.is_none_or(|own| own == header.alg)
        };
        for key in self.0.iter().filter(fits).take(MOST_TRIES) {
            match decode::<Claims>(token, &key.key, &signature_alone(header.alg)) {
                Ok(token) => return Ok(token.claims),
                Err(_) => fault = TokenFault::Signature,
            }
        }
        Err(fault)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// Whether the head of a token is JSON with an `alg`, which then is none that is known.
fn names_algorithm(token: &str) -> bool {
    let head = token.split('.').next().and_then(|head| data_encoding::BASE64URL_NOPAD.decode(head.as_bytes()).ok());
    let head = head.and_then(|head| serde_json::from_slice::<Value>(&head).ok());
    head.is_some_and(|head| head.get("alg").is_some_and(Value::is_string))
}

fn key(value: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok().filter(|key| key.family() != AlgorithmFamily::Hmac)?;
    let algorithm = match value.get("alg").and_then(Value::as_str) {
        None => None,
        // One for an algorithm that is not known is for none of ours.
        Some(name) => Some(name.parse().ok().filter(|algorithm| PUBLIC.contains(algorithm))?),
    };
    Some(Key { id: jwk.common.key_id, algorithm, key })
}

/// The claims are checked here, at a time that is told.
fn signature_alone(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    validation
}

fn check(claims: &Claims, expected: &Expected<'_>, now: f64) -> Result<(), TokenFault> {
    let issuer = claims.get("iss");
    if issuer.is_some_and(|issuer| !issuer.is_string()) || !expected.issuer.has_one_of(&values(issuer)) {
        return Err(TokenFault::Issuer);
    }
    if !expected.audience.has_one_of(&values(claims.get("aud"))) {
        return Err(TokenFault::Audience);
    }
    let time = |name: &str| claims.get(name).map(|value| value.as_f64().unwrap_or(f64::NAN));
    // Written so that what is no number is no good time.
    if !time("exp").is_some_and(|end| now < end + expected.leeway) {
        return Err(TokenFault::Expired);
    }
    if !["nbf", "iat"].into_iter().filter_map(time).all(|start| start <= now + expected.leeway) {
        return Err(TokenFault::Early);
    }
    Ok(())
}

/// The texts that a claim is: one, or several in a list.
pub(super) fn values(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    }
}

#[cfg(test)]
pub(super) mod tests;
