//! One line for each request, and for each connection below HTTP.
//!
//! Values of a query are never written: they carry tokens and signatures. Neither are cookies,
//! credentials or any header but two.

mod line;
mod session;
mod sink;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::format::Format;
use super::metrics::Metrics;
use line::Redact;
use sink::Sink;

pub use line::{FIELDS, Line, UnknownField};
pub use session::SessionLine;
pub use sink::OpenError;

/// Where the lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    #[default]
    Stdout,
    /// Nowhere.
    Off,
    /// Appended to a file that is made if need be, readable by its owner and group.
    File(PathBuf),
}

/// What the access log is to be.
#[derive(Clone, Debug, Default)]
pub struct AccessLogSettings {
    /// Where the lines go.
    pub target: Target,
    /// How they look.
    pub format: Format,
    /// Names of fields that are never written.
    pub redact: Vec<String>,
}

/// Why there is no access log as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// It cannot be written there.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// `log.redact` names no field.
    #[error(transparent)]
    Redact(#[from] UnknownField),
}

/// The access log. Clones are the same log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    open: Option<Arc<Open>>,
}

#[derive(Debug)]
struct Open {
    json: bool,
    redact: Redact,
    sink: Sink,
}

impl AccessLog {
    /// Opens it and starts its thread.
    ///
    /// # Errors
    /// If the file cannot be opened, or a name in `redact` is none of [`FIELDS`].
    pub fn open(settings: &AccessLogSettings, metrics: &Metrics) -> Result<Self, AccessLogError> {
        let redact = Redact::parse(&settings.redact)?;
        let sink = match &settings.target {
            Target::Off => return Ok(Self { open: None }),
            Target::Stdout => Sink::stdout(metrics)?,
            Target::File(path) => Sink::file(path, metrics)?,
        };
        let terminal = settings.target == Target::Stdout && std::io::stdout().is_terminal();
        let json = settings.format.is_json(terminal);
        Ok(Self { open: Some(Arc::new(Open { json, redact, sink })) })
    }

    /// Writes a line, or drops and counts it if lines come faster than they can be written. Never
    /// waits.
    pub fn write(&self, line: &Line<'_>) {
        let Some(open) = &self.open else { return };
        let text = if open.json { line.json(open.redact) } else { line.pretty(open.redact) };
        open.sink.write(text);
    }

    /// As [`AccessLog::write`], for a connection that was no request.
    pub fn write_session(&self, line: &SessionLine<'_>) {
        let Some(open) = &self.open else { return };
        let text = if open.json { line.json(open.redact) } else { line.pretty(open.redact) };
        open.sink.write(text);
    }

    /// Closes the file and opens it by its name again: whoever rotates logs has moved it away.
    pub fn reopen(&self) {
        if let Some(open) = &self.open {
            open.sink.reopen();
        }
    }

    /// Writes what is waiting and ends the thread; waits at most `limit`. Lines after that are lost.
    pub fn finish(&self, limit: Duration) {
        if let Some(open) = &self.open {
            open.sink.finish(limit);
        }
    }
}
