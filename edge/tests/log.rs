//! The log as installed, with the lines of libraries. One test, because a process has one log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use edge::telemetry::Format;
use edge::telemetry::setup::{LogSettings, SetupError, install_to};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().expect("no panic in a test"));
        String::from_utf8(bytes).expect("text")
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic in a test").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_has_our_lines_and_not_the_noise_that_clients_make() {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let settings = LogSettings { level: "info".to_owned(), format: Format::Json };
    install_to(&settings, false, move || writer.clone()).expect("the first log");

    tracing::info!(route = "blog", "hello");
    let line: serde_json::Value = serde_json::from_str(&buffer.take()).expect("one JSON line");
    assert_eq!((&line["message"], &line["route"]), (&"hello".into(), &"blog".into()));

    for target in ["pingora_proxy", "pingora_core::apps::http_app", "pingora_core::protocols::http::v1::common"] {
        log::error!(target: target, "Downstream ReadError");
    }
    log::warn!(target: "rustls::conn", "Sending fatal alert");
    log::info!(target: "pingora_core::server", "Bootstrap starting");
    assert_eq!(buffer.take(), "");

    log::error!(target: "pingora_core::protocols::l4::stream", "Crit: socket is being double closed");
    assert!(buffer.take().contains("double closed"));

    let again = install_to(&settings, false, io::stderr);
    assert!(matches!(again, Err(SetupError::Installed(_))));
}
