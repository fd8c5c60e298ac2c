//! `edge completions`: what a shell needs to complete commands and options.

use clap_complete::{Shell, generate};

use super::failure::{Exit, Failure};
use super::out::Out;

/// Print the completions of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge completions bash > /etc/bash_completion.d/edge")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, mut command: clap::Command, out: &mut Out) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    generate(args.shell, &mut command, "edge", &mut text);
    out.write(&String::from_utf8_lossy(&text));
    Ok(Exit::Done)
}
