//! Tokens of a provider: what they must say beyond what every signed token must.

use serde_json::Value;

use super::session::{LEEWAY, Unix};
use crate::middleware::signed::{self, Accepted, Claims, Keys, PUBLIC, TokenFault, values};

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

impl Expected<'_> {
    /// The claims of a token that one of these keys has signed, for us, now.
    pub(super) fn verify(&self, keys: &Keys, token: &str, now: Unix) -> Result<Claims, TokenFault> {
        let expected = signed::Expected {
            // None with a shared secret: whoever can check such a token can make one.
            algorithms: PUBLIC,
            issuer: Accepted::Only(self.issuer),
            audience: Accepted::OneOf(self.audience),
            leeway: LEEWAY as f64,
        };
        let claims = keys.verify(token, &expected, now as f64)?;
        self.kind.check(&claims)?;
        Ok(claims)
    }
}

impl Kind<'_> {
    fn check(self, claims: &Claims) -> Result<(), TokenFault> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        match self {
            Self::Bearer => Ok(()),
            // One for several services says which of them has asked for it.
            Self::Id { client, .. }
                if text("azp").map_or(values(claims.get("aud")).len() > 1, |party| party != client) =>
            {
                Err(TokenFault::Audience)
            }
            Self::Id { nonce: Some(nonce), .. } if text("nonce") != Some(nonce) => Err(TokenFault::Nonce),
            Self::Id { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
