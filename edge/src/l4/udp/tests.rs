//! Relays over real sockets on loopback.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;

const LONG: Duration = Duration::from_secs(10);
const SETTINGS: Settings =
    Settings { idle: Duration::from_secs(60), limits: Limits { sessions: 0, client_sessions: 0, client_rate: 0 } };

/// The first server that did not fail; clients of odd last octet begin at the second.
#[derive(Clone, Default)]
struct Choice {
    servers: Arc<Mutex<Vec<SocketAddr>>>,
    failed: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Servers for Choice {
    type Token = SocketAddr;

    fn pick(&self, client: IpAddr) -> Option<(SocketAddr, SocketAddr)> {
        let (servers, failed) = (self.servers.lock().expect("whole"), self.failed.lock().expect("whole"));
        let IpAddr::V4(client) = client else { return servers.first().map(|server| (*server, *server)) };
        let from = usize::from(client.octets()[3] % 2 == 0).min(servers.len().saturating_sub(1));
        let order = servers[from..].iter().chain(&servers[..from]);
        order.filter(|server| !failed.contains(server)).map(|server| (*server, *server)).next()
    }

    fn failed(&self, token: &SocketAddr) {
        self.failed.lock().expect("whole").push(*token);
    }
}

#[derive(Clone, Default)]
struct Book {
    passed: Arc<Mutex<HashMap<(Way, Outcome), Sum>>>,
    open: Arc<AtomicUsize>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Counts for Book {
    type Open = Open;

    fn opened(&self) -> Open {
        self.open.fetch_add(1, SeqCst);
        Open(Arc::clone(&self.open))
    }

    fn passed(&self, way: Way, outcome: Outcome, sum: Sum) {
        *self.passed.lock().expect("whole").entry((way, outcome)).or_default() += sum;
    }
}

impl Book {
    fn datagrams(&self, way: Way, outcome: Outcome) -> u64 {
        self.passed.lock().expect("whole").get(&(way, outcome)).map_or(0, |sum| sum.datagrams)
    }
}

struct Running {
    address: SocketAddr,
    servers: Choice,
    book: Book,
    handle: Handle<Choice, Book>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

#[expect(clippy::disallowed_methods, reason = "a test waits for its own tasks")]
fn start(
    listen: &str,
    servers: &[SocketAddr],
    settings: Settings,
    admits: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
) -> Running {
    let listener = Listener::bind(listen.parse().expect("an address")).expect("a free port");
    let (address, book, stop) = (listener.address(), Book::default(), CancellationToken::new());
    let some = Choice { servers: Arc::new(Mutex::new(servers.to_vec())), ..Choice::default() };
    let relay = Relay::new(listener, settings, some.clone(), book.clone(), admits).expect("descriptors");
    let handle = relay.handle();
    let task = tokio::spawn(relay.run(stop.clone(), LONG));
    Running { address, servers: some, book, handle, stop, task }
}

fn relay(servers: &[SocketAddr], settings: Settings) -> Running {
    start("127.0.0.1:0", servers, settings, |_| true)
}

/// Sends back what it gets, with its name before it.
#[expect(clippy::disallowed_methods, reason = "it ends with the runtime of the test")]
async fn echo(name: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut bytes = vec![0; 1 << 16];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        while let Ok((length, from)) = socket.recv_from(&mut bytes[name.len()..]).await {
            let _ = socket.send_to(&bytes[..name.len() + length], from).await;
        }
    });
    address
}

async fn client(own: &str, relay: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(own).await.expect("a port");
    socket.connect(relay).await.expect("an address");
    socket
}

async fn next(socket: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    let length = timeout(LONG, socket.recv(&mut bytes)).await.expect("an answer in time").expect("an answer");
    bytes.truncate(length);
    bytes
}

async fn ask(socket: &UdpSocket, what: &[u8]) -> Vec<u8> {
    socket.send(what).await.expect("sent");
    next(socket).await
}

async fn eventually(what: impl Fn() -> bool) {
    let met = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LONG, met).await.expect("the condition");
}

