//! The end of a login: the provider has sent the person back with a code.

use http::header::{ALLOW, SET_COOKIE};
use http::{HeaderValue, Method, StatusCode};

use super::Oidc;
use super::claims::{Person, add};
use super::cookies::Jar;
use super::gate::leave;
use super::login::Login;
use super::provider::{NoTokens, Tokens};
use super::session::{Session, State, Unix};
use super::token::{Expected, Kind};
use crate::middleware::signed::{Claims, Keys, TokenFault};
use crate::middleware::{Ask, Denial, Flow};
use crate::telemetry::{LoginResult, Refusal};

/// What the provider sends along.
#[derive(Debug, Default)]
struct Sent {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    issuer: Option<String>,
}

/// Why a login ends without a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LoginFault {
    #[error("the provider cannot be asked")]
    Unavailable,
    #[error("It was begun in another browser, too long ago, or is over already. Open the page again.")]
    Unknown,
    #[error("The answer is of another provider.")]
    Issuer,
    #[error("The provider has refused it.")]
    Refused,
    #[error("The provider has not accepted its own answer: it is used already, or too old. Open the page again.")]
    Code,
    #[error("The provider gave no ID token.")]
    NoIdToken,
    #[error("The ID token is not accepted: {0}.")]
    Token(#[from] TokenFault),
    #[error("The provider says two things of one person.")]
    TwoPeople,
    #[error("The provider says more of this person than cookies can keep.")]
    TooLong,
}

impl Oidc {
    /// Takes the answer of the provider.
    pub(super) async fn callback(&self, ask: &mut Ask<'_>, now: Unix) -> Flow {
        if ask.from.method != Method::GET {
            return Denial::new(Refusal::MethodNotAllowed).header(ALLOW, HeaderValue::from_static("GET")).into();
        }
        let sent = Sent::read(ask.from.query.unwrap_or_default());
        let headers = ask.from.headers;
        let login = Login::tag(sent.state()).and_then(|tag| self.login(headers, tag));
        let Some(login) = login.filter(|login| login.is_answered_by(sent.state(), now)) else {
            // Who goes back in the history comes here again.
            let is_in = matches!(self.session(headers, now), Some((_, State::Good | State::Rewrite | State::Ask)));
            return if is_in { self.back(ask, "/", Vec::new()) } else { self.failed(ask, &sent, LoginFault::Unknown) };
        };
        match self.finish(ask, &login, &sent, now).await {
            Ok((session, mut cookies)) => {
                self.metrics.count(LoginResult::Done);
                ask.done.user = Some(session.person.user);
                cookies.extend(self.forgotten(sent.state()));
                self.back(ask, &login.back, cookies)
            }
            Err(fault) => self.failed(ask, &sent, fault),
        }
    }

    async fn finish(
        &self,
        ask: &Ask<'_>,
        login: &Login,
        sent: &Sent,
        now: Unix,
    ) -> Result<(Session, Vec<HeaderValue>), LoginFault> {
        if sent.issuer.as_ref().is_some_and(|issuer| *issuer != self.settings.issuer) {
            return Err(LoginFault::Issuer);
        }
        let code = match (&sent.code, sent.error.as_deref()) {
            (Some(code), None) => code,
            (_, Some("temporarily_unavailable" | "server_error")) => return Err(LoginFault::Unavailable),
            (_, _) => return Err(LoginFault::Refused),
        };
        let callback = self.address(&ask.from, &self.settings.callback);
        let mut tokens = self.provider.redeem(code, &login.verifier, &callback).await.map_err(|none| match none {
            NoTokens::Down => LoginFault::Unavailable,
            NoTokens::Refused => LoginFault::Code,
        })?;
        let kind = Kind::Id { nonce: Some(&login.nonce), client: &self.settings.client_id };
        let person = self.who(&tokens, kind, now).await?;
        let refresh = tokens.refresh_token.take().filter(|_| self.settings.lifetime.refresh.is_some());
        let mut session = Session::begin(person, refresh, now);
        let mut cookies = self.kept(ask.from.headers, &session, now);
        if cookies.is_none() && session.refresh.take().is_some() {
            tracing::warn!(
                route = ask.from.route,
                "the refresh token of a login is too long for cookies and is not kept"
            );
            cookies = self.kept(ask.from.headers, &session, now);
        }
        Ok((session, cookies.ok_or(LoginFault::TooLong)?))
    }

    /// Whom tokens are about that the provider itself has given.
    pub(super) async fn who(&self, tokens: &Tokens, kind: Kind<'_>, now: Unix) -> Result<Person, LoginFault> {
        let token = tokens.id_token.as_deref().ok_or(LoginFault::NoIdToken)?;
        let mut claims = self.id_claims(token, kind, now).await?;
        let rules = &self.settings.rules;
        if let Some(access) = tokens.access_token.as_deref().filter(|_| rules.lacks(&claims)) {
            let more = self.userinfo(access).await?;
            more.into_iter().try_for_each(|more| merge(&mut claims, more))?;
        }
        Ok(rules.person(&claims).ok_or(TokenFault::Nobody)?)
    }

