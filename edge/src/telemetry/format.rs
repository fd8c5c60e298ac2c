//! How log lines look, and how text of strangers is made fit for a log. No line is made here.

use std::borrow::Cow;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Pretty on a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

impl Format {
    /// Whether it is JSON on an output that is, or is not, a terminal.
    pub(super) const fn is_json(self, terminal: bool) -> bool {
        match self {
            Self::Auto => !terminal,
            Self::Json => true,
            Self::Pretty => false,
        }
    }
}

/// No field is longer than this, in bytes.
const LONGEST: usize = 2048;

/// Text of a stranger as visible text: control and direction characters and bytes that are not
/// UTF-8 are escaped, and what is too long is cut and ends in an ellipsis.
pub(super) fn visible(bytes: &[u8]) -> Cow<'_, str> {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
    if bytes.len() <= LONGEST && bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes);
    }
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if !push(&mut text, |text| push_char(text, char)) {
                return text.into();
            }
        }
        for byte in chunk.invalid() {
            if !push(&mut text, |text| text.push_str(&format!("\\x{byte:02x}"))) {
                return text.into();
            }
        }
    }
    text.into()
}

/// Adds one piece if it fits, else the ellipsis.
fn push(text: &mut String, piece: impl FnOnce(&mut String)) -> bool {
    let before = text.len();
    piece(text);
    let fits = text.len() <= LONGEST - ELLIPSIS.len();
    if !fits {
        text.truncate(before);
        text.push_str(ELLIPSIS);
    }
    fits
}

const ELLIPSIS: &str = "…";

fn push_char(text: &mut String, char: char) {
    match char {
        '\\' => text.push_str("\\\\"),
        _ if is_hidden(char) => text.push_str(&format!("\\u{{{:x}}}", u32::from(char))),
        _ => text.push(char),
    }
}

/// Characters that move the cursor, break the line, or turn the reading direction.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(visible(b"/a?b=c \"d\""), Cow::Borrowed("/a?b=c \"d\"")));
        assert_eq!(visible("/größe".as_bytes()), "/größe");
    }

    #[test]
    fn nothing_hidden_gets_through() {
        assert_eq!(visible(b"a\r\nb\x1b[2J\x7f\\"), r"a\u{d}\u{a}b\u{1b}[2J\u{7f}\\");
        assert_eq!(visible(b"\xff\xc3"), r"\xff\xc3");
        assert_eq!(visible("\u{202e}\u{85}".as_bytes()), r"\u{202e}\u{85}");
    }

    #[test]
    fn every_length_is_cut_at_the_limit_between_two_characters() {
        for unit in ["a", "ß", "😀", "\n", "\\"] {
            for count in 2040 / unit.len()..2060 / unit.len() {
                let text = unit.repeat(count);
                let shown = visible(text.as_bytes()).into_owned();
                assert!(shown.len() <= LONGEST, "{unit:?} {count}");
            }
        }
        assert!(visible(&[b'a'; 5000]).ends_with("a…"));
    }

    #[test]
    fn auto_is_for_people_on_a_terminal_only() {
        assert!(!Format::Auto.is_json(true) && Format::Auto.is_json(false));
        assert!(Format::Json.is_json(true) && !Format::Pretty.is_json(false));
    }
}
