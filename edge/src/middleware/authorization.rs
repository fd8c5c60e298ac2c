//! The `Authorization` field of a request, and what a server is told once it was checked.

use data_encoding::BASE64;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use super::Ask;
use super::fields::OF_THE_EDGE;

/// What a request says about who asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Authorization {
    /// Nothing.
    Missing,
    /// Something that is none of the others: several fields, another scheme, broken base64, no colon.
    Unusable,
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password, in whatever encoding the client has.
        password: Vec<u8>,
    },
    /// A token.
    Bearer(String),
}

/// Longer names and passwords are nobody's.
const LONGEST_USER: usize = 255;
const LONGEST_PASSWORD: usize = 1024;

impl Authorization {
    /// Reads the field as the client sent it, whatever steps before have made of it.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return if headers.contains_key(AUTHORIZATION) { Self::Unusable } else { Self::Missing };
        };
        Self::read(value).unwrap_or(Self::Unusable)
    }

    fn read(value: &HeaderValue) -> Option<Self> {
        let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
        let rest = rest.trim_matches(' ');
        if scheme.eq_ignore_ascii_case("bearer") {
            return is_token68(rest).then(|| Self::Bearer(rest.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = BASE64.decode(rest.as_bytes()).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
        let password = decoded[colon + 1..].to_vec();
        let fits = is_user(&user) && password.len() <= LONGEST_PASSWORD;
        fits.then_some(Self::Basic { user, password })
    }
}

/// Whether a text can be the name of a user: it ends up in logs and header fields.
pub(crate) fn is_user(text: &str) -> bool {
    let fits = (1..=LONGEST_USER).contains(&text.len()) && text.trim() == text;
    fits && !text.contains(':') && !text.chars().any(char::is_control)
}

/// RFC 6750 section 2.1.
pub(crate) fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// The key that names the field in which a server is told who asks.
pub(crate) const USER_HEADER: Key = Key::new(
    "user_header",
    Shape::Text("a field's name"),
    "The header field in which the server is told who asks. What a client sends in it is dropped.",
);

/// The key that says what becomes of the credential.
pub(crate) const PASS_AUTHORIZATION: Key = Key::new(
    "pass_authorization",
    Shape::Bool,
    "Whether the server sees the login or token too. It is the edge's own, so it does not unless the server needs it.",
)
.default("false");

/// What a server is told of a login.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    user_header: Option<HeaderName>,
    /// The field of the credential, if the server does not see it.
    dropped: Option<HeaderName>,
}

impl Told {
    /// Reads [`USER_HEADER`] and [`PASS_AUTHORIZATION`]; `credential` is the field of the credential.
    pub(crate) fn read(item: &Item<'_>, credential: HeaderName, reading: &mut Reading<'_>) -> Self {
        let user_header = item.get("user_header").and_then(|item| field_name(&item, reading));
        let passes = item.get("pass_authorization").and_then(|item| item.as_bool()).unwrap_or(false);
        Self { user_header, dropped: (!passes).then_some(credential) }
    }

    /// Notes who asks, for the log and for the server.
    pub(crate) fn tell(&self, ask: &mut Ask<'_>, user: &str) {
        if let Some(dropped) = &self.dropped {
            drop_credential(ask, dropped);
        }
        if let Some(name) = &self.user_header {
            set_field(ask, name, HeaderValue::from_bytes(user.as_bytes()).ok());
        }
        ask.done.user = Some(user.to_owned());
    }
}

/// The name of a field that middlewares may set for a server.
pub(crate) fn field_name(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<HeaderName> {
    let text = item.as_str()?;
    let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|name| !OF_THE_EDGE.contains(&name.as_str()));
    if name.is_none() {
        reading.faults.push(item.fault(format!("`{text}` is not the name of a field that can be set")));
    }
    name
}

/// Gives a server this value and no other in whatever spelling: servers that turn fields into variables cannot tell
/// `_` from `-`, and some no such character from another.
pub(crate) fn set_field(ask: &mut Ask<'_>, name: &HeaderName, value: Option<HeaderValue>) {
    drop_field(ask, name);
    if let Some(value) = value {
        ask.set_header(name.clone(), value);
    }
}

/// Has a server not see the credential of a login that was checked; other steps still may.
pub(crate) fn drop_credential(ask: &mut Ask<'_>, name: &HeaderName) {
    drop_field(ask, name);
    ask.done.credentials.push(name.clone());
}

/// Has a server see no field of this name, in whatever spelling.
pub(crate) fn drop_field(ask: &mut Ask<'_>, name: &HeaderName) {
    let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'-' };
    let is_same = |other: &&HeaderName| {
        other.as_str().len() == name.as_str().len()
            && other.as_str().bytes().map(plain).eq(name.as_str().bytes().map(plain))
    };
    let spellings: Vec<HeaderName> = ask.from.headers.keys().filter(is_same).cloned().collect();
    let mut fields = ask.headers();
    fields.remove(name.clone());
    spellings.into_iter().filter(|other| other != name).for_each(|other| fields.remove(other));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{apply, get};
    use super::super::{Ask, Done};
    use super::*;

    fn basic(user: &str, password: &[u8]) -> Authorization {
        Authorization::Basic { user: user.to_owned(), password: password.to_vec() }
    }

    fn read(values: &[&str]) -> Authorization {
        let request = values.iter().fold(get("/"), |request, value| request.header("authorization", value));
        Authorization::of(&request.headers)
    }

    #[test]
    fn what_a_client_says_is_read_or_not_usable() {
        assert_eq!(read(&[]), Authorization::Missing);
        assert_eq!(read(&["Basic YW5uOnNlY3JldA=="]), basic("ann", b"secret"));
        assert_eq!(read(&["bAsIc  YW5uOmE6Yjo="]), basic("ann", b"a:b:"));
        assert_eq!(read(&["Basic YW5uOg=="]), basic("ann", b""));
        assert_eq!(read(&["Bearer abc.d-_~+/=="]), Authorization::Bearer("abc.d-_~+/==".into()));
        for unusable in [
            "",
            "Basic",
            "Basic ",
            "Basic YW5uOnNlY3JldA",    // no padding
            "Basic YW5uOnNlY3JldA===", // too much
            "Basic YW5uOnNlY3JldB==",  // stray bits
            "Basic YW5u",              // no colon
            "Basic OnNlY3JldA==",      // no name
            "Basic /3g6eQ==",          // a name that is not UTF-8
            "Basic YQpiOmM=",          // a line end in the name
            "Basic !!!!",
            "Bearer ",
            "Bearer a b",
            "Bearer a\u{e9}",
            "Digest username=\"ann\"",
            "YW5uOnNlY3JldA==",
        ] {
            assert_eq!(read(&[unusable]), Authorization::Unusable, "{unusable:?}");
        }
        assert_eq!(read(&["Basic YW5uOnNlY3JldA==", "Basic YW5uOnNlY3JldA=="]), Authorization::Unusable);
        let long = |length| format!("Basic {}", BASE64.encode(format!("ann:{}", "x".repeat(length)).as_bytes()));
        assert!(matches!(read(&[&long(1024)]), Authorization::Basic { .. }));
        assert_eq!(read(&[&long(1025)]), Authorization::Unusable);
    }

    #[test]
    fn every_beginning_of_a_field_is_read_without_a_panic() {
        let whole = "Basic YW5uOnNlY3JldA==";
        for end in 0..=whole.len() {
            let read = read(&[&whole[..end]]);
            assert!(end == whole.len() || read != basic("ann", b"secret"), "{}", &whole[..end]);
        }
    }

    #[test]
    fn a_field_for_a_server_is_ours_alone_in_every_spelling() {
        let names = ["x-my-user", "x_my_user", "X-My_User", "x.my.user", "x-my~user"];
        let request = names.iter().fold(get("/"), |request, name| request.header(name, "evil"));
        let mut done = Done::default();
        let told = Told { user_header: Some(HeaderName::from_static("x-my-user")), dropped: Some(AUTHORIZATION) };
        told.tell(&mut Ask { from: request.asker(), done: &mut done }, "ann");
        assert_eq!(done.user.as_deref(), Some("ann"));
        let seen = apply(request.headers.clone(), done.edits);
        assert_eq!(
            seen.iter().collect::<Vec<_>>(),
            [(&HeaderName::from_static("x-my-user"), &"ann".parse().expect("text"))]
        );
    }
}
