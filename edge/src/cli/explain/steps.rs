//! The middlewares that a request passes, and what the preset of its route has set.

use routes::preset::{Applied, From, Setting};
use routes::route::Route;
use serde::Serialize;

use super::{Out, row};

/// One middleware of a route.
#[derive(Debug, Serialize)]
pub(super) struct Middleware {
    name: String,
    kind: String,
    /// As one inline table of TOML.
    settings: String,
    from: From,
}

pub(super) fn middlewares(route: &Route) -> Vec<Middleware> {
    let steps = route.steps.iter().map(|step| Middleware {
        name: step.name.clone(),
        kind: step.kind.clone(),
        settings: step.settings.clone(),
        from: if step.from_preset { From::Preset } else { From::Route },
    });
    steps.collect()
}

pub(super) fn write_steps(steps: &[Middleware], out: &mut Out) {
    let widest = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    for (index, step) in steps.iter().enumerate() {
        let by_preset = if step.from == From::Preset { "  (preset)" } else { "" };
        let line = format!("{}. {:widest$}  {}{by_preset}", index + 1, step.name, step.settings);
        row(out, if index == 0 { "middlewares" } else { "" }, &line);
    }
}

pub(super) fn write_preset(Applied { name, settings, tell }: &Applied, out: &mut Out) {
    row(out, "preset", name);
    let widest = settings.iter().map(|setting| setting.key.len()).max().unwrap_or(0);
    let value = settings.iter().map(|setting| setting.value.len()).max().unwrap_or(0);
    for Setting { key, value: given, from } in settings {
        let from = match from {
            From::Route => "by the route",
            From::Preset => "by the preset",
        };
        row(out, "", &format!("{key:widest$}  {given:value$}  {from}"));
    }
    for (index, say) in tell.iter().enumerate() {
        row(out, if index == 0 { "backend" } else { "" }, say);
    }
}
