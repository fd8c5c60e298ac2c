//! Each event's line and counter.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::telemetry::{BuildInfo, Metrics, Refusal};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic in a test").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log lines (with level) and the metrics page that `emit` leaves.
fn after(emit: impl FnOnce(&Metrics)) -> (String, String) {
    let metrics = Metrics::new(BuildInfo { version: "0", commit: "" });
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || emit(&metrics));
    let bytes = buffer.0.lock().expect("no panic in a test").clone();
    (String::from_utf8(bytes).expect("text"), metrics.render())
}

#[test]
fn a_connection_is_open_until_its_guard_is_dropped() {
    let open = r#"edge_connections_open{entrypoint="https"}"#;
    let (_, page) = after(|metrics| {
        let guard = ConnectionOpened { entrypoint: "https", client: CLIENT }.emit(metrics);
        assert!(metrics.render().contains(&format!("{open} 1")));
        drop(guard);
    });
    assert!(page.contains(&format!("{open} 0")));
    assert!(page.contains(r#"edge_connections_total{entrypoint="https",result="accepted"} 1"#));
}

#[test]
fn a_scanner_makes_no_line_above_debug() {
    let (log, page) = after(|metrics| {
        let entrypoint = "https";
        for reason in [TlsRefusal::NotTls, TlsRefusal::Timeout, TlsRefusal::PeerAlert] {
            TlsRefused { entrypoint, client: CLIENT, reason, detail: None }.emit(metrics);
        }
        let reason = CapReason::ClientConnections;
        ConnectionRefused { entrypoint, client: CLIENT, reason }.emit(metrics);
        let reason = Refusal::BadRequestLine;
        RequestRefused { route: "", reason, request_id: "1", detail: None }.emit(metrics);
    });
    assert_eq!(log.lines().count(), 5);
    assert!(log.lines().all(|line| line.starts_with("DEBUG")), "{log}");
    assert!(page.contains(r#"result="not_tls",resumed="",version=""} 1"#), "{page}");
    assert!(page.contains(r#"edge_refusals_total{reason="bad_request_line",route=""} 1"#));
}

#[test]
fn unknown_names_are_told_a_few_times_with_the_nearest_name() {
    let (log, page) = after(|metrics| {
        for _ in 0..100 {
            let reason = TlsRefusal::UnknownName { sni: "mlfow.x", nearest: Some("mlflow.x") };
            TlsRefused { entrypoint: "https", client: CLIENT, reason, detail: None }.emit(metrics);
        }
    });
    assert_eq!(log.lines().count(), 5, "{log}");
    assert!(log.contains(r#"sni="mlfow.x" nearest="mlflow.x""#), "{log}");
    assert!(page.contains(r#"result="unknown_name",resumed="",version=""} 100"#));
}

#[test]
fn a_handshake_is_counted_with_its_version() {
    let (log, page) = after(|metrics| {
        let done = TlsHandshakeDone { entrypoint: "https", version: "1.3", resumed: true, seconds: 0.1 };
        done.emit(metrics);
    });
    assert_eq!(log, "");
    assert!(page.contains(r#"result="ok",resumed="true",version="1.3"} 1"#));
    assert!(page.contains("edge_tls_handshake_seconds_count 1"));
}

#[test]
fn a_certificate_that_is_obtained_clears_the_error_of_its_name() {
    let at = UNIX_EPOCH + Duration::from_secs(1000);
    let failed = CertificateFailed {
        name: "a.x",
        ca: "pebble",
        kind: "dns",
        error: "no address",
        retry_in: Duration::from_secs(60),
        at,
    };
    let (log, page) = after(|metrics| failed.emit(metrics));
    assert!(log.starts_with(" WARN"), "{log}");
    assert!(page.contains(r#"edge_acme_last_error{kind="dns",name="a.x"} 1000"#));
    let (_, page) = after(|metrics| {
        failed.emit(metrics);
        CertificateObtained { name: "a.x", ca: "pebble", not_after: at }.emit(metrics);
        for issuer in ["internal", "acme"] {
            CertificateInstalled { name: "a.x", issuer, not_after: at, renew_at: Some(at) }.emit(metrics);
        }
    });
    assert!(!page.contains("edge_acme_last_error"), "{page}");
    assert!(page.contains(r#"edge_acme_orders_total{ca="pebble",result="ok"} 1"#));
    assert!(page.contains(r#"edge_certificate_not_after_seconds{issuer="acme",name="a.x"} 1000"#));
    assert!(!page.contains(r#"issuer="internal""#));
}

#[test]
fn a_configuration_with_faults_is_a_warning_and_a_rejected_one_an_error() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
    let reloaded =
        ConfigReloaded { generation: 3, added: 1, changed: 0, removed: 0, live: 5, kept: 0, rejected: 1, at };
    let (log, page) = after(|metrics| reloaded.emit(metrics));
    assert!(log.starts_with(" WARN"), "{log}");
    for line in [
        r#"edge_routes{state="rejected"} 1"#,
        "edge_config_generation 3",
        r#"edge_config_reloads_total{result="partial"} 1"#,
        "edge_config_last_success_seconds 7",
    ] {
        assert!(page.contains(line), "{line}");
    }
    let (log, _) = after(|metrics| ConfigRejected { faults: 2, first: "a.toml:1" }.emit(metrics));
    assert!(log.starts_with("ERROR"), "{log}");
}

#[test]
fn a_name_that_stays_unresolved_is_told_once() {
    let (log, page) = after(|metrics| {
        for first in [true, false, false] {
            UpstreamUnresolved { name: "db.x", error: "NXDOMAIN", kept: 1, first }.emit(metrics);
        }
        UpstreamResolved { name: "db.x", addresses: &[CLIENT], changed: true }.emit(metrics);
    });
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert!(page.contains(r#"edge_dns_lookups_total{result="failed"} 3"#));
}
