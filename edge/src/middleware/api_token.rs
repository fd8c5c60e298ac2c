//! Asks for an API token, for programs. The tokens are in a file of hashes, each with a name and what it may do;
//! `edge hash --token NAME` makes one.
//!
//! ```toml
//! [middleware.machines]
//! kind = "api-token"
//! tokens_file = "tokens.toml"
//! header = "x-api-key"                   # else `Authorization: Bearer TOKEN`
//! ```
//!
//! A token in its file, where only `name` and `sha256` are needed:
//!
//! ```text
//! [[token]]
//! name = "ci"
//! sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
//! expires = 2027-01-31                   # its last day (UTC), or a time with an offset
//! methods = ["GET", "PUT"]               # GET is HEAD too
//! paths = ["/api/models/"]               # prefixes on a segment border of the path that the client asks for
//! ```
//!
//! Without a token, or with one that is not known or has expired, the answer is 401; with one that may not do this, 403.
//! The file is followed as the users file of `basic-auth` is. Tokens are long and random, so there is no brake on
//! guessing them, and their hashes are fast.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use routes::document::Item;
use routes::path::Canonical;
use routes::shape::{Key, Shape};
use routes::world::{Needs, Reading};

use super::authorization::{Authorization, PASS_AUTHORIZATION, Told, USER_HEADER, field_name, is_token68};
use super::hot_file::HotFile;
use super::tokens::{PathScopes, Tokens};
use super::{Ask, BuildError, Building, Denial, Flow, Kind, Middleware};
use crate::telemetry::Refusal;

/// The middleware.
#[derive(Debug)]
pub struct ApiToken {
    tokens: HotFile<Tokens>,
    header: HeaderName,
    told: Told,
}

/// What the keys say.
#[derive(Debug)]
pub struct Settings {
    file: String,
    header: HeaderName,
    scopes: PathScopes,
    told: Told,
}

impl Kind for ApiToken {
    const NAME: &'static str = "api-token";
    const KEYS: &'static [Key] = &[
        Key::new("tokens_file", Shape::Text("a file"), "The file of tokens.").required(),
        Key::new("header", Shape::Text("a field's name"), "The field with the token; in `Authorization` it is a Bearer token.")
            .default("\"authorization\""),
        Key::new(
            "path_scopes",
            Shape::Bool,
            "Whether tokens may be bound to `paths`. Paths that can be read in two ways are refused then; `false` is for \
             routes that need those, and makes `paths` of a token an error.",
        )
        .default("true"),
        USER_HEADER,
        PASS_AUTHORIZATION,
    ];
    type Settings = Settings;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Settings> {
        let file = item.get("tokens_file")?;
        reading.file(&file);
        let header = item.get("header").map_or(Some(AUTHORIZATION), |item| field_name(&item, reading))?;
        let scoped = item.get("path_scopes").and_then(|item| item.as_bool()).unwrap_or(true);
        Some(Settings {
            file: file.as_str()?.to_owned(),
            told: Told::read(item, header.clone(), reading),
            header,
            scopes: if scoped { PathScopes::Allowed } else { PathScopes::Refused },
        })
    }

    fn needs(settings: &Settings) -> Needs {
        // Which tokens have paths is in a file that may change: the route is held to it at any time.
        Needs { one_reading: settings.scopes == PathScopes::Allowed, ..Needs::default() }
    }

    fn build(settings: Settings, building: &Building<'_>) -> Result<Self, BuildError> {
        let Settings { file, header, scopes, told } = settings;
        let last_good = building.metrics.last_good(building.name);
        let tokens = HotFile::open(building.path(&file), last_good, move |text| Tokens::parse(text, scopes));
        Ok(Self { tokens: tokens.map_err(|error| building.error(error))?, header, told })
    }
}

impl Middleware for ApiToken {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        match self.tokens.fresh() {
            Some(tokens) => self.decide(ask, &tokens),
            None => Flow::Wait,
        }
    }

    fn wait<'a>(&'a self, ask: &'a mut Ask<'_>) -> BoxFuture<'a, Flow> {
        Box::pin(async move {
            let tokens: Arc<Tokens> = self.tokens.get().await;
            self.decide(ask, &tokens)
        })
    }
}

impl ApiToken {
    fn decide(&self, ask: &mut Ask<'_>, tokens: &Tokens) -> Flow {
        let given = match self.given(ask) {
            Given::Token(token) => token,
            Given::Nothing => return self.refuse(Refusal::Unauthorized, ""),
            Given::Unusable => return self.refuse(Refusal::BadLogin, "invalid_token"),
        };
        let Some(token) = tokens.find(&given, Timestamp::now()) else {
            return self.refuse(Refusal::BadLogin, "invalid_token");
        };
        if !token.may(ask.from.method, &Canonical::read(ask.from.path.as_bytes())) {
            return self.refuse(Refusal::Forbidden, "insufficient_scope");
        }
        self.told.tell(ask, &token.name);
        Flow::Next
    }

    fn given(&self, ask: &Ask<'_>) -> Given {
        if self.header == AUTHORIZATION {
            return match Authorization::of(ask.from.headers) {
                Authorization::Bearer(token) => Given::Token(token),
                Authorization::Missing => Given::Nothing,
                Authorization::Unusable | Authorization::Basic { .. } => Given::Unusable,
            };
        }
        let mut values = ask.from.headers.get_all(&self.header).iter();
        match (values.next(), values.next()) {
            (None, _) => Given::Nothing,
            (Some(one), None) => match one.to_str() {
                Ok(token) if is_token68(token) => Given::Token(token.to_owned()),
                Ok(_) | Err(_) => Given::Unusable,
            },
            (Some(_), Some(_)) => Given::Unusable,
        }
    }

    /// RFC 6750 section 3, where it is a Bearer token.
    fn refuse(&self, reason: Refusal, error: &str) -> Flow {
        let scheme = if self.header == AUTHORIZATION { "Bearer" } else { "ApiKey" };
        let more = if error.is_empty() { String::new() } else { format!(", error=\"{error}\"") };
        let denial = Denial::new(reason);
        match HeaderValue::try_from(format!("{scheme} realm=\"api\"{more}")) {
            Ok(challenge) => denial.header(WWW_AUTHENTICATE, challenge).into(),
            Err(_) => denial.into(),
        }
    }
}

enum Given {
    Nothing,
    Unusable,
    Token(String),
}

#[cfg(test)]
mod tests;
