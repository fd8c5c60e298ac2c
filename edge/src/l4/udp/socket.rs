//! The sockets of a relay, and datagrams out of them.
//!
//! Several datagrams of one sender that the kernel hands over in one piece (GRO) stay one piece: a [`Train`].

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::Sum;

/// What the kernel is asked to keep for a relay that is busy; it gives less where `net.core.rmem_max` is less.
const LISTENER_BUFFER: usize = 4 << 20;

/// Binds the socket that clients send to. An address in use is an error: two relays on one socket would each lose half.
pub(super) fn listener(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_recv_buffer_size(LISTENER_BUFFER)?;
    socket.set_send_buffer_size(LISTENER_BUFFER)?;
    if address.ip().is_unspecified() {
        // A client must be answered from the address that it asked.
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    socket.bind(&address.into())?;
    take_trains(&socket);
    Ok(socket.into())
}

/// A socket that takes datagrams from `server` alone and is told when nobody is there.
pub(super) fn to_server(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.connect(&server.into())?;
    take_trains(&socket);
    Ok(socket.into())
}

/// Kernels before 5.0 do not have it, and then datagrams come one by one.
fn take_trains(socket: &Socket) {
    let _ = setsockopt(socket, sockopt::UdpGroSegment, &true);
}

/// Datagrams of one sender that came together: all of `size` bytes but the last, which may have fewer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Train<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) size: usize,
}

impl<'a> Train<'a> {
    /// How many datagrams it is; one of no bytes is a datagram too.
    pub(super) fn count(&self) -> usize {
        if self.is_one() { 1 } else { self.bytes.len().div_ceil(self.size) }
    }

    /// What it is together.
    pub(super) fn sum(&self) -> Sum {
        Sum { datagrams: self.count() as u64, bytes: self.bytes.len() as u64 }
    }

    /// Whether it is a single datagram.
    pub(super) fn is_one(&self) -> bool {
        self.bytes.len() <= self.size
    }

    /// Trains of at most `most` datagrams.
    pub(super) fn cut(self, most: usize) -> impl Iterator<Item = Train<'a>> {
        let Train { bytes, size } = self;
        let empty = bytes.is_empty().then_some(self);
        empty.into_iter().chain(bytes.chunks((size * most).max(1)).map(move |bytes| Train { bytes, size }))
    }
}

/// Trains of one turn.
#[derive(Debug)]
pub(super) struct Buffers {
    memory: Vec<u8>,
    trains: Vec<Received>,
}

#[derive(Debug, Clone, Copy)]
struct Received {
    from: Option<SocketAddr>,
    to: Option<IpAddr>,
    length: usize,
    size: usize,
}

/// Trains of one turn.
pub(super) const BATCH: usize = 64;

/// The largest datagram or train.
const PLACE: usize = 1 << 16;

/// Places do not begin at the same line of a cache set, as they would at every 64 KiB.
const STRIDE: usize = PLACE + 64;

impl Buffers {
    /// Four megabytes, of which only those pages become real that datagrams lie on.
    pub(super) fn new() -> Self {
        Self { memory: vec![0; BATCH * STRIDE], trains: Vec::with_capacity(BATCH) }
    }

    pub(super) fn clear(&mut self) {
        self.trains.clear();
    }

    /// Trains since [`Buffers::clear`].
    pub(super) fn len(&self) -> usize {
        self.trains.len()
    }

    pub(super) fn train(&self, number: usize) -> Train<'_> {
        let (at, Received { length, size, .. }) = (number * STRIDE, self.trains[number]);
        Train { bytes: &self.memory[at..at + length], size }
    }

    /// Who sent it.
    pub(super) fn from(&self, number: usize) -> Option<SocketAddr> {
        self.trains[number].from
    }

    /// Which address of this machine it was sent to, if the socket tells.
    pub(super) fn to(&self, number: usize) -> Option<IpAddr> {
        self.trains[number].to
    }

    /// Takes at most `most` trains out of `socket`, without waiting; says how many.
    pub(super) fn receive(&mut self, socket: &impl AsFd, most: usize) -> io::Result<usize> {
        let before = self.trains.len();
        let most = most.min(BATCH - before);
        // New for each call: the kernel writes the lengths of what it gave into the headers, and the next call would take
        // them for the room that there is.
        let room = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int);
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(most, Some(room));
        let places = self.memory[before * STRIDE..].chunks_exact_mut(STRIDE).take(most);
        let mut places: Vec<_> = places.map(|place| [IoSliceMut::new(&mut place[..PLACE])]).collect();
        let fd = socket.as_fd().as_raw_fd();
        let received = recvmmsg(fd, &mut headers, places.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        self.trains.extend(received.map(|message| read(&message)));
        Ok(self.trains.len() - before)
    }
}

fn read(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Received {
    let (mut to, mut size) = (None, message.bytes);
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                to = Some(Ipv4Addr::from_bits(u32::from_be(info.ipi_spec_dst.s_addr)).into())
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => to = Some(IpAddr::from(info.ipi6_addr.s6_addr)),
            ControlMessageOwned::UdpGroSegments(segment) => size = usize::try_from(segment).unwrap_or(size),
            _ => {}
        }
    }
    let to = to.filter(|to| !to.is_multicast() && !to.is_unspecified());
    Received { from: message.address.as_ref().and_then(sender), to, length: message.bytes, size }
}

fn sender(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    // The scope of a link-local address belongs to it; the label of a flow does not.
    let v6 = address.as_sockaddr_in6()?;
    Some(std::net::SocketAddrV6::new(v6.ip(), v6.port(), 0, v6.scope_id()).into())
}
