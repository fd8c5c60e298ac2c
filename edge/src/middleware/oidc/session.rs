//! A login that lasts: what its cookie keeps, and for how long it is good.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::claims::Person;

/// Seconds since 1970.
pub(super) type Unix = u64;

/// How long a login lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// From the login on, whatever happens.
    pub(super) most: Duration,
    /// Without a request.
    pub(super) idle: Duration,
    /// From one question to the provider whether the person may still log in to the next; none is never.
    pub(super) refresh: Option<Duration>,
}

/// A person that has logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// Who.
    #[serde(flatten)]
    pub(super) person: Person,
    /// When.
    #[serde(rename = "b")]
    pub(super) began: Unix,
    /// When the cookie was written, which is at most a while before the last request.
    #[serde(rename = "w")]
    pub(super) written: Unix,
    /// When the provider was last asked.
    #[serde(rename = "a")]
    pub(super) asked: Unix,
    /// By what the provider is asked again.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(super) refresh: Option<String>,
}

/// What is to be done with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is over.
    Over,
    /// It is good as it is.
    Good,
    /// It is good, and its cookie should say that it is in use.
    Rewrite,
    /// The provider is to be asked.
    Ask,
}

impl Session {
    /// A login of now.
    pub(super) fn begin(person: Person, refresh: Option<String>, now: Unix) -> Self {
        Self { person, began: now, written: now, asked: now, refresh }
    }

    /// How it stands.
    pub(super) fn state(&self, lifetime: &Lifetime, now: Unix) -> State {
        // A cookie of the future is one of a clock that was wrong: it is not trusted for longer than another.
        let since = |then: Unix| Duration::from_secs(now.saturating_sub(then));
        let is_ahead = |then: Unix| then > now + LEEWAY;
        if [self.began, self.written, self.asked].into_iter().any(is_ahead) {
            return State::Over;
        }
        if since(self.began) >= lifetime.most || since(self.written) >= lifetime.idle {
            return State::Over;
        }
        if self.refresh.is_some() && lifetime.refresh.is_some_and(|every| since(self.asked) >= every) {
            return State::Ask;
        }
        if since(self.written) >= lifetime.idle / 10 { State::Rewrite } else { State::Good }
    }

    /// For how long a browser keeps its cookie.
    pub(super) fn left(&self, lifetime: &Lifetime, now: Unix) -> Duration {
        lifetime.most.saturating_sub(Duration::from_secs(now.saturating_sub(self.began))).min(lifetime.idle)
    }
}

/// How far clocks may be apart.
pub(super) const LEEWAY: Unix = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const LIFETIME: Lifetime = Lifetime {
        most: Duration::from_secs(24 * HOUR),
        idle: Duration::from_secs(10 * HOUR),
        refresh: Some(Duration::from_secs(2 * HOUR)),
    };

    fn session() -> Session {
        let person = Person { subject: "1".into(), user: "alice".into(), groups: Vec::new(), claims: [].into() };
        Session::begin(person, None, 1_000_000)
    }

    #[test]
    fn a_session_ends_idle_or_at_its_end_and_says_when_its_cookie_is_due() {
        let mut session = session();
        let at = |session: &Session, hours: u64| session.state(&LIFETIME, 1_000_000 + hours * HOUR);
        assert_eq!(at(&session, 0), State::Good);
        assert_eq!(at(&session, 1), State::Rewrite);
        assert_eq!(at(&session, 9), State::Rewrite);
        assert_eq!(at(&session, 10), State::Over);
        session.written += 20 * HOUR;
        assert_eq!(at(&session, 20), State::Good);
        assert_eq!(session.left(&LIFETIME, 1_000_000 + 20 * HOUR), Duration::from_secs(4 * HOUR));
        assert_eq!(at(&session, 24), State::Over);
        assert_eq!(session.left(&LIFETIME, 1_000_000 + 30 * HOUR), Duration::ZERO);
    }

    #[test]
    fn the_provider_is_asked_again_only_where_it_can_be() {
        let mut session = session();
        session.refresh = Some("token".into());
        let at = |session: &Session, hours: u64| session.state(&LIFETIME, 1_000_000 + hours * HOUR);
        assert_eq!((at(&session, 1), at(&session, 2)), (State::Rewrite, State::Ask));
        let never = Lifetime { refresh: None, ..LIFETIME };
        assert_eq!(session.state(&never, 1_000_000 + 2 * HOUR), State::Rewrite);
    }

    #[test]
    fn a_session_of_the_future_is_over() {
        let session = session();
        assert_eq!(session.state(&LIFETIME, 1_000_000 - LEEWAY), State::Good);
        assert_eq!(session.state(&LIFETIME, 1_000_000 - LEEWAY - 1), State::Over);
    }

    #[test]
    fn it_reads_back_as_it_was_written() {
        let mut session = session();
        session.refresh = Some("token".into());
        session.person.claims.insert("email".into(), "a@example.test".into());
        let text = serde_json::to_vec(&session).expect("JSON");
        assert_eq!(serde_json::from_slice::<Session>(&text).expect("JSON"), session);
    }
}
