//! A login in flight: what the browser carries to the provider and back, so that an answer is taken only by the browser
//! that asked, once, and only soon.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::cookies::TAG;
use super::seal::random;
use super::session::{LEEWAY, Unix};

/// What its cookie keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Login {
    /// Comes back with the answer.
    #[serde(rename = "s")]
    pub(super) state: String,
    /// Comes back inside the ID token.
    #[serde(rename = "n")]
    pub(super) nonce: String,
    /// Proves to the provider that who asks for the tokens is who sent the person there (PKCE).
    #[serde(rename = "v")]
    pub(super) verifier: String,
    /// Path and query of the page that was asked for.
    #[serde(rename = "p")]
    pub(super) back: String,
    /// When.
    #[serde(rename = "b")]
    pub(super) began: Unix,
}

/// How long a person may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(900);
/// Of a path with its query that is kept: the cookie must fit.
const LONGEST: usize = 1500;

impl Login {
    /// One of now that leads back to this path.
    pub(super) fn begin(path: &str, query: Option<&str>, now: Unix) -> Result<Self, Unspecified> {
        let word = || Ok::<_, Unspecified>(BASE64URL_NOPAD.encode(&random::<32>()?));
        Ok(Self { state: word()?, nonce: word()?, verifier: word()?, back: back(path, query), began: now })
    }

    /// The part of the state that names the cookie: logins in several tabs are several cookies.
    pub(super) fn tag(state: &str) -> Option<&str> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        state.get(..TAG).filter(|tag| tag.bytes().all(is_plain))
    }

    /// What the provider is told of the verifier.
    pub(super) fn challenge(&self) -> String {
        BASE64URL_NOPAD.encode(digest(&SHA256, self.verifier.as_bytes()).as_ref())
    }

    /// Whether an answer with this state is the one to this login.
    pub(super) fn is_answered_by(&self, state: &str, now: Unix) -> bool {
        let is_soon = self.began <= now + LEEWAY && now.saturating_sub(self.began) < PATIENCE.as_secs();
        is_soon && verify_slices_are_equal(self.state.as_bytes(), state.as_bytes()).is_ok()
    }
}

/// The page to come back to: always a path, to be put behind our own scheme and host.
fn back(path: &str, query: Option<&str>) -> String {
    let whole = query.map(|query| format!("{path}?{query}"));
    let mut choices = whole.into_iter().chain([path.to_owned()]);
    let fits = |text: &String| {
        text.starts_with('/') && text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    choices.find(fits).unwrap_or_else(|| "/".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_with_its_state_and_in_time() {
        let login = Login::begin("/", None, 1000).expect("random");
        assert!(login.is_answered_by(&login.state, 1000));
        assert!(login.is_answered_by(&login.state, 1899));
        assert!(!login.is_answered_by(&login.state, 1900));
        assert!(!login.is_answered_by(&login.state, 900), "of the future");
        for wrong in ["", &login.state[1..], &login.nonce, &format!("{}A", login.state)] {
            assert!(!login.is_answered_by(wrong, 1000), "{wrong}");
        }
        assert_ne!(Login::begin("/", None, 1000).expect("random").state, login.state);
    }

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        let mut login = Login::begin("/", None, 0).expect("random");
        // RFC 7636 appendix B.
        login.verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into();
        assert_eq!(login.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn the_way_back_is_a_path_that_fits() {
        assert_eq!(back("/a/b%20c", Some("x=1&y=%2F")), "/a/b%20c?x=1&y=%2F");
        assert_eq!(back("//evil.test/", None), "//evil.test/", "harmless behind our own host");
        let long = "x".repeat(LONGEST);
        assert_eq!(back("/a", Some(&long)), "/a");
        assert_eq!(back(&format!("/{long}"), None), "/");
        for odd in ["", "a", "https://evil.test/", "/a b", "/\r\nx: y", "/ä"] {
            assert_eq!(back(odd, None), "/", "{odd:?}");
        }
    }

    #[test]
    fn a_state_of_strangers_names_no_cookie() {
        assert_eq!(Login::tag("abcdefghijklmnop-and-more"), Some("abcdefghijklmnop"));
        for odd in ["", "short", "abcdefghijklmno;", "abcdefghijklmno=", "äääääääääääääääää"] {
            assert_eq!(Login::tag(odd), None, "{odd}");
        }
    }
}
