//! The end of an edge: no new connections, the open ones to their end or to the grace, then out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pingora::apps::HttpServerApp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::l4::sessions::Sessions;
use crate::listen::open::OpenConns;
use crate::proxy::Edge;
use crate::tasks::Tasks;
use crate::telemetry::events;

/// What a drain has to end.
pub(super) struct Drain {
    /// Told to the admin side.
    pub(super) draining: Arc<AtomicBool>,
    /// Told to connections: HTTP/1 closes behind its answer, HTTP/2 says GOAWAY.
    pub(super) stop: watch::Sender<bool>,
    /// Holds the idle HTTP/1 connections.
    pub(super) engine: Arc<pingora::proxy::HttpProxy<Edge>>,
    /// What is open.
    pub(super) open: Arc<OpenConns>,
    /// What is open below HTTP.
    pub(super) sessions: Arc<Sessions>,
    /// Accept loops.
    pub(super) doors: Tasks,
    /// Connections.
    pub(super) connections: Tasks,
    /// How long it may take.
    pub(super) grace: Duration,
}

impl Drain {
    /// Drains; `now` ends it at once.
    pub(super) async fn run(self, now: &CancellationToken) {
        let began = Instant::now();
        self.draining.store(true, Relaxed);
        events::Draining { open: self.open.count() + self.sessions.count(), grace: self.grace }.emit();
        self.doors.stop();
        // Receivers may all be gone; then there is nobody to tell.
        let _ = self.stop.send(true);
        let drain = async {
            self.engine.http_cleanup().await;
            self.connections.drain(self.grace).await
        };
        tokio::select! {
            drained = drain => match drained {
                Ok(()) => events::DrainDone { after: began.elapsed() }.emit(),
                Err(left) => events::DrainCutShort { left: &left.names }.emit(),
            },
            () = now.cancelled() => {
                let open = self.open.count() + self.sessions.count();
                let left = [format!("{open} connections (a second signal came)")];
                events::DrainCutShort { left: &left }.emit();
            }
        }
    }
}
