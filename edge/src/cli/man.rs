//! `edge man`: the manual page of edge or of one command, in roff.

use clap_mangen::Man;

use super::failure::{Exit, Failure};
use super::out::Out;

/// Print the manual page of edge, or of one of its commands.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  edge man | man -l -\n  edge man explain > /usr/local/share/man/man1/edge-explain.1"
)]
pub(super) struct Args {
    /// A command, such as `check`
    command: Option<String>,
}

/// The command has no page.
#[derive(Debug, thiserror::Error)]
#[error("edge has no command `{0}`")]
struct NoCommand(String);

pub(super) fn run(args: &Args, mut edge: clap::Command, out: &mut Out) -> Result<Exit, Failure> {
    // Gives every command its full name and usage.
    edge.build();
    let page = match &args.command {
        None => edge,
        Some(name) => find(&edge, name)?,
    };
    let mut text = Vec::new();
    Man::new(page).render(&mut text).map_err(Failure::new)?;
    out.write(&String::from_utf8_lossy(&text));
    Ok(Exit::Done)
}

fn find(edge: &clap::Command, name: &str) -> Result<clap::Command, Failure> {
    let page = edge.find_subcommand(name).cloned();
    page.ok_or_else(|| Failure::new(NoCommand(name.to_owned())).hint("`edge --help` lists all commands"))
}
