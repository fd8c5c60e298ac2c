//! `edge run`: serve until told to stop.

use super::failure::{Exit, Failure};
use super::locate::ConfigFile;
use crate::app;
use crate::config::{Config, Level, Loaded, LogFormat};
use crate::telemetry::Format;
use crate::telemetry::setup::{self, LogSettings};

/// Serve: HTTPS in front of the routes, until SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge run --config /etc/edge/edge.toml\n\n\
    Route files are read again when they change, on SIGHUP and by `edge reload`. SIGTERM lets open requests end, a second\n\
    one ends at once. The level of the log can be set with EDGE_LOG.\n\n\
    Exits with 78 if edge.toml has faults, with 1 if it cannot begin to serve, with 0 after a stop.")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let config = config(args.config.load())?;
    log(&config)?;
    app::run(config, |_| ()).map_err(Failure::new)?;
    Ok(Exit::Done)
}

/// The settings, or what is wrong with them. Faults of route files do not matter here: each costs its own route only.
pub(super) fn config(loaded: Loaded) -> Result<Config, Failure> {
    let Loaded { config, faults, .. } = loaded;
    config.ok_or_else(|| {
        let faults: Vec<String> =
            faults.iter().filter(|fault| fault.is_error()).map(|fault| format!("\n\n{fault}")).collect();
        Failure::new(format!("the configuration is refused{}", faults.concat()))
            .hint("`edge check` shows every fault of every file")
            .exit(Exit::Refused)
    })
}

/// Begins to log as the settings say; `EDGE_LOG` wins over their level.
pub(super) fn log(config: &Config) -> Result<(), Failure> {
    let level = match config.log.level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    let level = std::env::var("EDGE_LOG").ok().filter(|level| !level.is_empty()).unwrap_or_else(|| level.to_owned());
    let format = match config.log.format {
        LogFormat::Auto => Format::Auto,
        LogFormat::Json => Format::Json,
        LogFormat::Pretty => Format::Pretty,
    };
    setup::install(&LogSettings { level, format }).map_err(Failure::new)
}
