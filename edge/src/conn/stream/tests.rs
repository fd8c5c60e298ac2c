//! A guarded stream over an in-memory pipe with the clock in hand: every limit is reached without waiting for it.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::conn::h1_head::HeadLimits;
use crate::conn::h2_guard::{H2Fault, H2Limits};
use crate::conn::pace::PaceFault;

struct Words;

impl Refuse for Words {
    fn answer(&self, _: &ConnFacts, fault: StreamFault) -> Bytes {
        Bytes::from(format!("refused: {fault}"))
    }

    fn note(&self, _: &ConnFacts, _: StreamFault) {}
}

fn pair(guard: Guard) -> (EdgeStream<DuplexStream>, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1024);
    (EdgeStream::new(ours, ConnFacts::of_a_test(1), guard, StreamLimits::default()), theirs)
}

fn h1() -> (EdgeStream<DuplexStream>, DuplexStream) {
    pair(Guard::H1(H1Guard::new(HeadLimits::default()), Arc::new(Words)))
}

async fn read_some(stream: &mut EdgeStream<DuplexStream>) -> io::Result<Vec<u8>> {
    let mut out = vec![0; 512];
    let count = stream.read(&mut out).await?;
    out.truncate(count);
    Ok(out)
}

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_answered_after_ten_seconds_however_it_drips() {
    let (mut stream, mut client) = h1();
    let began = tokio::time::Instant::now();
    let dripping = async {
        loop {
            if client.write_all(b"G").await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
            if began.elapsed() > Duration::from_secs(20) {
                break;
            }
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("readable");
        answer
    };
    let (read, answer) = tokio::join!(
        async {
            let read = read_some(&mut stream).await;
            let after = began.elapsed();
            drop(stream);
            (read.expect("an end"), after)
        },
        dripping
    );
    assert_eq!(read.0, b"", "the engine sees an end");
    assert!((10..=13).contains(&read.1.as_secs()), "{:?}", read.1);
    assert_eq!(answer, "refused: the request head was not complete in time");
}

#[tokio::test(start_paused = true)]
async fn a_refused_head_is_answered_and_the_engine_sees_an_end() {
    let (mut stream, mut client) = h1();
    client.write_all(b"GET / HTTP/1.1\nHost: a\r\n\r\n").await.expect("room");
    client.shutdown().await.expect("open");
    assert_eq!(read_some(&mut stream).await.expect("an end"), b"");
    drop(stream);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("readable");
    assert_eq!(answer, "refused: a line does not end in CR LF");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_or_drips_fails_with_its_reason() {
    for (gap, bytes, fault) in [(40, 1, PaceFault::Idle), (5, 1, PaceFault::TooSlow)] {
        let (mut stream, mut client) = h1();
        client.write_all(POST).await.expect("room");
        let sender = async move {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_secs(gap)).await;
                if client.write_all(&vec![b'a'; bytes]).await.is_err() {
                    break;
                }
            }
        };
        let reader = async move {
            let facts = Arc::clone(&stream.facts);
            let error = loop {
                match read_some(&mut stream).await {
                    Ok(some) => assert!(!some.is_empty(), "no clean end"),
                    Err(error) => break error,
                }
            };
            (error.kind(), facts.control.fault())
        };
        let (_, (kind, found)) = tokio::join!(sender, reader);
        assert_eq!((kind, found), (io::ErrorKind::TimedOut, Some(StreamFault::SlowRequest(fault))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_without_a_least_rate_lets_a_body_drip_and_the_next_request_does_not() {
    let (mut stream, mut client) = h1();
    let facts = Arc::clone(&stream.facts);
    client.write_all(&[POST, b"a"].concat()).await.expect("room");
    assert_eq!(read_some(&mut stream).await.expect("a head").len(), POST.len() + 1);
    facts.control.min_rate().set(None);
    let drip = async {
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            client.write_all(b"a").await.expect("still read");
        }
        facts.control.expect_request();
        while client.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    };
    let reading = async move { while read_some(&mut stream).await.is_ok() {} };
    tokio::join!(drip, reading);
    assert_eq!(facts.control.fault(), Some(StreamFault::SlowRequest(PaceFault::TooSlow)));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_given_up() {
    let (mut stream, client) = h1();
    let error = stream.write_all(&vec![0; 100_000]).await.expect_err("nobody reads");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(stream.facts.control.fault(), Some(StreamFault::SlowResponse(PaceFault::Idle)));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_lives_while_either_side_speaks_and_ends_after_an_hour_of_silence() {
    let (mut stream, mut client) = h1();
    client.write_all(GET).await.expect("room");
    assert_eq!(read_some(&mut stream).await.expect("a head"), GET);
    stream.facts.control.open_tunnel();
    for _ in 0..5 {
        let quiet = tokio::time::timeout(Duration::from_secs(3_000), read_some(&mut stream)).await;
        assert!(quiet.is_err(), "still open");
        stream.write_all(b"!").await.expect("open");
    }
    let began = tokio::time::Instant::now();
    let error = read_some(&mut stream).await.expect_err("idle");
    assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 3_600));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_when_shed_and_a_begun_request_does_not() {
    let (mut stream, mut client) = h1();
    let facts = Arc::clone(&stream.facts);
    let (read, ()) = tokio::join!(read_some(&mut stream), async { facts.control.shed() });
    assert_eq!(read.expect("an end"), b"");
    let (mut stream, _client) = h1();
    client.write_all(b"").await.expect("open");
    stream.facts.control.shed();
    assert_eq!(read_some(&mut stream).await.expect("an end"), b"");
    let (mut stream, mut client) = h1();
    client.write_all(&GET[..9]).await.expect("room");
    assert!(tokio::time::timeout(Duration::from_millis(1), read_some(&mut stream)).await.is_err());
    stream.facts.control.shed();
    client.write_all(&GET[9..]).await.expect("room");
    assert_eq!(read_some(&mut stream).await.expect("a head"), GET);
}

#[tokio::test(start_paused = true)]
async fn the_next_request_waits_until_it_is_expected() {
    let (mut stream, mut client) = h1();
    client.write_all(&[GET, GET].concat()).await.expect("room");
    assert_eq!(read_some(&mut stream).await.expect("the first"), GET);
    assert!(tokio::time::timeout(Duration::from_secs(1), read_some(&mut stream)).await.is_err());
    stream.facts.control.expect_request();
    assert_eq!(read_some(&mut stream).await.expect("the second"), GET);
}

#[tokio::test(start_paused = true)]
async fn an_h2_flood_sets_its_fault_and_reads_no_further() {
    let (mut stream, mut client) = pair(Guard::H2(H2Guard::new(H2Limits::default())));
    let facts = Arc::clone(&stream.facts);
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let flood = async move {
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("room");
        while client.write_all(&ping).await.is_ok() {}
    };
    let reading = async { while read_some(&mut stream).await.is_ok() {} };
    let both = async { tokio::join!(flood, reading) };
    assert!(tokio::time::timeout(Duration::from_secs(5), both).await.is_err());
    assert_eq!(facts.control.fault(), Some(StreamFault::H2(H2Fault::FrameFlood)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_given_up_and_a_slow_answer_is_not() {
    let (mut stream, mut client) = h1();
    let facts = Arc::clone(&stream.facts);
    client.write_all(GET).await.expect("room");
    read_some(&mut stream).await.expect("a head");
    facts.control.await_answer(Duration::from_secs(60));
    let began = tokio::time::Instant::now();
    let error = read_some(&mut stream).await.expect_err("no answer");
    assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60));
    assert_eq!(facts.control.fault(), Some(StreamFault::NoAnswer));
    let (mut stream, mut client) = h1();
    client.write_all(GET).await.expect("room");
    read_some(&mut stream).await.expect("a head");
    stream.facts.control.await_answer(Duration::from_secs(60));
    stream.facts.control.answer_began();
    assert!(tokio::time::timeout(Duration::from_secs(1_000), read_some(&mut stream)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_ends_after_its_keep_alive_and_a_begun_head_has_its_own_time() {
    let keep_alive = Duration::from_secs(75);
    let (mut stream, _client) = h1();
    let began = tokio::time::Instant::now();
    assert!(!stream.next_request(keep_alive).await);
    assert_eq!(began.elapsed().as_secs(), 75);
    let (mut stream, mut client) = h1();
    let late = async {
        tokio::time::sleep(Duration::from_secs(74)).await;
        client.write_all(&GET[..5]).await.expect("room");
        tokio::time::sleep(Duration::from_secs(8)).await;
        client.write_all(&GET[5..]).await.expect("room");
    };
    let (begun, ()) = tokio::join!(stream.next_request(keep_alive), late);
    assert!(begun);
    assert_eq!(read_some(&mut stream).await.expect("a head"), GET);
}
