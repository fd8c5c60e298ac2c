//! The reading itself: one look for the common case, one pass over segments for all others.

use std::borrow::Cow;

use super::{Ambiguities, Ambiguity, Canonical};

pub(super) fn read(raw: &[u8]) -> Canonical<'_> {
    if let Some(path) = already_canonical(raw) {
        return Canonical { path: Cow::Borrowed(path), ambiguities: Ambiguities::default() };
    }
    let mut reader = Reader { path: String::with_capacity(raw.len() + 1), found: Ambiguities::default() };
    reader.run(raw);
    Canonical { path: Cow::Owned(reader.path), ambiguities: reader.found }
}

fn already_canonical(raw: &[u8]) -> Option<&str> {
    if raw == b"*" {
        return Some("*");
    }
    let mut before = None;
    for &byte in raw {
        if !is_plain(byte) || (matches!(byte, b'.' | b'/') && before == Some(b'/')) {
            return None;
        }
        before = Some(byte);
    }
    if raw.first() == Some(&b'/') { std::str::from_utf8(raw).ok() } else { None }
}

/// What may stand in a canonical path as itself, `.` and `/` with more to look at. `;` and `%` are not among it.
fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

struct Reader {
    path: String,
    found: Ambiguities,
}

impl Reader {
    fn run(&mut self, raw: &[u8]) {
        if raw.first().is_some_and(|first| *first != b'/') {
            self.found.insert(Ambiguity::NoSlash);
        }
        let mut decoded = Vec::with_capacity(raw.len());
        let mut ends_open = false;
        for segment in raw.split(|byte| *byte == b'/') {
            ends_open = self.segment(segment, &mut decoded);
        }
        // `/a/`, `/a/.` and `/a/..` name a folder; `/a` does not.
        if ends_open || self.path.is_empty() {
            self.path.push('/');
        }
        if std::str::from_utf8(&decoded).is_err() {
            self.found.insert(Ambiguity::NotUtf8);
        }
    }

    /// Appends one segment; says whether it left the path at a folder.
    fn segment(&mut self, raw: &[u8], decoded: &mut Vec<u8>) -> bool {
        let start = self.path.len();
        self.path.push('/');
        self.characters(raw, decoded);
        // What follows a `;` is a parameter; an encoded one counts too, but only behind dots.
        let written = &self.path[start + 1..];
        let name_end = written.find(';').unwrap_or(written.len());
        let has_parameter = name_end < written.len();
        let name = written[..name_end].to_owned();
        self.path.truncate(start + 1 + name_end);
        if matches!(name.as_str(), "." | "..") {
            self.found.insert(if has_parameter { Ambiguity::DotParameter } else { Ambiguity::DotSegment });
        }
        if name.starts_with(".%3B") || name.starts_with("..%3B") {
            self.found.insert(Ambiguity::DotParameter);
        }
        match name.as_str() {
            "" | "." => self.path.truncate(start),
            ".." => self.path.truncate(self.path[..start].rfind('/').unwrap_or(0)),
            _ => return false,
        }
        true
    }

    /// Appends the characters of a segment: unreserved ones decoded, all else as it is or as an upper-case escape.
    fn characters(&mut self, raw: &[u8], decoded: &mut Vec<u8>) {
        let mut rest = raw;
        while let [byte, after @ ..] = rest {
            let escaped = if *byte == b'%' { hex_pair(after) } else { None };
            match escaped {
                Some(value) => {
                    self.escaped(value);
                    decoded.push(value);
                    rest = &after[2..];
                }
                None => {
                    self.literal(*byte);
                    decoded.push(*byte);
                    rest = after;
                }
            }
        }
    }

    fn escaped(&mut self, value: u8) {
        match value {
            b'/' => self.found.insert(Ambiguity::EncodedSlash),
            b'\\' => self.found.insert(Ambiguity::EncodedBackslash),
            0 => self.found.insert(Ambiguity::Nul),
            _ => {}
        }
        if is_unreserved(value) { self.path.push(char::from(value)) } else { self.escape(value) }
    }

    fn literal(&mut self, byte: u8) {
        match byte {
            b'%' => self.found.insert(Ambiguity::BadEscape),
            b'\\' => self.found.insert(Ambiguity::Backslash),
            0 => self.found.insert(Ambiguity::Nul),
            _ => {}
        }
        if is_plain(byte) || byte == b';' { self.path.push(char::from(byte)) } else { self.escape(byte) }
    }

    fn escape(&mut self, byte: u8) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        self.path.push('%');
        self.path.push(char::from(DIGITS[usize::from(byte >> 4)]));
        self.path.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

pub(super) fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(bytes.first()?)? << 4 | digit(bytes.get(1)?)?)
}
