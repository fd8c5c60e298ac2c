//! Programs that bring a token of the provider, in `Authorization: Bearer` or as the password of Basic.

use data_encoding::BASE64;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Oidc;
use super::cached::Down;
use super::claims::Person;
use super::session::Unix;
use super::token::{Expected, Kind};
use crate::middleware::signed::{Keys, TokenFault};
use crate::middleware::{Ask, Flow};
use crate::telemetry::LoginResult;

/// What a request brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Brought {
    /// Nothing that concerns us.
    Nothing,
    /// A login that is no token.
    NoToken,
    /// A token, good or not.
    Token(String),
}

/// A token that is good.
#[derive(Debug)]
pub(super) struct Credential {
    /// Whom it is about.
    pub(super) person: Person,
}

impl Oidc {
    pub(super) fn brought(&self, headers: &HeaderMap) -> Brought {
        let (plain, in_basic) = (self.settings.bearer.plain, self.settings.bearer.in_basic);
        brought(headers, plain, in_basic)
    }

    /// Checks a token with the keys that are there.
    pub(super) fn token_at_hand(&self, ask: &mut Ask<'_>, token: &str, now: Unix) -> Flow {
        let Some(keys) = self.provider.keys_at_hand() else { return Flow::Wait };
        match self.check(&keys, token, now) {
            Ok(credential) => self.pass_token(ask, &credential),
            Err(TokenFault::UnknownKey) if self.provider.may_look_for_keys() => Flow::Wait,
            Err(fault) => self.refuse_token(ask, fault),
        }
    }

    /// Checks a token with keys that are asked for.
    pub(super) async fn token(&self, ask: &mut Ask<'_>, token: &str, now: Unix) -> Flow {
        match self.check_asking(token, now).await {
            Ok(Ok(credential)) => self.pass_token(ask, &credential),
            Ok(Err(fault)) => self.refuse_token(ask, fault),
            Err(Down) => self.unavailable(),
        }
    }

    /// Only a token that no key at hand fits waits for the answer to somebody else's question.
    async fn check_asking(&self, token: &str, now: Unix) -> Result<Result<Credential, TokenFault>, Down> {
        let at_hand = self.provider.keys_at_hand();
        let are_fresh = at_hand.is_some();
        let keys = match at_hand {
            Some(keys) => keys,
            None => self.provider.keys().await?,
        };
        let outcome = self.check(&keys, token, now);
        if !matches!(outcome, Err(TokenFault::UnknownKey)) {
            return Ok(outcome);
        }
        let newer = if are_fresh { self.provider.newer_keys().await? } else { self.provider.fresh_keys().await? };
        Ok(self.check(&newer, token, now))
    }

    fn check(&self, keys: &Keys, token: &str, now: Unix) -> Result<Credential, TokenFault> {
        let (issuer, audience) = (&self.settings.issuer, &self.settings.bearer.audience);
        let claims = Expected { issuer, audience, kind: Kind::Bearer }.verify(keys, token, now)?;
        let person = self.settings.rules.person(&claims).ok_or(TokenFault::Nobody)?;
        Ok(Credential { person })
    }

    fn refuse_token(&self, ask: &Ask<'_>, fault: TokenFault) -> Flow {
        self.metrics.count(LoginResult::BadToken);
        self.nobody(ask, Some(&fault.sentence()))
    }
}

fn brought(headers: &HeaderMap, plain: bool, in_basic: bool) -> Brought {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Brought::Nothing };
    let Some((scheme, rest)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Brought::Nothing;
    };
    if plain && scheme.eq_ignore_ascii_case("bearer") {
        return Brought::Token(rest.trim().to_owned());
    }
    if !in_basic || !scheme.eq_ignore_ascii_case("basic") {
        return Brought::Nothing;
    }
    let account = BASE64.decode(rest.trim().as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match account.as_deref().and_then(|account| account.split_once(':')) {
        Some((_, password)) if password.split('.').count() == 3 => Brought::Token(password.to_owned()),
        _ => Brought::NoToken,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn from(values: &[&str], plain: bool, in_basic: bool) -> Brought {
        let values = values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).expect("a value")));
        brought(&values.collect(), plain, in_basic)
    }

    fn basic(account: &str) -> String {
        format!("Basic {}", BASE64.encode(account.as_bytes()))
    }

    #[test]
    fn a_token_is_taken_from_where_it_may_be() {
        let token = Brought::Token("a.b.c".into());
        assert_eq!(from(&["Bearer a.b.c"], true, false), token);
        assert_eq!(from(&["bearer  a.b.c "], true, false), token);
        assert_eq!(from(&["Bearer a.b.c"], false, true), Brought::Nothing);
        assert_eq!(from(&[&basic("anybody:a.b.c")], false, true), token);
        assert_eq!(from(&[&basic(":a.b.c")], true, true), token);
        assert_eq!(from(&[&basic("anybody:a.b.c")], true, false), Brought::Nothing);
    }

    #[test]
    fn what_is_no_token_is_none() {
        for odd in [basic("anybody:secret"), basic("nocolon"), "Basic !".into(), "Basic ".into(), basic("a:b.c")] {
            assert_eq!(from(&[&odd], true, true), Brought::NoToken, "{odd}");
        }
        for odd in [&["Digest x"][..], &["Bearer"], &[""], &[], &["Bearer a.b.c", "Bearer a.b.c"]] {
            assert_eq!(from(odd, true, true), Brought::Nothing, "{odd:?}");
        }
    }
}
