//! `edge reload`: have the running edge load its routes now, and see what came of it.

use super::ask::Asked;
use super::failure::{Exit, Failure};
use super::out::{Out, Style};
use crate::admin::api::Reload;

/// Load the route files now and show what changed, or the faults.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge reload && echo all routes serve as written\n\n\
    Exits with 1 if a route has a fault; that route keeps its last good version and the others are loaded.")]
pub(super) struct Args {
    #[command(flatten)]
    asked: Asked,
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let reload: Reload = args.asked.post("/api/v1/reload")?;
    let exit = if reload.applied && reload.rejected.is_empty() { Exit::Done } else { Exit::Failed };
    if args.asked.json {
        out.json(&reload);
        return Ok(exit);
    }
    for (word, style, names) in [
        ("added", Style::Green, &reload.added),
        ("changed", Style::Yellow, &reload.changed),
        ("removed", Style::Red, &reload.removed),
        ("rejected", Style::Red, &reload.rejected),
    ] {
        for name in names {
            out.line(format!("{} {name}", out.paint(style, format!("{word:<8}"))));
        }
    }
    for fault in &reload.faults {
        out.line(format!("{}:{}:{}: {}", fault.file, fault.line, fault.column, fault.why));
        if !fault.hint.is_empty() {
            out.line(format!("  hint: {}", fault.hint));
        }
    }
    if !reload.rejected.is_empty() {
        out.line("a rejected route serves its last good version, if it had one; `edge routes` shows which");
    }
    let changes = reload.added.len() + reload.changed.len() + reload.removed.len();
    out.line(match changes {
        0 => format!("no change; generation {} serves", reload.generation),
        changes => format!("{changes} changed; generation {} serves", reload.generation),
    });
    Ok(exit)
}
