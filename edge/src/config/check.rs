//! The check of route files with a whole configuration: the faults that only both together can have.

use routes::check::{Checked, Standing};
use routes::document::Source;
use routes::fault::{Fault, Place, did_you_mean, sort};
use routes::stream::{Stream, StreamTable, Tcp};

use super::settings::Config;

/// Checks route files in the world of a configuration, and what only both together can tell.
pub fn check_routes(config: &Config, sources: &[Source], standing: Standing<'_>) -> Checked {
    let mut checked = config.around.check(sources, standing);
    checked.faults.extend(unknown_default(config, &checked));
    checked.faults.extend(without_certificate(config, &checked));
    sort(&mut checked.faults);
    checked
}

/// A warning if `tls.default_certificate` is a name that nobody has a certificate for.
fn unknown_default(config: &Config, checked: &Checked) -> Option<Fault> {
    let name = config.tls.default_certificate.as_deref()?;
    let of_routes = || checked.routes.iter().flat_map(|route| &route.rule.hosts);
    let of_streams = || checked.streams.iter().flat_map(|stream| stream.hosts());
    let of_rejected = || checked.rejected.iter().flat_map(|rejected| &rejected.hosts);
    let known = || of_routes().chain(of_streams()).chain(of_rejected()).chain(&config.around.certificates);
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

/// A warning for each stream that ends TLS where nobody knows with which certificate: it has no host, nor has another one of
/// its entrypoints, and there is no default.
fn without_certificate(config: &Config, checked: &Checked) -> Vec<Fault> {
    if config.tls.default_certificate.is_some() {
        return Vec::new();
    }
    let table = StreamTable::build(&checked.streams);
    let fault = |tcp: &Tcp| {
        let why =
            format!("clients of `{}` get a TLS alert: it has no `host`, so edge has no certificate for it", tcp.name);
        let place = Place { file: tcp.file.clone(), line: tcp.line, column: 1, source_line: "[[tcp]]".to_owned() };
        let mut fault = Fault::warning(place, "tcp", why);
        fault.route = Some(tcp.name.clone());
        fault.hint("add `host`, or name the certificate for all: [tls] default_certificate = \"..\"")
    };
    let streams = checked.streams.iter().filter_map(|stream| match &**stream {
        Stream::Tcp(tcp) if tcp.mode.ends_tls() && tcp.hosts.is_empty() => Some(tcp),
        Stream::Tcp(_) | Stream::Udp(_) => None,
    });
    let has_one = |entrypoint: &String| {
        table.entrypoint(entrypoint).is_some_and(|streams| streams.by_sni(None).certificate_host().is_some())
    };
    streams.filter(|tcp| !tcp.entrypoints.iter().all(has_one)).map(|tcp| fault(tcp)).collect()
}
