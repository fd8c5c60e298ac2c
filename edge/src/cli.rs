//! The command line: its commands, their common ways of ending, and nothing of what they do.
//!
//! A command is a variant here and a file below: its arguments, its help, and `run`.

mod ask;
mod certs;
mod check;
mod completions;
mod demo;
mod docs;
mod explain;
mod failure;
mod hash;
mod locate;
mod man;
mod out;
mod reload;
mod routes;
mod run;
mod schema;
mod status;
mod table;
mod upstreams;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use failure::{Exit, Failure};
pub use locate::ConfigFile;
pub use out::{Out, Style};

/// The public front door of a self-hosted ML platform: HTTPS with certificates that it gets and renews by itself.
#[derive(Debug, Parser)]
#[command(name = "edge", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "`edge COMMAND --help` tells more, with an example.\n\n\
    Exit codes: 0 done, 1 failed or faults found, 2 wrong usage, 78 configuration refused at start.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Demo(demo::Args),
    Check(check::Args),
    Explain(explain::Args),
    Status(status::Args),
    Routes(routes::Args),
    Certs(certs::Args),
    Upstreams(upstreams::Args),
    Reload(reload::Args),
    Hash(hash::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Man(man::Args),
    #[command(hide = true)]
    Docs(docs::Args),
}

impl Command {
    fn run(&self, out: &mut Out) -> Result<Exit, Failure> {
        match self {
            Self::Run(args) => run::run(args),
            Self::Demo(args) => demo::run(args),
            Self::Check(args) => check::run(args, out),
            Self::Explain(args) => explain::run(args, out),
            Self::Status(args) => status::run(args, out),
            Self::Routes(args) => routes::run(args, out),
            Self::Certs(args) => certs::run(args, out),
            Self::Upstreams(args) => upstreams::run(args, out),
            Self::Reload(args) => reload::run(args, out),
            Self::Hash(args) => hash::run(args, out),
            Self::Schema(args) => schema::run(args, out),
            Self::Completions(args) => completions::run(args, Cli::command(), out),
            Self::Man(args) => man::run(args, Cli::command(), out),
            Self::Docs(args) => docs::run(args, out),
        }
    }
}

/// Runs the command that this process was started with, to its end.
pub fn main() -> ExitCode {
    // Wrong usage ends here, with 2.
    let cli = Cli::parse();
    let mut out = Out::stdout();
    let done = cli.command.run(&mut out);
    let written = out.finish().map_err(|error| Failure::new(NotWritten(error)));
    match done.and_then(|exit| written.map(|()| exit)) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // Nobody is left to be told if this fails too.
            let report = failure.report(out::wants_color(io::stderr().is_terminal()));
            let _ = io::stderr().write_all(report.as_bytes());
            failure.code().into()
        }
    }
}

/// The standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the output")]
struct NotWritten(#[source] io::Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_free_of_contradictions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_in_its_help() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = format!("edge {}", command.get_name());
            assert!(help.contains("Example:") && help.contains(&example), "{}", command.get_name());
        }
    }
}
