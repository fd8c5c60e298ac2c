//! The list of metric families: names, labels, help. The reference page is made from it.
//!
//! Nothing is counted here. A family that is not in [`FAMILIES`] does not exist.

use std::fmt::Write as _;

/// What kind of number a family holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows, from zero at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations at or below each bound, in seconds.
    Histogram(&'static [f64]),
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// One metric family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Full name, with `edge_` and the unit.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Label names, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// One sentence: what is counted and when.
    pub help: &'static str,
}

/// Requests take from under a millisecond (a redirect) to minutes (a model that thinks, an upload
/// of gigabytes). Steps of about 2.5 keep a quantile within that factor at 16 series a route.
const REQUEST_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// A handshake costs under a millisecond of work and one or two round trips: 1 ms next door, 300 ms
/// across an ocean, and is cut at 10 s.
const HANDSHAKE_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Makes one constant a family and the list of them all, so that the list cannot lack one.
macro_rules! families {
    ($($id:ident = $kind:expr, $name:literal [$($label:literal)*] $help:literal;)*) => {
        $(pub(super) const $id: Family = Family {
            name: $name, kind: $kind, labels: &[$($label),*], help: $help,
        };)*

        /// Every family, in the order of the reference.
        pub const FAMILIES: &[Family] = &[$($id),*];
    };
}

