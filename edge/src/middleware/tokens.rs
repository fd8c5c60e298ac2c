//! API tokens: how they are made, and the file that knows their hashes.
//!
//! A token is 256 random bits, so nobody guesses it and a fast hash gives nothing away; that is why these are SHA-256 and
//! passwords are not. Looking a hash up takes time that tells of the hash alone, from which no token follows.

use std::collections::HashMap;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use http::Method;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use routes::path::Canonical;
use serde::Deserialize;

use super::authorization::is_user;

/// All tokens of a file.
#[derive(Debug)]
pub(crate) struct Tokens {
    by_hash: HashMap<Hash, Token>,
}

type Hash = [u8; 32];

/// What a token may do.
#[derive(Debug)]
pub(crate) struct Token {
    /// Whose it is.
    pub(crate) name: String,
    expires: Option<Timestamp>,
    methods: Option<Vec<Method>>,
    paths: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<toml::Spanned<Written>>,
}

/// A token as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    sha256: String,
    expires: Option<toml::value::Datetime>,
    methods: Option<Vec<String>>,
    paths: Option<Vec<String>>,
}

/// Whether tokens of a file may be bound to paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathScopes {
    /// They may: the route refuses paths that can be read in two ways.
    Allowed,
    /// They may not, since the route takes every path.
    Refused,
}

/// A new token and the hash that stands for it in a file. None without randomness.
pub(crate) fn make() -> Option<(String, String)> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    let token = format!("edge_{}", BASE64URL_NOPAD.encode(&bytes));
    let hash = HEXLOWER.encode(&hash(&token));
    Some((token, hash))
}

fn hash(token: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

impl Tokens {
    /// Reads a file.
    ///
    /// # Errors
    /// The first line that is wrong, and why.
    pub(crate) fn parse(text: &str, scopes: PathScopes) -> Result<Self, String> {
        let line = |offset: usize| text.get(..offset).unwrap_or(text).lines().count().max(1);
        let file: File = toml::from_str(text).map_err(|error| {
            let line = line(error.span().map_or(0, |span| span.start + 1));
            format!("line {line}: {}", error.message())
        })?;
        let mut by_hash = HashMap::new();
        for written in file.token {
            let at = line(written.span().start + 1);
            let (hash, token) = written.into_inner().checked(scopes).map_err(|why| format!("line {at}: {why}"))?;
            if by_hash.values().any(|other: &Token| other.name == token.name) {
                return Err(format!("line {at}: the name `{}` is there already", token.name));
            }
            if let Some(other) = by_hash.insert(hash, token) {
                return Err(format!("line {at}: this is the token of `{}` already", other.name));
            }
        }
        if by_hash.is_empty() { Err("it holds no tokens".to_owned()) } else { Ok(Self { by_hash }) }
    }

    /// The token, if it is one of these and has not expired.
    pub(crate) fn find(&self, token: &str, now: Timestamp) -> Option<&Token> {
        let hash = hash(token);
        let (known, token) = self.by_hash.get_key_value(&hash)?;
        let is_it = verify_slices_are_equal(known, &hash).is_ok();
        (is_it && token.expires.is_none_or(|end| now < end)).then_some(token)
    }
}

impl Token {
    /// Whether it may be used for this.
    pub(crate) fn may(&self, method: &Method, path: &Canonical<'_>) -> bool {
        let as_get = *method == Method::HEAD;
        let by_method = self.methods.as_ref().is_none_or(|methods| {
            methods.iter().any(|allowed| allowed == method || (as_get && *allowed == Method::GET))
        });
        let by_path = self.paths.as_ref().is_none_or(|paths| {
            // Of two readings the server may have the other one.
            path.ambiguities.is_empty() && paths.iter().any(|prefix| is_below(&path.path, prefix))
        });
        by_method && by_path
    }
}

/// Whether a canonical path is a prefix or below it, on a segment border.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

impl Written {
    fn checked(self, scopes: PathScopes) -> Result<(Hash, Token), String> {
        let Self { name, sha256, expires, methods, paths } = self;
        if !is_user(&name) {
            return Err("the name of a token has no colon, no control characters and no spaces around it".to_owned());
        }
        let decoded = HEXLOWER_PERMISSIVE.decode(sha256.as_bytes()).ok().and_then(|hash| Hash::try_from(hash).ok());
        let Some(hash) = decoded else {
            return Err(format!(
                "token `{name}`: sha256 is not a hash of 64 hexadecimal digits; `edge hash --token` makes one"
            ));
        };
        let expires = expires.map(|at| expiry(&at)).transpose().map_err(|why| format!("token `{name}`: {why}"))?;
        let method = |text: &String| {
            let method = Method::from_bytes(text.as_bytes()).ok();
            let upper = method.filter(|method| *method.as_str() == text.to_ascii_uppercase());
            upper.ok_or_else(|| format!("token `{name}`: `{text}` is not a method; they are in capitals"))
        };
        let methods = methods.map(|all| all.iter().map(method).collect::<Result<Vec<_>, _>>()).transpose()?;
        for path in paths.iter().flatten() {
            let canonical = Canonical::read(path.as_bytes());
            if !path.starts_with('/') || canonical.path != *path || !canonical.ambiguities.is_empty() {
                return Err(format!("token `{name}`: `{path}` is not a plain path that begins with `/`"));
            }
        }
        if methods.as_ref().is_some_and(Vec::is_empty) || paths.as_ref().is_some_and(Vec::is_empty) {
            return Err(format!("token `{name}`: an empty list lets it do nothing; leave it away"));
        }
        if paths.is_some() && scopes == PathScopes::Refused {
            return Err(format!("token `{name}`: it has paths, but the middleware says path_scopes = false"));
        }
        Ok((hash, Token { name, expires, methods, paths }))
    }
}

/// The moment at which a token ends: a date is its last day.
fn expiry(written: &toml::value::Datetime) -> Result<Timestamp, String> {
    let text = written.to_string();
    let day = || -> Option<Timestamp> {
        let next = text.parse::<Date>().ok()?.checked_add(1.day()).ok()?;
        next.to_datetime(Time::midnight()).to_zoned(TimeZone::UTC).ok().map(|end| end.timestamp())
    };
    let found = match (written.time.is_some(), written.offset.is_some()) {
        (false, false) => day(),
        (true, true) => text.parse().ok(),
        _ => None,
    };
    found.ok_or_else(|| "expires is a date such as 2027-01-31, or a time with its offset".to_owned())
}

#[cfg(test)]
mod tests;
