//! The check of route files with a whole configuration: the faults that only both together can have.

use routes::check::{Checked, Standing};
use routes::document::Source;
use routes::fault::{Fault, Place, did_you_mean, sort};

use super::settings::Config;

/// Checks route files in the world of a configuration, and what only both together can tell.
pub fn check_routes(config: &Config, sources: &[Source], standing: Standing<'_>) -> Checked {
    let mut checked = config.around.check(sources, standing);
    checked.faults.extend(unknown_default(config, &checked));
    sort(&mut checked.faults);
    checked
}

/// A warning if `tls.default_certificate` is a name that nobody has a certificate for.
fn unknown_default(config: &Config, checked: &Checked) -> Option<Fault> {
    let name = config.tls.default_certificate.as_deref()?;
    let of_routes = || checked.routes.iter().flat_map(|route| &route.rule.hosts);
    let of_rejected = || checked.rejected.iter().flat_map(|rejected| &rejected.hosts);
    let known = || of_routes().chain(of_rejected()).chain(&config.around.certificates);
    if known().any(|host| host.matches(name)) {
        return None;
    }
    let why = format!("there is no certificate for tls.default_certificate = \"{name}\": no route has that host");
    let near: Vec<String> = known().map(ToString::to_string).collect();
    let place = Place::whole(config.file.display().to_string());
    let hint = did_you_mean(name, near.iter().map(String::as_str));
    let fallback = "name the host of a route; until then clients without SNI get a TLS alert";
    Some(Fault::warning(place, "tls.default_certificate", why).hint(fallback).maybe_hint(hint))
}
