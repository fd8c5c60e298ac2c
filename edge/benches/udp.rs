//! UDP through a relay beside bare loops of the same calls, all on loopback: 64 clients, an echo behind.
//!
//! Relay and loops run on one thread each. What counts is the processor time of that thread: the clients and the echo need
//! as much again, and on a small machine they would be measured too. A datagram counts once for each way that it is
//! relayed, so an echo is two. Prints, judges nothing.

#![expect(clippy::print_stdout, reason = "printing figures is what this is for")]

use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use edge::l4::udp::{Counts, Limits, Listener, Outcome, Relay, Servers, Settings, Sum, Way};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, sendmsg};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use tokio_util::sync::CancellationToken;

const CLIENTS: usize = 64;
/// Datagrams of a client that are under way at a time.
const WINDOW: usize = 16;
const LENGTHS: [usize; 2] = [200, 1200];
const ROUNDS: usize = 7;
const LASTS: Duration = Duration::from_secs(1);
const BATCH: usize = 64;
const SESSION_BATCH: usize = 16;
const PLACE: usize = 2048 + 64;

fn main() {
    println!("{:52} {:>16} {:>12}", "one thread, 64 clients, medians", "datagrams/s", "ns each");
    for length in LENGTHS {
        let ways: [(&str, Run); 3] = [
            ("bare loop, one call a datagram", |task| plain_loop(&task)),
            ("bare loop, calls as the relay makes them", |task| batched_loop(&task)),
            ("relay", relay),
        ];
        // By turns, so that whatever else the machine does meets all alike.
        let mut figures = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for (figures, (_, run)) in figures.iter_mut().zip(ways) {
                figures.push(measure(length, run));
            }
        }
        let medians = figures.map(median);
        for ((name, _), figure) in ways.iter().zip(medians) {
            println!("{:52} {figure:>16.0} {:>12.0}", format!("{length} bytes: {name}"), 1e9 / figure);
        }
        for (name, bare) in [("one call a datagram", medians[0]), ("the same calls", medians[1])] {
            let label = format!("{length} bytes: relay to bare loop, {name}");
            println!("{label:52} {:>15.0}% {:>12}", medians[2] / bare * 100.0, "goal 90%");
        }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What relays: from `listener` to `server` and back, until `stop`.
struct Task {
    listener: Listener,
    server: SocketAddr,
    stop: Arc<AtomicBool>,
}

type Run = fn(Task);

/// Relayed datagrams per second of processor time.
fn measure(length: usize, run: Run) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let echo = socket();
    let server = echo.local_addr().expect("bound");
    let listener = Listener::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let (address, done) = (listener.address(), Arc::new(AtomicU64::new(0)));
    let task = Task { listener, server, stop: Arc::clone(&stop) };
    thread::scope(|scope| {
        let relay = scope.spawn(move || {
            let before = processor_time();
            run(task);
            processor_time() - before
        });
        scope.spawn(|| echo_until(&stop, &echo));
        scope.spawn(|| clients(&stop, address, length, &done));
        thread::sleep(LASTS);
        stop.store(true, Relaxed);
        let spent = relay.join().expect("the relay ended");
        2.0 * done.load(Relaxed) as f64 / spent.as_secs_f64()
    })
}

/// Of this thread.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    Duration::from_nanos(text.split(' ').next().and_then(|spent| spent.parse().ok()).expect("nanoseconds first"))
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let options = socket2::SockRef::from(&socket);
    options.set_recv_buffer_size(4 << 20).expect("a size");
    socket.set_nonblocking(true).expect("an option");
    socket
}

fn echo_until(stop: &AtomicBool, echo: &UdpSocket) {
    let mut bytes = [0; PLACE];
    while !stop.load(Relaxed) {
        match echo.recv_from(&mut bytes) {
            Ok((length, from)) => drop(echo.send_to(&bytes[..length], from)),
            Err(_) => thread::yield_now(),
        }
    }
}

