//! How a command ends: its exit code, and what is said when it could not do its work.

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use super::out::Style;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is done and well: 0.
    Done,
    /// It failed, or found faults: 1.
    Failed,
    /// The configuration cannot be served, so nothing was started: 78, `EX_CONFIG` of sysexits.h. A service manager
    /// can be told not to try again.
    Refused,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Refused => Self::from(78),
        }
    }
}

/// Why a command could not do its work, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
    exit: Exit,
}

impl Failure {
    /// Ends with 1. The error is one sentence; its sources say why.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into(), hint: None, exit: Exit::Failed }
    }

    /// The same failure with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with another end.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// How the command ends.
    pub fn code(&self) -> Exit {
        self.exit
    }

    /// The sentence, the cause chain and the hint, each on a line of its own; the first word in red if there are
    /// colours.
    pub fn report(&self, color: bool) -> String {
        let word = if color { Style::Red.escaped("error:") } else { "error:".to_owned() };
        let mut text = format!("{word} {}\n", self.error);
        let mut cause = self.error.source();
        while let Some(error) = cause {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  because: {error}");
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write docs/CONFIG.md")]
    struct CannotWrite(#[source] std::io::Error);

    #[test]
    fn a_failure_is_told_with_its_causes_and_a_hint() {
        let error = CannotWrite(std::io::ErrorKind::PermissionDenied.into());
        let failure = Failure::new(error).hint("run it as its owner");
        let expected =
            "error: cannot write docs/CONFIG.md\n  because: permission denied\n  hint: run it as its owner\n";
        assert_eq!((failure.report(false).as_str(), failure.code()), (expected, Exit::Failed));
    }
}
