//! The message with which a server, or the edge in its place, ends a connection.

use std::borrow::Cow;

/// A fatal error: its client shows it as `FATAL: <message>` and, below, `HINT: <hint>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorResponse {
    /// Five signs of SQLSTATE, for programs.
    pub sqlstate: &'static str,
    /// A sentence without a capital and a full stop, as the server writes them.
    pub message: Cow<'static, str>,
    /// What may be done about it.
    pub hint: Option<&'static str>,
}

impl ErrorResponse {
    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(64 + self.message.len());
        push(&mut fields, b'S', "FATAL");
        // The same in English whatever the language of the server is; clients since 9.6 look here.
        push(&mut fields, b'V', "FATAL");
        push(&mut fields, b'C', self.sqlstate);
        push(&mut fields, b'M', &self.message);
        if let Some(hint) = self.hint {
            push(&mut fields, b'H', hint);
        }
        fields.push(0);
        let length = u32::try_from(4 + fields.len()).unwrap_or(u32::MAX);
        [&b"E"[..], &length.to_be_bytes(), &fields].concat()
    }
}

/// A message may quote what a stranger sent: nothing in it ends the field or moves a terminal's cursor, and it stays short.
fn push(fields: &mut Vec<u8>, kind: u8, text: &str) {
    fields.push(kind);
    let mut sign = [0; 4];
    for char in text.chars().take(MAX_TEXT) {
        let char = if char.is_control() { '?' } else { char };
        fields.extend_from_slice(char.encode_utf8(&mut sign).as_bytes());
    }
    fields.push(0);
}

const MAX_TEXT: usize = 400;
