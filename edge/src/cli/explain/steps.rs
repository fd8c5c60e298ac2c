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
        settings: without_secrets(&step.settings),
        from: if step.from_preset { From::Preset } else { From::Route },
    });
    steps.collect()
}

/// The settings with what is secret in them left out: what is explained is shown to others.
fn without_secrets(settings: &str) -> String {
    let Ok(mut table) = format!("settings = {settings}").parse::<toml::Table>() else { return String::new() };
    table.iter_mut().for_each(|(_, value)| hide(value));
    table.get("settings").map(ToString::to_string).unwrap_or_default()
}

fn hide(value: &mut toml::Value) {
    let toml::Value::Table(table) = value else { return };
    for (name, value) in table.iter_mut() {
        let is_secret = ["secret", "password"].iter().any(|word| name.contains(word)) && !name.ends_with("_file");
        let is_place = value.as_str().is_some_and(|text| text.starts_with("file:"));
        if is_secret && !is_place {
            *value = toml::Value::String("(hidden)".to_owned());
        } else {
            hide(value);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn secrets_are_not_shown_and_places_of_secrets_are() {
        let shown = without_secrets(
            r#"{ kind = "oidc", client_secret = "s3cret", cookie_secret = "file:c", session = { password = "p" } }"#,
        );
        assert!(!shown.contains("s3cret") && !shown.contains("\"p\""), "{shown}");
        assert!(shown.contains(r#"kind = "oidc""#) && shown.contains(r#"cookie_secret = "file:c""#), "{shown}");
        assert!(without_secrets("{ secret_file = \"key\" }").contains("\"key\""));
    }
}
