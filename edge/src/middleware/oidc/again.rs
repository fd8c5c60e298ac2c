//! A session of which the provider is asked again: who it is about now, and whether it goes on.

use super::Oidc;
use super::callback::LoginFault;
use super::claims::Person;
use super::provider::{NoTokens, Tokens};
use super::refresh::Refreshed;
use super::session::{Session, Unix};
use super::token::Kind;
use crate::middleware::signed::TokenFault;
use crate::telemetry::LoginResult;

impl Oidc {
    /// What became of a session that it is time to ask about.
    pub(super) async fn asked_again(&self, session: &Session, now: Unix) -> Refreshed {
        let Some(token) = session.refresh.as_deref() else { return Refreshed::On(session.clone()) };
        self.questions.answer(token, session.asked, self.ask_again(session, token, now)).await
    }

    pub(super) async fn ask_again(&self, session: &Session, token: &str, now: Unix) -> Refreshed {
        let mut next = Session { asked: now, written: now, ..session.clone() };
        let tokens = match self.provider.refresh(token).await {
            Ok(tokens) => tokens,
            Err(NoTokens::Refused) => {
                self.metrics.count(LoginResult::Ended);
                return Refreshed::Over;
            }
            // Who has logged in goes on; the next question comes with the next request after a while.
            Err(NoTokens::Down) => return Refreshed::On(next),
        };
        next.refresh = tokens.refresh_token.clone().or(next.refresh);
        match Box::pin(self.again(&session.person, &tokens, now)).await {
            Ok(person) => next.person = person,
            Err(LoginFault::Unavailable) => {}
            // What is said of the person is not to be trusted, and what was said before is out of date.
            Err(fault) => {
                self.metrics.count(LoginResult::Ended);
                tracing::info!(user = session.person.user, why = %fault, "a session is over");
                return Refreshed::Over;
            }
        }
        self.metrics.count(LoginResult::Refreshed);
        Refreshed::On(next)
    }

    /// What the provider says now of a person, with tokens that it has given for a session: there may be no ID token
    /// among them (OpenID Connect Core section 12.2).
    async fn again(&self, person: &Person, tokens: &Tokens, now: Unix) -> Result<Person, LoginFault> {
        let next = if tokens.id_token.is_some() {
            let kind = Kind::Id { nonce: None, client: &self.settings.client_id };
            self.who(tokens, kind, now).await?
        } else {
            let access = tokens.access_token.as_deref().ok_or(LoginFault::NoIdToken)?;
            let claims = self.userinfo(access).await?.ok_or(LoginFault::NoIdToken)?;
            self.settings.rules.person(&claims).ok_or(TokenFault::Nobody)?
        };
        if next.subject == person.subject { Ok(next) } else { Err(LoginFault::TwoPeople) }
    }
}
