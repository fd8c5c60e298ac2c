//! `edge status`: what the running edge is, where it listens, and which sessions below HTTP are open.

use super::ask::Asked;
use super::failure::{Exit, Failure};
use super::out::{Out, Style};
use super::table;
use crate::admin::api::{Readiness, Session, Sessions, Status};

/// Show what the running edge is, where it listens, which sessions below HTTP are open, and whether it is ready.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge status --json")]
pub(super) struct Args {
    #[command(flatten)]
    asked: Asked,
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let status: Status = args.asked.get("/api/v1/status")?;
    let ready: Readiness = args.asked.get("/readyz")?;
    let sessions: Sessions = args.asked.get("/api/v1/sessions")?;
    if args.asked.json {
        out.json(&serde_json::json!({ "status": status, "ready": ready, "sessions": sessions }));
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
    show_sessions(out, &sessions);
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

/// Sessions that are shown one by one.
const SHOWN: usize = 50;

/// Nothing where there is none: most edges serve requests alone.
fn show_sessions(out: &mut Out, sessions: &Sessions) {
    if sessions.count == 0 {
        return;
    }
    let row = |session: &Session| {
        let traffic = format!("{} in, {} out", bytes(session.received_bytes), bytes(session.sent_bytes));
        [
            session.route.clone().into(),
            session.client.clone().into(),
            session.server.clone().into(),
            session.database.clone().into(),
            session.user.clone().into(),
            age(session.age_seconds).into(),
            traffic.into(),
        ]
    };
    let rows: Vec<_> = sessions.oldest.iter().take(SHOWN).map(row).collect();
    table::write(out, ["ROUTE", "CLIENT", "SERVER", "DATABASE", "USER", "AGE", "TRAFFIC"], &rows, "no sessions");
    let more = sessions.count.saturating_sub(rows.len() as u64);
    if more > 0 {
        out.line(format!("and {more} younger ones; --json has up to 1000"));
    }
    out.line("");
}

/// As one number, in the unit that a person would choose.
fn age(seconds: f64) -> String {
    match seconds {
        ..60.0 => format!("{seconds:.0}s"),
        ..3600.0 => format!("{:.0}m", seconds / 60.0),
        ..86_400.0 => format!("{:.0}h", seconds / 3600.0),
        _ => format!("{:.0}d", seconds / 86_400.0),
    }
}

fn bytes(count: u64) -> String {
    let count = count as f64;
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| count >= *unit as f64) {
        Some((unit, name)) => format!("{:.1} {name}", count / unit as f64),
        None => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_have_the_unit_that_one_would_choose() {
        assert_eq!([0.4, 59.0, 61.0, 7200.0, 200_000.0].map(age), ["0s", "59s", "1m", "2h", "2d"]);
        assert_eq!([0, 1023, 1536, 5 << 30].map(bytes), ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
    }
}
