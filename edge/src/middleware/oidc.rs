//! Logs people in at an OpenID Connect provider (Keycloak, Authelia, Authentik, Gitea, ...) and lets programs in with its
//! tokens. A page that nobody has logged in for leads to the provider and back (authorization code with PKCE); after that
//! the browser keeps the login in a sealed cookie, so that it outlives a restart of the edge and needs no database.
//!
//! ```toml
//! [middleware.people]
//! kind = "oidc"
//! issuer = "https://id.example.com/realms/home"
//! client_id = "edge"
//! client_secret = "a-secret-of-the-provider"     # or "file:PATH"
//! scopes = ["profile", "email", "groups"]
//! allow_groups = ["ml"]                          # of the claim "groups"
//! headers = { x-forwarded-user = "preferred_username", x-forwarded-email = "email" }
//! bearer = true                                  # programs come with a token
//! audience = ["https://mlflow.example.com"]      # that is for this service
//!
//! [[route]]
//! host = "mlflow.example.com"
//! upstream = "http://127.0.0.1:5000"
//! use = ["people"]
//! ```
//!
//! **At the provider** make a client with the authorization code flow and these addresses, for each host of the route:
//! `https://mlflow.example.com/.edge/oidc/callback` (redirect URI) and `https://mlflow.example.com/` (after the logout).
//!
//! - Keycloak: a client with *Client authentication* and *Standard flow*; the issuer is `https://HOST/realms/REALM`. Groups come
//!   with a mapper *Group Membership* (claim `groups`, full path off), or use `groups_claim = "realm_access.roles"`.
//! - Authelia: `identity_providers.oidc.clients` with `client_id`, the hash of the secret, `redirect_uris` and
//!   `scopes: [openid, profile, email, groups]`; the issuer is Authelia's own address.
//! - Gitea, Forgejo: *Settings, Applications, OAuth2*; the issuer is the address of the site, with its closing slash if the discovery
//!   document has one; groups are `ORGANISATION` and `ORGANISATION:TEAM`.
//!
//! `edge` asks `ISSUER/.well-known/openid-configuration` when it is first needed, and the user info endpoint if a claim that
//! is used here is not in the ID token. Only asymmetric signatures (RS, PS, ES, EdDSA) are accepted.
//!
//! **Programs.** With `bearer = true` a token of the issuer that is for one of `audience` is as good as a session:
//! MLflow clients send what stands in `MLFLOW_TRACKING_TOKEN`, others `Authorization: Bearer TOKEN`. `docker login`, `helm`, `pip`, `twine` and
//! git know user names and passwords only: with `bearer_in_basic = true` the token is the password and the user name may be
//! anything, as in `docker login -u token --password-stdin registry.example.com`. A program gets a token by the client credentials flow:
//! `curl -d grant_type=client_credentials -u ID:SECRET TOKEN_ENDPOINT`. Give `audience` a name of its own at the provider
//! (Keycloak: a mapper *Audience*): ID tokens of logins are for the `client_id`, so with that name each of them that leaks
//! lets its finder in as that person. The server does not see the token
//! (`pass_authorization`), and no server of any route ever sees the cookies of logins.
//!
//! **Who has not logged in** is led to the provider if a browser opens a page (`Sec-Fetch-Mode: navigate`, or `Accept` with
//! `text/html` and no `X-Requested-With`), and gets 401 with `WWW-Authenticate` otherwise: scripts of pages, websockets,
//! command lines. Who has logged in and is in no group of `allow_groups` gets 403. A cookie that was changed, is too old or belongs
//! to another middleware is no login; it is counted in `edge_logins_total{result="bad_session"}`.
//!
//! **When the provider is down** sessions go on, and so do tokens whose key was seen before; who must log in gets 503
//! (`auth_unavailable`). Once an hour, and then once a minute until it answers, one of the requests with a token waits to
//! see whether it is back (20 seconds at most). New signing keys are found when the first token names one.
//!
//! **Good to know.** `/.edge/oidc/logout` ends the session here and at the provider. A session cannot be revoked before it ends, unless
//! `session.refresh` asks the provider now and then. `callback` and `logout` must be paths of the route: a route with `path = "/app/"` needs
//! `callback = "/app/.edge/callback"`. Put `oidc` before steps that change the path. Several edges for the same hosts need the same
//! `cookie_secret` and the same name of the middleware.

mod about;
mod again;
mod bearer;
mod cached;
mod callback;
mod claims;
mod cookies;
mod gate;
mod login;
mod logout;
mod provider;
mod refresh;
mod seal;
mod session;
mod settings;
mod token;

