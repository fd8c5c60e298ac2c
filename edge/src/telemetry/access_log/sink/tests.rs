//! The queue under an output that is slow, gone or moved.

use std::fs;
use std::sync::mpsc::Sender;

use super::*;
use crate::telemetry::BuildInfo;

const LONG: Duration = Duration::from_secs(30);

fn metrics() -> Metrics {
    Metrics::new(BuildInfo { version: "0", commit: "" })
}

fn dropped(metrics: &Metrics) -> u64 {
    let page = metrics.render();
    let value = page.lines().find_map(|line| line.strip_prefix("edge_access_log_dropped_total "));
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// Says each write and waits for leave before it.
struct Gate {
    leave: Receiver<()>,
    written: Sender<Vec<u8>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Ends with an error once the test lets go of the gate.
        self.leave.recv().map_err(io::Error::other)?;
        self.written.send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_are_written_in_order_and_finish_waits_for_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("access.log");
    let metrics = metrics();
    let sink = Sink::file(&path, &metrics).expect("the folder is writable");
    let expected: String = (0..5000).map(|n| format!("line {n}\n")).collect();
    for line in expected.split_inclusive('\n') {
        sink.write(line.as_bytes().to_vec());
    }
    sink.finish(LONG);
    assert_eq!(fs::read_to_string(&path).expect("it is there"), expected);
    assert_eq!(dropped(&metrics), 0);
}

#[test]
fn an_output_that_hangs_costs_lines_and_no_time() {
    let (metrics, (leave_sender, leave), (written, writes)) = (metrics(), sync_channel(0), std::sync::mpsc::channel());
    let to = Box::new(Gate { leave, written });
    let sink = Sink::start(Output { path: None, to }, &metrics).expect("a thread");
    let line = vec![b'x'; 1 << 20];
    for _ in 0..20 {
        sink.write(line.clone());
    }
    // At most 8 MiB wait, and what the writer took out of the queue before it got stuck.
    assert!((10..=12).contains(&dropped(&metrics)), "{}", dropped(&metrics));
    drop(leave_sender);
    sink.finish(LONG);
    assert!(writes.try_recv().is_err());
    assert_eq!(dropped(&metrics), 20, "what could not be written is lost and counted");
}

#[test]
fn a_flood_of_short_lines_is_bounded_too() {
    let (metrics, (leave_sender, leave), (written, _writes)) = (metrics(), sync_channel(0), std::sync::mpsc::channel());
    let to = Box::new(Gate { leave, written });
    let sink = Sink::start(Output { path: None, to }, &metrics).expect("a thread");
    for _ in 0..30_000 {
        sink.write(b"short\n".to_vec());
    }
    assert!(dropped(&metrics) > 0);
    drop(leave_sender);
    sink.finish(LONG);
    assert_eq!(dropped(&metrics), 30_000);
}

#[test]
fn a_moved_file_is_left_alone_after_reopen() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let sink = Sink::file(&path, &metrics()).expect("the folder is writable");
    sink.write(b"before\n".to_vec());
    while fs::read(&path).expect("it is there").is_empty() {
        thread::yield_now();
    }
    fs::rename(&path, &old).expect("the folder is writable");
    sink.reopen();
    while !path.exists() {
        thread::yield_now();
    }
    sink.write(b"after\n".to_vec());
    sink.finish(LONG);
    assert_eq!(fs::read(&old).expect("it is there"), b"before\n");
    assert_eq!(fs::read(&path).expect("it is there"), b"after\n");
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let error = Sink::file(Path::new("/nonexistent/a.log"), &metrics()).expect_err("no such folder");
    assert!(error.to_string().starts_with("the access log /nonexistent/a.log cannot be opened"));
}
