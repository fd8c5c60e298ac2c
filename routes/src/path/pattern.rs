//! The path patterns of routes: a prefix on a segment border, an exact path, a regular expression.

use std::fmt;
use std::hash::{Hash, Hasher};

use regex::RegexBuilder;
use thiserror::Error;

use super::{Ambiguity, Canonical};

/// A condition on the canonical path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// `/api` is that path and all below it; `/api/` only what begins with `/api/`. Held in canonical form.
    Prefix(Box<str>),
    /// `=/api`: this path alone. Held in canonical form.
    Exact(Box<str>),
    /// `~^/v[0-9]+/$`: a regular expression, searched in the canonical path.
    Regex(Regex),
}

/// A compiled regular expression that compares by its text.
#[derive(Clone)]
pub struct Regex(regex::Regex);

/// Why a path pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// It begins with none of `/`, `=/`, `~`.
    #[error("a path begins with `/` (prefix), `=/` (exact) or `~` (regular expression)")]
    Start,
    /// It could be read in more than one way.
    #[error("a path pattern has {}", .0.words())]
    Ambiguous(Ambiguity),
    /// A query, fragment or parameter came along.
    #[error("a path pattern cannot have a `{0}`")]
    NotPath(char),
    /// Longer than any path that could match it.
    #[error("a path pattern is longer than {MAX_LEN} bytes or deeper than {MAX_DEPTH} segments")]
    TooLong,
    /// The expression does not compile.
    #[error("the regular expression cannot be used: {0}")]
    Regex(String),
}

/// The most bytes of a prefix or exact pattern.
const MAX_LEN: usize = 1024;
/// The most segments of a prefix or exact pattern: matching goes one step down for each.
const MAX_DEPTH: usize = 64;
/// The most memory of one compiled expression, in bytes.
const MAX_REGEX: usize = 256 << 10;

impl PathPattern {
    /// Reads a pattern of a route file.
    ///
    /// # Errors
    /// When it begins with none of the three marks, can be read in two ways, or does not compile.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if let Some(expression) = text.strip_prefix('~') {
            return Regex::parse(expression).map(Self::Regex);
        }
        match text.strip_prefix('=') {
            Some(path) => literal(path).map(Self::Exact),
            None => literal(text).map(Self::Prefix),
        }
    }

    /// Whether a canonical path is one that this pattern means.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *path,
            Self::Regex(regex) => regex.0.is_match(path),
            Self::Prefix(prefix) => path
                .strip_prefix(&**prefix)
                .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// Whether it is a regular expression that need not begin where the path begins: most likely not meant.
    pub fn is_unanchored(&self) -> bool {
        matches!(self, Self::Regex(regex) if !regex.0.as_str().starts_with('^'))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(path) => f.write_str(path),
            Self::Exact(path) => write!(f, "={path}"),
            Self::Regex(regex) => write!(f, "~{}", regex.0.as_str()),
        }
    }
}

impl Regex {
    fn parse(expression: &str) -> Result<Self, PathError> {
        let built = RegexBuilder::new(expression).size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build();
        built.map(Self).map_err(|error| PathError::Regex(one_line(&error)))
    }
}

/// The last line of a syntax error is the reason; those before it draw the expression.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_str(), f)
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Regex {}

impl Hash for Regex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

fn literal(text: &str) -> Result<Box<str>, PathError> {
    if !text.starts_with('/') {
        return Err(PathError::Start);
    }
    if let Some(c) = text.chars().find(|c| matches!(c, '?' | '#' | ';')) {
        return Err(PathError::NotPath(c));
    }
    if text.len() > MAX_LEN || text.split('/').count() > MAX_DEPTH {
        return Err(PathError::TooLong);
    }
    let canonical = Canonical::read(text.as_bytes());
    match canonical.ambiguities.iter().next() {
        Some(reason) => Err(PathError::Ambiguous(reason)),
        None => Ok(canonical.path.into()),
    }
}