use std::fs;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use futures_util::future::BoxFuture;
use routes::document::Item;
use routes::path::Canonical;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use super::client::{Client, Settings as ClientSettings};
use super::{Ask, BuildError, Building, CookieNames, Flow, Kind, Middleware, Reply};
use crate::telemetry::LoginMetrics;
use cookies::Jar;
use provider::{Provider, Registered};
use refresh::Questions;
use seal::Seal;
use settings::Secret;
pub use settings::Settings;

/// The middleware.
#[derive(Debug)]
pub struct Oidc {
    settings: Settings,
    provider: Provider,
    jar: Jar,
    sessions: Seal,
    logins: Seal,
    questions: Questions,
    metrics: LoginMetrics,
}

const SESSION: &[Key] = &[
    Key::new("max", Shape::Duration, "From the login on, whatever happens.").default("\"24h\""),
    Key::new("idle", Shape::Duration, "Without a request.").default("\"8h\""),
    Key::new(
        "refresh",
        Shape::Duration,
        "How often the provider is asked whether the person may still log in and has which groups; `0` is never. \
         The answer is a new ID token, else the user info; one that is not to be trusted ends the session. It needs a refresh token, for which many providers want the scope `offline_access`, and some \
         `parameters = { prompt = \"consent\" }`.",
    )
    .default("\"0\""),
];

const COOKIE: &[Key] = &[
    Key::new("name", Shape::Text("a name"), "`__Host-` or `__Secure-` is put before it.")
        .default("`edge-` and letters of its own for each middleware"),
    Key::new("domain", Shape::Text("a domain"), "One login for all hosts below it, instead of one for each host."),
];

/// Of one answer of the provider.
const MOST: usize = 1024 * 1024;
/// For one answer of the provider.
const DEADLINE: Duration = Duration::from_secs(10);

impl Kind for Oidc {
    const NAME: &'static str = "oidc";
    const KEYS: &'static [Key] = &[
        Key::new("issuer", Shape::Text("an address"), "The provider, exactly as its discovery document names itself.")
            .required(),
        Key::new("client_id", Shape::Text("a name"), "What the provider calls this edge.").required(),
        Key::new(
            "client_secret",
            Shape::Text("a secret"),
            "What proves it: the secret itself, or `file:PATH`. None for a public client.",
        ),
        Key::new("scopes", Shape::OneOrMany(&Shape::Text("a scope")), "What is asked for; `openid` always is.")
            .default("[\"openid\", \"profile\", \"email\"]"),
        Key::new(
            "parameters",
            Shape::Map(&Shape::TEXT),
            "More fields for the provider's login page, such as `prompt`, `kc_idp_hint` or `hd`.",
        ),
        Key::new(
            "callback",
            Shape::Text("a path"),
            "Where the provider sends people back to, on each host of the route: the redirect URI to register.",
        )
        .default("\"/.edge/oidc/callback\""),
        Key::new("logout", Shape::Text("a path"), "Where people log out, here and at the provider.")
            .default("\"/.edge/oidc/logout\""),
        Key::new("session", Shape::Table(SESSION), "How long a login lasts."),
        Key::new("user_claim", Shape::Text("a claim"), "The claim with the name of the user.")
            .default("preferred_username, else sub"),
        Key::new(
            "groups_claim",
            Shape::Text("a claim"),
            "The claim with the groups; may be a path such as `realm_access.roles`.",
        )
        .default("\"groups\""),
        Key::new(
            "allow_groups",
            Shape::OneOrMany(&Shape::Text("a group")),
            "Groups that may. Without this and `allow_users` everybody may who can log in.",
        ),
        Key::new(
            "allow_users",
            Shape::OneOrMany(&Shape::Text("a user")),
            "Users that may, in whatever group: the value of `user_claim`, or `sub`. Name a `user_claim` that people cannot \
             change at the provider.",
        ),
        Key::new(
            "headers",
            Shape::Map(&Shape::Text("a claim")),
            "Fields that the server gets, each with the claim that it holds. What a client sends in them is dropped.",
        ),
        Key::new(
            "bearer",
            Shape::Bool,
            "Whether programs may come with `Authorization: Bearer` and a token (JWT) of the same issuer.",
        )
        .default("false"),
        Key::new(
            "bearer_in_basic",
            Shape::Bool,
            "Whether such a token may be the password of Basic, with any user name, for clients that know nothing else.",
        )
        .default("false"),
        Key::new(
            "audience",
            Shape::OneOrMany(&Shape::Text("an audience")),
            "Tokens of programs must be for one of these; `bearer` and `bearer_in_basic` need it.",
        ),
        Key::new("ca_file", Shape::Text("a path"), "Authorities (PEM) that the provider's certificate is checked against.")
            .default("those of the system"),
        Key::new("cookie", Shape::Table(COOKIE), "The cookie of the session."),
        Key::new(
            "cookie_secret",
            Shape::Text("a secret"),
            "What sessions are sealed with: at least 32 characters, or `file:PATH`. Needed only where several edges \
             serve the same hosts.",
        )
        .default("one of its own in the state folder"),
        Key::new(
            "unauthenticated",
            Shape::one_of(&["auto", "redirect", "401"]),
            "Who has not logged in: pages that a browser opens lead to the provider and everything else gets 401 \
             (`auto`), every GET does (`redirect`), or nothing does (`401`).",
        )
        .default("\"auto\""),
        Key::new(
            "pass_authorization",
            Shape::Bool,
            "Whether the server sees the `Authorization` that a program has logged in with.",
        )
        .default("false"),
    ];
    type Settings = Settings;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Settings> {
        Settings::read(item, reading)
    }

    fn files(settings: &Settings) -> Vec<&str> {
        let secrets = settings.client_secret.iter().chain(&settings.cookie.secret);
        settings.ca_file.as_deref().into_iter().chain(secrets.filter_map(Secret::file)).collect()
    }

    fn build(settings: Settings, building: &Building<'_>) -> Result<Self, BuildError> {
        let ca_file = settings.ca_file.as_deref().map(|path| building.path(path));
        let client = Client::new(&ClientSettings { ca_file, deadline: DEADLINE, body: MOST });
        let client = client.map_err(|error| building.error(error))?;
        let Settings { issuer, client_id, client_secret, cookie, rules, .. } = &settings;
        let secret = match &cookie.secret {
            Some(given) => {
                let secret = given.read(building)?.into_bytes();
                if !settings::is_long_enough(&secret) {
                    return Err(building.error("the secret of cookies has fewer than 32 characters"));
                }
                secret
            }
            None => seal::secret(building.state).map_err(|error| building.error(error))?,
        };
        let seal = |purpose: &[&str]| {
            Seal::new(&secret, purpose).map_err(|_| building.error("the key of logins cannot be made"))
        };
        let place = [building.name, issuer, client_id];
        let registered = Registered {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            client_secret: client_secret.as_ref().map(|secret| secret.read(building)).transpose()?,
        };
        let cookie_name = cookie.name.clone().unwrap_or_else(|| default_name(&place));
        let (name, metrics) = (building.name, building.metrics);
        Ok(Self {
            provider: Provider::new(client, registered, (metrics.last_good(name), metrics.provider(name))),
            jar: Jar::new(&cookie_name, cookie.domain.clone()),
            // Who was let in by other rules is asked again.
            sessions: seal(&[&["session"], &place[..], &[&rules.fingerprint()]].concat())?,
            logins: seal(&[&["login"], &place[..]].concat())?,
            questions: Questions::default(),
            metrics: metrics.logins(),
            settings,
        })
    }
}

