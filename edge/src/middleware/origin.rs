//! Takes the `Origin` field off requests that come from the page's own origin, for servers that compare it with a name that
//! they were not told. Requests from other origins keep it, so a server goes on refusing those.
//!
//! ```toml
//! [middleware.no-origin]
//! kind = "origin"                      # drop it
//!
//! [middleware.own-origin]
//! kind = "origin"
//! same = "http://localhost:5000"       # or send this one
//! ```
//!
//! The page's own origin is scheme, host and port exactly as the request names them.

use http::{HeaderValue, header};
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use super::{Ask, BuildError, Building, Flow, Kind, Middleware};

/// The middleware.
#[derive(Debug)]
pub struct Origin {
    /// What is sent instead.
    instead: Option<HeaderValue>,
}

impl Kind for Origin {
    const NAME: &'static str = "origin";
    const KEYS: &'static [Key] = &[Key::new(
        "same",
        Shape::Text("`drop`, or an origin"),
        "`drop` it, or send this one instead, e.g. `http://localhost:5000`.",
    )
    .default("\"drop\"")];
    type Settings = Option<HeaderValue>;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Option<HeaderValue>> {
        let Some(given) = item.get("same") else { return Some(None) };
        let text = given.as_str().filter(|text| *text != "drop");
        let Some(text) = text else { return Some(None) };
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let value = HeaderValue::from_str(text).ok();
        if value.is_none() || rest.is_none_or(|rest| rest.is_empty() || rest.contains(['/', ' ', '?', '#', '@'])) {
            let fault = given.fault(format!("`{text}` is not an origin"));
            reading.faults.push(fault.hint("write \"drop\", or scheme and host: \"http://localhost:5000\""));
        }
        Some(value)
    }

    fn build(instead: Option<HeaderValue>, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(Self { instead })
    }
}

impl Middleware for Origin {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        let own = format!("{}://{}", ask.from.scheme, ask.from.authority);
        let mut headers = ask.headers();
        let origins = headers.all(&header::ORIGIN);
        if origins.len() == 1 && origins[0].as_bytes().eq_ignore_ascii_case(own.as_bytes()) {
            match &self.instead {
                Some(instead) => headers.set(header::ORIGIN, instead.clone()),
                None => headers.remove(header::ORIGIN),
            }
        }
        Flow::Next
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{apply, ask, get, made};

    #[test]
    fn only_the_pages_own_origin_is_changed() {
        for (settings, given, wanted) in [
            ("", "https://app.example:8443", None),
            ("", "https://APP.example:8443", None),
            ("same = \"http://localhost:5000\"", "https://app.example:8443", Some("http://localhost:5000")),
            ("", "http://app.example:8443", Some("http://app.example:8443")),
            ("", "https://app.example", Some("https://app.example")),
            ("", "https://evil.example", Some("https://evil.example")),
            ("", "null", Some("null")),
        ] {
            let request = get("/").header("origin", given);
            let (_, done) = ask(&made("origin", settings), &request);
            let seen = apply(request.headers.clone(), done.edits);
            assert_eq!(seen.get("origin").map(|value| value.to_str().expect("text")), wanted, "{given}");
        }
        let twice = get("/").header("origin", "https://app.example:8443").header("origin", "https://evil.example");
        assert!(ask(&made("origin", ""), &twice).1.edits.is_empty());
    }
}