/// Each client sends anew what it gets back.
fn clients(stop: &AtomicBool, relay: SocketAddr, length: usize, done: &AtomicU64) {
    let sockets: Vec<_> = (0..CLIENTS).map(|_| socket()).collect();
    sockets.iter().for_each(|socket| socket.connect(relay).expect("an address"));
    let (bytes, mut got, mut last) = (vec![7; length], [0; PLACE], None::<Instant>);
    while !stop.load(Relaxed) {
        // Also again if all were lost.
        if last.is_none_or(|last| last.elapsed() > Duration::from_millis(200)) {
            (0..WINDOW).for_each(|_| sockets.iter().for_each(|socket| drop(socket.send(&bytes))));
            last = Some(Instant::now());
        }
        let mut answers = 0;
        for socket in &sockets {
            for _ in 0..4 {
                let Ok(_) = socket.recv(&mut got) else { break };
                let _ = socket.send(&bytes);
                answers += 1;
            }
        }
        done.fetch_add(answers, Relaxed);
        if answers == 0 { thread::yield_now() } else { last = Some(Instant::now()) }
    }
}

// --- The relay --------------------------------------------------------------------------------------------------------

struct One(SocketAddr);

impl Servers for One {
    type Token = ();

    fn pick(&self, _: IpAddr) -> Option<(SocketAddr, ())> {
        Some((self.0, ()))
    }

    fn failed(&self, (): &()) {}
}

#[derive(Default)]
struct Counters {
    datagrams: [AtomicU64; 2],
    bytes: [AtomicU64; 2],
}

impl Counts for Counters {
    type Open = ();

    fn opened(&self) {}

    fn passed(&self, way: Way, outcome: Outcome, sum: Sum) {
        let way = usize::from(way == Way::ToClient);
        if outcome == Outcome::Forwarded {
            self.datagrams[way].fetch_add(sum.datagrams, Relaxed);
            self.bytes[way].fetch_add(sum.bytes, Relaxed);
        }
    }
}

fn relay(task: Task) {
    let limits = Limits { sessions: 10_000, client_sessions: 256, client_rate: 0 };
    let settings = Settings { idle: Duration::from_secs(60), limits };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let made = Relay::new(task.listener, settings, One(task.server), Counters::default(), |_| true);
        let stop = CancellationToken::new();
        let watch = async {
            while !task.stop.load(Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            stop.cancel();
        };
        tokio::join!(made.expect("descriptors").run(stop.clone(), Duration::ZERO), watch);
    });
}

// --- Bare loops -------------------------------------------------------------------------------------------------------

/// Sessions without caps, expiry, counters or faults.
struct Bare {
    listener: UdpSocket,
    server: SocketAddr,
    epoll: OwnedFd,
    known: HashMap<SocketAddr, usize>,
    sessions: Vec<(UdpSocket, SocketAddr)>,
}

/// The listener among the events.
const LISTENER: u64 = u64::MAX;

impl Bare {
    fn new(task: &Task) -> Self {
        // The listener of the relay, so that it has the same options.
        let listener = task.listener.try_clone().expect("a descriptor");
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("a descriptor");
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN).expect("added");
        Self { listener, server: task.server, epoll, known: HashMap::new(), sessions: Vec::new() }
    }

    fn events(&self) -> Vec<u64> {
        let mut events = Vec::with_capacity(BATCH + 1);
        let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait));
        events.iter().map(|event: &epoll::Event| event.data.u64()).collect()
    }

    fn session(&mut self, client: SocketAddr) -> usize {
        let next = self.sessions.len();
        let session = *self.known.entry(client).or_insert(next);
        if session == next {
            let socket = socket();
            socket.connect(self.server).expect("an address");
            let data = epoll::EventData::new_u64(session as u64);
            epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN).expect("added");
            self.sessions.push((socket, client));
        }
        session
    }
}

fn plain_loop(task: &Task) {
    let (mut bare, mut bytes) = (Bare::new(task), [0; PLACE]);
    while !task.stop.load(Relaxed) {
        for event in bare.events() {
            if event == LISTENER {
                for _ in 0..BATCH {
                    let Ok((length, client)) = bare.listener.recv_from(&mut bytes) else { break };
                    let session = bare.session(client);
                    let _ = bare.sessions[session].0.send(&bytes[..length]);
                }
            } else if let Some((socket, client)) = bare.sessions.get(event as usize)
                && let Ok(length) = socket.recv(&mut bytes)
            {
                let _ = bare.listener.send_to(&bytes[..length], client);
            }
        }
    }
}

