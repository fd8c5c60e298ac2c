//! Asks one address once whether it is well, as requests would: same TLS, same version of HTTP.

use std::time::Duration;

use http::{Uri, Version};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::upstream::address::Address;
use crate::upstream::settings::Probe;

/// Why a server is not well.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwell {
    /// It took no connection.
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    /// The connection broke before an answer.
    #[error("the connection broke: {0}")]
    Broken(#[source] std::io::Error),
    /// The exchange failed on the way.
    #[error("{}", told(.0))]
    Exchange(#[from] Box<pingora::Error>),
    /// It answered with a status that is not good.
    #[error("it answered {0}")]
    Status(u16),
    /// It closed where it was to say whether it speaks TLS.
    #[error("it closed the connection without an answer to SSLRequest")]
    Silent,
    /// It could not even say whether it speaks TLS.
    #[error("it answered SSLRequest with an error")]
    Failing,
    /// It is no PostgreSQL: it said something else than yes or no.
    #[error("it is no PostgreSQL: it answered SSLRequest with the byte {0:#04x}")]
    Stranger(u8),
    /// There was no whole answer in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The check cannot be written as a request.
    #[error("the check is no valid request: {0}")]
    Request(#[from] http::Error),
}

/// The engine's error; where the system refused something, only that.
fn told(error: &pingora::Error) -> String {
    match error.root_cause().downcast_ref::<std::io::Error>() {
        Some(system) if system.raw_os_error().is_some() => system.to_string(),
        _ => error.to_string().trim().to_owned(),
    }
}

/// Bytes of a body that are read, so that a server which writes no more does not see a reset.
const POLITE: usize = 64 * 1024;

/// Asks within `limit`.
pub(super) async fn ask(
    connector: &Connector,
    place: (&Address, &HttpPeer),
    own_host: &str,
    probe: &Probe,
    limit: Duration,
) -> Result<(), Unwell> {
    let (address, peer) = place;
    let asked = async {
        match probe {
            Probe::Connect => connect(address).await,
            Probe::Postgres => postgres(address).await,
            Probe::Get { path, host, status } => {
                let got = get(connector, peer, host.as_deref().unwrap_or(own_host), path).await?;
                let good = status.iter().any(|(from, to)| (*from..=*to).contains(&got));
                if good { Ok(()) } else { Err(Unwell::Status(got)) }
            }
        }
    };
    tokio::time::timeout(limit, asked).await.map_err(|_| Unwell::Late(limit))?
}

async fn connect(address: &Address) -> Result<(), Unwell> {
    match address {
        Address::Inet(address) => drop(TcpStream::connect(address).await?),
        Address::Unix(path) => drop(UnixStream::connect(path).await?),
    }
    Ok(())
}

/// The length 8 and the code 1234.5679 that no version of the protocol has.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];

/// The kernel takes connections for a server that hangs; an answer comes only from one that can start a process for it.
async fn postgres(address: &Address) -> Result<(), Unwell> {
    match address {
        Address::Inet(address) => ssl_request(TcpStream::connect(address).await?).await,
        Address::Unix(path) => ssl_request(UnixStream::connect(path).await?).await,
    }
}

async fn ssl_request(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Unwell> {
    stream.write_all(&SSL_REQUEST).await.map_err(Unwell::Broken)?;
    let mut answer = [0];
    match stream.read(&mut answer).await.map_err(Unwell::Broken)? {
        0 => Err(Unwell::Silent),
        _ if matches!(answer, [b'S' | b'N']) => Ok(()),
        _ if answer == *b"E" => Err(Unwell::Failing),
        _ => Err(Unwell::Stranger(answer[0])),
    }
}

async fn get(connector: &Connector, peer: &HttpPeer, host: &str, path: &str) -> Result<u16, Unwell> {
    let mut peer = peer.clone();
    // A connection with room for more would be kept for the next check, which is to see whether one can be made.
    peer.options.max_h2_streams = 1;
    let (mut session, _) = connector.get_http_session(&peer).await?;
    let mut head = RequestHeader::build("GET", path.as_bytes(), Some(4))?;
    head.insert_header("User-Agent", "edge-health-check")?;
    head.insert_header("Accept", "*/*")?;
    if matches!(session, HttpSession::H2(_)) {
        let scheme = if peer.is_tls() { "https" } else { "http" };
        head.set_uri(Uri::builder().scheme(scheme).authority(host).path_and_query(path).build()?);
        head.set_version(Version::HTTP_2);
    } else {
        head.insert_header("Host", host)?;
        head.insert_header("Connection", "close")?;
    }
    session.write_request_header(Box::new(head)).await?;
    session.finish_request_body().await?;
    let status = loop {
        session.read_response_header().await?;
        match session.response_header().map(|head| head.status) {
            Some(status) if status.is_informational() => {}
            Some(status) => break status.as_u16(),
            None => break 0,
        }
    };
    let mut read = 0;
    while read < POLITE
        && let Ok(Some(piece)) = session.read_response_body().await
    {
        read += piece.len();
    }
    session.shutdown().await;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a server that reads the request and answers with these bytes, and what it read.
    async fn answered(answer: &[u8]) -> (Result<(), String>, Vec<u8>) {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let server = async move {
            let mut request = vec![0; SSL_REQUEST.len()];
            theirs.read_exact(&mut request).await.expect("it is sent whole");
            theirs.write_all(answer).await.expect("there is room");
            request
        };
        let (asked, request) = tokio::join!(ssl_request(ours), server);
        (asked.map_err(|why| why.to_string()), request)
    }

    #[tokio::test]
    async fn a_postgres_is_well_when_it_says_whether_it_speaks_tls() {
        for answer in [b"S".as_slice(), b"N", b"Sx"] {
            assert_eq!(answered(answer).await, (Ok(()), vec![0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]));
        }
        assert_eq!(answered(b"E").await.0, Err("it answered SSLRequest with an error".to_owned()));
        let told = "it is no PostgreSQL: it answered SSLRequest with the byte 0x48";
        assert_eq!(answered(b"HTTP/1.1").await.0, Err(told.to_owned()));
        let told = "it closed the connection without an answer to SSLRequest";
        assert_eq!(answered(b"").await.0, Err(told.to_owned()));
    }
}
