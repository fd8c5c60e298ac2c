//! Asks for a signed token (JWT) in `Authorization: Bearer` and checks its signature, its time, who issued it and whom it
//! is for. For people who log in with a browser see `oidc`.
//!
//! ```toml
//! [middleware.jobs]
//! kind = "jwt"
//! jwks_url = "https://login.example.com/realms/ml/protocol/openid-connect/certs"
//! issuer = "https://login.example.com/realms/ml"
//! audience = "models"
//! required_claims = { groups = ["ml", "ops"] }      # one of these, of each
//! claims_to_headers = { email = "x-user-email" }
//! ```
//!
//! Keys of `jwks_url` are asked for with the first request and every `refresh`, and when a token names a key that is not
//! known, at most every `refetch`. If they cannot be had, the last good ones stay in use and `edge_middleware_last_good` is
//! above 0; before there are any, the answer is 503. Files are followed as the users file of `basic-auth` is.
//!
//! Keys of a set check RSA, ECDSA and EdDSA signatures, a shared secret checks HMAC ones, and neither the other's; `none` is
//! never accepted. A token must say when it expires.

mod keys;

use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use self::keys::{Published, Source};
use super::authorization::{Authorization, PASS_AUTHORIZATION, Told, USER_HEADER, field_name, is_user, set_field};
use super::client::{self, Client};
use super::forward_auth::url;
use super::hot_file::HotFile;
use super::signed::{Accepted, Claims, Expected, Keys, PUBLIC, SECRET, TokenFault, values};
use super::{Ask, BuildError, Building, Denial, Flow, Kind, Middleware};
use crate::telemetry::Refusal;

/// The middleware.
#[derive(Debug)]
pub struct Jwt {
    keys: Source,
    checks: Checks,
}

/// What the keys say.
#[derive(Debug)]
pub struct Settings {
    from: From,
    ca_file: Option<String>,
    refresh: Duration,
    refetch: Duration,
    checks: Checks,
}

#[derive(Debug)]
enum From {
    Url(Uri),
    Set(String),
    Secret(String),
}

/// What is asked of a token, and what becomes of its claims.
#[derive(Debug)]
struct Checks {
    algorithms: Vec<Algorithm>,
    /// Any, if none is named.
    issuers: Vec<String>,
    /// Any, if none is named.
    audiences: Vec<String>,
    leeway: Duration,
    required: Vec<(String, Vec<String>)>,
    user_claim: String,
    headers: Vec<(String, HeaderName)>,
    told: Told,
}

const TEXTS: Shape = Shape::OneOrMany(&Shape::TEXT);
const ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256", "HS384", "HS512"];

/// The most of a key set, and how long it may take to come.
const SET: usize = 256 * 1024;
const DEADLINE: Duration = Duration::from_secs(5);

