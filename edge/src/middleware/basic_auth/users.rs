//! The users of an htpasswd file, and which of their logins were right of late.
//!
//! A password is never kept: what is remembered is its hash under a key that lives as long as this list of users.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;

use super::super::authorization::is_user;
use super::super::passwords::Hash;

/// All users.
#[derive(Debug)]
pub(super) struct Users {
    names: HashMap<Box<str>, usize>,
    all: Vec<User>,
    key: hmac::Key,
}

#[derive(Debug)]
struct User {
    hash: Hash,
    /// The login that was right, and until when that counts.
    right: Mutex<Option<(hmac::Tag, Instant)>>,
}

/// A login, looked up.
pub(super) struct Checked<'a> {
    user: &'a str,
    index: Option<usize>,
    tag: hmac::Tag,
    number: u64,
}

impl Users {
    /// Reads the lines of a file, besides users that stand elsewhere.
    ///
    /// # Errors
    /// The number of the first line that is wrong, and why.
    pub(super) fn parse(inline: &[String], text: &str) -> Result<Self, String> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| "the system gives no random bytes".to_owned())?;
        let mut users = Self { names: HashMap::new(), all: Vec::new(), key };
        for line in inline {
            users.add(line)?;
        }
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if !line.is_empty() && !line.starts_with('#') {
                users.add(line).map_err(|why| format!("line {}: {why}", index + 1))?;
            }
        }
        if users.all.is_empty() { Err("it holds no users".to_owned()) } else { Ok(users) }
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let (name, hash) = line.split_once(':').ok_or("it is not `name:hash`")?;
        if !is_user(name) {
            return Err("the name is empty, too long, or has spaces around it or control characters".to_owned());
        }
        // The name is not a secret; the hash is never told.
        let hash = Hash::parse(hash).map_err(|why| format!("user `{name}`: {why}"))?;
        if self.names.insert(name.into(), self.all.len()).is_some() {
            return Err(format!("the user `{name}` is there already; keep the line that counts and remove the other"));
        }
        self.all.push(User { hash, right: Mutex::new(None) });
        Ok(())
    }

    pub(super) fn look_up<'a>(&self, user: &'a str, password: &[u8]) -> Checked<'a> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(user.len() as u64).to_le_bytes());
        context.update(user.as_bytes());
        context.update(password);
        let tag = context.sign();
        let number = tag.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        Checked { user, index: self.names.get(user).copied(), tag, number }
    }

    /// The hash to compute for a login: for a name that nobody has it is that of somebody, so that the time taken does
    /// not tell which names there are.
    pub(super) fn hash_for(&self, login: &Checked<'_>) -> &Hash {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(login.user.as_bytes());
        // Always the same one for a name, as if it were its own.
        let spread = context.sign().as_ref().iter().take(4).fold(0, |n, byte| n << 8 | usize::from(*byte));
        &self.all[login.index.unwrap_or(spread % self.all.len())].hash
    }

    pub(super) fn remembers(&self, login: &Checked<'_>, now: Instant) -> bool {
        let Some(user) = login.index.and_then(|index| self.all.get(index)) else { return false };
        let right = user.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.as_ref().is_some_and(|(tag, until)| {
            now < *until && verify_slices_are_equal(tag.as_ref(), login.tag.as_ref()).is_ok()
        })
    }

    pub(super) fn remember(&self, login: &Checked<'_>, until: Instant) {
        if let Some(user) = login.index.and_then(|index| self.all.get(index)) {
            *user.right.lock().unwrap_or_else(PoisonError::into_inner) = Some((login.tag, until));
        }
    }
}

impl Checked<'_> {
    pub(super) fn user(&self) -> &str {
        self.user
    }

    pub(super) fn is_known(&self) -> bool {
        self.index.is_some()
    }

    /// Stands for name and password, for who counts different ones.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HASH: &str = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";

    #[test]
    fn a_file_is_read_or_its_wrong_line_told() {
        let users = Users::parse(&[], &format!("# team\r\n\r\nann:{HASH}\r\nb\u{f6}b:{HASH}")).expect("two users");
        assert_eq!(users.all.len(), 2);
        let with_inline = Users::parse(&[format!("eve:{HASH}")], "").expect("one user");
        assert_eq!(with_inline.all.len(), 1);
        for (text, wanted) in [
            (String::new(), "it holds no users"),
            ("# nobody\n".to_owned(), "it holds no users"),
            (format!("ann:{HASH}\nann"), "line 2: it is not `name:hash`"),
            (format!("ann:{HASH}\n\nann:{HASH}"), "line 3: the user `ann` is there already"),
            (format!(":{HASH}"), "line 1: the name is empty"),
            (format!(" ann:{HASH}"), "line 1: the name is empty"),
            (format!("ann:{HASH}:more"), "line 1: user `ann`: the hash is malformed"),
            ("ann:secret".to_owned(), "line 1: user `ann`: the hash is neither"),
            ("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".to_owned(), "line 1: user `ann`: MD5, SHA-1"),
        ] {
            let why = Users::parse(&[], &text).expect_err(wanted);
            assert!(why.starts_with(wanted), "{why}");
            assert!(!why.contains("$2b$04"), "a hash is not told");
        }
    }

    #[test]
    fn no_beginning_of_a_file_is_read_with_a_panic() {
        let whole = format!("ann:{HASH}\nbob:{HASH}\n");
        for end in 0..whole.len() {
            let read = Users::parse(&[], &whole[..end]);
            assert_eq!(read.is_ok(), end == 64 || end == 65 || end >= 129, "{end}");
        }
    }

    #[test]
    fn a_right_login_is_remembered_for_its_time_and_its_password_alone() {
        let users = Users::parse(&[], &format!("ann:{HASH}\nbob:{HASH}")).expect("users");
        let (now, until) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        let right = users.look_up("ann", b"secret");
        assert!(!users.remembers(&right, now));
        users.remember(&right, until);
        assert!(users.remembers(&right, now) && !users.remembers(&right, until));
        for (user, password) in [("ann", &b"secrets"[..]), ("bob", b"secret"), ("an", b"nsecret"), ("eve", b"secret")] {
            assert!(!users.remembers(&users.look_up(user, password), now), "{user}");
        }
        let nobody = users.look_up("eve", b"secret");
        users.remember(&nobody, until);
        assert!(!nobody.is_known() && !users.remembers(&nobody, now));
    }
}
