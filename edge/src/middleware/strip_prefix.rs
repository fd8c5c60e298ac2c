//! Takes a prefix off the path before the server sees it, and tells the server in `X-Forwarded-Prefix`. The rest of the
//! path is forwarded byte for byte as the client wrote it.
//!
//! ```toml
//! [[route]]
//! host = "example.com"
//! path = "/monarch"
//! upstream = "http://127.0.0.1:8081"
//! use = [{ kind = "strip-prefix", prefix = "/monarch" }]
//! ```
//!
//! `/monarch/create` becomes `/create`, and `/monarch` without a slash is redirected to `/monarch/` with 308, so that
//! relative links of the page work. A path that does not begin with any of the prefixes passes as it is.

use http::{HeaderName, HeaderValue, StatusCode, header};
use routes::document::Item;
use routes::path::raw_rest;
use routes::shape::{Key, Shape};
use routes::world::{Needs, Reading};

use super::{Ask, BuildError, Building, Flow, Kind, Middleware};

/// The middleware.
#[derive(Debug)]
pub struct StripPrefix {
    prefixes: Vec<(String, HeaderValue)>,
    slash: bool,
}

const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

impl Kind for StripPrefix {
    const NAME: &'static str = "strip-prefix";
    const KEYS: &'static [Key] = &[
        Key::new(
            "prefix",
            Shape::OneOrMany(&Shape::Text("a path")),
            "The prefix, or several: the first that fits goes.",
        )
        .required(),
        Key::new("slash", Shape::Bool, "Whether the bare prefix is redirected to the one with a slash.")
            .default("true"),
    ];
    type Settings = (Vec<(String, HeaderValue)>, bool);

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Self::Settings> {
        let given = item.get("prefix")?.one_or_many();
        let prefixes = given.iter().filter_map(|item| prefix(item, reading)).collect();
        Some((prefixes, item.get("slash").and_then(|item| item.as_bool()).unwrap_or(true)))
    }

    fn needs(_: &Self::Settings) -> Needs {
        Needs { one_reading: true, ..Needs::default() }
    }

    fn build((prefixes, slash): Self::Settings, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(Self { prefixes, slash })
    }
}

/// A prefix without its last slash.
pub(super) fn prefix(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<(String, HeaderValue)> {
    let text = item.as_str()?;
    let trimmed = text.trim_end_matches('/');
    let value = HeaderValue::from_str(trimmed).ok().filter(|_| trimmed.starts_with('/') && !trimmed.contains("//"));
    if value.is_none() {
        let fault = item.fault(format!("`{text}` is not a prefix of paths"));
        reading.faults.push(fault.hint("a prefix begins with `/` and has at least one segment: \"/app\""));
    }
    Some((trimmed.to_owned(), value?))
}

impl Middleware for StripPrefix {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        let (path, query) = ask.target();
        let found = self.prefixes.iter().find_map(|(prefix, value)| Some((raw_rest(path, prefix)?, prefix, value)));
        let Some((rest, prefix, value)) = found else { return Flow::Next };
        if rest.is_empty() && self.slash {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            return match HeaderValue::from_str(&format!("{prefix}/{query}")) {
                Ok(to) => Flow::answer(StatusCode::PERMANENT_REDIRECT, vec![(header::LOCATION, to)]),
                Err(_) => Flow::Next,
            };
        }
        let rest = if rest.is_empty() { "/".to_owned() } else { rest.to_owned() };
        ask.set_path(&rest);
        ask.set_header(FORWARDED_PREFIX, value.clone());
        Flow::Next
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, get, made};
    use super::*;

    #[test]
    fn the_rest_of_the_path_is_what_the_client_wrote() {
        let middleware = made("strip-prefix", "prefix = [\"/image/monarch/\", \"/image\"]");
        for (given, wanted) in [
            ("/image/x%20y//z?q=%2F", Some("/x%20y//z?q=%2F")),
            ("/image/monarch/create", Some("/create")),
            ("/%69mage/x", Some("/x")),
            ("//image//x", Some("//x")),
            ("/images/x", None),
            ("/other", None),
        ] {
            let (flow, done) = ask(&middleware, &get(given));
            assert!(matches!(flow, Flow::Next), "{given}");
            assert_eq!(done.target.as_deref(), wanted, "{given}");
            assert_eq!(done.edits.len(), usize::from(wanted.is_some()), "{given}");
        }
    }

    #[test]
    fn the_bare_prefix_is_redirected_to_its_folder() {
        let middleware = made("strip-prefix", "prefix = \"/tat\"");
        let (flow, _) = ask(&middleware, &get("/tat?x=1"));
        let Flow::Answer(answer) = flow else { panic!("{flow:?}") };
        assert_eq!((answer.status.as_u16(), &answer.headers[0].1), (308, &HeaderValue::from_static("/tat/?x=1")));
        let (_, done) = ask(&made("strip-prefix", "prefix = \"/tat\"\nslash = false"), &get("/tat"));
        assert_eq!(done.target.as_deref(), Some("/"));
    }
}
