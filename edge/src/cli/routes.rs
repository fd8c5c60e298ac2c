//! `edge routes`: the routes of the running edge, those that failed too.

use super::ask::Asked;
use super::failure::{Exit, Failure};
use super::out::{Out, Style};
use super::table::{self, Cell};
use crate::admin::api::{Route, RouteState};

/// List the routes of the running edge, with the faults of those that cannot serve as written.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge routes --config /etc/edge/edge.toml\n\n\
    `live` serves as written, `kept` serves its last good version because the one in the file has a fault,\n\
    `rejected` answers 503.")]
pub(super) struct Args {
    #[command(flatten)]
    asked: Asked,
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let routes: Vec<Route> = args.asked.get("/api/v1/routes")?;
    if args.asked.json {
        out.json(&routes);
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = routes.iter().map(row).collect();
    table::write(out, ["ROUTE", "STATE", "HOSTS", "PATHS", "TARGET", "FILE"], &rows, "no routes");
    for (route, fault) in routes.iter().flat_map(|route| route.faults.iter().map(move |fault| (route, fault))) {
        out.line("");
        let place = format!("{}:{}:{}", fault.file, fault.line, fault.column);
        out.line(out.paint(Style::Red, format!("{}: {place}: {}", route.name, fault.why)));
        if !fault.hint.is_empty() {
            out.line(format!("  hint: {}", fault.hint));
        }
    }
    Ok(Exit::Done)
}

fn row(route: &Route) -> [Cell; 6] {
    let state = match route.state {
        RouteState::Live => Cell::styled("live", Style::Green),
        RouteState::Kept => Cell::styled("kept", Style::Yellow),
        RouteState::Rejected => Cell::styled("rejected", Style::Red),
    };
    let any = |list: &[String]| if list.is_empty() { "any".to_owned() } else { list.join(", ") };
    let target = format!("{} {}", route.action, route.target.join(", "));
    [
        route.name.clone().into(),
        state,
        any(&route.hosts).into(),
        any(&route.paths).into(),
        target.trim().into(),
        route.place.clone().into(),
    ]
}
