//! Over pipes of tokio that are small on purpose, over sockets, and over sides that misbehave.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn bytes(seed: u8, count: usize) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// A tunnel that runs, with the outer ends of its two sides.
struct Running<Io> {
    client: Io,
    server: Io,
    counts: Arc<Counts>,
    end: tokio::task::JoinHandle<End>,
}

fn start<Io>(client: Io, inner_client: Io, inner_server: Io, server: Io, idle: Option<Duration>) -> Running<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let counts = Arc::new(Counts::default());
    let counting = Arc::clone(&counts);
    let mut sides = (inner_client, inner_server);
    let end = tokio::runtime::Handle::current().spawn(async move {
        let options = Options { counts: &counting, idle, tap: None };
        run(&mut sides.0, &mut sides.1, options).await
    });
    Running { client, server, counts, end }
}

/// Over pipes that hold so many bytes.
fn piped(client_room: usize, server_room: usize, idle: Option<Duration>) -> Running<DuplexStream> {
    let (client, inner_client) = duplex(client_room);
    let (inner_server, server) = duplex(server_room);
    start(client, inner_client, inner_server, server, idle)
}

async fn socket_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (connected.expect("listening"), accepted.expect("connecting").0)
}

async fn over_sockets() -> Running<TcpStream> {
    let (client, inner_client) = socket_pair().await;
    let (inner_server, server) = socket_pair().await;
    start(client, inner_client, inner_server, server, None)
}

/// Sends `sent`, closes that way, and reads to the end.
async fn exchange<Io: AsyncRead + AsyncWrite>(io: Io, sent: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(io);
    let mut got = Vec::new();
    let send = async {
        write.write_all(sent).await.expect("the tunnel takes all");
        write.shutdown().await.expect("open");
    };
    let (_, read) = tokio::join!(send, read.read_to_end(&mut got));
    read.expect("an end");
    got
}

async fn passes_both_ways<Io: AsyncRead + AsyncWrite>(tunnel: Running<Io>, count: usize) {
    let (up, down) = (bytes(1, count), bytes(2, count + 777));
    let (at_client, at_server) = tokio::join!(exchange(tunnel.client, &up), exchange(tunnel.server, &down));
    assert!(at_client == down && at_server == up, "bytes differ");
    let end = tunnel.end.await.expect("no panic");
    assert!(matches!(end, End::ClientClosed | End::ServerClosed), "{end:?}");
    assert_eq!(tunnel.counts.from_client(), count as u64);
    assert_eq!(tunnel.counts.from_server(), count as u64 + 777);
}

