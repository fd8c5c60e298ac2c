//! What one request holds of a pool: the server and address of a try, and the addresses that it has tried.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use pingora::upstreams::peer::HttpPeer;

use super::Inner;
use super::server::{Known, Member};
use crate::telemetry::Outcome;
use crate::upstream::address::Address;
use crate::upstream::peer::verified_name;
use crate::upstream::upgrade;
use crate::upstream::wish::Wish;

/// The addresses that a request has tried.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    addresses: Vec<Address>,
}

impl Tried {
    /// Notes an address.
    pub fn add(&mut self, pick: &Pick) {
        self.addresses.push(pick.address().clone());
    }

    /// How many were tried.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    pub(super) fn holds(&self, address: &Address) -> bool {
        self.addresses.contains(address)
    }
}

/// A server and one of its addresses, for one try of one request.
#[derive(Clone)]
pub struct Pick {
    pub(super) pool: Arc<Inner>,
    pub(super) server: usize,
    pub(super) known: Arc<Known>,
}

impl Pick {
    /// What Pingora needs to connect.
    pub fn peer(&self) -> Box<HttpPeer> {
        Box::new(self.known.peer.clone())
    }

    /// As [`Pick::peer`], but never HTTP/2: an upgrade to WebSocket needs HTTP/1.1. A server that
    /// is spoken to in HTTP/2 only stays so.
    pub fn peer_for_upgrade(&self) -> Box<HttpPeer> {
        let mut peer = self.peer();
        upgrade::prepare(&mut peer);
        peer
    }

    /// The server as written, for logs and labels.
    pub fn server(&self) -> &str {
        self.member().metrics.server()
    }

    /// The host that a server expects in `Host` if the route says so: with the port where that is
    /// not the scheme's own.
    pub fn authority(&self) -> &str {
        &self.member().authority
    }

    /// The name that the server's certificate is to have, if nothing else is said: its host without brackets.
    pub fn tls_name(&self) -> String {
        verified_name(&self.pool.settings.servers[self.server].place)
    }

    /// Where it goes.
    pub fn address(&self) -> &Address {
        &self.known.address
    }

    /// Counts as a request under way on this server until the guard is dropped.
    pub fn begin(&self) -> Active {
        self.member().begin();
        Active { pool: Arc::clone(&self.pool), server: self.server }
    }

    /// The `Set-Cookie` for the answer to a request that wished for `wish`, if the client is to learn its server.
    pub fn cookie(&self, wish: Wish, secure: bool) -> Option<HeaderValue> {
        self.pool.wishes.cookie(wish, self.server, secure)
    }

    /// How the try ended: counted, and remembered where it tells about the server.
    /// `seconds` is the time to the head of the answer, if there was one.
    pub fn done(&self, outcome: Outcome, seconds: Option<f64>, error: Option<&str>) {
        self.note(outcome, seconds, error);
        if let Some(well) = outcome.well() {
            self.pool.judge(self.server, well, error.unwrap_or(outcome.label()));
        }
    }

    /// The head of the answer came after `seconds`. Whether the server did its work is known when [`Self::ended`] tells.
    pub fn began_answer(&self, seconds: f64) {
        self.note(Outcome::Answered, Some(seconds), None);
    }

    /// An answer that had begun is at its end, or `broke_off` says why the server did not get there.
    pub fn ended(&self, broke_off: Option<&str>) {
        if let Some(error) = broke_off {
            self.member().failed(error.to_owned(), SystemTime::now());
        }
        self.pool.judge(self.server, broke_off.is_none(), broke_off.unwrap_or_default());
    }

    fn note(&self, outcome: Outcome, seconds: Option<f64>, error: Option<&str>) {
        let member = self.member();
        member.metrics.tried(outcome, seconds);
        member.count(outcome, error, SystemTime::now());
        if let Some(reached) = outcome.reached() {
            self.known.mark(reached, self.pool.millis());
            if self.pool.settings.health.is_none() {
                member.metrics.set_up(reached);
            }
        }
    }

    /// A connection that was kept open turned out to be closed: counted as a try, but no fault of the server.
    pub fn stale(&self) {
        self.member().metrics.tried(Outcome::Broken, None);
    }

    fn member(&self) -> &Member {
        &self.pool.members[self.server]
    }
}

/// A request under way; counted down by drop.
pub struct Active {
    pool: Arc<Inner>,
    server: usize,
}

impl Drop for Active {
    fn drop(&mut self) {
        self.pool.members[self.server].end();
    }
}

impl std::fmt::Debug for Active {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Active").field("server", &self.server).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Pick {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} at {}", self.server(), self.address())
    }
}
