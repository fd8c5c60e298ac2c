//! Reads the PROXY header, version 1 or 2, with which a proxy in front names the client (HAProxy's `proxy-protocol.txt`).
//!
//! The grammar is the `ppp` crate's; this only takes exactly the bytes of the header from the stream. Whether the peer
//! may name anybody is the front door's question.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Why a PROXY header is refused. The connection is closed without a word: there is no protocol to say it in.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The peer is not in `trusted_proxies`.
    #[error("the peer is not in trusted_proxies of this entrypoint")]
    Untrusted,
    /// Neither version 1 nor 2.
    #[error("the connection does not begin with a PROXY header")]
    Malformed,
    /// Longer than version 1 allows, or than anybody sends in version 2.
    #[error("the PROXY header is too long")]
    TooLong,
    /// The peer left.
    #[error("the connection ended within the PROXY header")]
    Io(#[from] io::Error),
}

/// Longest version 1 header, its CR LF included.
const V1_MAX: usize = 107;
/// Longest version 2 header that is read: addresses and a few hundred bytes of extensions.
const V2_MAX: usize = 536;

/// Reads one header; the client that it names, or none if it names nobody (`LOCAL`, `UNKNOWN`, a unix socket).
///
/// # Errors
/// See [`Fault`].
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, Fault> {
    // No header of either version is shorter.
    let mut header = vec![0; v2::PROTOCOL_PREFIX.len()];
    stream.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        read_v2(stream, &mut header).await?;
    } else if header.starts_with(b"PROXY ") {
        read_v1(stream, &mut header).await?;
    } else {
        return Err(Fault::Malformed);
    }
    client(&header)
}

async fn read_v1(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> Result<(), Fault> {
    while !header.ends_with(b"\r\n") {
        if header.len() >= V1_MAX {
            return Err(Fault::TooLong);
        }
        header.push(stream.read_u8().await?);
    }
    Ok(())
}

async fn read_v2(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> Result<(), Fault> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await?;
    header.extend(fixed);
    let rest = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if header.len() + rest > V2_MAX {
        return Err(Fault::TooLong);
    }
    let begin = header.len();
    header.resize(begin + rest, 0);
    stream.read_exact(&mut header[begin..]).await?;
    Ok(())
}

fn client(header: &[u8]) -> Result<Option<SocketAddr>, Fault> {
    let parsed = HeaderResult::parse(header);
    if parsed.is_incomplete() {
        return Err(Fault::Malformed);
    }
    match parsed {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(pair) => Some((pair.source_address, pair.source_port).into()),
            v1::Addresses::Tcp6(pair) => Some((pair.source_address, pair.source_port).into()),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) if header.command == v2::Command::Local => Ok(None),
        HeaderResult::V2(Ok(header)) => Ok(match header.addresses {
            v2::Addresses::IPv4(pair) => Some((pair.source_address, pair.source_port).into()),
            v2::Addresses::IPv6(pair) => Some((pair.source_address, pair.source_port).into()),
            v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
        }),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(Fault::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\r\n";

    fn v2_ipv4() -> Vec<u8> {
        let addresses = v2::IPv4::new([203, 0, 113, 7], [192, 0, 2, 1], 5000, 443);
        v2::Builder::with_addresses(v2::Version::Two | v2::Command::Proxy, v2::Protocol::Stream, addresses)
            .build()
            .expect("small")
    }

    async fn read_all(bytes: &[u8]) -> (Result<Option<SocketAddr>, Fault>, Vec<u8>) {
        let mut stream = bytes;
        (read(&mut stream).await, stream.to_vec())
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_what_is_behind() {
        for header in [V1.to_vec(), v2_ipv4()] {
            let (client, rest) = read_all(&[&header[..], b"GET /"].concat()).await;
            assert_eq!(client.expect("valid"), Some(([203, 0, 113, 7], 5000).into()));
            assert_eq!(rest, b"GET /");
        }
    }

    #[tokio::test]
    async fn every_prefix_is_an_end_and_never_a_panic() {
        for header in [V1.to_vec(), v2_ipv4()] {
            for cut in 0..header.len() {
                assert!(matches!(read_all(&header[..cut]).await.0, Err(Fault::Io(_))), "at {cut}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXY TCP4 nonsense here\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 99999 1\r\n",
        ] {
            assert!(matches!(read_all(bytes).await.0, Err(Fault::Malformed)), "{}", bytes.escape_ascii());
        }
        let long = [b"PROXY ".to_vec(), vec![b'a'; 200]].concat();
        assert!(matches!(read_all(&long).await.0, Err(Fault::TooLong)));
        let mut huge = v2::PROTOCOL_PREFIX.to_vec();
        huge.extend([0x21, 0x11, 0xff, 0xff]);
        assert!(matches!(read_all(&huge).await.0, Err(Fault::TooLong)));
    }

    #[tokio::test]
    async fn unknown_and_local_name_nobody() {
        assert_eq!(read_all(b"PROXY UNKNOWN\r\n").await.0.expect("valid"), None);
        let local = [v2::PROTOCOL_PREFIX, &[0x20, 0, 0, 0]].concat();
        assert_eq!(read_all(&local).await.0.expect("valid"), None);
    }
}
