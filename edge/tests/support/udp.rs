//! Servers and clients of datagrams.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::process::PATIENCE;

/// A server that sends each datagram back with its name before it. It ends with this value.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    peers: Arc<Mutex<BTreeSet<SocketAddr>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    #[track_caller]
    pub(crate) fn start(name: &'static str) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), name)
    }

    #[track_caller]
    pub(crate) fn at(address: SocketAddr, name: &'static str) -> Self {
        let socket = UdpSocket::bind(address).expect("the port is free");
        let address = socket.local_addr().expect("a bound socket has an address");
        let (peers, stopped): (Arc<Mutex<BTreeSet<_>>>, Arc<AtomicBool>) = (Arc::default(), Arc::default());
        let (seen, ends) = (Arc::clone(&peers), Arc::clone(&stopped));
        let thread = thread::spawn(move || {
            let mut block = vec![0; 65_536];
            while let Ok((count, from)) = socket.recv_from(&mut block) {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                seen.lock().expect("nobody panics with it").insert(from);
                // A client that has left is no reason to stop.
                drop(socket.send_to(&[name.as_bytes(), &block[..count]].concat(), from));
            }
        });
        Self { address, peers, stopped, thread: Some(thread) }
    }

    /// From how many addresses datagrams came: one for each session of the edge.
    pub(crate) fn peers(&self) -> usize {
        self.peers.lock().expect("nobody panics with it").len()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let knocked = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.send_to(b"", self.address));
        if knocked.is_ok() {
            self.thread.take().map(JoinHandle::join);
        }
    }
}

/// A client of one address.
pub(crate) struct Sender(UdpSocket);

impl Sender {
    #[track_caller]
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::from(Ipv4Addr::LOCALHOST, address)
    }

    /// One with this address of loopback, such as 127.0.0.2.
    #[track_caller]
    pub(crate) fn from(own: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = UdpSocket::bind((own, 0)).expect("a port");
        socket.connect(address).expect("an address");
        Self(socket)
    }

    #[track_caller]
    pub(crate) fn send(&self, bytes: &[u8]) {
        let sent = self.0.send(bytes).expect("loopback takes it");
        assert_eq!(sent, bytes.len());
    }

    /// The next datagram.
    #[track_caller]
    pub(crate) fn receive(&self) -> Vec<u8> {
        self.within(PATIENCE).expect("a datagram comes")
    }

    /// The next datagram, if it comes soon. What is dropped never comes, and nothing tells.
    pub(crate) fn soon(&self) -> Option<Vec<u8>> {
        self.within(Duration::from_secs(1))
    }

    fn within(&self, time: Duration) -> Option<Vec<u8>> {
        let mut block = vec![0; 65_536];
        self.0.set_read_timeout(Some(time)).expect("a time");
        let count = self.0.recv(&mut block).ok()?;
        block.truncate(count);
        Some(block)
    }

    /// Sends and waits for the answer.
    #[track_caller]
    pub(crate) fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        self.send(bytes);
        self.receive()
    }
}
