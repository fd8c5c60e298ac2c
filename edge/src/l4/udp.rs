//! UDP through the edge: one socket that clients send to, and for each client a session with a socket of its own to one
//! server.
//!
//! A relay answers nobody by itself and sends no more than it was sent, so it cannot be used to amplify. A server's
//! datagrams are taken from the address that was dialled alone, and go to the session's client alone. A session ends
//! when nothing passed for the idle time, or when its server refuses; the client's next datagram gets another one.

mod caps;
mod poller;
mod relay;
mod send;
mod socket;
mod table;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::ops::AddAssign;
use std::time::Duration;

pub use relay::{Handle, Listener, Relay};

/// What a relay may hold; 0 stands for no limit of the route's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Sessions in all. Never more than 65,536, since each has a socket.
    pub sessions: u32,
    /// Sessions of one client, which is an IPv4 address or an IPv6 /64.
    pub client_sessions: u32,
    /// New sessions per second of one client; a burst of one second's worth is let through.
    pub client_rate: u32,
}

/// What may change while a relay runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A session on which nothing passed for so long, either way, ends.
    pub idle: Duration,
    /// What it may hold.
    pub limits: Limits,
}

/// Where the datagrams of clients go.
pub trait Servers: Send + Sync + 'static {
    /// What a session keeps of its choice.
    type Token: Send + 'static;

    /// A server for a new session. Must not block.
    fn pick(&self, client: IpAddr) -> Option<(SocketAddr, Self::Token)>;

    /// The server was not there: ICMP said so, or this machine has no way to it.
    fn failed(&self, token: &Self::Token);
}

/// What is counted. Called once for what passed together, not for each datagram.
pub trait Counts: Send + Sync + 'static {
    /// A session that is open, until this is dropped.
    type Open: Send + 'static;

    /// A session was opened.
    fn opened(&self) -> Self::Open;

    /// Datagrams were received, and this became of them.
    fn passed(&self, way: Way, outcome: Outcome, sum: Sum);
}

/// Which way datagrams went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// From a client to a server.
    ToServer,
    /// From a server to its client.
    ToClient,
}

impl Way {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ToServer => "to_server",
            Self::ToClient => "to_client",
        }
    }
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It went out.
    Forwarded,
    /// It would have opened one session too many.
    OverLimit,
    /// Its client may not use the route, or the relay is ending and takes nobody new.
    Denied,
    /// There is no server to be had.
    NoServer,
    /// It does not fit the way to its receiver.
    TooBig,
    /// The kernel did not take it, or the server is not there.
    Error,
}

impl Outcome {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::OverLimit => "over_limit",
            Self::Denied => "denied",
            Self::NoServer => "no_server",
            Self::TooBig => "too_big",
            Self::Error => "error",
        }
    }
}

/// Datagrams and the bytes in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub datagrams: u64,
    /// How long they are together, without heads.
    pub bytes: u64,
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.datagrams += other.datagrams;
        self.bytes += other.bytes;
    }
}

/// One session, as a status page shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayStatus {
    /// Who sends.
    pub client: SocketAddr,
    /// Whom it is connected to.
    pub server: SocketAddr,
    /// Since its first datagram.
    pub age: Duration,
    /// Since its last datagram, either way.
    pub idle: Duration,
    /// What was sent to the server.
    pub to_server: Sum,
    /// What came from the server.
    pub to_client: Sum,
}