impl Kind for Jwt {
    const NAME: &'static str = "jwt";
    const KEYS: &'static [Key] = &[
        Key::new("jwks_url", Shape::Text("an http or https URL"), "Where the keys of the issuer are published."),
        Key::new("jwks_file", Shape::Text("a file"), "A file with a JWK set, instead."),
        Key::new("secret_file", Shape::Text("a file"), "A file with a shared secret of 32 bytes or more, instead."),
        Key::new("ca_file", Shape::Text("a file"), "PEM file of the authorities that `jwks_url` is checked against.")
            .default("those of the system"),
        Key::new("issuer", TEXTS, "Whose tokens are accepted: `iss` is one of these.").default("any"),
        Key::new(
            "audience",
            TEXTS,
            "For whom they are: `aud` names one of these. Only with `secret_file` it may be left out.",
        ),
        Key::new("algorithms", Shape::OneOrMany(&Shape::one_of(ALGORITHMS)), "How they may be signed.")
            .default("all that the keys are for"),
        Key::new("leeway", Shape::Duration, "How far clocks may be apart.").default("\"30s\""),
        Key::new(
            "required_claims",
            Shape::Map(&TEXTS),
            "Claims that must be there, each with the values of which one is enough; lists and `scope` may have more.",
        ),
        Key::new("user_claim", Shape::TEXT, "The claim that names the user.").default("\"sub\""),
        Key::new(
            "claims_to_headers",
            Shape::Map(&Shape::Text("a field's name")),
            "Claims that the server gets in header fields; what a client sends in those is dropped.",
        ),
        Key::new("refresh", Shape::Duration, "How often `jwks_url` is asked again.").default("\"10m\""),
        Key::new("refetch", Shape::Duration, "How often it may be asked again for a key that is not known.")
            .default("\"30s\""),
        USER_HEADER,
        PASS_AUTHORIZATION,
    ];
    type Settings = Settings;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Settings> {
        let from = from(item, reading);
        let ca_file = item.get("ca_file");
        if let Some(file) = &ca_file {
            reading.file(file);
        }
        let is_secret = matches!(from, Some(From::Secret(_)));
        if !is_secret && item.get("audience").is_none_or(|list| texts(&list).is_empty()) {
            let fault = item.fault("`audience` is missing: tokens that the issuer made for others would be accepted");
            reading.faults.push(fault.hint("audience = \"the name of this service at the issuer\""));
        }
        let duration = |key, default| item.get(key).and_then(|item| item.as_duration()).unwrap_or(default);
        let list = |key| item.get(key).map(|list| texts(&list)).unwrap_or_default();
        let headers = item.get("claims_to_headers");
        let headers = headers.iter().flat_map(Item::entries);
        let headers =
            headers.filter_map(|(claim, item)| Some((claim.to_owned(), field_name(&item, reading)?))).collect();
        let required = item.get("required_claims");
        let required = required.iter().flat_map(Item::entries);
        let checks = Checks {
            algorithms: algorithms(item, is_secret, reading),
            issuers: list("issuer"),
            audiences: list("audience"),
            leeway: duration("leeway", Duration::from_secs(30)),
            required: required.map(|(claim, item)| (claim.to_owned(), texts(&item))).collect(),
            user_claim: item.get("user_claim").and_then(|item| item.as_str()).unwrap_or("sub").to_owned(),
            headers,
            told: Told::read(item, AUTHORIZATION, reading),
        };
        Some(Settings {
            from: from?,
            ca_file: ca_file.and_then(|file| file.as_str().map(str::to_owned)),
            refresh: duration("refresh", Duration::from_secs(600)).max(Duration::from_secs(1)),
            refetch: duration("refetch", Duration::from_secs(30)).max(Duration::from_secs(1)),
            checks,
        })
    }

    fn files(settings: &Settings) -> Vec<&str> {
        let from_url = matches!(settings.from, From::Url(_));
        settings.ca_file.as_deref().filter(|_| from_url).into_iter().collect()
    }

    fn build(settings: Settings, building: &Building<'_>) -> Result<Self, BuildError> {
        let Settings { from, ca_file, refresh, refetch, checks } = settings;
        let last_good = building.metrics.last_good(building.name);
        let keys = match from {
            From::Set(file) => HotFile::open(building.path(&file), last_good, Keys::of_set).map(Source::File),
            From::Secret(file) => HotFile::open(building.path(&file), last_good, Keys::of_secret).map(Source::File),
            From::Url(url) => {
                let ca_file = ca_file.as_deref().map(|file| building.path(file));
                let client = Client::new(&client::Settings { ca_file, deadline: DEADLINE, body: SET });
                let client = client.map_err(|error| building.error(error))?;
                Ok(Source::Url(Box::new(Published::new(client, url, refresh, refetch, last_good))))
            }
        };
        Ok(Self { keys: keys.map_err(|error| building.error(error))?, checks })
    }
}

fn texts(item: &Item<'_>) -> Vec<String> {
    item.one_or_many().iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The one place that the keys are in.
fn from(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<From> {
    let given: Vec<Item<'_>> =
        ["jwks_url", "jwks_file", "secret_file"].into_iter().filter_map(|key| item.get(key)).collect();
    let [one] = &given[..] else {
        let fault =
            item.fault("it needs one of `jwks_url`, `jwks_file` and `secret_file`, to know whose tokens are good");
        reading.faults.push(fault.hint("jwks_url = \"https://login.example.com/certs\""));
        return None;
    };
    if one.name() == "jwks_url" {
        return url(one, reading).map(From::Url);
    }
    reading.file(one);
    let file = one.as_str()?.to_owned();
    Some(if one.name() == "jwks_file" { From::Set(file) } else { From::Secret(file) })
}

/// Those that may be used with the keys: the other kind would have a public key taken for a secret.
fn algorithms(item: &Item<'_>, is_secret: bool, reading: &mut Reading<'_>) -> Vec<Algorithm> {
    let usable = if is_secret { SECRET } else { PUBLIC };
    let Some(given) = item.get("algorithms") else { return usable.to_vec() };
    let mut all = Vec::new();
    for item in given.one_or_many() {
        let Some(name) = item.as_str().filter(|name| ALGORITHMS.contains(name)) else { continue };
        match name.parse().ok().filter(|algorithm| usable.contains(algorithm)) {
            Some(algorithm) => all.push(algorithm),
            None => reading.faults.push(
                item.fault(format!("{name} cannot be checked with these keys"))
                    .hint("a shared secret is for HS256, HS384 and HS512; a key set for all others"),
            ),
        }
    }
    if all.is_empty() && given.one_or_many().is_empty() {
        reading.faults.push(given.fault("without an algorithm no token would be accepted"));
    }
    all
}

/// What becomes of a token.
enum Judged {
    Good(Box<Claims>),
    Bad(TokenFault),
}

impl Middleware for Jwt {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        let token = match bearer(ask) {
            Ok(token) => token,
            Err(flow) => return flow,
        };
        match self.keys.fresh().map(|keys| self.judge(&keys, &token)) {
            Some(Judged::Good(claims)) => self.checks.pass(ask, &claims),
            Some(Judged::Bad(TokenFault::UnknownKey)) if self.keys.may_have_more() => Flow::Wait,
            Some(Judged::Bad(fault)) => bad(fault),
            None => Flow::Wait,
        }
    }

    fn wait<'a>(&'a self, ask: &'a mut Ask<'_>) -> BoxFuture<'a, Flow> {
        Box::pin(async move {
            let token = match bearer(ask) {
                Ok(token) => token,
                Err(flow) => return flow,
            };
            let Some(keys) = self.keys.get().await else { return Flow::refuse(Refusal::AuthUnavailable) };
            let mut judged = self.judge(&keys, &token);
            if matches!(judged, Judged::Bad(TokenFault::UnknownKey)) && self.keys.may_have_more() {
                judged = match self.keys.again().await {
                    Some(keys) => self.judge(&keys, &token),
                    None => judged,
                };
            }
            match judged {
                Judged::Good(claims) => self.checks.pass(ask, &claims),
                Judged::Bad(fault) => bad(fault),
            }
        })
    }
}