#[tokio::test]
async fn bytes_pass_both_ways_however_small_the_pipes_are() {
    for (client, server) in [(1, 64), (64, 1), (7, 1000), (1 << 20, 3), (1 << 20, 1 << 20)] {
        passes_both_ways(piped(client, server, None), 50_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_pass_both_ways_over_sockets() {
    passes_both_ways(over_sockets().await, 16 << 20).await;
}

#[tokio::test]
async fn an_end_of_one_side_is_passed_on_and_the_other_way_goes_on() {
    let mut tunnel = over_sockets().await;
    tunnel.client.write_all(b"last words").await.expect("open");
    tunnel.client.shutdown().await.expect("open");
    let mut got = Vec::new();
    tunnel.server.read_to_end(&mut got).await.expect("an end");
    assert_eq!(got, b"last words");
    for _ in 0..3 {
        tunnel.server.write_all(b"answer").await.expect("open");
        let mut answer = [0; 6];
        tunnel.client.read_exact(&mut answer).await.expect("still open");
    }
    drop(tunnel.server);
    assert_eq!(tunnel.client.read(&mut [0]).await.expect("an end"), 0);
    assert!(matches!(tunnel.end.await.expect("no panic"), End::ClientClosed));
}

#[tokio::test]
async fn who_closed_first_is_told() {
    let tunnel = piped(64, 64, None);
    drop(tunnel.server);
    let mut client = tunnel.client;
    assert_eq!(client.read(&mut [0]).await.expect("an end"), 0);
    drop(client);
    let end = tunnel.end.await.expect("no panic");
    assert_eq!((end.label(), matches!(end, End::ServerClosed)), ("server_closed", true));
}

#[tokio::test]
async fn a_reset_ends_it_at_once_and_names_the_side() {
    let tunnel = over_sockets().await;
    tunnel.client.set_zero_linger().expect("an open socket");
    drop(tunnel.client);
    assert!(matches!(tunnel.end.await.expect("no panic"), End::ClientError(_)));
    let tunnel = over_sockets().await;
    tunnel.server.set_zero_linger().expect("an open socket");
    drop(tunnel.server);
    assert!(matches!(tunnel.end.await.expect("no panic"), End::ServerError(_)));
}

#[tokio::test(start_paused = true)]
async fn an_idle_tunnel_ends_and_one_on_which_something_passes_does_not() {
    let span = Duration::from_secs(60);
    let mut tunnel = piped(64, 64, Some(span));
    let began = tokio::time::Instant::now();
    for turn in 0..10 {
        tokio::time::sleep(span * 9 / 10).await;
        // Either way counts.
        let (from, to) = if turn % 2 == 0 {
            (&mut tunnel.client, &mut tunnel.server)
        } else {
            (&mut tunnel.server, &mut tunnel.client)
        };
        from.write_all(b"x").await.expect("open");
        to.read_exact(&mut [0]).await.expect("open");
    }
    let moved = tokio::time::Instant::now();
    assert!(moved - began > span * 8);
    assert!(matches!(tunnel.end.await.expect("no panic"), End::Idle));
    let quiet = moved.elapsed();
    assert!(quiet >= span && quiet <= span * 5 / 4 + Duration::from_secs(1), "{quiet:?}");
}

#[tokio::test(start_paused = true)]
async fn without_an_idle_time_a_silent_tunnel_stays() {
    let mut tunnel = piped(64, 64, None);
    tokio::time::sleep(Duration::from_secs(1_000_000)).await;
    tunnel.client.write_all(b"x").await.expect("open");
    assert_eq!(tunnel.server.read(&mut [0; 9]).await.expect("open"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_side_that_takes_nothing_counts_as_idle() {
    let mut tunnel = piped(1 << 20, 10, Some(Duration::from_secs(60)));
    tunnel.client.write_all(&[0; 100_000]).await.expect("room");
    assert!(matches!(tunnel.end.await.expect("no panic"), End::Idle));
}

#[tokio::test]
async fn the_tap_sees_the_servers_bytes_until_it_says_no() {
    let (mut client, mut inner_client) = duplex(1 << 10);
    let (mut inner_server, mut server) = duplex(1 << 10);
    let seen = Mutex::new(Vec::new());
    let mut tap = |bytes: &[u8]| {
        let mut seen = seen.lock().expect("no panic");
        seen.extend_from_slice(bytes);
        seen.len() < 8
    };
    let counts = Counts::default();
    let options = Options { counts: &counts, idle: None, tap: Some(&mut tap) };
    let work = async {
        for word in [b"one1", b"two2", b"thr3"] {
            client.write_all(b"not for the tap").await.expect("open");
            server.write_all(word).await.expect("open");
            client.read_exact(&mut [0; 4]).await.expect("open");
        }
        drop((client, server));
    };
    let (end, ()) = tokio::join!(run(&mut inner_client, &mut inner_server, options), work);
    assert!(matches!(end, End::ClientClosed), "{end:?}");
    assert_eq!(*seen.lock().expect("no panic"), b"one1two2");
}

#[tokio::test]
async fn what_a_writer_buffers_is_flushed_before_anything_is_waited_for() {
    let (client, inner_client) = duplex(1 << 10);
    let (inner_server, server) = duplex(1 << 10);
    let buffered = |io| tokio::io::BufStream::with_capacity(4096, 4096, io);
    let mut tunnel = start(buffered(client), buffered(inner_client), buffered(inner_server), buffered(server), None);
    for _ in 0..3 {
        tunnel.client.write_all(b"query").await.expect("open");
        tunnel.client.flush().await.expect("open");
        tunnel.server.read_exact(&mut [0; 5]).await.expect("open");
        tunnel.server.write_all(b"answer").await.expect("open");
        tunnel.server.flush().await.expect("open");
        tunnel.client.read_exact(&mut [0; 6]).await.expect("open");
    }
}

#[tokio::test]
async fn its_future_is_small() {
    let (mut client, mut server) = socket_pair().await;
    let counts = Counts::default();
    let options = Options { counts: &counts, idle: Some(Duration::from_secs(1)), tap: None };
    let size = size_of_val(&run(&mut client, &mut server, options));
    assert!(size < 1024, "{size}");
}

/// A side that gives what it is told to and takes so much.
#[derive(Default)]
struct Scripted {
    gives: VecDeque<io::Result<Vec<u8>>>,
    /// None takes everything.
    takes: Option<usize>,
    /// What writing fails with when it has taken that much; none blocks.
    then: Option<io::ErrorKind>,
    taken: Vec<u8>,
    reads: usize,
}

impl AsyncRead for Scripted {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.gives.pop_front() {
            Some(given) => {
                self.reads += 1;
                Poll::Ready(given.map(|bytes| space.put_slice(&bytes)))
            }
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = self.takes.map_or(usize::MAX, |takes| takes - self.taken.len()).min(bytes.len());
        if room == 0 {
            return self.then.map_or(Poll::Pending, |kind| Poll::Ready(Err(kind.into())));
        }
        self.taken.extend_from_slice(&bytes[..room]);
        Poll::Ready(Ok(room))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }
}

async fn scripted(client: &mut Scripted, server: &mut Scripted) -> End {
    let counts = Counts::default();
    run(client, server, Options { counts: &counts, idle: None, tap: None }).await
}

fn broken_pipe_after(takes: usize) -> Scripted {
    Scripted { takes: Some(takes), then: Some(io::ErrorKind::BrokenPipe), ..Scripted::default() }
}

#[tokio::test]
async fn the_last_words_of_a_server_that_takes_no_more_reach_the_client() {
    let mut client = Scripted { gives: [Ok(vec![1; 100])].into(), ..Scripted::default() };
    let mut server = broken_pipe_after(30);
    server.gives = [Ok(b"FATAL".to_vec()), Ok(b": bye".to_vec()), Err(io::ErrorKind::ConnectionReset.into())].into();
    let end = scripted(&mut client, &mut server).await;
    assert!(matches!(&end, End::ServerError(error) if error.kind() == io::ErrorKind::BrokenPipe), "{end:?}");
    assert_eq!(client.taken, b"FATAL: bye");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_no_more_and_says_nothing_is_not_waited_for_long() {
    let mut client = Scripted { gives: [Ok(vec![1; 100])].into(), ..Scripted::default() };
    let began = tokio::time::Instant::now();
    assert!(matches!(scripted(&mut client, &mut broken_pipe_after(30)).await, End::ServerError(_)));
    assert!(began.elapsed() <= LAST_WORDS * 2);
    let mut server = Scripted { gives: [Ok(vec![1; 100])].into(), ..Scripted::default() };
    assert!(matches!(scripted(&mut broken_pipe_after(0), &mut server).await, End::ClientError(_)));
}

#[tokio::test]
async fn a_close_without_a_goodbye_of_tls_is_a_close() {
    let gives = || [Ok(b"x".to_vec()), Err(io::ErrorKind::UnexpectedEof.into())].into();
    let mut client = Scripted { gives: gives(), ..Scripted::default() };
    let mut server = Scripted { gives: gives(), ..Scripted::default() };
    assert!(matches!(scripted(&mut client, &mut server).await, End::ClientClosed));
    assert_eq!((client.taken, server.taken), (b"x".to_vec(), b"x".to_vec()));
}

#[tokio::test]
async fn a_failure_after_the_close_of_the_same_side_is_its_echo() {
    let mut client = broken_pipe_after(0);
    client.gives = [Ok(Vec::new())].into();
    let mut server = Scripted { gives: [Ok(vec![1])].into(), ..Scripted::default() };
    assert!(matches!(scripted(&mut client, &mut server).await, End::ClientClosed));
    let mut client = Scripted { gives: [Ok(Vec::new())].into(), ..Scripted::default() };
    let mut server = Scripted { gives: [Err(io::ErrorKind::ConnectionReset.into())].into(), ..Scripted::default() };
    assert!(matches!(scripted(&mut client, &mut server).await, End::ServerError(_)));
}

fn turn(way: &mut Way, from: &mut Scripted, to: &mut Scripted) -> Turn {
    let mut context = Context::from_waker(Waker::noop());
    way.turn(&mut context, from, to, |_| {}).expect("no error in the script")
}

#[test]
fn a_way_with_much_to_do_lets_others_have_their_turn() {
    let mut from = Scripted { gives: (0..100).map(|_| Ok(vec![1; 10])).collect(), ..Scripted::default() };
    let mut to = Scripted::default();
    let mut way = Way::default();
    assert_eq!(turn(&mut way, &mut from, &mut to), Turn::Blocked);
    assert_eq!((from.reads, to.taken.len()), (16, 160));
    while turn(&mut way, &mut from, &mut to) == Turn::Blocked {}
    assert_eq!(to.taken.len(), 1000);
}

#[test]
fn a_way_reads_no_more_while_something_is_left_and_holds_nothing_when_idle() {
    let mut from = Scripted { gives: [Ok(vec![1; 50_000]), Ok(vec![2; 50_000])].into(), ..Scripted::default() };
    let mut to = Scripted { takes: Some(10), ..Scripted::default() };
    let mut way = Way::default();
    for _ in 0..3 {
        assert_eq!(turn(&mut way, &mut from, &mut to), Turn::Blocked);
        assert_eq!(from.reads, 1);
    }
    to.takes = Some(60_000);
    assert_eq!(turn(&mut way, &mut from, &mut to), Turn::Blocked);
    assert_eq!(from.reads, 2);
    to.takes = None;
    assert_eq!(turn(&mut way, &mut from, &mut to), Turn::Waiting);
    assert_eq!(to.taken, [vec![1; 50_000], vec![2; 50_000]].concat());
    assert_eq!(way.held(), 0);
}
