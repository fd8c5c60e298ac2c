//! Refuses paths below a prefix with 403, whoever asks and in whatever spelling: a path is refused if any of its possible
//! readings (escapes decoded, dot segments removed, slashes merged, in any case) is below one of the prefixes; one with
//! `..` even if it only has the names of a prefix in their order, as readers differ in what `..` takes away. So it
//! can stand on routes with `path_policy = "raw"` too. The path is judged as the client wrote it, where the step stands, and as
//! the server will see it, when other steps have changed it: whichever of them is meant, it is denied.
//!
//! ```toml
//! [middleware.no-admin]
//! kind = "deny-path"
//! paths = ["/minio/admin", "/metrics"]
//! except_client_ip = ["10.0.0.0/8"]      # these may
//! ```

use ipnet::IpNet;
use routes::document::Item;
use routes::path::any_reading_below;
use routes::shape::{Key, Shape};
use routes::units;
use routes::world::Reading;

use super::{Ask, BuildError, Building, Denial, Flow, Kind, Middleware};
use crate::telemetry::Refusal;

/// The middleware.
#[derive(Debug)]
pub struct DenyPath {
    prefixes: Vec<String>,
    except: Vec<IpNet>,
}

impl Kind for DenyPath {
    const NAME: &'static str = "deny-path";
    const KEYS: &'static [Key] = &[
        Key::new("paths", Shape::OneOrMany(&Shape::Text("a path")), "Prefixes on a segment border.").required(),
        Key::new(
            "except_client_ip",
            Shape::OneOrMany(&Shape::Text("a network")),
            "Clients that may ask for them all the same.",
        ),
    ];
    type Settings = (Vec<String>, Vec<IpNet>);

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Self::Settings> {
        let mut prefixes = Vec::new();
        for path in item.get("paths")?.one_or_many() {
            let Some(text) = path.as_str() else { continue };
            if !text.starts_with('/') || text.contains(['%', '?', '\\']) {
                let fault = path.fault(format!("`{text}` is not a path that can be denied"));
                reading.faults.push(fault.hint("a path begins with `/` and is written without escapes"));
            }
            prefixes.push(text.trim_end_matches('/').to_ascii_lowercase());
        }
        let except = item.get("except_client_ip").map(|list| list.one_or_many()).unwrap_or_default();
        let except = except.iter().filter_map(|item| network(item, reading)).collect();
        Some((prefixes, except))
    }

    fn build((prefixes, except): Self::Settings, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(Self { prefixes, except })
    }
}

/// A network or an address.
pub(super) fn network(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<IpNet> {
    let text = item.as_str()?;
    let network = units::network(text);
    network.map_err(|error| reading.faults.push(item.fault(format!("`{text}`: {error}")).hint(error.hint()))).ok()
}

impl Middleware for DenyPath {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        self.judge(ask)
    }

    /// A step behind this one may have made a denied path of another.
    fn last_look(&self, ask: &mut Ask<'_>) -> Flow {
        if ask.done.target.is_some() { self.judge(ask) } else { Flow::Next }
    }
}

impl DenyPath {
    fn judge(&self, ask: &Ask<'_>) -> Flow {
        let client = ask.from.client.to_canonical();
        // A step before this one may have left nothing to see of the prefix that is denied.
        let is_below = |path: &str| any_reading_below(path, &self.prefixes);
        let is_denied = is_below(ask.target().0) || (ask.done.target.is_some() && is_below(ask.from.path));
        if !is_denied || self.except.iter().any(|net| net.contains(&client)) {
            return Flow::Next;
        }
        Denial::new(Refusal::DeniedPath).into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Request, ask, faults, get, made};
    use super::*;

    fn is_denied(middleware: &std::sync::Arc<dyn Middleware>, request: &Request) -> bool {
        matches!(ask(middleware, request).0, Flow::Refuse(denial) if denial.reason == Refusal::DeniedPath)
    }

    #[test]
    fn no_spelling_of_a_denied_path_passes() {
        let middleware = made("deny-path", "paths = [\"/minio/admin/\", \"/metrics\"]");
        for path in [
            "/minio/admin",
            "/minio/admin/v3/info",
            "/MINIO/Admin",
            "//minio///admin",
            "/minio%2fadmin",
            "/minio%252fadmin",
            "/x/../minio/admin",
            "/x/..;/minio/admin",
            "/x/%2e%2e/minio/admin",
            "/minio\\admin",
            "/minio;a=b/admin",
            "/minio/%61dmin",
            "/metrics?x",
            "/metrics%00",
            "/metrics;x",
            "/a%2f..%2fmetrics",
            "/minio//../admin/info",
            "/a//../../minio/admin",
            "/minio/;x/../admin",
            "/minio/a%2fb//../../%61dmin",
            "/minio/a%2fb//../%2e%2e/admin",
        ] {
            assert!(is_denied(&middleware, &get(path)), "{path}");
        }
        for path in ["/", "/minio/administer", "/bucket/minio/admin2", "/metricsx", "/bucket/metrics", "/b//../minio"] {
            assert!(!is_denied(&middleware, &get(path)), "{path}");
        }
    }

    #[test]
    fn the_path_of_the_client_counts_behind_a_step_that_changed_it() {
        let middleware = made("deny-path", "paths = \"/app/admin\"");
        let request = get("/app/admin/x");
        let mut done = super::super::Done { target: Some("/admin/x".to_owned()), ..Default::default() };
        let flow = middleware.request(&mut Ask { from: request.asker(), done: &mut done });
        assert!(matches!(flow, Flow::Refuse(denial) if denial.reason == Refusal::DeniedPath));
    }

    #[test]
    fn clients_of_the_exception_may() {
        let middleware = made("deny-path", "paths = \"/metrics\"\nexcept_client_ip = \"192.0.2.0/24\"");
        assert!(!is_denied(&middleware, &get("/metrics")));
        let mut stranger = get("/metrics");
        stranger.client = "2001:db8::1".parse().expect("an address");
        assert!(is_denied(&middleware, &stranger));
    }

    #[test]
    fn networks_are_read_as_everywhere_else() {
        for (text, why) in [("10.0.0.1/8", "10.0.0.1/8"), ("here", "here")] {
            let faults = faults("deny-path", &format!("paths = \"/x\"\nexcept_client_ip = \"{text}\""));
            assert!(faults.len() == 1 && faults[0].contains(why), "{faults:?}");
        }
        let mapped = made("deny-path", "paths = \"/x\"\nexcept_client_ip = \"::ffff:192.0.2.0/120\"");
        assert!(!is_denied(&mapped, &get("/x")), "a network of mapped addresses is one of IPv4");
    }
}
