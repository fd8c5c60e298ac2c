//! `${NAME}` and `${NAME:-default}` in strings; `$$` is a literal dollar. Where values come from is the caller's affair.

use std::fmt;

use super::Value;
use crate::fault;

/// Where the values of variables come from.
pub struct Vars<'a> {
    /// The value of a name.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Names to suggest when one is not known.
    pub known: &'a [String],
}

impl Vars<'_> {
    /// No variables at all.
    pub const NONE: Vars<'static> = Vars { lookup: &|_| None, known: &[] };
}

impl fmt::Debug for Vars<'_> {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vars").field("known", &self.known).finish_non_exhaustive()
    }
}

/// A variable that could not be replaced.
#[derive(Debug)]
pub(super) struct Unresolved {
    /// Bytes from the start of the value in the file to the `${`.
    pub(super) offset: usize,
    pub(super) why: String,
    pub(super) hint: Option<String>,
}

/// The string `text`, written as `raw` in the file, with its variables replaced once: a value is never searched again.
pub(super) fn substitute(text: &str, raw: &str, vars: &Vars<'_>) -> Value {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        done.push_str(before);
        rest = match replace(after, vars) {
            Ok(Step { value, rest }) => {
                done.push_str(&value);
                rest
            }
            Err(Refusal { opening, why, hint }) => {
                let offset = raw.find(opening).unwrap_or(0);
                return Value::Unresolved(Unresolved { offset, why, hint });
            }
        };
    }
    done.push_str(rest);
    Value::String(done)
}

struct Step<'a> {
    value: String,
    rest: &'a str,
}

struct Refusal<'a> {
    /// What to look for in the file to find the place.
    opening: &'a str,
    why: String,
    hint: Option<String>,
}

/// What a `$` stands for, given the text behind it.
fn replace<'a>(after: &'a str, vars: &Vars<'_>) -> Result<Step<'a>, Refusal<'a>> {
    if let Some(rest) = after.strip_prefix('$') {
        return Ok(Step { value: "$".to_owned(), rest });
    }
    let Some(inner) = after.strip_prefix('{') else {
        return Ok(Step { value: "$".to_owned(), rest: after });
    };
    let Some((inner, rest)) = inner.split_once('}') else {
        let why = "a variable is not closed: `}` is missing".to_owned();
        return Err(Refusal { opening: "${", why, hint: Some("write `$$` for a dollar sign".to_owned()) });
    };
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    // A shell takes the default for an empty value too; so do people who know `${A:-b}` from there.
    let value = (vars.lookup)(name).filter(|value| default.is_none() || !value.is_empty());
    match value.or_else(|| default.map(str::to_owned)) {
        Some(value) => Ok(Step { value, rest }),
        None => Err(unknown(name, vars)),
    }
}

fn unknown<'a>(name: &'a str, vars: &Vars<'_>) -> Refusal<'a> {
    let hint = fault::did_you_mean(name, vars.known.iter().map(String::as_str))
        .unwrap_or_else(|| format!("set it under [vars] or in the environment, or write `${{{name}:-default}}`"));
    Refusal { opening: name, why: format!("the variable `{name}` is not set"), hint: Some(hint) }
}
