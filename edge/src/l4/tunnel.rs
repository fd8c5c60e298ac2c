//! Copies bytes both ways between a client and a server, until one of them has had enough.
//!
//! An idle tunnel holds no buffer: bytes are read into a space that the thread lends for the length of a poll, and only what
//! the other side does not take at once is kept. Nothing here knows what the bytes mean.

mod idle;
mod space;
mod way;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use idle::Idle;
use way::{Fault, Turn, Way};

use crate::telemetry::TcpMetrics;

/// Sees the server's bytes as they pass, until it says no.
pub type Tap<'a> = &'a mut (dyn FnMut(&[u8]) -> bool + Send);

/// How a tunnel is run.
pub struct Options<'c, 't> {
    /// Counts what passes.
    pub counts: &'c Counts,
    /// Ends it when nothing has passed either way for so long, or up to a quarter longer.
    pub idle: Option<Duration>,
    /// Sees what the server sends.
    pub tap: Option<Tap<'t>>,
}

/// Bytes that have come into a tunnel; may be read while it is open.
#[derive(Debug, Default)]
pub struct Counts {
    from_client: AtomicU64,
    from_server: AtomicU64,
    metrics: Option<TcpMetrics>,
}

impl Counts {
    /// Of a tunnel of this route, whose bytes they count too.
    pub fn of(metrics: &TcpMetrics) -> Self {
        Self { metrics: Some(metrics.clone()), ..Self::default() }
    }

    /// Bytes of the client.
    pub fn from_client(&self) -> u64 {
        self.from_client.load(Relaxed)
    }

    /// Bytes of the server.
    pub fn from_server(&self) -> u64 {
        self.from_server.load(Relaxed)
    }

    /// Counts bytes of the client that were passed on before or beside the tunnel.
    pub fn add_from_client(&self, bytes: usize) {
        self.from_client.fetch_add(bytes as u64, Relaxed);
        if let Some(metrics) = &self.metrics {
            metrics.received(bytes as u64);
        }
    }

    /// Counts bytes of the server that were passed on before or beside the tunnel.
    pub fn add_from_server(&self, bytes: usize) {
        self.from_server.fetch_add(bytes as u64, Relaxed);
        if let Some(metrics) = &self.metrics {
            metrics.sent(bytes as u64);
        }
    }
}

/// Why a tunnel ended.
#[derive(Debug)]
pub enum End {
    /// Both sides closed, the client first.
    ClientClosed,
    /// Both sides closed, the server first.
    ServerClosed,
    /// Nothing passed for too long.
    Idle,
    /// The connection to the client failed.
    ClientError(io::Error),
    /// The connection to the server failed.
    ServerError(io::Error),
}

impl End {
    /// The reason as a label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ServerClosed => "server_closed",
            Self::Idle => "idle",
            Self::ClientError(_) => "client_error",
            Self::ServerError(_) => "server_error",
        }
    }
}

/// Runs the tunnel to its end. An end of one side is passed on as such, and the other way goes on; what is left the caller
/// closes by dropping both.
pub async fn run<C, S>(client: &mut C, server: &mut S, options: Options<'_, '_>) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Options { counts, idle, tap } = options;
    let (up, down) = (Way::default(), Way::default());
    let mut tunnel = Tunnel { client, server, counts, tap, up, down, idle: idle.map(Idle::new), cause: None };
    poll_fn(|context| tunnel.poll(context)).await
}

struct Tunnel<'a, 'c, 't, C, S> {
    client: &'a mut C,
    server: &'a mut S,
    counts: &'c Counts,
    tap: Option<Tap<'t>>,
    up: Way,
    down: Way,
    idle: Option<Idle>,
    /// What happened first: an end is told by its cause, not by the echo.
    cause: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// How long one that takes no more bytes may still say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl<C, S> Tunnel<'_, '_, '_, C, S>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let counts = self.counts;
        let turn = self.up.turn(context, self.client, self.server, |bytes| counts.add_from_client(bytes.len()));
        let up = self.judge(turn, Side::Client, Side::Server);
        let tap = &mut self.tap;
        let turn = self.down.turn(context, self.server, self.client, |bytes| {
            counts.add_from_server(bytes.len());
            if tap.as_mut().is_some_and(|tap| !tap(bytes)) {
                *tap = None;
            }
        });
        let down = self.judge(turn, Side::Server, Side::Client);
        if ends(up, down) {
            return Poll::Ready(self.end(context));
        }
        let (up, down) = (&mut self.up, &mut self.down);
        match self.idle.as_mut().map(|idle| idle.poll(context, || up.take_moved() | down.take_moved())) {
            Some(Poll::Ready(())) if self.up.is_cut() || self.down.is_cut() => Poll::Ready(self.end(context)),
            Some(Poll::Ready(())) => Poll::Ready(End::Idle),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }

    /// Notes what a turn of the way between these sides means for the whole.
    fn judge(&mut self, turn: Result<Turn, Fault>, from: Side, to: Side) -> Turn {
        match turn {
            Ok(turn) => {
                let ended = self.way(from).has_ended();
                self.cause = self.cause.take().or_else(|| ended.then(|| from.closed()));
                turn
            }
            Err(Fault::Read(error)) => {
                self.failed(from, error);
                Turn::Lost
            }
            Err(Fault::Write(error)) => {
                self.failed(to, error);
                self.idle = Some(Idle::new(LAST_WORDS));
                Turn::Cut
            }
        }
    }

    fn way(&self, from: Side) -> &Way {
        match from {
            Side::Client => &self.up,
            Side::Server => &self.down,
        }
    }

    /// A failure is the cause, unless it is the echo of another or of the close of the same side.
    fn failed(&mut self, side: Side, error: io::Error) {
        let echo = match &self.cause {
            None => false,
            Some(End::ClientClosed) => side == Side::Client,
            Some(End::ServerClosed) => side == Side::Server,
            Some(End::Idle | End::ClientError(_) | End::ServerError(_)) => true,
        };
        if !echo {
            self.cause = Some(side.error(error));
        }
    }

    /// What a side still has to be told goes out if it can at once: nobody will wait for it.
    fn end(&mut self, context: &mut Context<'_>) -> End {
        let _ = Pin::new(&mut *self.client).poll_flush(context);
        let _ = Pin::new(&mut *self.server).poll_flush(context);
        // Nothing ends without a cause.
        self.cause.take().unwrap_or(End::ClientClosed)
    }
}

/// Whether nothing can pass any more. Beside a side that takes no more, the other way is heard to its end.
fn ends(up: Turn, down: Turn) -> bool {
    let over = |turn| matches!(turn, Turn::Closed | Turn::Cut);
    up == Turn::Lost || down == Turn::Lost || (over(up) && over(down))
}

impl Side {
    fn closed(self) -> End {
        match self {
            Self::Client => End::ClientClosed,
            Self::Server => End::ServerClosed,
        }
    }

    fn error(self, error: io::Error) -> End {
        match self {
            Self::Client => End::ClientError(error),
            Self::Server => End::ServerError(error),
        }
    }
}

#[cfg(test)]
mod tests;