families! {
    REQUESTS = Kind::Counter, "edge_requests_total" ["route" "method" "code"]
        "Requests answered, by the status code that was sent. Methods outside the usual ones are OTHER.";
    REQUEST_DURATION = Kind::Histogram(REQUEST_SECONDS), "edge_request_duration_seconds" ["route"]
        "Time from the first byte of a request to the last byte of its answer.";
    UPSTREAM_DURATION = Kind::Histogram(REQUEST_SECONDS), "edge_upstream_duration_seconds" ["route" "upstream"]
        "Time from asking a server to the head of its answer.";
    REFUSALS = Kind::Counter, "edge_refusals_total" ["route" "reason"]
        "Requests that the edge refused or cut itself, by reason. The route is empty if none was chosen.";
    IN_FLIGHT = Kind::Gauge, "edge_requests_in_flight" ["route"]
        "Requests being served now.";
    REQUEST_BYTES = Kind::Counter, "edge_request_bytes_total" ["route"]
        "Body bytes received from clients.";
    RESPONSE_BYTES = Kind::Counter, "edge_response_bytes_total" ["route"]
        "Body bytes sent to clients.";
    CONNECTIONS_OPEN = Kind::Gauge, "edge_connections_open" ["entrypoint"]
        "Client connections open now.";
    CONNECTIONS = Kind::Counter, "edge_connections_total" ["entrypoint" "result"]
        "Client connections: accepted, or the cap for which they were refused.";
    HANDSHAKES = Kind::Counter, "edge_tls_handshakes_total" ["entrypoint" "version" "resumed" "result"]
        "TLS handshakes: ok, or why they failed. Version and resumed are empty where none was agreed.";
    HANDSHAKE_DURATION = Kind::Histogram(HANDSHAKE_SECONDS), "edge_tls_handshake_seconds" []
        "Time from the first byte of a TLS handshake to its end, where it succeeded.";
    UPSTREAM_UP = Kind::Gauge, "edge_upstream_up" ["route" "upstream"]
        "1 if the server is up by its health checks or, without them, if the last try to reach it succeeded; else 0.";
    UPSTREAM_REQUESTS = Kind::Counter, "edge_upstream_requests_total" ["route" "upstream" "result"]
        "Tries to have a server answer, by how they ended.";
    UPSTREAM_CHECKS = Kind::Counter, "edge_upstream_checks_total" ["route" "upstream" "result"]
        "Health checks of a server: ok or failed.";
    UPSTREAM_EJECTIONS = Kind::Counter, "edge_upstream_ejections_total" ["route" "upstream"]
        "How often a server was left alone for a while because its requests failed.";
    RETRIES = Kind::Counter, "edge_retries_total" ["route" "reason"]
        "Tries after the first of a request, by why the one before failed.";
    MIRRORED = Kind::Counter, "edge_mirrored_total" ["route" "result"]
        "Copies of requests: sent, failed, or left out as too many were under way (busy) or the body was too large (too_large).";
    TCP_OPEN = Kind::Gauge, "edge_tcp_connections_open" ["route"]
        "Connections of a [[tcp]] route open now.";
    TCP_CONNECTIONS = Kind::Counter, "edge_tcp_connections_total" ["route" "result"]
        "Connections of a [[tcp]] route, by how they ended (client_closed, server_closed, client_broken, server_broken, idle, cancelled, left) or why they were refused (denied, connections, client_connections, client_rate, no_route, no_server, server_tls, tls_required, tls_failed, protocol, timeout). The route is empty if none was chosen.";
    TCP_BYTES = Kind::Counter, "edge_tcp_bytes_total" ["route" "direction"]
        "Bytes of the tunnels of a [[tcp]] route: received from clients or sent to them, without TLS of the edge's own.";
    UDP_SESSIONS = Kind::Gauge, "edge_udp_sessions_open" ["route"]
        "Sessions of a [[udp]] route open now: clients whose datagrams go to a server of their own.";
    UDP_DATAGRAMS = Kind::Counter, "edge_udp_datagrams_total" ["route" "direction" "result"]
        "Datagrams of a [[udp]] route, received from clients or sent to them: forwarded, or why they were dropped.";
    DNS_LOOKUPS = Kind::Counter, "edge_dns_lookups_total" ["result"]
        "Look-ups of upstream names: ok, or failed with the last good addresses kept.";
    CERT_NOT_AFTER = Kind::Gauge, "edge_certificate_not_after_seconds" ["name" "issuer"]
        "Unix time at which the certificate in use ends.";
    CERT_RENEW_AT = Kind::Gauge, "edge_certificate_renew_at_seconds" ["name"]
        "Unix time at which the certificate is due to be renewed.";
    ACME_ORDERS = Kind::Counter, "edge_acme_orders_total" ["ca" "result"]
        "Certificate orders, by how they ended.";
    ACME_LAST_ERROR = Kind::Gauge, "edge_acme_last_error" ["name" "kind"]
        "Unix time of the last failed order of a name; gone once one succeeds.";
    MIDDLEWARE_LAST_GOOD = Kind::Gauge, "edge_middleware_last_good" ["route" "middleware"]
        "How many steps of this name work with the users, tokens or keys they had, as those that are there now cannot be used.";
    LOGINS = Kind::Counter, "edge_logins_total" ["route" "result"]
        "Logins at a provider and what they left: started, done, failed, forbidden, bad_session, bad_token, unavailable, refreshed, ended, logged_out.";
    ROUTES = Kind::Gauge, "edge_routes" ["state"]
        "Routes by state: live, kept (an older version serves because the new one has a fault), rejected.";
    CONFIG_GENERATION = Kind::Gauge, "edge_config_generation" []
        "Number of the configuration in use; grows with every load that changed something.";
    CONFIG_RELOADS = Kind::Counter, "edge_config_reloads_total" ["result"]
        "Loads of the configuration: ok, partial (some routes rejected) or rejected.";
    CONFIG_LAST_SUCCESS = Kind::Gauge, "edge_config_last_success_seconds" []
        "Unix time of the last load that was put in use.";
    ACCESS_LOG_DROPPED = Kind::Counter, "edge_access_log_dropped_total" []
        "Access log lines lost because the log could not be written fast enough, or not at all.";
    TASK_PANICS = Kind::Counter, "edge_task_panics_total" []
        "Tasks of the edge that ended by a panic. Each is a defect.";
    BUILD_INFO = Kind::Gauge, "edge_build_info" ["version" "commit"]
        "Always 1; the labels say what runs.";
    PROCESS_RSS = Kind::Gauge, "edge_process_resident_memory_bytes" []
        "Memory of the process that is in RAM.";
    PROCESS_OPEN_FDS = Kind::Gauge, "edge_process_open_fds" []
        "File descriptors in use.";
    PROCESS_MAX_FDS = Kind::Gauge, "edge_process_max_fds" []
        "File descriptors that the process may use.";
    PROCESS_CPU = Kind::Counter, "edge_process_cpu_seconds_total" []
        "User and system time used.";
    PROCESS_START = Kind::Gauge, "edge_process_start_time_seconds" []
        "Unix time at which the process started.";
    PROCESS_THREADS = Kind::Gauge, "edge_process_threads" []
        "Threads of the process.";
}

/// The reference of all metrics, as Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Made from the code by `./dev docs`; do not edit.\n\n\
         Labels are closed sets: names from the configuration and words from the code, never a path\n\
         or a client. The series of a route or a certificate go away with it.\n\n\
         | name | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for family in FAMILIES {
        let labels = family.labels.join(", ");
        let (name, kind, help) = (family.name, family.kind.word(), family.help);
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {help} |");
    }
    page.push_str("\nBounds of the histograms, in seconds:\n\n");
    for family in FAMILIES {
        if let Kind::Histogram(bounds) = family.kind {
            let _ = writeln!(page, "- `{}`: {bounds:?}", family.name);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_one_row_for_each_family() {
        let page = reference();
        for family in FAMILIES {
            assert_eq!(page.matches(&format!("| `{}` |", family.name)).count(), 1);
        }
    }

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        for family in FAMILIES {
            assert!(family.name.starts_with("edge_"));
            let total = family.name.ends_with("_total");
            assert_eq!(total, family.kind == Kind::Counter, "{}", family.name);
        }
    }
}
