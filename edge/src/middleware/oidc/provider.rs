//! One provider as one of its clients: what it publishes, kept and asked for again, and the questions of a login.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use form_urlencoded::Serializer;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Response, Uri};
use serde::Deserialize;
use tokio::time::Instant;

use super::about::{About, AboutFault};
use super::cached::{Cached, Down, Since};
use crate::middleware::client::{CallError, Client};
use crate::middleware::signed::{Claims, Keys};
use crate::telemetry::{self, LastGood};

/// The provider.
#[derive(Debug)]
pub(super) struct Provider {
    client: Client,
    registered: Registered,
    last_good: LastGood,
    silent: telemetry::Provider,
    about: Cached<About>,
    keys: Cached<Keys>,
    unknown_key: Mutex<Option<Instant>>,
}

/// Who we are to it.
pub(super) struct Registered {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret: Option<String>,
}

/// What it gives for a login.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) id_token: Option<String>,
    pub(super) access_token: Option<String>,
    pub(super) refresh_token: Option<String>,
}

/// Why it gives no tokens, or says nothing of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTokens {
    /// It cannot be asked, or takes us for somebody else: nothing that the person can mend.
    Down,
    /// The code or the token is not good, or not any more.
    Refused,
}

/// What went wrong with a question.
#[derive(Debug, thiserror::Error)]
enum AskFault {
    #[error("{0}: {1}")]
    Call(Uri, #[source] Box<CallError>),
    #[error("{0} answers {1}")]
    Status(Uri, u16),
    #[error("{0}")]
    About(#[from] AboutFault),
    #[error("where its keys are is not known")]
    NoAbout,
    #[error("{0} names no key that signatures can be checked with: {1}")]
    Keys(Uri, String),
    #[error("{0} answers with what cannot be read")]
    Unreadable(Uri),
    #[error("the issuer cannot be asked: its address is malformed")]
    Issuer,
    #[error("{0} does not accept client_id and client_secret, or how they are sent ({1})")]
    Client(Uri, &'static str),
}

/// Asked for again after this long, so that a key that is withdrawn stops being good.
const FRESH: Since = Since::Last(Duration::from_secs(3600));
/// Between two looks for keys because of a name that nobody knows: anybody can invent names.
const UNKNOWN_KEY: Duration = Duration::from_secs(5);

impl Provider {
    pub(super) fn new(client: Client, registered: Registered, told: (LastGood, telemetry::Provider)) -> Self {
        let (last_good, silent) = told;
        let (about, keys, unknown_key) = (Cached::default(), Cached::default(), Mutex::default());
        Self { client, registered, last_good, silent, about, keys, unknown_key }
    }

    /// What it says of itself.
    pub(super) async fn about(&self) -> Result<Arc<About>, Down> {
        if let Some(about) = self.about.get(FRESH) {
            return Ok(about);
        }
        let ask = async {
            let issuer = &self.registered.issuer;
            let uri = About::address(issuer).parse().map_err(|_| AskFault::Issuer)?;
            Ok(About::read(&self.get(&uri, HeaderMap::new()).await?, issuer)?)
        };
        self.about.ask_or_last(FRESH, ask, |outcome: Result<(), &AskFault>| self.told(outcome)).await
    }

    /// Its keys without asking, if they are fresh.
    pub(super) fn keys_at_hand(&self) -> Option<Arc<Keys>> {
        self.keys.get(FRESH)
    }

    /// Its keys: fresh ones, or the last ones that it gave.
    pub(super) async fn keys(&self) -> Result<Arc<Keys>, Down> {
        if let Some(keys) = self.keys_at_hand() {
            return Ok(keys);
        }
        self.keys.ask_or_last(FRESH, self.ask_keys(), |outcome| self.told(outcome)).await
    }

    /// Fresh ones, because a token names one that is not among the last ones.
    pub(super) async fn fresh_keys(&self) -> Result<Arc<Keys>, Down> {
        self.keys_since(FRESH).await
    }

    /// Its keys of now, because a token names one that is not among those that we have.
    pub(super) async fn newer_keys(&self) -> Result<Arc<Keys>, Down> {
        self.keys_since(Since::now()).await
    }

    /// Whether it is time to look for newer keys because of a stranger's token.
    pub(super) fn may_look_for_keys(&self) -> bool {
        let mut last = self.unknown_key.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|at| at.elapsed() >= UNKNOWN_KEY);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    async fn keys_since(&self, since: Since) -> Result<Arc<Keys>, Down> {
        if let Some(keys) = self.keys.get(since) {
            return Ok(keys);
        }
        self.keys.ask(since, self.ask_keys(), |outcome| self.told(outcome)).await
    }

    async fn ask_keys(&self) -> Result<Keys, AskFault> {
        let about = self.about().await.map_err(|Down| AskFault::NoAbout)?;
        let set = self.get(&about.keys, HeaderMap::new()).await?;
        let set = std::str::from_utf8(&set).map_err(|_| "it is not UTF-8 text".to_owned());
        set.and_then(Keys::of_set).map_err(|why| AskFault::Keys(about.keys.clone(), why))
    }

    /// The tokens of a login.
    pub(super) async fn redeem(&self, code: &str, verifier: &str, callback: &str) -> Result<Tokens, NoTokens> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", verifier),
            ("redirect_uri", callback),
        ];
        self.tokens(&fields).await
    }

    /// New tokens for a session.
    pub(super) async fn refresh(&self, token: &str) -> Result<Tokens, NoTokens> {
        self.tokens(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    async fn tokens(&self, fields: &[(&str, &str)]) -> Result<Tokens, NoTokens> {
        let about = self.about().await.map_err(|Down| NoTokens::Down)?;
        let (head, form) = self.registered.question(fields, about.secret_in_form);
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let answer = Box::pin(self.client.post(&about.token, head, kind, form)).await;
        let outcome = answer.map_err(|error| AskFault::Call(about.token.clone(), error.into()));
        match outcome.and_then(|answer| tokens(&about.token, &answer)) {
            Ok(tokens) => tokens.ok_or(NoTokens::Refused),
            Err(fault) => {
                self.silent.failed(&fault.to_string());
                Err(NoTokens::Down)
            }
        }
    }

    /// What it says of the person that this token is about.
    pub(super) async fn userinfo(&self, access_token: &str) -> Result<Option<Claims>, NoTokens> {
        let about = self.about().await.map_err(|Down| NoTokens::Down)?;
        let Some(uri) = &about.userinfo else { return Ok(None) };
        let Ok(authorization) = HeaderValue::try_from(format!("Bearer {access_token}")) else { return Ok(None) };
        let mut head = json();
        head.insert(AUTHORIZATION, authorization);
        let outcome = self
            .get(uri, head)
            .await
            .and_then(|body| serde_json::from_slice(&body).map_err(|_| AskFault::Unreadable(uri.clone())));
        outcome.map(Some).map_err(|fault| match fault {
            // What it says to a token that is not good (RFC 6750 section 3.1).
            AskFault::Status(_, 400 | 401 | 403) => NoTokens::Refused,
            fault => {
                self.silent.failed(&fault.to_string());
                NoTokens::Down
            }
        })
    }

    async fn get(&self, uri: &Uri, mut head: HeaderMap) -> Result<Bytes, AskFault> {
        head.extend(json());
        let answer =
            Box::pin(self.client.get(uri, head)).await.map_err(|error| AskFault::Call(uri.clone(), error.into()))?;
        match answer.status().as_u16() {
            200 => Ok(answer.into_body()),
            other => Err(AskFault::Status(uri.clone(), other)),
        }
    }

    /// Said in other words while there is something to go on with.
    fn told(&self, outcome: Result<(), &AskFault>) {
        match outcome {
            Ok(()) => self.last_good.well(),
            // Why has been told already.
            Err(AskFault::NoAbout) => {}
            Err(fault) if self.keys.last().is_some() => self.last_good.kept(&fault.to_string()),
            Err(fault) => self.silent.failed(&fault.to_string()),
        }
    }
}

impl Registered {
    /// A question to the token endpoint: its fields and its form.
    fn question(&self, fields: &[(&str, &str)], secret_in_form: bool) -> (HeaderMap, String) {
        let Self { client_id, client_secret, .. } = self;
        let (mut form, mut head) = (Serializer::new(String::new()), json());
        form.extend_pairs(fields);
        match client_secret {
            Some(secret) if !secret_in_form => drop(head.insert(AUTHORIZATION, basic(client_id, secret))),
            Some(secret) => drop(form.append_pair("client_id", client_id).append_pair("client_secret", secret)),
            None => drop(form.append_pair("client_id", client_id)),
        }
        (head, form.finish())
    }
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { issuer, client_id, client_secret: _ } = self;
        f.debug_struct("Registered").field("issuer", issuer).field("client_id", client_id).finish_non_exhaustive()
    }
}

/// None if the provider does not take the code or token; a fault if it does not take us.
fn tokens(uri: &Uri, answer: &Response<Bytes>) -> Result<Option<Tokens>, AskFault> {
    #[derive(Deserialize)]
    struct Refused {
        error: String,
    }
    match answer.status().as_u16() {
        200 => serde_json::from_slice(answer.body()).map(Some).map_err(|_| AskFault::Unreadable(uri.clone())),
        status @ (400 | 401 | 403) => match serde_json::from_slice::<Refused>(answer.body()) {
            Ok(Refused { error }) if error == "invalid_client" => Err(AskFault::Client(uri.clone(), "invalid_client")),
            Ok(Refused { error }) if error == "unauthorized_client" => {
                Err(AskFault::Client(uri.clone(), "unauthorized_client"))
            }
            Ok(Refused { .. }) => Ok(None),
            Err(_) => Err(AskFault::Status(uri.clone(), status)),
        },
        other => Err(AskFault::Status(uri.clone(), other)),
    }
}

/// Both are written as in a form first (RFC 6749 section 2.3.1).
fn basic(client_id: &str, secret: &str) -> HeaderValue {
    let form = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let account = BASE64.encode(format!("{}:{}", form(client_id), form(secret)).as_bytes());
    let mut value = HeaderValue::try_from(format!("Basic {account}")).expect("base64 is ASCII");
    value.set_sensitive(true);
    value
}

fn json() -> HeaderMap {
    [(ACCEPT, HeaderValue::from_static("application/json"))].into_iter().collect()
}
