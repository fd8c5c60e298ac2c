//! Where log lines go and which of them: installed once, at the start.
//!
//! Libraries log what a client did wrong as their error. Here it is what it is: nothing, unless
//! somebody debugs. The edge counts and tells those things itself.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use super::format::Format;

/// What the log is to be.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// A level, or directives such as `info,edge::upstream=debug`.
    pub level: String,
    /// How the lines look.
    pub format: Format,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Auto }
    }
}

/// Why there is no log as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not a level.
    #[error("\"{0}\" is no log level; there are off, error, warn, info, debug and trace")]
    Level(String),
    /// Not a directive.
    #[error("\"{directives}\" are no log directives: {source}")]
    Directives {
        /// As written.
        directives: String,
        /// Why.
        source: ParseError,
    },
    /// Installed before.
    #[error("the log is installed already: {0}")]
    Installed(#[from] TryInitError),
}

/// Sends the log, with that of the libraries, to standard error.
///
/// # Errors
/// If the level cannot be understood, or a log is installed already.
pub fn install(settings: &LogSettings) -> Result<(), SetupError> {
    install_to(settings, io::stderr().is_terminal(), io::stderr)
}

/// As [`install`], to any writer.
///
/// # Errors
/// As [`install`].
pub fn install_to<W>(settings: &LogSettings, terminal: bool, writer: W) -> Result<(), SetupError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(terminal);
    let layer = if settings.format.is_json(terminal) {
        layer.json().flatten_event(true).boxed()
    } else {
        layer.compact().boxed()
    };
    // try_init also bridges the `log` crate, through which Pingora speaks.
    tracing_subscriber::registry().with(filter(&settings.level)?).with(layer).try_init()?;
    Ok(())
}

/// Targets that are of interest only where something is wrong with the edge itself.
const LIBRARIES: &[(&str, &str)] = &[
    ("h2", "warn"),
    ("hickory_net", "error"),
    ("hickory_proto", "error"),
    ("hickory_resolver", "error"),
    ("hyper", "warn"),
    ("hyper_util", "warn"),
    ("notify", "warn"),
    ("pingora_core", "warn"),
    // It warns of each server that closes a connection that was kept open, which is their right.
    ("pingora_pool", "error"),
    ("pingora_rustls", "warn"),
    ("tungstenite", "warn"),
];

/// Targets that log the faults of clients as errors: malformed requests, lost connections, failed
/// handshakes. The edge has its own events for them.
const CLIENT_FAULTS: &[&str] = &[
    "pingora_core::apps",
    "pingora_core::listeners",
    "pingora_core::protocols::http",
    "pingora_core::protocols::tls",
    "pingora_core::services::listening",
    "rustls",
];

/// Writes whole heads at debug, credentials and cookies among them: only for those who name it.
const HEADS: &str = "pingora_proxy=off";

fn filter(level: &str) -> Result<EnvFilter, SetupError> {
    let base = base_level(level)?;
    let faults = if base >= LevelFilter::DEBUG { "debug" } else { "off" };
    let libraries = LIBRARIES.iter().map(|(target, level)| format!("{target}={level}"));
    let faults = CLIENT_FAULTS.iter().map(|target| format!("{target}={faults}")).chain([HEADS.to_owned()]);
    // What is asked for comes last and wins.
    let asked = std::iter::once(base.to_string()).chain(level.split(',').map(|one| one.trim().to_owned()));
    let all: Vec<String> = libraries.chain(faults).chain(asked).collect();
    let directives = level.to_owned();
    EnvFilter::builder().parse(all.join(",")).map_err(|source| SetupError::Directives { directives, source })
}

/// The level of what no directive names.
fn base_level(level: &str) -> Result<LevelFilter, SetupError> {
    let mut base = LevelFilter::INFO;
    // A bare word that is no level would be taken for a target and switch everything else off.
    for word in level.split(',').map(str::trim).filter(|word| !word.contains(['=', '['])) {
        if !word.is_empty() {
            base = word.parse().map_err(|_| SetupError::Level(word.to_owned()))?;
        }
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled(level: &str) -> impl Fn(&str) -> bool {
        let text = filter(level).expect("a good level").to_string();
        move |directive| text.split(',').any(|found| found == directive)
    }

    #[test]
    fn faults_of_clients_are_off_until_somebody_debugs() {
        let info = enabled("info");
        assert!(info("pingora_proxy=off") && info("pingora_core=warn") && info("info"));
        let debug = enabled("debug");
        assert!(debug("rustls=debug") && debug("pingora_core=warn") && debug("debug"));
        assert!(debug("pingora_proxy=off"), "it writes credentials at debug");
    }

    #[test]
    fn what_is_asked_for_wins() {
        let asked = enabled("warn,pingora_proxy=trace, edge::upstream=debug");
        assert!(asked("pingora_proxy=trace") && asked("edge::upstream=debug") && asked("warn"));
        assert!(enabled("edge=debug")("info"), "the rest stays at info");
        assert!(enabled("")("info"));
    }

    #[test]
    fn what_is_no_level_is_a_fault() {
        let said = |level| filter(level).expect_err("no level").to_string();
        assert_eq!(said("loud"), "\"loud\" is no log level; there are off, error, warn, info, debug and trace");
        assert!(said("edge=loud").starts_with("\"edge=loud\" are no log directives"));
    }
}
