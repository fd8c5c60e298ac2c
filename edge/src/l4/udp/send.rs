//! Datagrams into a socket, as few calls as it takes: equal ones of a session in one piece (GSO), single ones to several
//! clients in one call.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, sendmsg};

use super::Sum;
use super::socket::Train;

/// Where datagrams go out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) socket: BorrowedFd<'a>,
    /// The receiver, unless the socket is connected.
    pub(super) to: Option<SocketAddr>,
    /// The address of this machine that they are to come from, if there is a choice.
    pub(super) via: Option<IpAddr>,
}

/// What became of datagrams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) forwarded: Sum,
    pub(super) too_big: Sum,
    pub(super) failed: Sum,
    /// Nobody is at the other end of a connected socket: the first train that was not sent.
    pub(super) gone: Option<usize>,
}

/// Larger ones are not put together: they might not fit the way to the receiver, and then the kernel refuses all.
const LARGEST_JOINED: usize = 1452;

/// The kernel takes no more datagrams at once, nor more bytes.
const MOST_JOINED: usize = 64;
const MOST_BYTES: usize = 65_000;

/// Sends the trains of one session in their order. `joins` becomes false if the kernel does not take several at once.
pub(super) fn send_run(line: Line<'_>, trains: &[Train<'_>], joins: &mut bool) -> Sent {
    let mut sent = Sent::default();
    let mut first = 0;
    while first < trains.len() {
        let joined = if *joins { joined(&trains[first..]) } else { 1 };
        if !send_group(line, &trains[first..first + joined], joins, &mut sent) {
            sent.gone = Some(first);
            break;
        }
        first += joined;
    }
    sent
}

/// How many trains make one: all of the same size, of which only the last may be shorter.
fn joined(trains: &[Train<'_>]) -> usize {
    let Some(first) = trains.first() else { return 0 };
    let size = first.size;
    if size == 0 || size > LARGEST_JOINED {
        return 1;
    }
    let (mut count, mut datagrams, mut bytes) = (1, first.count(), first.bytes.len());
    for train in &trains[1..] {
        (datagrams, bytes) = (datagrams + train.count(), bytes + train.bytes.len());
        let fits = train.size == size || (train.size < size && train.is_one() && !train.bytes.is_empty());
        let open = (bytes - train.bytes.len()).is_multiple_of(size);
        if !fits || !open || datagrams > MOST_JOINED || bytes > MOST_BYTES {
            break;
        }
        count += 1;
    }
    count
}

/// Whether the receiver is still there.
fn send_group(line: Line<'_>, group: &[Train<'_>], joins: &mut bool, sent: &mut Sent) -> bool {
    let size = group[0].size;
    let datagrams = group.iter().map(Train::count).sum::<usize>();
    if datagrams > 1 && datagrams <= MOST_JOINED && size <= LARGEST_JOINED && *joins {
        let slices: Vec<_> = group.iter().map(|train| IoSlice::new(train.bytes)).collect();
        match transmit(line, &slices, u16::try_from(size).ok()) {
            Ok(()) => {
                sent.forwarded += sum(group);
                return true;
            }
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => {
                sent.failed += sum(group);
                return true;
            }
            Err(why) if is_gone(line, why) => return false,
            // The way there, or the device, takes them one by one only.
            Err(_) => *joins = false,
        }
    }
    for datagram in group.iter().flat_map(|train| train.cut(1)) {
        if !send_one(line, datagram, sent) {
            return false;
        }
    }
    true
}

fn send_one(line: Line<'_>, datagram: Train<'_>, sent: &mut Sent) -> bool {
    let result = transmit(line, &[IoSlice::new(datagram.bytes)], None);
    let sum = datagram.sum();
    match result {
        Ok(()) => sent.forwarded += sum,
        Err(why) if is_gone(line, why) => return false,
        Err(Errno::EMSGSIZE) => sent.too_big += sum,
        Err(_) => sent.failed += sum,
    }
    true
}

