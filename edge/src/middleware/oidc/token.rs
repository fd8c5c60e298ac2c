//! Tokens that a provider has signed: whose key signed them, and whether they are for us, now.

use std::fmt;

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use super::claims::Claims;
use super::session::{LEEWAY, Unix};

/// The keys that a provider publishes, those that we cannot use left out.
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithm: Option<String>,
    key: DecodingKey,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenFault {
    /// It is no signed token.
    #[error("it is not a signed token")]
    Malformed,
    /// Signed in a way by which anybody could have.
    #[error("it is signed by an algorithm that is not accepted")]
    Algorithm,
    /// No key of the provider has this name.
    #[error("it is signed by a key that the provider does not publish")]
    UnknownKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// Of another provider.
    #[error("it is of another issuer")]
    Issuer,
    /// For another service.
    #[error("it is for another audience")]
    Audience,
    /// Too late.
    #[error("it has expired")]
    Expired,
    /// Too early.
    #[error("it is not valid yet")]
    Early,
    /// It does not say whom it is about, in the claim that is asked for.
    #[error("it does not name a user")]
    Nobody,
    /// Of another login.
    #[error("it belongs to another login")]
    Nonce,
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    /// One of these must be among those that it is for.
    pub(super) audience: &'a [String],
    pub(super) kind: Kind<'a>,
}

/// Who brought a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// The provider itself, at the end of the login with this nonce.
    Id {
        /// None when the provider was asked again.
        nonce: Option<&'a str>,
        /// Our name at the provider.
        client: &'a str,
    },
    /// A client.
    Bearer,
}

/// Most keys that are looked at.
const MOST_KEYS: usize = 64;
/// Longer ones are no tokens.
const LONGEST: usize = 16 * 1024;

impl Keys {
    /// Reads a JWK set. None if it is none.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        let set: Value = serde_json::from_slice(json).ok()?;
        let keys = set.get("keys")?.as_array()?.iter().take(MOST_KEYS);
        Some(Self(keys.filter_map(key).collect()))
    }

    /// Whether there is no key that we can use.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The claims of a token that one of these keys has signed, whatever they say.
    pub(super) fn open(&self, token: &str) -> Result<Claims, TokenFault> {
        if token.len() > LONGEST {
            return Err(TokenFault::Malformed);
        }
        let header = decode_header(token).map_err(|_| TokenFault::Malformed)?;
        // What must be understood is not.
        if header.crit.is_some() || header.enc.is_some() {
            return Err(TokenFault::Malformed);
        }
        let family = family(header.alg).ok_or(TokenFault::Algorithm)?;
        let named = self.0.iter().filter(|key| match (&header.kid, &key.id) {
            (Some(wanted), Some(id)) => wanted == id,
            (Some(_), None) | (None, _) => true,
        });
        let mut fault = TokenFault::UnknownKey;
        for key in named {
            let fits = key.key.family() == family
                && key.algorithm.as_ref().is_none_or(|own| header.alg == own.parse().unwrap_or_default());
            if !fits {
                continue;
            }
            match decode::<Claims>(token, &key.key, &signature_alone(header.alg)) {
                Ok(token) => return Ok(token.claims),
                Err(_) => fault = TokenFault::Signature,
            }
        }
        Err(fault)
    }

    /// The claims of a token that is for us, now.
    pub(super) fn verify(&self, token: &str, expected: &Expected<'_>, now: Unix) -> Result<Claims, TokenFault> {
        let claims = self.open(token)?;
        check(&claims, expected, now)?;
        Ok(claims)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.0.iter().map(|key| &key.id).collect();
        f.debug_tuple("Keys").field(&ids).finish()
    }
}

fn key(value: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    if key.family() == AlgorithmFamily::Hmac {
        return None;
    }
    let algorithm = value.get("alg").and_then(Value::as_str).map(str::to_owned);
    Some(Key { id: jwk.common.key_id, algorithm, key })
}

/// None for what is signed with a shared secret: whoever can check such a token can make one.
fn family(algorithm: Algorithm) -> Option<AlgorithmFamily> {
    [AlgorithmFamily::Rsa, AlgorithmFamily::Ec, AlgorithmFamily::Ed]
        .into_iter()
        .find(|family| family.algorithms().contains(&algorithm))
}

/// Claims are checked here, at a time that is told.
fn signature_alone(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn check(claims: &Claims, expected: &Expected<'_>, now: Unix) -> Result<(), TokenFault> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(TokenFault::Issuer);
    }
    let audience: Vec<&str> = match claims.get("aud") {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        one => one.and_then(Value::as_str).into_iter().collect(),
    };
    if !audience.iter().any(|one| expected.audience.iter().any(|ours| ours == one)) {
        return Err(TokenFault::Audience);
    }
    let time = |name: &str| claims.get(name).map(|value| value.as_f64().unwrap_or(f64::NAN));
    // What is no number is no good time.
    let (now, leeway) = (now as f64, LEEWAY as f64);
    if !time("exp").is_some_and(|end| now < end + leeway) {
        return Err(TokenFault::Expired);
    }
    if ["nbf", "iat"].into_iter().filter_map(time).any(|start| start.is_nan() || start > now + leeway) {
        return Err(TokenFault::Early);
    }
    match expected.kind {
        Kind::Bearer => Ok(()),
        // One for several services says which of them has asked for it.
        Kind::Id { client, .. } if text("azp").map_or(audience.len() > 1, |party| party != client) => {
            Err(TokenFault::Audience)
        }
        Kind::Id { nonce: Some(nonce), .. } if text("nonce") != Some(nonce) => Err(TokenFault::Nonce),
        Kind::Id { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests;
