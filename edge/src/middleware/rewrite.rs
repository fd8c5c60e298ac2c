//! Changes the path that the server sees: where `from` matches, the whole path becomes `to` with the captures of `from`
//! put in.
//!
//! ```toml
//! [middleware.old-api]
//! kind = "rewrite"
//! from = "^/v1/(?<rest>.*)$"
//! to = "/api/1/{rest}"
//! ```
//!
//! `from` is matched against the path as the client wrote it (escapes and all) and as middlewares before this one left it,
//! anywhere unless it begins with `^`. The query stays as it is. Paths that could be read in two ways are refused with 400 on
//! hosts with a rewrite, also where only the new path is such a one. To take a fixed prefix off, `strip-prefix` is surer.

use regex::Regex;
use routes::document::Item;
use routes::path::Canonical;
use routes::shape::{Key, Shape};
use routes::world::{Needs, Reading};

use super::captures::{Template, expression, with_one_slash};
use super::{Ask, BuildError, Building, Flow, Kind, Middleware};
use crate::telemetry::Refusal;

/// The middleware.
#[derive(Debug)]
pub struct Rewrite {
    from: Regex,
    to: Template,
}

impl Kind for Rewrite {
    const NAME: &'static str = "rewrite";
    const KEYS: &'static [Key] = &[
        Key::new("from", Shape::Text("a regular expression"), "Paths that are changed.").required(),
        Key::new("to", Shape::Text("a path"), "The new path; `{1}` and `{name}` are captures of `from`.").required(),
    ];
    type Settings = Rewrite;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Rewrite> {
        let to = item.get("to")?;
        let from = expression(&item.get("from")?, reading)?;
        let text = to.as_str()?;
        if !text.starts_with('/') || text.contains(['?', '#']) {
            let fault = to.fault(format!("`{text}` is not a path"));
            reading.faults.push(fault.hint("a path begins with `/`; the query stays as it is"));
        }
        Some(Rewrite { to: Template::read(&to, Some(&from), &[], reading)?, from })
    }

    fn needs(_: &Rewrite) -> Needs {
        Needs { one_reading: true, ..Needs::default() }
    }

    fn build(settings: Rewrite, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(settings)
    }
}

impl Middleware for Rewrite {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        let Some(captures) = self.from.captures(ask.target().0) else { return Flow::Next };
        let path = with_one_slash(&self.to.render(Some(&captures), |_| String::new()));
        if !Canonical::read(path.as_bytes()).ambiguities.is_empty() {
            return Flow::refuse(Refusal::AmbiguousPath);
        }
        ask.set_path(&path);
        Flow::Next
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, faults, get, made};
    use super::*;

    #[test]
    fn captures_come_as_the_client_wrote_them_and_the_query_stays() {
        let middleware = made("rewrite", "from = '^/v1/(?<rest>.*)$'\nto = \"/api/1/{rest}\"");
        for (given, wanted) in [
            ("/v1/a%20b//c?x=%2F&x", Some("/api/1/a%20b//c?x=%2F&x")),
            ("/v1/", Some("/api/1/")),
            ("/v1", None),
            ("/x/v1/a", None),
        ] {
            let (flow, done) = ask(&middleware, &get(given));
            assert!(matches!(flow, Flow::Next));
            assert_eq!(done.target.as_deref(), wanted, "{given}");
        }
    }

    #[test]
    fn a_new_path_with_two_readings_is_refused_and_none_begins_with_a_host() {
        let middleware = made("rewrite", "from = '^/a(.*)b(.*)$'\nto = \"/{1}{2}\"");
        let (flow, _) = ask(&middleware, &get("/a.b./x"));
        assert!(matches!(flow, Flow::Refuse(denial) if denial.reason == Refusal::AmbiguousPath));
        let (_, done) = ask(&middleware, &get("/a/b/evil"));
        assert_eq!(done.target.as_deref(), Some("/evil"));
    }

    #[test]
    fn settings_that_cannot_work_are_faults() {
        for (settings, wanted) in [
            ("from = '('\nto = \"/\"", "not a regular expression"),
            ("from = '(?=x)'\nto = \"/\"", "not a regular expression"),
            ("from = '(((\\w{900}){900}){900})'\nto = \"/\"", "not a regular expression"),
            ("from = '^/(x)'\nto = \"/{2}\"", "nothing called `{2}`"),
            ("from = '^/(x)'\nto = \"x/{1}\"", "not a path"),
            ("from = '^/(x)'\nto = \"/x?y={1}\"", "not a path"),
            ("to = \"/\"", "missing"),
        ] {
            let found = faults("rewrite", settings);
            assert!(found.iter().any(|fault| fault.contains(wanted)), "{settings}: {found:?}");
        }
    }
}