impl Jwt {
    fn judge(&self, keys: &Keys, token: &str) -> Judged {
        match keys.verify(token, &self.checks.expected(), Timestamp::now().as_second() as f64) {
            Ok(claims) => Judged::Good(Box::new(claims)),
            Err(fault) => Judged::Bad(fault),
        }
    }
}

impl Checks {
    fn expected(&self) -> Expected<'_> {
        Expected {
            algorithms: &self.algorithms,
            issuer: any_or(&self.issuers),
            audience: any_or(&self.audiences),
            leeway: self.leeway.as_secs_f64(),
        }
    }

    fn pass(&self, ask: &mut Ask<'_>, claims: &Claims) -> Flow {
        let Some(user) = values(claims.get(&self.user_claim)).into_iter().next().filter(|user| is_user(user)) else {
            return bad(TokenFault::Nobody);
        };
        if !self.required.iter().all(|(name, wanted)| has_one(claims, name, wanted)) {
            return refuse(Denial::new(Refusal::Forbidden), "insufficient_scope");
        }
        self.told.tell(ask, user);
        for (claim, name) in &self.headers {
            let value = joined(claims.get(claim));
            let value = HeaderValue::from_bytes(value.as_bytes()).ok().filter(|value| !value.is_empty());
            set_field(ask, name, value);
        }
        Flow::Next
    }
}

/// One value for a field. An item of a list with a comma could pass for two, and is left out.
fn joined(claim: Option<&serde_json::Value>) -> String {
    let is_list = claim.is_some_and(serde_json::Value::is_array);
    let items = values(claim).into_iter().filter(|item| !is_list || !item.contains(','));
    items.collect::<Vec<_>>().join(",")
}

fn any_or(named: &[String]) -> Accepted<'_> {
    if named.is_empty() { Accepted::Any } else { Accepted::OneOf(named) }
}

/// Whether a claim has one of these values, or is there at all if none is named.
fn has_one(claims: &Claims, name: &str, wanted: &[String]) -> bool {
    let Some(claim) = claims.get(name) else { return false };
    let texts = values(Some(claim));
    // RFC 8693 section 4.2: scopes are words of one text.
    let words: Vec<&str> =
        if name == "scope" { texts.iter().flat_map(|text| text.split(' ')).collect() } else { texts };
    wanted.is_empty() || words.iter().any(|word| wanted.iter().any(|one| one == word))
}

fn bearer(ask: &Ask<'_>) -> Result<String, Flow> {
    match Authorization::of(ask.from.headers) {
        Authorization::Bearer(token) => Ok(token),
        Authorization::Missing => Err(refuse(Denial::new(Refusal::Unauthorized), "")),
        Authorization::Unusable | Authorization::Basic { .. } => Err(bad(TokenFault::Malformed)),
    }
}

fn bad(fault: TokenFault) -> Flow {
    refuse(Denial::new(Refusal::BadLogin).detail(fault.sentence()), "invalid_token")
}

/// RFC 6750 section 3.
fn refuse(denial: Denial, error: &str) -> Flow {
    let more = if error.is_empty() { String::new() } else { format!(", error=\"{error}\"") };
    match HeaderValue::try_from(format!("Bearer realm=\"api\"{more}")) {
        Ok(challenge) => denial.header(WWW_AUTHENTICATE, challenge).into(),
        Err(_) => denial.into(),
    }
}

#[cfg(test)]
mod tests;