#[tokio::test]
async fn datagrams_of_every_length_pass_unchanged() {
    let relay = relay(&[echo("").await], SETTINGS);
    let client = client("127.0.0.1:0", relay.address).await;
    let lengths = [0, 1, 2, 1232, 1452, 1453, 1500, 9000, 65_506, 65_507];
    for length in lengths {
        let sent: Vec<u8> = (0..length).map(|at| (at * 7 + length) as u8).collect();
        assert_eq!(ask(&client, &sent).await, sent, "{length}");
    }
    let status = relay.handle.status();
    assert_eq!((status.len(), status[0].to_server.datagrams, status[0].to_client.datagrams), (1, 10, 10));
    assert_eq!(
        (status[0].client, status[0].to_server.bytes),
        (client.local_addr().expect("bound"), lengths.iter().sum::<usize>() as u64)
    );
    assert_eq!(relay.book.datagrams(Way::ToServer, Outcome::Forwarded), 10);
    assert_eq!(relay.book.datagrams(Way::ToClient, Outcome::Forwarded), 10);
}

#[tokio::test]
async fn a_burst_arrives_in_its_order() {
    let relay = relay(&[echo("").await], SETTINGS);
    let client = client("127.0.0.1:0", relay.address).await;
    for round in 0..20u32 {
        let sent: Vec<Vec<u8>> = (0..60u32)
            .map(|number| {
                // Runs of equal length, shorter ones within, empty ones, large ones.
                let length = [100, 100, 100, 60, 100, 0, 100, 2000, 2000, 4][((number / 2 + round) % 10) as usize];
                (0..length).map(|at| (at + number + round) as u8).collect()
            })
            .collect();
        for datagram in &sent {
            client.send(datagram).await.expect("sent");
        }
        for datagram in &sent {
            assert_eq!(&next(&client).await, datagram);
        }
    }
}

#[tokio::test]
async fn each_client_has_its_server_and_its_own_answers() {
    let relay = relay(&[echo("a").await, echo("b").await], SETTINGS);
    let odd = client("127.0.0.1:0", relay.address).await;
    let even = client("127.0.0.2:0", relay.address).await;
    for _ in 0..3 {
        odd.send(b"1").await.expect("sent");
        even.send(b"2").await.expect("sent");
        assert_eq!((next(&odd).await, next(&even).await), (b"a1".to_vec(), b"b2".to_vec()));
    }
    assert_eq!(relay.handle.sessions(), 2);
}

#[tokio::test]
async fn an_idle_session_ends_and_the_next_datagram_opens_another() {
    let settings = Settings { idle: Duration::from_millis(50), ..SETTINGS };
    let relay = relay(&[echo("").await], settings);
    let client = client("127.0.0.1:0", relay.address).await;
    assert_eq!(ask(&client, b"one").await, b"one");
    eventually(|| relay.handle.sessions() == 0).await;
    assert_eq!(relay.book.open.load(SeqCst), 0);
    assert_eq!(ask(&client, b"two").await, b"two");
}

