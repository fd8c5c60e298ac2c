//! `edge status`: what the running edge is and where it listens.

use super::ask::Asked;
use super::failure::{Exit, Failure};
use super::out::{Out, Style};
use super::table;
use crate::admin::api::{Readiness, Status};

/// Show what the running edge is, where it listens, and whether it is ready.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge status --json")]
pub(super) struct Args {
    #[command(flatten)]
    asked: Asked,
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let status: Status = args.asked.get("/api/v1/status")?;
    let ready: Readiness = args.asked.get("/readyz")?;
    if args.asked.json {
        out.json(&serde_json::json!({ "status": status, "ready": ready }));
        return Ok(Exit::Done);
    }
    let commit = if status.commit.is_empty() { String::new() } else { format!(" ({})", status.commit) };
    out.line(format!("edge {}{commit}, pid {}, since {}", status.version, status.pid, status.started));
    out.line(format!("config {}, state {}", status.config, status.state));
    out.line(format!("routes of generation {}, loaded {}", status.generation, status.loaded));
    out.line("");
    let rows: Vec<_> = status
        .entrypoints
        .iter()
        .map(|entry| {
            let protocol = if entry.tls { format!("{} over TLS", entry.protocol) } else { entry.protocol.clone() };
            let connections = entry.connections.to_string();
            [entry.name.clone().into(), protocol.into(), entry.addresses.join(", ").into(), connections.into()]
        })
        .collect();
    table::write(out, ["ENTRYPOINT", "PROTOCOL", "ADDRESSES", "CONNECTIONS"], &rows, "no entrypoints");
    out.line("");
    let (style, word) = match (status.draining, ready.ready) {
        (true, _) => (Style::Yellow, "stopping"),
        (false, true) => (Style::Green, "ready"),
        (false, false) => (Style::Yellow, "not ready"),
    };
    out.line(out.paint(style, word));
    for reason in &ready.reasons {
        out.line(format!("  {reason}"));
    }
    Ok(Exit::Done)
}
