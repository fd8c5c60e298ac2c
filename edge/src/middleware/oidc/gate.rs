//! Who may pass: a session, else a program's token, else nobody; and what nobody is told.

use http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::Oidc;
use super::bearer::{Brought, Credential};
use super::claims::Person;
use super::cookies::Jar;
use super::login::{Login, PATIENCE};
use super::refresh::Refreshed;
use super::session::{Session, State, Unix};
use super::settings::Unauthenticated;
use crate::middleware::authorization::{drop_credential, set_field};
use crate::middleware::{Ask, Asker, Denial, Flow, Reply};
use crate::telemetry::{LoginResult, Refusal};

/// What the answer of the server is sent with.
#[derive(Clone)]
struct SetCookies(Vec<HeaderValue>);

/// Logins in flight that a browser may have at once: more are tabs that nobody will come back to.
const MOST_LOGINS: usize = 5;

impl Oidc {
    /// Decides as far as that is possible at once.
    pub(super) fn look(&self, ask: &mut Ask<'_>, now: Unix) -> Flow {
        if ask.from.scheme != "https" {
            return Denial::new(Refusal::Forbidden).detail("Logins work over https only.").into();
        }
        match self.session(ask.from.headers, now) {
            Some((_, State::Ask)) => return Flow::Wait,
            Some((session, State::Rewrite)) => return self.pass_with(ask, session, now),
            Some((session, State::Good)) => return self.pass(ask, &session.person),
            Some((_, State::Over)) | None if self.jar.has_session(ask.from.headers) => {
                self.metrics.count(LoginResult::BadSession)
            }
            Some((_, State::Over)) | None => {}
        }
        match self.brought(ask.from.headers) {
            Brought::Token(token) => self.token_at_hand(ask, &token, now),
            Brought::NoToken => self.bad_token(ask),
            Brought::Nothing if self.leads_to_login(&ask.from) => Flow::Wait,
            Brought::Nothing => self.nobody(ask, None),
        }
    }

    /// Decides by asking the provider.
    pub(super) async fn look_longer(&self, ask: &mut Ask<'_>, now: Unix) -> Flow {
        if let Some((session, State::Ask)) = self.session(ask.from.headers, now) {
            return match self.asked_again(&session, now).await {
                Refreshed::On(session) => self.pass_with(ask, session, now),
                Refreshed::Over if self.leads_to_login(&ask.from) => self.to_login(ask, now).await,
                Refreshed::Over => self.nobody(ask, None),
            };
        }
        match self.brought(ask.from.headers) {
            Brought::Token(token) => self.token(ask, &token, now).await,
            Brought::NoToken => self.bad_token(ask),
            Brought::Nothing => self.to_login(ask, now).await,
        }
    }

    /// The session of a request, if it is not over.
    pub(super) fn session(&self, headers: &HeaderMap, now: Unix) -> Option<(Session, State)> {
        let sealed = self.jar.session(headers);
        let plain = sealed.and_then(|sealed| self.sessions.open(self.jar.session_name(), &sealed));
        let session = serde_json::from_slice::<Session>(&plain?).ok()?;
        let state = session.state(&self.settings.lifetime, now);
        (state != State::Over).then_some((session, state))
    }

    /// The cookies that keep a session. None if it is too long for them.
    pub(super) fn kept(&self, headers: &HeaderMap, session: &Session, now: Unix) -> Option<Vec<HeaderValue>> {
        let plain = serde_json::to_vec(session).ok()?;
        let sealed = self.sessions.seal(self.jar.session_name(), &plain).ok()?;
        self.jar.keep(headers, &sealed, session.left(&self.settings.lifetime, now))
    }

    fn pass_with(&self, ask: &mut Ask<'_>, mut session: Session, now: Unix) -> Flow {
        session.written = now;
        if let Some(cookies) = self.kept(ask.from.headers, &session, now) {
            ask.done.notes.insert(SetCookies(cookies));
        }
        self.pass(ask, &session.person)
    }

    /// Lets a person pass who is known, if the rules let it.
    pub(super) fn pass(&self, ask: &mut Ask<'_>, person: &Person) -> Flow {
        ask.done.user = Some(person.user.clone());
        if !self.settings.rules.allow(person) {
            self.metrics.count(LoginResult::Forbidden);
            let detail = format!("This user may not. To be another one, log out first: {}", self.settings.logout);
            return Denial::new(Refusal::Forbidden).detail(detail).into();
        }
        for (name, value) in self.settings.rules.told(person) {
            set_field(ask, name, value);
        }
        Flow::Next
    }

    /// Lets a program pass whose token is good.
    pub(super) fn pass_token(&self, ask: &mut Ask<'_>, credential: &Credential) -> Flow {
        let flow = self.pass(ask, &credential.person);
        if matches!(flow, Flow::Next) && !self.settings.pass_authorization {
            drop_credential(ask, &AUTHORIZATION);
        }
        flow
    }

    /// Whether the request is one that a person can log in from.
    fn leads_to_login(&self, from: &Asker<'_>) -> bool {
        let is_page = match self.settings.unauthenticated {
            Unauthenticated::Refuse => return false,
            Unauthenticated::Redirect => true,
            Unauthenticated::Auto => wants_page(from.headers),
        };
        is_page
            && (from.method == Method::GET || from.method == Method::HEAD)
            && !from.headers.contains_key(http::header::UPGRADE)
    }