    pub(super) async fn userinfo(&self, access_token: &str) -> Result<Option<Claims>, LoginFault> {
        self.provider.userinfo(access_token).await.map_err(|none| match none {
            NoTokens::Down => LoginFault::Unavailable,
            NoTokens::Refused => LoginFault::Refused,
        })
    }

    async fn id_claims(&self, token: &str, kind: Kind<'_>, now: Unix) -> Result<Claims, LoginFault> {
        let audience = std::slice::from_ref(&self.settings.client_id);
        let expected = Expected { issuer: &self.settings.issuer, audience, kind };
        let verify = |keys: &Keys| expected.verify(keys, token, now);
        let keys = self.provider.keys().await.map_err(|_| LoginFault::Unavailable)?;
        match verify(&keys) {
            Err(TokenFault::UnknownKey) => {
                let newer = self.provider.newer_keys().await.map_err(|_| LoginFault::Unavailable)?;
                Ok(verify(&newer)?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Goes on to a page of the host that was asked for.
    fn back(&self, ask: &Ask<'_>, path: &str, cookies: Vec<HeaderValue>) -> Flow {
        match HeaderValue::try_from(self.address(&ask.from, path)) {
            Ok(location) => leave(StatusCode::SEE_OTHER, location, cookies),
            Err(_) => Flow::refuse(Refusal::Internal),
        }
    }

    fn failed(&self, ask: &Ask<'_>, sent: &Sent, fault: LoginFault) -> Flow {
        let mut denial = match fault {
            // The login in flight stays: with a reload it may still end well.
            LoginFault::Unavailable => return self.unavailable(),
            LoginFault::Token(TokenFault::Nobody) => Denial::new(Refusal::Forbidden)
                .detail("The provider does not say who this is, in the claim that is asked for."),
            LoginFault::TooLong => Denial::new(Refusal::Forbidden).detail(fault.to_string()),
            _ => Denial::new(Refusal::BadLogin).detail(fault.to_string()),
        };
        self.metrics.count(LoginResult::Failed);
        // Whoever made that answer up must not end the login that waits for the right one.
        if !matches!(fault, LoginFault::Unknown) {
            denial.headers.extend(self.forgotten(sent.state()).map(|cookie| (SET_COOKIE, cookie)));
            tracing::info!(route = ask.from.route, request_id = ask.from.request_id, why = %fault, "a login has failed");
        }
        denial.into()
    }

    fn forgotten(&self, state: &str) -> Option<HeaderValue> {
        Jar::forget_login(&self.jar.login_name(Login::tag(state)?))
    }
}

/// More claims, if they are of the same person.
fn merge(claims: &mut Claims, more: Claims) -> Result<(), LoginFault> {
    if more.get("sub") != claims.get("sub") {
        return Err(LoginFault::TwoPeople);
    }
    add(claims, more);
    Ok(())
}

impl Sent {
    /// The fields of a query. Where one comes twice nobody knows which is meant: then there are none.
    fn read(query: &str) -> Self {
        let mut sent = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let field = match &*name {
                "state" => &mut sent.state,
                "code" => &mut sent.code,
                "error" => &mut sent.error,
                "iss" => &mut sent.issuer,
                _ => continue,
            };
            if field.replace(value.into_owned()).is_some() {
                return Self::default();
            }
        }
        sent
    }

    fn state(&self) -> &str {
        self.state.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_the_answer_are_read_once_and_decoded() {
        let sent = Sent::read("code=a%2Bb+c&state=s&iss=https%3A%2F%2Fid.test&session_state=x");
        assert_eq!(
            (sent.code.as_deref(), sent.state(), sent.issuer.as_deref()),
            (Some("a+b c"), "s", Some("https://id.test"))
        );
        for twice in ["state=s&code=a&code=b", "state=s&iss=a&iss=a&code=a", "state=s&state=s&code=a"] {
            let sent = Sent::read(twice);
            assert!(sent.code.is_none() && sent.state.is_none(), "{twice}");
        }
        let none = Sent::read("");
        assert!(none.code.is_none() && none.error.is_none() && none.state.is_none());
    }

    #[test]
    fn what_was_signed_is_not_overruled_and_another_person_is_refused() {
        let object = |value: serde_json::Value| value.as_object().expect("an object").clone();
        let mut claims = object(json!({"sub": "1", "groups": ["a"]}));
        assert_eq!(merge(&mut claims, object(json!({"sub": "1", "groups": ["root"], "email": "a@b"}))), Ok(()));
        assert_eq!(claims, object(json!({"sub": "1", "groups": ["a"], "email": "a@b"})));
        assert_eq!(merge(&mut claims, object(json!({"sub": "2"}))), Err(LoginFault::TwoPeople));
        assert_eq!(merge(&mut claims, object(json!({}))), Err(LoginFault::TwoPeople));
    }
}
