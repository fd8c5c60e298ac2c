//! From the protocol library's errors to ours. One place decides which family a problem belongs to.

use std::path::Path;
use std::time::Instant;

use instant_acme::{Error, Problem};

use super::http::{Heard, last_heard};
use crate::order::{OrderError, Step};

const PREFIX: &str = "urn:ietf:params:acme:error:";
/// As much of an authority's words as a log line should carry.
const LONGEST: usize = 600;

/// Who was asked, for the sentences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Label of the authority.
    pub(super) ca: &'a str,
    /// File of the account.
    pub(super) account: &'a Path,
    /// Where in the order.
    pub(super) step: Step,
}

impl Asked<'_> {
    /// The error of an order for an error of the library.
    pub(super) fn failed(self, error: Error) -> OrderError {
        let heard = last_heard();
        let (ca, step) = (self.ca.to_owned(), self.step);
        match error {
            Error::Api(problem) => self.problem(&problem, heard),
            Error::Timeout(next) => {
                let wait = next.map(|next| next.saturating_duration_since(Instant::now()));
                let retry_after = wait.or(heard.and_then(|heard| heard.retry_after));
                OrderError::TimedOut { ca, step, retry_after }
            }
            Error::Other(why) => OrderError::Unreachable { ca, step, why: chain(&*why) },
            Error::Http(_) | Error::InvalidUri(_) => OrderError::Unreachable { ca, step, why: chain(&error) },
            // The directory and the nonce are read without a look at the status: it tells more than the reader.
            odd => match heard {
                Some(heard) if heard.status.as_u16() >= 400 => self.status(heard),
                _ => OrderError::Protocol { ca, step, why: clean(&odd.to_string()) },
            },
        }
    }

    fn status(self, heard: Heard) -> OrderError {
        let problem = Problem { r#type: None, detail: None, status: None, subproblems: Vec::new() };
        self.problem(&problem, Some(heard))
    }

    fn problem(self, problem: &Problem, heard: Option<Heard>) -> OrderError {
        let (ca, step) = (self.ca.to_owned(), self.step);
        let heard_status = heard.map(|heard| heard.status.as_u16());
        let status = problem.status.or(heard_status).unwrap_or_default();
        let retry_after = heard.and_then(|heard| heard.retry_after);
        let (kind, detail) = (kind(problem), detail(problem));
        match (kind.as_str(), status) {
            ("rateLimited", _) | (_, 429) => OrderError::RateLimited { ca, detail, retry_after },
            ("accountDoesNotExist", _) => OrderError::AccountUnknown { ca, path: self.account.into(), detail },
            ("serverInternal", _) | (_, 500..) => OrderError::Unavailable { ca, step, status, detail, retry_after },
            _ => OrderError::Refused { ca, step, kind, detail },
        }
    }
}

/// The type of a problem without its prefix; problems without a type have one by RFC 7807.
pub(super) fn kind(problem: &Problem) -> String {
    let full = problem.r#type.as_deref().unwrap_or("about:blank");
    clean(full.strip_prefix(PREFIX).unwrap_or(full))
}

/// What a problem says, those below it included.
pub(super) fn detail(problem: &Problem) -> String {
    let own = problem.detail.iter();
    let below = problem.subproblems.iter().filter_map(|below| below.detail.as_ref());
    let texts: Vec<&str> = own.chain(below).map(String::as_str).collect();
    match texts.is_empty() {
        true => "no reason given".into(),
        false => clean(&texts.join("; ")),
    }
}

/// Whether the nonce was used up, which is nobody's fault and cured by asking again (RFC 8555, 6.5).
pub(super) fn is_bad_nonce(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if kind(problem) == "badNonce")
}

/// Words of another machine in one line of a bounded length.
fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(LONGEST).collect()
}

/// An error and its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    clean(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: &str, status: u16) -> OrderError {
        let problem = Problem {
            r#type: Some(format!("{PREFIX}{kind}")),
            detail: Some("the\nreason".into()),
            status: Some(status),
            subproblems: Vec::new(),
        };
        let asked = Asked { ca: "pebble", account: Path::new("/x/account.json"), step: Step::NewOrder };
        asked.failed(Error::Api(problem))
    }

    #[test]
    fn problems_fall_into_families_by_their_type_and_then_their_status() {
        assert_eq!(failed("rateLimited", 403).kind(), "rate_limited");
        assert_eq!(failed("malformed", 429).kind(), "rate_limited");
        assert_eq!(failed("serverInternal", 400).kind(), "unavailable");
        assert_eq!(failed("orderNotReady", 503).kind(), "unavailable");
        assert_eq!(failed("accountDoesNotExist", 400).kind(), "account_unknown");
        assert_eq!(failed("rejectedIdentifier", 400).kind(), "refused");
    }

    #[test]
    fn words_of_an_authority_stay_on_one_line() {
        let told = failed("rejectedIdentifier", 400).to_string();
        assert!(told.contains("the reason (rejectedIdentifier); this authority signs no certificate"), "{told}");
        assert_eq!(clean(&"x".repeat(5_000)).len(), LONGEST);
    }
}