fn batched_loop(task: &Task) {
    let (mut bare, mut bytes) = (Bare::new(task), vec![0; BATCH * PLACE]);
    while !task.stop.load(Relaxed) {
        let (mut used, mut runs) = (0, Vec::new());
        for event in bare.events() {
            if event == LISTENER {
                to_servers(&mut bare, &mut bytes);
            }
        }
        for event in bare.events().into_iter().filter(|event| *event != LISTENER) {
            let (socket, client) = &bare.sessions[event as usize];
            let got = receive(socket, &mut bytes[used * PLACE..], SESSION_BATCH.min(BATCH - used));
            runs.push((*client, used, got.iter().map(|(_, length)| *length).collect::<Vec<_>>()));
            used += got.len();
            if used == BATCH {
                break;
            }
        }
        to_clients(&bare, &bytes, &runs);
    }
}

fn to_servers(bare: &mut Bare, bytes: &mut [u8]) {
    let got = receive(&bare.listener, bytes, BATCH);
    let found = got.iter().enumerate();
    let mut found: Vec<_> = found.map(|(place, (client, length))| (bare.session(*client), place, *length)).collect();
    found.sort_unstable();
    for run in found.chunk_by(|one, next| one.0 == next.0) {
        let slices: Vec<_> = run.iter().map(|(_, place, length)| slice(bytes, *place, *length)).collect();
        together(&bare.sessions[run[0].0].0, None, &slices);
    }
}

fn to_clients(bare: &Bare, bytes: &[u8], runs: &[(SocketAddr, usize, Vec<usize>)]) {
    let (mut slices, mut to) = (Vec::new(), Vec::new());
    for (client, first, lengths) in runs {
        if let [length] = lengths[..] {
            slices.push([slice(bytes, *first, length)]);
            to.push(Some(SockaddrStorage::from(*client)));
        } else if !lengths.is_empty() {
            let run: Vec<_> =
                lengths.iter().zip(*first..).map(|(length, place)| slice(bytes, place, *length)).collect();
            together(&bare.listener, Some(*client), &run);
        }
    }
    if !slices.is_empty() {
        let mut headers = MultiHeaders::preallocate(slices.len(), None);
        let _ = sendmmsg(bare.listener.as_raw_fd(), &mut headers, slices.iter(), to, [], MsgFlags::MSG_DONTWAIT);
    }
}

fn slice(bytes: &[u8], place: usize, length: usize) -> IoSlice<'_> {
    IoSlice::new(&bytes[place * PLACE..][..length])
}

fn receive(socket: &UdpSocket, bytes: &mut [u8], most: usize) -> Vec<(SocketAddr, usize)> {
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(most, None);
    let mut places: Vec<_> = bytes.chunks_exact_mut(PLACE).take(most).map(|place| [IoSliceMut::new(place)]).collect();
    let got = recvmmsg(socket.as_raw_fd(), &mut headers, places.iter_mut(), MsgFlags::MSG_DONTWAIT, None);
    let read = |address: Option<SockaddrStorage>| {
        let v4 = address.as_ref().and_then(|address| address.as_sockaddr_in()).expect("clients have IPv4");
        SocketAddr::from((v4.ip(), v4.port()))
    };
    got.into_iter().flatten().map(|message| (read(message.address), message.bytes)).collect()
}

/// All slices have one length.
fn together(socket: &UdpSocket, to: Option<SocketAddr>, slices: &[IoSlice<'_>]) {
    let size = u16::try_from(slices[0].len()).expect("short");
    let (fd, to) = (socket.as_raw_fd(), to.map(SockaddrStorage::from));
    let controls = [ControlMessage::UdpGsoSegments(&size)];
    let controls = if slices.len() > 1 { &controls[..] } else { &[] };
    let _ = sendmsg(fd, slices, controls, MsgFlags::MSG_DONTWAIT, to.as_ref());
}
