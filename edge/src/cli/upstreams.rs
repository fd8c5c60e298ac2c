//! `edge upstreams`: the servers behind the routes of the running edge.

use super::ask::Asked;
use super::failure::{Exit, Failure};
use super::out::{Out, Style};
use super::table::{self, Cell};
use crate::admin::api::Upstream;

/// List the servers behind the routes: whether they are up, their addresses and their last failures.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge upstreams --config /etc/edge/edge.toml")]
pub(super) struct Args {
    #[command(flatten)]
    asked: Asked,
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let upstreams: Vec<Upstream> = args.asked.get("/api/v1/upstreams")?;
    if args.asked.json {
        out.json(&upstreams);
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = upstreams.iter().map(row).collect();
    table::write(out, ["ROUTE", "SERVER", "WEIGHT", "STATE", "ADDRESSES", "TRIES", "LAST ERROR"], &rows, "no servers");
    Ok(Exit::Done)
}

fn row(upstream: &Upstream) -> [Cell; 7] {
    let shown = |address: &crate::admin::api::Address| {
        if address.failing { format!("{} (failing)", address.address) } else { address.address.clone() }
    };
    let addresses: Vec<String> = upstream.addresses.iter().map(shown).collect();
    let addresses = match (&upstream.dns_error, addresses.is_empty()) {
        (Some(error), true) => Cell::styled(format!("unknown: {error}"), Style::Red),
        (None, true) => Cell::styled("being looked up", Style::Yellow),
        (_, false) if upstream.addresses.iter().any(|address| address.failing) => {
            Cell::styled(addresses.join(", "), Style::Yellow)
        }
        (_, false) => addresses.join(", ").into(),
    };
    let weight = if upstream.backup { format!("{} (backup)", upstream.weight) } else { upstream.weight.to_string() };
    let error = upstream.last_error.as_ref().map(|error| format!("{} {}", error.at, error.text)).unwrap_or_default();
    [
        upstream.route.clone().into(),
        upstream.server.clone().into(),
        weight.into(),
        state(upstream),
        addresses,
        upstream.requests.to_string().into(),
        error.into(),
    ]
}

fn state(upstream: &Upstream) -> Cell {
    let detail = upstream.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    let words = format!("{}{detail}", upstream.state);
    match upstream.state.as_str() {
        "up" => words.into(),
        "returning" => Cell::styled(words, Style::Yellow),
        _ => Cell::styled(words, Style::Red),
    }
}
