//! One turn of a relay: what clients sent to their servers, or what servers sent to their clients.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::errno::Errno;
use tokio::io::Interest;
use tokio::time::Instant;

use super::super::send::{Line, Sent, is_absence, send_each, send_run};
use super::super::socket::{self, BATCH, Train};
use super::super::table::Key;
use super::super::{Counts, Outcome, Servers, Sum, Way};
use super::{Link, Relay, Shared, State};

/// Trains of one session in one turn, so that a busy server does not keep the others waiting.
const SESSION_BATCH: usize = 16;

impl<S: Servers, C: Counts> Relay<S, C> {
    /// Passes on what waits at the listener; says how many trains that were.
    pub(super) fn take_from_clients(&mut self, now: Instant) -> io::Result<usize> {
        self.buffers.clear();
        let (listener, buffers, expected) = (&self.listener, &mut self.buffers, self.expected);
        let looked = listener.try_io(Interest::READABLE, || match buffers.receive(listener, expected)? {
            // It is empty now, so the runtime need not find out by one more call.
            received if received < expected => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        });
        match looked {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        let received = self.buffers.len();
        if received == 0 {
            return Ok(0);
        }
        self.expected = (received * 2).clamp(1, BATCH);
        let shared = &*self.shared;
        let mut state = shared.state();
        let mut found = Vec::with_capacity(received);
        for number in 0..received {
            let Some(client) = self.buffers.from(number) else { continue };
            match self.session_of(&mut state, client, now) {
                Ok(key) => found.push((key, number)),
                Err(outcome) => shared.counts.passed(Way::ToServer, outcome, self.buffers.train(number).sum()),
            }
        }
        // By session, and within one in the order that they came.
        found.sort_unstable();
        for run in found.chunk_by(|one, next| one.0 == next.0) {
            let trains: Vec<_> = run.iter().map(|(_, number)| self.buffers.train(*number)).collect();
            let last = run[run.len() - 1].1;
            if let Some(entry) = state.table.get(run[0].0) {
                entry.link.via = self.buffers.to(last);
                let client = entry.client;
                self.pass_to_server(&mut state, client, run[0].0, &trains, now);
            }
        }
        Ok(received)
    }

    /// The session of a client, which is opened if there is none.
    fn session_of(&self, state: &mut State<S, C>, client: SocketAddr, now: Instant) -> Result<Key, Outcome> {
        if let Some(key) = state.table.find(&client) {
            return Ok(key);
        }
        if state.ending || !(self.shared.admits)(client.ip().to_canonical()) {
            return Err(Outcome::Denied);
        }
        let limits = state.settings.limits;
        if !state.table.admit(client, &limits, now) {
            return Err(Outcome::OverLimit);
        }
        match self.connect(state.table.next_key(), client) {
            Ok(link) => Ok(state.table.insert(client, link, now)),
            Err(outcome) => {
                state.table.waive(client);
                Err(outcome)
            }
        }
    }

    fn connect(&self, key: Key, client: SocketAddr) -> Result<Link<S::Token, C::Open>, Outcome> {
        let shared = &*self.shared;
        let (server, token) = shared.servers.pick(client.ip().to_canonical()).ok_or(Outcome::NoServer)?;
        let connected = socket::to_server(server).and_then(|socket| self.poller.add(&socket, key).map(|()| socket));
        match connected {
            Ok(socket) => Ok(Link {
                server,
                token,
                socket,
                via: None,
                to_server: Sum::default(),
                to_client: Sum::default(),
                server_joins: true,
                client_joins: true,
                expected: 1,
                queued: false,
                _open: shared.counts.opened(),
            }),
            Err(error) => {
                if says_absence(&error) {
                    shared.servers.failed(&token);
                }
                Err(Outcome::Error)
            }
        }
    }

    /// Sends to the session's server. If that one is gone, what was not sent yet goes to another one, once.
    fn pass_to_server(
        &self,
        state: &mut State<S, C>,
        client: SocketAddr,
        key: Key,
        trains: &[Train<'_>],
        now: Instant,
    ) {
        let shared = &*self.shared;
        let Some(left) = shared.send_to_server(state, key, trains, now) else { return };
        let left = &trains[left..];
        let lost = match self.session_of(state, client, now) {
            Ok(key) => shared.send_to_server(state, key, left, now).map(|from| (&left[from..], Outcome::Error)),
            Err(outcome) => Some((left, outcome)),
        };
        if let Some((trains, outcome)) = lost {
            trains.iter().for_each(|train| shared.counts.passed(Way::ToServer, outcome, train.sum()));
        }
    }

    /// Passes on what servers sent; says how many trains that were.
    pub(super) fn take_from_servers(&mut self, now: Instant) -> usize {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        for key in self.ready.drain(..) {
            if let Some(entry) = state.table.get(key)
                && !std::mem::replace(&mut entry.link.queued, true)
            {
                self.queue.push_back(key);
            }
        }
        let runs = self.read_from_servers(&mut state, now);
        let mut single = Vec::with_capacity(runs.len());
        for (key, run) in runs {
            let Some(entry) = state.table.get(key) else { continue };
            let trains: Vec<_> = run.map(|number| self.buffers.train(number)).collect();
            if let [train] = trains[..]
                && train.is_one()
            {
                single.push((entry.link.via, entry.client, train));
                continue;
            }
            let line = Line { socket: self.listener.as_fd(), to: Some(entry.client), via: entry.link.via };
            let sent = send_run(line, &trains, &mut entry.link.client_joins);
            shared.count(Way::ToClient, &sent);
        }
        self.pass_to_clients(single);
        self.buffers.len()
    }

    /// Each session of the queue has one turn, while there is room; who may have more goes to its end.
    fn read_from_servers(&mut self, state: &mut State<S, C>, now: Instant) -> Vec<(Key, Range<usize>)> {
        self.buffers.clear();
        let mut runs = Vec::with_capacity(self.queue.len().min(BATCH));
        for _ in 0..self.queue.len() {
            let first = self.buffers.len();
            if first == BATCH {
                break;
            }
            let Some(key) = self.queue.pop_front() else { break };
            let Some(entry) = state.table.get(key) else { continue };
            let room = entry.link.expected.min(BATCH - first);
            entry.link.queued = false;
            match self.buffers.receive(&entry.link.socket, room) {
                Ok(received) => {
                    let came = first..first + received;
                    came.clone().for_each(|number| entry.link.to_client += self.buffers.train(number).sum());
                    runs.push((key, came));
                    entry.last = now;
                    entry.link.expected = (received * 2).clamp(1, SESSION_BATCH);
                    // Only a look that found less than it had room for has emptied the socket.
                    if received == room {
                        entry.link.queued = true;
                        self.queue.push_back(key);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => self.shared.end_session(state, key, &error),
            }
        }
        runs
    }

    /// Sends one datagram to each of several clients.
    fn pass_to_clients(&self, mut single: Vec<Single<'_>>) {
        single.sort_by_key(|(via, ..)| *via);
        for from_one in single.chunk_by(|one, next| one.0 == next.0) {
            let datagrams: Vec<_> = from_one.iter().map(|(_, client, datagram)| (*client, *datagram)).collect();
            let sent = send_each(&self.listener, from_one[0].0, &datagrams);
            self.shared.count(Way::ToClient, &sent);
        }
    }
}

/// From where, to whom, and what.
type Single<'a> = (Option<IpAddr>, SocketAddr, Train<'a>);

impl<S: Servers, C: Counts> Shared<S, C> {
    /// If the server turned out to be gone, the session ends: the first train that was not sent.
    fn send_to_server(&self, state: &mut State<S, C>, key: Key, trains: &[Train<'_>], now: Instant) -> Option<usize> {
        let entry = state.table.get(key)?;
        entry.last = now;
        let line = Line { socket: entry.link.socket.as_fd(), to: None, via: None };
        let sent = send_run(line, trains, &mut entry.link.server_joins);
        entry.link.to_server += sent.forwarded;
        self.count(Way::ToServer, &sent);
        if sent.gone.is_some()
            && let Some(entry) = state.table.remove(key)
        {
            self.servers.failed(&entry.link.token);
        }
        sent.gone
    }

    /// The socket of a session says that what was sent did not arrive.
    fn end_session(&self, state: &mut State<S, C>, key: Key, why: &io::Error) {
        if let Some(entry) = state.table.remove(key)
            && says_absence(why)
        {
            self.servers.failed(&entry.link.token);
        }
    }

    fn count(&self, way: Way, sent: &Sent) {
        let parts =
            [(Outcome::Forwarded, sent.forwarded), (Outcome::TooBig, sent.too_big), (Outcome::Error, sent.failed)];
        for (outcome, sum) in parts {
            if sum.datagrams > 0 {
                self.counts.passed(way, outcome, sum);
            }
        }
    }
}

fn says_absence(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| is_absence(Errno::from_raw(number)))
}
