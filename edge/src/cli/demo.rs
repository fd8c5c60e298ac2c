//! `edge demo`: a look at everything, from nothing.

use std::env;
use std::io::{self, IsTerminal as _};

use super::failure::{Exit, Failure};
use super::out::{Out, wants_color};
use super::run;
use crate::config::Environment;
use crate::demo::{Demo, Options};

/// Serve sample backends on https://hello.localhost:8443: no domain, no root, no network.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge demo --https-port 9443\n\n\
    Writes an edge.toml and routes to edit into its folder and prints what to open and to copy. Edits are kept for the \
    next time; --fresh starts over. Everything listens on loopback alone. Ctrl-C stops it.")]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let environment = Environment::new(env::vars_os());
    let demo = Demo::prepare(&args.options, &environment).map_err(Failure::new)?;
    let config = run::config(demo.load(&environment))?;
    run::log(&config)?;
    demo.run(config, wants_color(io::stdout().is_terminal()), print).map_err(Failure::new)?;
    Ok(Exit::Done)
}

fn print(text: &str) {
    let mut out = Out::stdout();
    out.write(text);
    // A closed pipe or a full disk is no reason to stop serving.
    let _ = out.finish();
}
