//! One thread that writes lines in batches, behind a queue that never makes a request wait.
//!
//! The queue is bounded in lines and in bytes: a disk that hangs costs lines, which are counted,
//! and neither memory nor time.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::telemetry::events::{AccessLogDropped, AccessLogFailed};
use crate::telemetry::metrics::Metrics;

/// Why the access log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened.
    #[error("the access log {} cannot be opened for writing: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no thread for it.
    #[error("the thread that writes the access log cannot be started: {0}")]
    Thread(#[source] io::Error),
}

const QUEUED_LINES: usize = 8192;
const QUEUED_BYTES: usize = 8 << 20;
const BATCH_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Sink {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    metrics: Metrics,
    done: Mutex<Receiver<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    reopen: AtomicBool,
    finish: AtomicBool,
}

enum Message {
    Line(Vec<u8>),
    /// Look at the flags.
    Wake,
}

impl Sink {
    pub(super) fn stdout(metrics: &Metrics) -> Result<Self, OpenError> {
        Self::start(Output { path: None, to: Box::new(io::stdout()) }, metrics)
    }

    pub(super) fn file(path: &Path, metrics: &Metrics) -> Result<Self, OpenError> {
        let opened = open(path).map_err(|source| OpenError::File { path: path.to_owned(), source });
        Self::start(Output { path: Some(path.to_owned()), to: Box::new(opened?) }, metrics)
    }

    fn start(output: Output, metrics: &Metrics) -> Result<Self, OpenError> {
        let (queue, lines) = sync_channel(QUEUED_LINES);
        let (ended, done) = sync_channel(1);
        let shared = Arc::<Shared>::default();
        let mut writer = Writer { lines, output, shared: Arc::clone(&shared), metrics: metrics.clone() };
        let run = move || {
            writer.run();
            // Nobody listens if the sink is dropped without finish.
            let _ = ended.send(());
        };
        let started = thread::Builder::new().name("access-log".to_owned()).spawn(run);
        started.map_err(OpenError::Thread)?;
        Ok(Self { queue, shared, metrics: metrics.clone(), done: Mutex::new(done) })
    }

    pub(super) fn write(&self, line: Vec<u8>) {
        let length = line.len();
        let before = self.shared.bytes.fetch_add(length, Ordering::Relaxed);
        let fits = before + length <= QUEUED_BYTES;
        if !fits || self.queue.try_send(Message::Line(line)).is_err() {
            self.shared.bytes.fetch_sub(length, Ordering::Relaxed);
            AccessLogDropped { lines: 1 }.emit(&self.metrics);
        }
    }

    pub(super) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn finish(&self, limit: Duration) {
        self.shared.finish.store(true, Ordering::SeqCst);
        self.wake();
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        // A writer that hangs does not hold up the end of the process.
        let _ = done.recv_timeout(limit);
    }

    fn wake(&self) {
        // A full queue has woken the writer already, and it looks at the flags after each batch.
        let _ = self.queue.try_send(Message::Wake);
    }
}

struct Output {
    /// Of a file, to open it again; standard output has none.
    path: Option<PathBuf>,
    to: Box<dyn Write + Send>,
}

struct Writer {
    lines: Receiver<Message>,
    output: Output,
    shared: Arc<Shared>,
    metrics: Metrics,
}

impl Writer {
    /// Ends when told to finish and nothing waits, or when all senders are gone.
    fn run(&mut self) {
        let mut batch = Vec::new();
        while let Some(first) = self.next() {
            let lines = self.gather(first, &mut batch);
            // Before the write: lines after a rotation belong into the new file.
            if self.shared.reopen.swap(false, Ordering::SeqCst) {
                self.reopen();
            }
            self.write(&mut batch, lines);
        }
    }

    fn next(&self) -> Option<Message> {
        match self.lines.try_recv() {
            Ok(message) => Some(message),
            Err(_) if self.shared.finish.load(Ordering::SeqCst) => None,
            // The flag is set before the wake is sent, so this returns if it is set now.
            Err(_) => self.lines.recv().ok(),
        }
    }

    /// Fills the batch with all that waits, up to its limit.
    fn gather(&self, first: Message, batch: &mut Vec<u8>) -> u64 {
        let mut count = 0;
        let mut next = Some(first);
        while let Some(message) = next {
            if let Message::Line(line) = message {
                batch.extend_from_slice(&line);
                self.shared.bytes.fetch_sub(line.len(), Ordering::Relaxed);
                count += 1;
            }
            next = if batch.len() < BATCH_BYTES { self.lines.try_recv().ok() } else { None };
        }
        count
    }

    fn write(&mut self, batch: &mut Vec<u8>, lines: u64) {
        let to = &mut self.output.to;
        if let Err(error) = to.write_all(batch).and_then(|()| to.flush()) {
            let path = self.output.path.as_deref();
            AccessLogFailed { path, error: &error, lines }.emit(&self.metrics);
        }
        batch.clear();
    }

    fn reopen(&mut self) {
        let Some(path) = &self.output.path else { return };
        match open(path) {
            Ok(file) => self.output.to = Box::new(file),
            // The old file is still open and better than none.
            Err(error) => {
                AccessLogFailed { path: Some(path), error: &error, lines: 0 }.emit(&self.metrics);
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests;