#[tokio::test]
async fn what_the_server_sends_keeps_a_session() {
    let settings = Settings { idle: Duration::from_millis(500), ..SETTINGS };
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let relay = relay(&[server.local_addr().expect("bound")], settings);
    let client = client("127.0.0.1:0", relay.address).await;
    client.send(b"hello").await.expect("sent");
    let (_, session) = server.recv_from(&mut [0; 9]).await.expect("the datagram");
    while relay.handle.status()[0].age < 2 * settings.idle {
        server.send_to(b"tick", session).await.expect("sent");
        assert_eq!(next(&client).await, b"tick");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_is_over_a_cap_is_dropped_and_counted_and_the_others_go_on() {
    let limits = Limits { client_sessions: 2, sessions: 3, client_rate: 0 };
    let relay = relay(&[echo("").await], Settings { limits, ..SETTINGS });
    let first = client("127.0.0.1:0", relay.address).await;
    assert_eq!(ask(&first, b"1").await, b"1");
    let flood: Vec<_> = {
        let mut sockets = Vec::new();
        for _ in 0..100 {
            sockets.push(client("127.0.0.2:0", relay.address).await);
        }
        sockets
    };
    for socket in &flood {
        socket.send(b"flood").await.expect("sent");
    }
    eventually(|| relay.book.datagrams(Way::ToServer, Outcome::OverLimit) == 98).await;
    assert_eq!(ask(&first, b"2").await, b"2");
    assert_eq!(relay.handle.sessions(), 3);
    let late = client("127.0.0.3:0", relay.address).await;
    late.send(b"3").await.expect("sent");
    eventually(|| relay.book.datagrams(Way::ToServer, Outcome::OverLimit) == 99).await;
}

#[tokio::test]
async fn a_flood_from_one_source_leaves_another_client_unharmed() {
    let limits = Limits { client_sessions: 8, sessions: 100, client_rate: 8 };
    let relay = relay(&[echo("").await], Settings { limits, ..SETTINGS });
    let stop = CancellationToken::new();
    let (ended, address) = (stop.clone(), relay.address);
    let flood = std::thread::spawn(move || {
        let sockets: Vec<_> = (0..200)
            .map(|_| std::net::UdpSocket::bind("127.0.0.2:0").expect("a port"))
            .inspect(|socket| socket.connect(address).expect("an address"))
            .collect();
        while !ended.is_cancelled() {
            sockets.iter().for_each(|socket| drop(socket.send(&[0; 32])));
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let client = client("127.0.0.1:0", relay.address).await;
    for number in 0..200u32 {
        assert_eq!(ask(&client, &number.to_be_bytes()).await, number.to_be_bytes());
    }
    stop.cancel();
    flood.join().expect("the flood ended");
    assert!(relay.handle.sessions() <= 9);
    assert!(relay.book.datagrams(Way::ToServer, Outcome::OverLimit) > 0);
}

#[tokio::test]
async fn a_server_that_refuses_is_marked_and_the_next_datagram_finds_another() {
    let gone = UdpSocket::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    let relay = relay(&[gone, echo("b").await], SETTINGS);
    let client = client("127.0.0.1:0", relay.address).await;
    client.send(b"1").await.expect("sent");
    eventually(|| !relay.servers.failed.lock().expect("whole").is_empty()).await;
    eventually(|| relay.handle.sessions() == 0).await;
    assert_eq!(ask(&client, b"2").await, b"b2");
    assert_eq!(*relay.servers.failed.lock().expect("whole"), [gone]);
}

#[tokio::test]
async fn with_no_server_datagrams_are_dropped_and_counted() {
    let relay = relay(&[], SETTINGS);
    let client = client("127.0.0.1:0", relay.address).await;
    client.send(b"1").await.expect("sent");
    eventually(|| relay.book.datagrams(Way::ToServer, Outcome::NoServer) == 1).await;
    let server = echo("a").await;
    relay.servers.servers.lock().expect("whole").push(server);
    assert_eq!(ask(&client, b"2").await, b"a2");
}

#[tokio::test]
async fn who_is_denied_opens_no_session_and_loses_an_open_one() {
    let last = Arc::new(AtomicUsize::new(3));
    let only = Arc::clone(&last);
    let admits = move |client| matches!(client, IpAddr::V4(v4) if usize::from(v4.octets()[3]) == only.load(SeqCst));
    let relay = start("127.0.0.1:0", &[echo("a").await], SETTINGS, admits);
    let denied = client("127.0.0.2:0", relay.address).await;
    denied.send(b"1").await.expect("sent");
    eventually(|| relay.book.datagrams(Way::ToServer, Outcome::Denied) == 1).await;
    let client = client("127.0.0.3:0", relay.address).await;
    assert_eq!(ask(&client, b"2").await, b"a2");
    relay.handle.set(SETTINGS);
    assert_eq!(relay.handle.sessions(), 1, "who is still admitted stays");
    last.store(2, SeqCst);
    relay.handle.set(SETTINGS);
    assert_eq!(relay.handle.sessions(), 0);
    assert_eq!(ask(&denied, b"3").await, b"a3");
}

#[tokio::test]
async fn only_the_server_that_was_dialled_is_heard() {
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let relay = relay(&[server.local_addr().expect("bound")], SETTINGS);
    let client = client("127.0.0.1:0", relay.address).await;
    client.send(b"hello").await.expect("sent");
    let (_, session) = server.recv_from(&mut [0; 9]).await.expect("the datagram");
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let _ = stranger.send_to(b"spoofed", session).await;
    server.send_to(b"real", session).await.expect("sent");
    assert_eq!(next(&client).await, b"real");
}

#[tokio::test]
async fn a_stop_lets_open_sessions_go_on_and_takes_nobody_new() {
    let relay = relay(&[echo("a").await], Settings { idle: Duration::from_millis(400), ..SETTINGS });
    let open = client("127.0.0.1:0", relay.address).await;
    assert_eq!(ask(&open, b"1").await, b"a1");
    relay.stop.cancel();
    let late = client("127.0.0.2:0", relay.address).await;
    let denied = async {
        while relay.book.datagrams(Way::ToServer, Outcome::Denied) == 0 {
            late.send(b"2").await.expect("sent");
            assert_eq!(ask(&open, b"3").await, b"a3");
        }
    };
    timeout(LONG, denied).await.expect("the newcomer is denied");
    timeout(LONG, relay.task).await.expect("it ends when the session is idle").expect("no panic");
    assert_eq!(relay.book.open.load(SeqCst), 0);
    assert!(Listener::bind(relay.address).is_ok(), "its port is free");
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_the_grace() {
    let listener = Listener::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let (address, stop, book) = (listener.address(), CancellationToken::new(), Book::default());
    let servers = Choice { servers: Arc::new(Mutex::new(vec![echo("").await])), ..Choice::default() };
    let relay = Relay::new(listener, SETTINGS, servers, book.clone(), |_| true).expect("descriptors");
    let client = client("127.0.0.1:0", address).await;
    let driven = relay.run(stop.clone(), Duration::from_millis(20));
    let asked = async {
        assert_eq!(ask(&client, b"1").await, b"1");
        stop.cancel();
    };
    timeout(LONG, async { tokio::join!(driven, asked) }).await.expect("the grace is over");
    assert_eq!(book.open.load(SeqCst), 0);
}

#[tokio::test]
async fn answers_come_from_the_address_that_was_asked() {
    let relay = start("0.0.0.0:0", &[echo("a").await], SETTINGS, |_| true);
    for asked in ["127.0.0.1", "127.0.0.77", "127.1.2.3"] {
        let asked = SocketAddr::new(asked.parse().expect("an address"), relay.address.port());
        let client = client("127.0.0.1:0", asked).await;
        assert_eq!(ask(&client, b"1").await, b"a1", "a connected socket hears nobody else");
        for _ in 0..3 {
            client.send(b"2").await.expect("sent");
        }
        for _ in 0..3 {
            assert_eq!(next(&client).await, b"a2");
        }
    }
}

#[tokio::test]
async fn clients_may_come_over_ipv6() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    let relay = start("[::]:0", &[echo("a").await], SETTINGS, |_| true);
    let address = SocketAddr::new("::1".parse().expect("an address"), relay.address.port());
    let client = client("[::1]:0", address).await;
    assert_eq!(ask(&client, b"1").await, b"a1");
    let large = vec![7; 60_000];
    assert_eq!(ask(&client, &large).await[1..], large);
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let first = Listener::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let second = Listener::bind(first.address());
    assert_eq!(second.map(|_| ()).map_err(|error| error.kind()), Err(std::io::ErrorKind::AddrInUse));
}
