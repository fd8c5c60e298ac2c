//! The standard output of a command: text, colours where a person reads it, and a reader that went away.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

/// Where a command writes. After the first failure nothing more is written; [`Out::finish`] tells of it.
pub struct Out {
    to: Box<dyn Write>,
    color: bool,
    failed: Option<io::Error>,
}

/// How a piece of text looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A heading, or what matters in a line.
    Bold,
    /// What matters less.
    Dim,
    /// Wrong.
    Red,
    /// Doubtful.
    Yellow,
    /// Well.
    Green,
}

impl Style {
    /// The text with the escapes of ECMA-48 around it.
    pub(super) fn escaped(self, text: &str) -> String {
        let code = match self {
            Self::Bold => 1,
            Self::Dim => 2,
            Self::Red => 31,
            Self::Yellow => 33,
            Self::Green => 32,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

impl Out {
    /// The standard output of this process.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let color = wants_color(stdout.is_terminal());
        Self { to: Box::new(stdout), color, failed: None }
    }

    /// Any other place, without colours.
    pub fn new(to: impl Write + 'static) -> Self {
        Self { to: Box::new(to), color: false, failed: None }
    }

    /// The text in a style, where there are colours.
    pub fn paint(&self, style: Style, text: impl Display) -> String {
        let text = text.to_string();
        if self.color { style.escaped(&text) } else { text }
    }

    /// Writes a line.
    pub fn line(&mut self, text: impl Display) {
        self.write(&format!("{text}\n"));
    }

    /// Writes a value for a program.
    pub fn json(&mut self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(text),
            Err(error) => self.failed = self.failed.take().or(Some(error.into())),
        }
    }

    /// Writes text as it is.
    pub fn write(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = self.to.write_all(text.as_bytes()).err();
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When something could not be written. A reader that has gone away (`edge check | head`) has what it wanted:
    /// that is no error.
    pub fn finish(mut self) -> io::Result<()> {
        let result = match self.failed.take() {
            Some(error) => Err(error),
            None => self.to.flush(),
        };
        result.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
    }
}

/// A number of things: `1 error`, `2 errors`.
pub(super) fn many(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Whether to write colours: to a terminal that has them, unless <https://no-color.org> says no.
pub(super) fn wants_color(is_terminal: bool) -> bool {
    let says = |name: &str, bad: fn(&std::ffi::OsStr) -> bool| std::env::var_os(name).is_some_and(|value| bad(&value));
    is_terminal && !says("NO_COLOR", |value| !value.is_empty()) && !says("TERM", |value| value == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_error_and_a_full_disk_is_one() {
        let finish = |kind| {
            let mut out = Out::new(Broken(kind));
            out.line("one");
            out.line("two");
            out.finish().map_err(|error| error.kind())
        };
        assert_eq!(finish(io::ErrorKind::BrokenPipe), Ok(()));
        assert_eq!(finish(io::ErrorKind::StorageFull), Err(io::ErrorKind::StorageFull));
    }

    #[test]
    fn there_are_no_escapes_where_nobody_asked_for_colours() {
        assert_eq!(Out::new(io::sink()).paint(Style::Red, "x"), "x");
        assert_eq!(Style::Red.escaped("x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
