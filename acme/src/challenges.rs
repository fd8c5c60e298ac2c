//! What `/.well-known/acme-challenge/<token>` answers while an order runs (HTTP-01, RFC 8555, 8.3).
//! It knows no HTTP: the edge asks with host and token before it looks at any route.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use certs::name;

/// More than every order of every name in flight needs; a bound all the same.
const MOST: usize = 4096;
const LONGEST_TOKEN: usize = 128;

type Answers = HashMap<(Box<str>, Box<str>), Arc<str>>;

/// The open challenges, shared by the orders that make them and the entrypoints that answer them.
#[derive(Debug, Clone, Default)]
pub struct Challenges {
    open: Arc<Mutex<Answers>>,
}

/// Why a challenge is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PresentError {
    /// The authority sent a token that is not `[A-Za-z0-9_-]{1,128}`: answering it could serve any path.
    #[error("the challenge token of the authority is not Base64url text")]
    Token,
    /// Too many challenges are open.
    #[error("there are {MOST} open challenges already")]
    Full,
}

impl Challenges {
    /// No open challenges.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a challenge from now on, until what is given back is dropped.
    ///
    /// # Errors
    /// [`PresentError`]; nothing is answered then.
    pub fn present(&self, host: &str, token: &str, answer: &str) -> Result<Presented, PresentError> {
        if !is_token(token) {
            return Err(PresentError::Token);
        }
        let key = key(host, token);
        let mut open = self.lock();
        if open.len() >= MOST {
            return Err(PresentError::Full);
        }
        open.insert(key.clone(), answer.into());
        Ok(Presented { open: self.open.clone(), key })
    }

    /// The key authorization to answer with, for a host without its port.
    #[must_use]
    pub fn answer(&self, host: &str, token: &str) -> Option<Arc<str>> {
        if !is_token(token) {
            return None;
        }
        self.lock().get(&key(host, token)).cloned()
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        locked(&self.open)
    }
}

/// A challenge that is being answered; dropping it ends that.
#[derive(Debug)]
#[must_use]
pub struct Presented {
    open: Arc<Mutex<Answers>>,
    key: (Box<str>, Box<str>),
}

impl Drop for Presented {
    fn drop(&mut self) {
        locked(&self.open).remove(&self.key);
    }
}

/// The map is whole at every step, so a panic of another holder spoils nothing.
fn locked(open: &Mutex<Answers>) -> MutexGuard<'_, Answers> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(host: &str, token: &str) -> (Box<str>, Box<str>) {
    (name::canonical(host).into(), token.into())
}

fn is_token(token: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_for_its_host_and_token_until_it_is_dropped() {
        let challenges = Challenges::new();
        let presented = challenges.present("A.test", "tok_-1", "tok_-1.print").unwrap();
        assert_eq!(challenges.answer("a.TEST.", "tok_-1").as_deref(), Some("tok_-1.print"));
        assert_eq!(challenges.answer("b.test", "tok_-1"), None);
        assert_eq!(challenges.answer("a.test", "tok_-2"), None);
        drop(presented);
        assert_eq!(challenges.answer("a.test", "tok_-1"), None);
        assert_eq!(challenges.open(), 0);
    }

    #[test]
    fn tokens_that_could_be_a_path_or_a_header_are_refused_on_both_sides() {
        let challenges = Challenges::new();
        let long = "a".repeat(129);
        for token in ["", "../x", "a/b", "a.b", "a b", "a%2f", "ä", "a\r\n", &long] {
            let refused = challenges.present("a.test", token, "x").err();
            assert_eq!(refused, Some(PresentError::Token), "{token:?}");
            assert_eq!(challenges.answer("a.test", token), None);
        }
        assert!(challenges.present("a.test", &long[1..], "x").is_ok());
    }

    #[test]
    fn the_number_of_open_challenges_is_bounded() {
        let challenges = Challenges::new();
        let held: Vec<_> = (0..MOST).map(|n| challenges.present("a.test", &n.to_string(), "x").unwrap()).collect();
        assert_eq!(challenges.present("a.test", "more", "x").err(), Some(PresentError::Full));
        drop(held);
        assert!(challenges.present("a.test", "more", "x").is_ok());
    }
}
