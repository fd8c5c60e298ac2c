//! Puts a prefix before the path that the server sees. The path itself is forwarded byte for byte as the client wrote it.
//!
//! ```toml
//! [[route]]
//! host = "packages.example.com"
//! upstream = "http://127.0.0.1:8081"
//! use = [{ kind = "add-prefix", prefix = "/repository/pypi" }]
//! ```
//!
//! A path that has a segment `..` in any reading (`/../x`, `/..%2fx`) is refused with 400: it could lead out of the prefix. A
//! plain `%2f`, as in the names of npm's packages, passes.
//!
//! Links that the server makes have its prefix in them: this is for servers that are not asked by browsers, or that can be
//! told their address.

use http::HeaderValue;
use routes::document::Item;
use routes::path::may_climb;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use super::strip_prefix::prefix;
use super::{Ask, BuildError, Building, Flow, Kind, Middleware};
use crate::telemetry::Refusal;

/// The middleware.
#[derive(Debug)]
pub struct AddPrefix {
    prefix: String,
}

impl Kind for AddPrefix {
    const NAME: &'static str = "add-prefix";
    const KEYS: &'static [Key] =
        &[Key::new("prefix", Shape::Text("a path"), "What is put before the path; a slash at its end does not count.")
            .required()];
    type Settings = (String, HeaderValue);

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Self::Settings> {
        let item = item.get("prefix")?;
        if item.as_str()?.contains(['?', '#']) {
            reading.faults.push(item.fault("a prefix is a path, without a query").hint("for example \"/app\""));
        }
        prefix(&item, reading)
    }

    fn build((prefix, _): Self::Settings, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(Self { prefix })
    }
}

impl Middleware for AddPrefix {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        let (path, _) = ask.target();
        if may_climb(path) {
            return Flow::refuse(Refusal::AmbiguousPath);
        }
        // `OPTIONS *` is about the server as a whole.
        if path.starts_with('/') {
            let path = format!("{}{path}", self.prefix);
            ask.set_path(&path);
        }
        Flow::Next
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, faults, get, made};
    use super::*;

    #[test]
    fn the_path_behind_the_prefix_is_what_the_client_wrote() {
        let middleware = made("add-prefix", "prefix = \"/repo/\"");
        for (given, wanted) in
            [("/a%2Fb//c?x", Some("/repo/a%2Fb//c?x")), ("/", Some("/repo/")), ("//x", Some("/repo//x")), ("*", None)]
        {
            assert_eq!(ask(&middleware, &get(given)).1.target.as_deref(), wanted, "{given}");
        }
        for prefix in ["repo", "/", "//evil", "/a?b"] {
            assert_eq!(faults("add-prefix", &format!("prefix = \"{prefix}\"")).len(), 1, "{prefix}");
        }
    }
    #[test]
    fn nothing_leads_out_of_the_prefix() {
        let middleware = made("add-prefix", "prefix = \"/repository/pypi\"");
        for path in ["/../npm-private/x", "/..%2fnpm-private/x", "/a/..;/x", "/%252e%252e/x", "/..\\x"] {
            let (flow, done) = ask(&middleware, &get(path));
            assert!(matches!(flow, Flow::Refuse(denial) if denial.reason == Refusal::AmbiguousPath), "{path}");
            assert_eq!(done.target, None, "{path}");
        }
        let (_, done) = ask(&middleware, &get("/@team%2fapp"));
        assert_eq!(done.target.as_deref(), Some("/repository/pypi/@team%2fapp"));
    }
}