/// Two middlewares on one host must not take each other's cookies.
fn default_name(place: &[&str]) -> String {
    let digest = digest(&SHA256, place.join("\n").as_bytes());
    format!("edge-{}", HEXLOWER.encode(&digest.as_ref()[..4]))
}

impl Secret {
    fn file(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::File(path) => Some(path),
        }
    }

    fn read(&self, building: &Building<'_>) -> Result<String, BuildError> {
        let path = match self {
            Self::Text(text) => return Ok(text.clone()),
            Self::File(path) => building.path(path),
        };
        let text = fs::read_to_string(&path)
            .map_err(|error| building.error(format!("{} cannot be read: {error}", path.display())))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(building.error(format!("{} is empty", path.display())));
        }
        Ok(text.to_owned())
    }
}

/// A path that the edge answers itself.
enum Own {
    Callback,
    Logout,
}

impl Oidc {
    fn own(&self, path: &str) -> Option<Own> {
        let path = Canonical::read(path.as_bytes()).path;
        match path {
            path if path == self.settings.callback => Some(Own::Callback),
            path if path == self.settings.logout => Some(Own::Logout),
            _ => None,
        }
    }
}

impl Middleware for Oidc {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        match self.own(ask.from.path) {
            Some(_) => Flow::Wait,
            None => self.look(ask, now()),
        }
    }

    fn wait<'a>(&'a self, ask: &'a mut Ask<'_>) -> BoxFuture<'a, Flow> {
        Box::pin(async move {
            match self.own(ask.from.path) {
                Some(Own::Callback) => self.callback(ask, now()).await,
                Some(Own::Logout) => self.log_out(ask).await,
                None => self.look_longer(ask, now()).await,
            }
        })
    }

    fn reply(&self, reply: &mut Reply<'_>) {
        gate::set_cookies(reply);
    }

    fn cookies(&self) -> Option<&CookieNames> {
        Some(self.jar.names())
    }
}

fn now() -> session::Unix {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
