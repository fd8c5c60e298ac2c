//! Hashes of passwords as users files have them: bcrypt, as `htpasswd -B` writes it, and argon2 in PHC strings.
//!
//! Both are slow on purpose: nothing here is called on a thread that serves.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use bcrypt::HashParts;

/// The hash of one password.
#[derive(Clone)]
pub(crate) enum Hash {
    /// `$2y$`, `$2b$` or `$2a$`.
    Bcrypt(Box<str>),
    /// `$argon2id$`, `$argon2i$` or `$argon2d$`.
    Argon2(Box<PasswordHash>),
}

/// Why a text is no hash that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HashError {
    /// No kind of hash that is known.
    #[error("the hash is neither bcrypt ($2y$..) nor argon2 ($argon2id$..); make one with `edge hash`")]
    Unknown,
    /// A kind that gives passwords away.
    #[error("MD5, SHA-1 and crypt hashes can be guessed too fast and are not accepted; make one with `edge hash`")]
    Weak,
    /// Cut off, or otherwise broken.
    #[error("the hash is malformed")]
    Malformed,
    /// Each login would take seconds, or all memory.
    #[error(
        "the hash is too dear to check: the most is bcrypt cost {MOST_BCRYPT}, or argon2 with m={MOST_KIB},t={MOST_PASSES}"
    )]
    TooDear,
}

/// About two seconds.
const MOST_BCRYPT: u32 = 15;
/// A quarter of a GiB for each check that runs.
const MOST_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;
/// The longest password that bcrypt sees whole.
pub(crate) const BCRYPT_SEES: usize = 72;
/// What `edge hash --bcrypt` makes: what OWASP asks for at least, and what `htpasswd -B -C 10` makes.
const BCRYPT_COST: u32 = 10;

impl Hash {
    /// Reads a hash.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, HashError> {
        if ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| text.starts_with(prefix)) {
            let parts: HashParts = text.parse().map_err(|_| HashError::Malformed)?;
            return match parts.get_cost() {
                4..=MOST_BCRYPT => Ok(Self::Bcrypt(text.into())),
                0..4 => Err(HashError::Malformed),
                _ => Err(HashError::TooDear),
            };
        }
        if text.starts_with("$argon2") {
            return Self::argon2(text);
        }
        let is_weak = text.starts_with("{SHA}") || text.starts_with("$apr1$") || text.starts_with("$1$");
        let is_crypt = text.len() == 13 || text.starts_with("$5$") || text.starts_with("$6$");
        Err(if is_weak || is_crypt { HashError::Weak } else { HashError::Unknown })
    }

    fn argon2(text: &str) -> Result<Self, HashError> {
        let hash = PasswordHash::new(text).map_err(|_| HashError::Malformed)?;
        Algorithm::try_from(hash.algorithm.as_str()).map_err(|_| HashError::Malformed)?;
        let params = Params::try_from(&hash).map_err(|_| HashError::Malformed)?;
        let known = hash.version.is_none_or(|version| Version::try_from(version).is_ok());
        if !known || hash.salt.is_none() || hash.hash.is_none() {
            return Err(HashError::Malformed);
        }
        if params.m_cost() > MOST_KIB || params.t_cost() > MOST_PASSES {
            return Err(HashError::TooDear);
        }
        Ok(Self::Argon2(Box::new(hash)))
    }

    /// Whether it is the hash of this password, compared in constant time. Takes its time.
    pub(crate) fn fits(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Argon2(hash) => Argon2::default().verify_password(password, hash.as_ref()).is_ok(),
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bcrypt(_) => "bcrypt",
            Self::Argon2(_) => "argon2",
        })
    }
}

/// Why no hash can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotHash {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
    /// bcrypt would overlook the rest.
    #[error("bcrypt sees only the first {BCRYPT_SEES} bytes of a password, and this one is longer")]
    TooLong,
    /// argon2 does not take it.
    #[error("argon2 does not take this password: {0}")]
    Argon2(argon2::password_hash::Error),
    /// bcrypt does not take it.
    #[error("bcrypt does not take this password: {0}")]
    Bcrypt(bcrypt::BcryptError),
}

/// A new argon2id hash: 19 MiB and two passes, as OWASP asks for.
///
/// # Errors
/// When there is no randomness for its salt.
pub(crate) fn argon2id(password: &[u8]) -> Result<String, CannotHash> {
    let hash = Argon2::default().hash_password_with_salt(password, &salt()?).map_err(CannotHash::Argon2)?;
    Ok(hash.to_string())
}

/// A new bcrypt hash, for files that other programs read too.
///
/// # Errors
/// When the password is too long for it, or there is no randomness for its salt.
pub(crate) fn bcrypt(password: &[u8]) -> Result<String, CannotHash> {
    if password.len() > BCRYPT_SEES {
        return Err(CannotHash::TooLong);
    }
    let hash = bcrypt::hash_with_salt(password, BCRYPT_COST, salt()?).map_err(CannotHash::Bcrypt)?;
    Ok(hash.format_for_version(bcrypt::Version::TwoY))
}

fn salt() -> Result<[u8; 16], CannotHash> {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| CannotHash::NoRandom)?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_password_alone() {
        for hash in [
            argon2id(b"open sesame").expect("a hash"),
            bcrypt(b"open sesame").expect("a hash"),
            bcrypt::hash("open sesame", 4).expect("a hash").replace("$2b$", "$2a$"),
        ] {
            let parsed = Hash::parse(&hash).expect("a hash");
            assert!(parsed.fits(b"open sesame"), "{hash}");
            for wrong in [&b""[..], b"open", b"open sesame ", b"\xff\x00"] {
                assert!(!parsed.fits(wrong), "{hash}");
            }
        }
    }

    #[test]
    fn no_beginning_of_a_hash_is_one() {
        for hash in [argon2id(b"x").expect("a hash"), bcrypt(b"x").expect("a hash")] {
            for end in 0..hash.len() {
                // A shorter argon2 output is well-formed, and fits nothing.
                assert!(Hash::parse(&hash[..end]).map_or(true, |cut| !cut.fits(b"x")), "{}", &hash[..end]);
            }
        }
    }

    #[test]
    fn what_is_weak_or_too_dear_is_told() {
        let dear = bcrypt(b"x").expect("a hash").replace("$10$", "$31$");
        let much = argon2id(b"x").expect("a hash").replace("m=19456", "m=4000000");
        for (text, wanted) in [
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", HashError::Weak),
            ("$apr1$x$y", HashError::Weak),
            ("rl.3StKT.4T8M", HashError::Weak),
            ("secret", HashError::Unknown),
            ("$2x$10$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui", HashError::Unknown),
            ("$2y$10$short", HashError::Malformed),
            ("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ", HashError::Malformed),
            (dear.as_str(), HashError::TooDear),
            (much.as_str(), HashError::TooDear),
        ] {
            assert_eq!(Hash::parse(text).err(), Some(wanted), "{text}");
        }
        assert!(matches!(bcrypt(&[b'x'; 73]), Err(CannotHash::TooLong)));
    }
}
