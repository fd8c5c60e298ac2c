//! The driver of a relay: one task that moves datagrams both ways, a batch a turn.

mod turn;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::poller::Poller;
use super::socket::{self, Buffers};
use super::table::{Key, Table};
use super::{Counts, RelayStatus, Servers, Settings, Sum};

/// A socket that is bound and not yet served: datagrams wait in it.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::UdpSocket,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; port 0 stands for any free one. An IPv6 address takes no IPv4.
    ///
    /// # Errors
    /// The address is taken, not ours, or not allowed.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = socket::listener(address)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// The socket itself, once more.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn try_clone(&self) -> io::Result<std::net::UdpSocket> {
        self.socket.try_clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Relays what comes to one socket. [`Relay::run`] is its task.
pub struct Relay<S: Servers, C: Counts> {
    shared: Arc<Shared<S, C>>,
    listener: UdpSocket,
    poller: Poller,
    buffers: Buffers,
    /// Sessions of whose servers something has come.
    ready: Vec<Key>,
    /// Sessions that may have more than was read.
    queue: VecDeque<Key>,
    /// How many trains the next look at the listener makes room for.
    expected: usize,
}

/// A look at a relay from outside. Clones are the same relay.
pub struct Handle<S: Servers, C: Counts> {
    shared: Arc<Shared<S, C>>,
}

struct Shared<S: Servers, C: Counts> {
    servers: S,
    counts: C,
    admits: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    state: Mutex<State<S, C>>,
}

struct State<S: Servers, C: Counts> {
    settings: Settings,
    /// Nobody new is taken.
    ending: bool,
    table: Table<Link<S::Token, C::Open>>,
}

/// What a session holds.
struct Link<T, O> {
    server: SocketAddr,
    token: T,
    socket: std::net::UdpSocket,
    /// The address of this machine that the client knows.
    via: Option<IpAddr>,
    to_server: Sum,
    to_client: Sum,
    /// Whether the ways to the server and to the client take several datagrams in one piece.
    server_joins: bool,
    client_joins: bool,
    /// How many trains the next look at the server makes room for.
    expected: usize,
    /// Whether it is in the queue.
    queued: bool,
    _open: O,
}

/// Datagrams after which other tasks of the thread have a turn, and the pause after an error that should not be.
const TURN: usize = 512;
const PAUSE: Duration = Duration::from_millis(10);

impl<S: Servers, C: Counts> Relay<S, C> {
    /// A relay on `listener`. `admits` says whether a client may use it; it is asked once a session. Needs a runtime.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new(
        listener: Listener,
        settings: Settings,
        servers: S,
        counts: C,
        admits: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let state = Mutex::new(State { settings, ending: false, table: Table::new() });
        Ok(Self {
            shared: Arc::new(Shared { servers, counts, admits: Box::new(admits), state }),
            listener: UdpSocket::from_std(listener.socket)?,
            poller: Poller::new()?,
            buffers: Buffers::new(),
            ready: Vec::new(),
            queue: VecDeque::new(),
            expected: 1,
        })
    }

    /// To look at it while it runs.
    pub fn handle(&self) -> Handle<S, C> {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Relays until `stop`. Then nobody new is taken, and the open sessions go on until they are idle, or for `grace`.
    pub async fn run(mut self, stop: CancellationToken, grace: Duration) {
        let (mut stopped, mut over) = (pin!(stop.cancelled()), pin!(sleep(Duration::ZERO)));
        let mut sweep = pin!(sleep_until(self.next_sweep()));
        let (mut ending, mut moved) = (false, 0);
        loop {
            let turn = tokio::select! {
                ready = self.listener.readable() => ready.and_then(|()| self.take_from_clients(Instant::now())),
                ready = self.poller.wait(&mut self.ready, self.queue.is_empty()) => ready.map(|()| self.take_from_servers(Instant::now())),
                () = &mut sweep => {
                    let left = self.sweep(Instant::now());
                    if ending && left == 0 {
                        return;
                    }
                    sweep.as_mut().reset(self.next_sweep());
                    Ok(0)
                }
                () = &mut stopped, if !ending => {
                    ending = true;
                    if self.end() == 0 {
                        return;
                    }
                    over.as_mut().reset(Instant::now() + grace);
                    Ok(0)
                }
                () = &mut over, if ending => return,
            };
            match turn {
                Ok(datagrams) => moved += datagrams,
                Err(_) => sleep(PAUSE).await,
            }
            if moved >= TURN {
                moved = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// How many sessions are left.
    fn sweep(&self, now: Instant) -> usize {
        let mut state = self.shared.state();
        let idle = state.settings.idle;
        state.table.sweep(idle, now);
        state.table.len()
    }

    /// Sessions live at most a quarter longer than the idle time.
    fn next_sweep(&self) -> Instant {
        let idle = self.shared.state().settings.idle;
        Instant::now() + (idle / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// How many sessions are left.
    fn end(&self) -> usize {
        let mut state = self.shared.state();
        state.ending = true;
        state.table.len()
    }
}

impl<S: Servers, C: Counts> Drop for Relay<S, C> {
    fn drop(&mut self) {
        self.shared.state().table.retain(|_| false);
    }
}

impl<S: Servers, C: Counts> Handle<S, C> {
    /// The open sessions.
    pub fn status(&self) -> Vec<RelayStatus> {
        let now = Instant::now();
        let state = self.shared.state();
        let sessions = state.table.iter().map(|entry| RelayStatus {
            client: entry.client,
            server: entry.link.server,
            age: now.saturating_duration_since(entry.since),
            idle: now.saturating_duration_since(entry.last),
            to_server: entry.link.to_server,
            to_client: entry.link.to_client,
        });
        sessions.collect()
    }

    /// How many sessions are open.
    pub fn sessions(&self) -> usize {
        self.shared.state().table.len()
    }

    /// Changes the settings. Sessions of clients that may not use the relay any more end; others stay, even if they are
    /// more than new limits allow.
    pub fn set(&self, settings: Settings) {
        let mut state = self.shared.state();
        state.settings = settings;
        state.table.retain(|entry| (self.shared.admits)(entry.client.ip().to_canonical()));
    }
}

impl<S: Servers, C: Counts> Clone for Handle<S, C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: Servers, C: Counts> Shared<S, C> {
    fn state(&self) -> MutexGuard<'_, State<S, C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Servers, C: Counts> std::fmt::Debug for Relay<S, C> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Relay").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl<S: Servers, C: Counts> std::fmt::Debug for Handle<S, C> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Handle").field("sessions", &self.sessions()).finish()
    }
}