/// Sends each datagram to its client, from `via`.
pub(super) fn send_each(socket: &impl AsFd, via: Option<IpAddr>, datagrams: &[(SocketAddr, Train<'_>)]) -> Sent {
    let (mut sent, mut next) = (Sent::default(), 0);
    while next < datagrams.len() {
        let rest = &datagrams[next..];
        let went = send_many(socket.as_fd(), via, rest).unwrap_or(0);
        rest[..went].iter().for_each(|(_, datagram)| sent.forwarded += datagram.sum());
        next += went;
        // The kernel stops at the first that it does not take, and tells why only if that is the first of a call.
        if let Some((to, datagram)) = datagrams.get(next) {
            send_one(Line { socket: socket.as_fd(), to: Some(*to), via }, *datagram, &mut sent);
            next += 1;
        }
    }
    sent
}

fn send_many(socket: BorrowedFd<'_>, via: Option<IpAddr>, datagrams: &[(SocketAddr, Train<'_>)]) -> nix::Result<usize> {
    let slices: Vec<_> = datagrams.iter().map(|(_, datagram)| [IoSlice::new(datagram.bytes)]).collect();
    let to: Vec<_> = datagrams.iter().map(|(to, _)| Some(SockaddrStorage::from(*to))).collect();
    let (fd, source) = (socket.as_raw_fd(), via.map(Source::from));
    let room = source.as_ref().map(|source| match source {
        Source::V4(_) => nix::cmsg_space!(libc::in_pktinfo),
        Source::V6(_) => nix::cmsg_space!(libc::in6_pktinfo),
    });
    let mut headers = MultiHeaders::preallocate(datagrams.len(), room);
    let controls: Vec<_> = source.iter().map(Source::control).collect();
    Ok(sendmmsg(fd, &mut headers, slices.iter(), to, controls, MsgFlags::MSG_DONTWAIT)?.count())
}

fn transmit(line: Line<'_>, slices: &[IoSlice<'_>], size: Option<u16>) -> nix::Result<()> {
    let (to, source) = (line.to.map(SockaddrStorage::from), line.via.map(Source::from));
    let mut controls = Vec::new();
    controls.extend(size.as_ref().map(ControlMessage::UdpGsoSegments));
    controls.extend(source.iter().map(Source::control));
    sendmsg(line.socket.as_raw_fd(), slices, &controls, MsgFlags::MSG_DONTWAIT, to.as_ref()).map(drop)
}

/// Whether an error tells that nobody is at the other end. Not so what this machine or this datagram is to blame for.
fn is_gone(line: Line<'_>, why: Errno) -> bool {
    line.to.is_none() && is_absence(why)
}

/// Errors that ICMP or the routes of this machine bring about.
pub(super) fn is_absence(why: Errno) -> bool {
    use Errno as E;
    matches!(why, E::ECONNREFUSED | E::EHOSTUNREACH | E::ENETUNREACH | E::EHOSTDOWN | E::ENETDOWN | E::ENOPROTOOPT)
}

fn sum(trains: &[Train<'_>]) -> Sum {
    let mut sum = Sum::default();
    trains.iter().for_each(|train| sum += train.sum());
    sum
}

/// The address that datagrams are to come from, as the kernel wants it.
enum Source {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Source {
    fn control(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let any = libc::in_addr { s_addr: 0 };
                let address = libc::in_addr { s_addr: v4.to_bits().to_be() };
                Self::V4(libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: any })
            }
            IpAddr::V6(v6) => {
                let address = libc::in6_addr { s6_addr: v6.octets() };
                Self::V6(libc::in6_pktinfo { ipi6_addr: address, ipi6_ifindex: 0 })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(length: usize, size: usize) -> Train<'static> {
        static BYTES: [u8; 70_000] = [0; 70_000];
        Train { bytes: &BYTES[..length], size }
    }

    #[test]
    fn equal_datagrams_join_and_a_shorter_one_is_the_last() {
        let one = |length| train(length, length);
        assert_eq!(joined(&[]), 0);
        assert_eq!(joined(&[one(100), one(100), one(100)]), 3);
        assert_eq!(joined(&[one(100), one(100), one(50), one(50)]), 3);
        assert_eq!(joined(&[one(50), one(100)]), 1);
        assert_eq!(joined(&[train(400, 100), one(100), train(250, 100), one(100)]), 3);
        assert_eq!(joined(&[one(100), one(0)]), 1, "a datagram of no bytes goes alone");
        assert_eq!(joined(&[one(0), one(0)]), 1);
        assert_eq!(joined(&[one(9000), one(9000)]), 1, "large ones may not fit the way");
        assert_eq!(joined(&vec![one(100); 200]), 64);
        assert_eq!(joined(&vec![one(1452); 64]), 44);
    }

    #[test]
    fn a_train_is_cut_into_its_datagrams() {
        let lengths = |train: Train<'_>| train.cut(1).map(|one| one.bytes.len()).collect::<Vec<_>>();
        assert_eq!(lengths(train(250, 100)), [100, 100, 50]);
        assert_eq!(lengths(train(0, 0)), [0]);
        assert_eq!(train(250, 100).count(), 3);
        assert_eq!((train(0, 0).count(), train(7, 7).count()), (1, 1));
    }
}
