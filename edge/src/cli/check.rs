//! `edge check`: every fault of every file in one run.

use std::path::Path;
use std::sync::Arc;

use routes::check::Checked;
use routes::fault::{Fault, Place};
use routes::route::Route;
use routes::step::Step;
use serde::Serialize;

use super::failure::{Exit, Failure};
use super::locate::ConfigFile;
use super::out::{Out, Style, many};
use crate::app::BUILD;
use crate::config::Loaded;
use crate::middleware::{self, Building};
use crate::telemetry::Metrics;

/// Report every fault of edge.toml and the route files.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge check --config /etc/edge/edge.toml\n\n\
    Exits with 1 if there is an error; warnings alone exit with 0. Nothing is changed and nothing is dialled.")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Write the report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let report = Report::new(args.config.load());
    if args.json {
        out.json(&report);
    } else {
        report.write(out);
    }
    Ok(if report.ok { Exit::Done } else { Exit::Failed })
}

#[derive(Debug, Serialize)]
struct Report {
    /// Whether there is no error; warnings may be there.
    ok: bool,
    errors: usize,
    warnings: usize,
    /// How many route files were found.
    route_files: usize,
    /// How many routes can serve, and how many cannot; none where `edge.toml` could not be read.
    routes: Option<Routes>,
    faults: Vec<Fault>,
    /// What backends must be told themselves, by the presets of their routes.
    notes: Vec<Note>,
}

/// One thing that a backend must be told.
#[derive(Debug, Serialize)]
struct Note {
    route: String,
    preset: String,
    say: String,
}

/// Routes whose middlewares stand on something that cannot be used, such as a users file with a bad line: one fault each.
/// They are made as the edge would make them and thrown away, with a state folder of their own.
fn unusable(checked: &Checked, folder: &Path) -> Vec<Fault> {
    let state = std::env::temp_dir().join(format!("edge-check-{}", std::process::id()));
    let metrics = Metrics::new(BUILD);
    let fault = |route: &Arc<Route>| {
        let counters = metrics.route(&route.name);
        let build = |step: &Step| {
            let (route, name) = (route.name.as_str(), step.name.as_str());
            middleware::build(step, &Building { folder, state: &state, route, name, metrics: &counters }).err()
        };
        let error = route.steps.iter().find_map(build)?;
        let source_line = "[[route]]".to_owned();
        let place = Place { file: route.file.clone(), line: route.line, column: 1, source_line };
        let mut fault = Fault::error(place, "use", error.to_string());
        fault.route = Some(route.name.clone());
        Some(fault)
    };
    let faults = checked.routes.iter().filter_map(fault).collect();
    // Nothing is there unless a step keeps something.
    let _ = std::fs::remove_dir_all(&state);
    faults
}

fn notes(checked: &Checked) -> Vec<Note> {
    let routes = checked.routes.iter().filter_map(|route| Some((route, route.preset.as_ref()?)));
    let note =
        |route: &str, preset: &str, say: &str| Note { route: route.into(), preset: preset.into(), say: say.into() };
    routes.flat_map(|(route, preset)| preset.tell.iter().map(move |say| note(&route.name, &preset.name, say))).collect()
}

#[derive(Debug, Serialize)]
struct Routes {
    good: usize,
    rejected: usize,
}

impl Report {
    fn new(loaded: Loaded) -> Self {
        let checked = loaded.check_routes();
        let folder = loaded.around.as_ref().map(|around| around.folder.clone()).unwrap_or_default();
        let unusable = checked.as_ref().map(|checked| unusable(checked, &folder)).unwrap_or_default();
        let notes = checked.as_ref().map(notes).unwrap_or_default();
        let mut faults = loaded.faults;
        let routes = checked.map(|checked| {
            faults.extend(checked.faults);
            let good = checked.routes.len() - unusable.len() + checked.streams.len();
            let rejected = checked.rejected.len() + unusable.len();
            faults.extend(unusable);
            Routes { good, rejected }
        });
        let errors = faults.iter().filter(|fault| fault.is_error()).count();
        let warnings = faults.len() - errors;
        Self { ok: errors == 0, errors, warnings, route_files: loaded.sources.len(), routes, faults, notes }
    }

    fn write(&self, out: &mut Out) {
        for fault in &self.faults {
            let style = if fault.is_error() { Style::Red } else { Style::Yellow };
            let text = fault.to_string();
            let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
            out.line(out.paint(style, first));
            if !rest.is_empty() {
                out.line(rest);
            }
            out.line("");
        }
        for Note { route, preset, say } in &self.notes {
            out.line(format!("{}: route {route} ({preset}): {say}", out.paint(Style::Bold, "note")));
        }
        if !self.notes.is_empty() {
            out.line("");
        }
        let style = if self.ok { Style::Green } else { Style::Red };
        out.line(out.paint(style, self.summary()));
    }

    fn summary(&self) -> String {
        let faults = match (self.errors, self.warnings) {
            (0, 0) => "no faults".to_owned(),
            (0, warnings) => many(warnings, "warning"),
            (errors, 0) => many(errors, "error"),
            (errors, warnings) => format!("{} and {}", many(errors, "error"), many(warnings, "warning")),
        };
        let routes = match &self.routes {
            None => "the route files were not checked: edge.toml must be mended first".to_owned(),
            Some(Routes { good, rejected: 0 }) => format!("{} can serve", many(*good, "route")),
            Some(Routes { good, rejected }) => format!("{good} of {} can serve", many(good + rejected, "route")),
        };
        let files = many(self.route_files, "route file");
        match self.routes {
            None => format!("{faults} in edge.toml; {routes}"),
            Some(_) => format!("{faults} in edge.toml and {files}; {routes}"),
        }
    }
}
