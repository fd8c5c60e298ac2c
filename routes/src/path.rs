//! The one canonical reading of a request's path, and the path patterns of routes.
//!
//! Matching and rules use the reading; what is forwarded is the client's target, untouched. The reading decodes
//! unreserved characters once, removes dot segments, merges slashes, drops `;parameters` from each segment, and
//! writes every other byte outside of RFC 3986 as a percent escape in upper case. Case matters.
//!
//! Parameters are dropped because servers of the Java world do so: to them `/admin;x=1` *is* `/admin`, and a rule
//! for `/admin` must see it. To all others it is a name that does not exist.
//!
//! Where readers can differ in a way that crosses a rule, the reading is marked as ambiguous with the reason.

use std::borrow::Cow;
use std::fmt;

mod climb;
mod pattern;
mod raw;
mod reading;

pub use climb::may_climb;
pub use pattern::{PathError, PathPattern, Regex};
pub use raw::{any_reading_below, raw_rest};

/// Why two readers may take a path for two different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Ambiguity {
    /// `%2f`.
    EncodedSlash,
    /// `%5c`.
    EncodedBackslash,
    /// `\`.
    Backslash,
    /// `%00`, or the byte itself.
    Nul,
    /// A segment `.` or `..`, plain or encoded.
    DotSegment,
    /// `..;` or `.;`: a dot segment to some readers, a name to others.
    DotParameter,
    /// A `%` without two hexadecimal digits.
    BadEscape,
    /// Bytes that, decoded, are not UTF-8; overlong forms among them.
    NotUtf8,
    /// The path does not begin with `/`.
    NoSlash,
}

impl Ambiguity {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::EncodedSlash,
        Self::EncodedBackslash,
        Self::Backslash,
        Self::Nul,
        Self::DotSegment,
        Self::DotParameter,
        Self::BadEscape,
        Self::NotUtf8,
        Self::NoSlash,
    ];

    /// The reason in words, for the answer and the log.
    pub fn words(self) -> &'static str {
        match self {
            Self::EncodedSlash => "an encoded slash (%2f)",
            Self::EncodedBackslash => "an encoded backslash (%5c)",
            Self::Backslash => "a backslash",
            Self::Nul => "a NUL byte",
            Self::DotSegment => "a dot segment",
            Self::DotParameter => "a dot segment with a parameter (..;)",
            Self::BadEscape => "a % without two hexadecimal digits",
            Self::NotUtf8 => "bytes that are not UTF-8",
            Self::NoSlash => "no slash at its start",
        }
    }
}

/// A set of reasons, empty for nearly every request.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Ambiguities(u16);

impl Ambiguities {
    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this reason is among them.
    pub fn contains(self, reason: Ambiguity) -> bool {
        self.0 & (1 << reason as u8) != 0
    }

    /// All reasons in the set.
    pub fn iter(self) -> impl Iterator<Item = Ambiguity> {
        Ambiguity::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }

    fn insert(&mut self, reason: Ambiguity) {
        self.0 |= 1 << reason as u8;
    }
}

impl fmt::Debug for Ambiguities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl fmt::Display for Ambiguities {
    /// The reasons in words, parted by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, reason) in self.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, reason.words())?;
        }
        Ok(())
    }
}

/// How a path is read for matching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical<'a> {
    /// The canonical path: ASCII, beginning with `/`; or `*` of an `OPTIONS *`. Borrowed when the client sent it so.
    pub path: Cow<'a, str>,
    /// Where other readers may come to another path.
    pub ambiguities: Ambiguities,
}

impl<'a> Canonical<'a> {
    /// Reads the path of a request target, without its query. Never fails: what cannot be read is ambiguous.
    pub fn read(raw: &'a [u8]) -> Self {
        reading::read(raw)
    }
}

#[cfg(test)]
mod tests;