    /// Sends a person to the provider.
    async fn to_login(&self, ask: &Ask<'_>, now: Unix) -> Flow {
        let Ok(about) = self.provider.about().await else { return self.unavailable() };
        let from = &ask.from;
        let Ok(login) = Login::begin(from.path, from.query, now) else { return Flow::refuse(Refusal::Internal) };
        let sent = self.keep_login(from.headers, &login, now);
        let (callback, scopes) = (self.address(from, &self.settings.callback), self.settings.scopes.join(" "));
        let (challenge, own) = (login.challenge(), self.settings.parameters.iter());
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", &callback),
            ("scope", &scopes),
            ("state", &login.state),
            ("nonce", &login.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        fields.extend(own.map(|(name, value)| (name.as_str(), value.as_str())));
        let location = HeaderValue::try_from(with_query(&about.authorization, &fields));
        let (Some(cookies), Ok(location)) = (sent, location) else { return Flow::refuse(Refusal::Internal) };
        self.metrics.count(LoginResult::Started);
        leave(StatusCode::FOUND, location, cookies)
    }

    fn keep_login(&self, headers: &HeaderMap, login: &Login, now: Unix) -> Option<Vec<HeaderValue>> {
        let tag = Login::tag(&login.state)?;
        let sealed = self.logins.seal(&self.jar.login_name(tag), &serde_json::to_vec(login).ok()?).ok()?;
        let mut cookies = vec![self.jar.keep_login(tag, &sealed, PATIENCE)?];
        let mut others: Vec<(Unix, &str)> =
            self.jar.logins(headers).map(|name| (self.began(headers, name, now), name)).collect();
        others.sort_unstable();
        let surplus = others.len().saturating_sub(MOST_LOGINS - 1);
        cookies.extend(others[..surplus].iter().filter_map(|(_, name)| Jar::forget_login(name)));
        Some(cookies)
    }

    /// When a login in flight began; those that are over or not ours are the oldest.
    fn began(&self, headers: &HeaderMap, name: &str, now: Unix) -> Unix {
        let login = self.jar.login_tag(name).and_then(|tag| self.login(headers, tag));
        let login = login.filter(|login| login.is_answered_by(&login.state, now));
        login.map_or(0, |login| login.began)
    }

    /// The login in flight of this tag.
    pub(super) fn login(&self, headers: &HeaderMap, tag: &str) -> Option<Login> {
        let sealed = self.jar.login(headers, tag)?;
        serde_json::from_slice(&self.logins.open(&self.jar.login_name(tag), sealed)?).ok()
    }

    /// Our own address of a path on the host that was asked for.
    pub(super) fn address(&self, from: &Asker<'_>, path: &str) -> String {
        format!("https://{}{path}", from.authority)
    }

    /// Nobody has logged in. `wrong` is what is wrong with the token that was brought.
    pub(super) fn nobody(&self, ask: &Ask<'_>, wrong: Option<&str>) -> Flow {
        let (headers, host) = (ask.from.headers, ask.from.host);
        let reason = if wrong.is_some() { Refusal::BadLogin } else { Refusal::Unauthorized };
        let bearer = &self.settings.bearer;
        // A browser would answer Basic with a window of its own, and registry clients take a Bearer for a token service.
        let challenge = if bearer.in_basic && !headers.contains_key("sec-fetch-mode") {
            format!("Basic realm=\"{host}\", charset=\"UTF-8\"")
        } else if bearer.plain {
            let error = wrong.map(|_| ", error=\"invalid_token\"").unwrap_or_default();
            format!("Bearer realm=\"{host}\"{error}")
        } else {
            format!("Cookie realm=\"{host}\", cookie-name=\"{}\"", self.jar.session_name())
        };
        let mut denial = Denial::new(reason);
        denial.detail = wrong.map(str::to_owned);
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            denial = denial.header(WWW_AUTHENTICATE, challenge);
        }
        if self.jar.has_session(headers) {
            denial.headers.extend(self.jar.forget(headers).into_iter().map(|cookie| (SET_COOKIE, cookie)));
        }
        denial.into()
    }

    fn bad_token(&self, ask: &Ask<'_>) -> Flow {
        self.metrics.count(LoginResult::BadToken);
        self.nobody(ask, Some("The password must be a token of the login provider."))
    }

    /// The provider is needed and cannot be asked.
    pub(super) fn unavailable(&self) -> Flow {
        self.metrics.count(LoginResult::Unavailable);
        Denial::new(Refusal::AuthUnavailable).header(RETRY_AFTER, HeaderValue::from_static("5")).into()
    }
}

/// Whether a browser opens a page, as far as anybody can tell.
fn wants_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(mode) = text("sec-fetch-mode") {
        return mode == "navigate";
    }
    let is_script = text("x-requested-with").is_some_and(|by| by.eq_ignore_ascii_case("XMLHttpRequest"));
    let accept = headers.get(ACCEPT).map(HeaderValue::as_bytes).unwrap_or_default();
    !is_script && accept.windows(9).any(|word| word.eq_ignore_ascii_case(b"text/html"))
}

/// Leaves for another address; nothing on the way keeps the answer, and the next page does not learn of this one.
pub(super) fn leave(status: StatusCode, location: HeaderValue, cookies: Vec<HeaderValue>) -> Flow {
    let mut headers = vec![
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    headers.extend(cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)));
    Flow::answer(status, headers)
}

/// An address of the provider with these fields behind those that it has.
pub(super) fn with_query(address: &http::Uri, fields: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(fields);
    let mark = if address.query().is_some() { '&' } else { '?' };
    format!("{address}{mark}{}", query.finish())
}

/// Sends the cookies that were made when the request came.
pub(super) fn set_cookies(reply: &mut Reply<'_>) {
    let Some(SetCookies(cookies)) = reply.done.notes.remove() else { return };
    let mut fields = reply.headers();
    cookies.into_iter().for_each(|cookie| fields.append(SET_COOKIE, cookie));
}
