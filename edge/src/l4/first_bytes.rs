//! Reads from a client only as far as its TLS ClientHello, and keeps what it read.
//!
//! What the bytes mean is said by `client_hello`; the deadline is the caller's.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::client_hello::{self, MAX_BYTES, Read};

/// What came first from a client.
#[derive(Debug)]
pub enum First {
    /// A ClientHello, complete.
    Hello(client_hello::ClientHello),
    /// Something else than TLS.
    NotTls(u8),
    /// TLS that cannot be followed.
    Malformed(client_hello::Malformed),
    /// The client left.
    Left,
}

/// Reads into `bytes` until they tell what they are. What is there already counts.
///
/// # Errors
/// When the connection broke.
pub async fn read(io: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> io::Result<First> {
    loop {
        match client_hello::read(bytes) {
            Read::Hello(hello) => return Ok(First::Hello(hello)),
            Read::NotTls(first) => return Ok(First::NotTls(first)),
            Read::Malformed(why) => return Ok(First::Malformed(why)),
            Read::NeedMore => {}
        }
        bytes.reserve(PIECE);
        let room = (MAX_BYTES + 1).saturating_sub(bytes.len()).min(PIECE);
        if (&mut *io).take(room as u64).read_buf(bytes).await? == 0 {
            return Ok(First::Left);
        }
    }
}

/// Most hellos fit into one.
const PIECE: usize = 2048;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// A hello for `a.test`, cut into a record for each byte.
    fn dust() -> Vec<u8> {
        let sni = [&[0, 0, 0, 11, 0, 9, 0, 0, 6][..], b"a.test"].concat();
        let mut hello = vec![3, 3];
        hello.extend([0; 32]);
        hello.extend([0, 0, 2, 0x13, 1, 1, 0, 0, u8::try_from(sni.len()).expect("short")]);
        hello.extend(sni);
        let message = [&[1, 0, 0, u8::try_from(hello.len()).expect("short")][..], &hello].concat();
        message.chunks(2).flat_map(|piece| [&[22, 3, 1, 0, piece.len() as u8][..], piece].concat()).collect()
    }

    #[tokio::test]
    async fn a_hello_that_comes_byte_by_byte_is_kept_whole() {
        let (mut far, mut near) = tokio::io::duplex(1);
        let sent = dust();
        let expected = sent.clone();
        let writer = async move {
            far.write_all(&sent).await.expect("read to its end");
            far
        };
        let mut bytes = Vec::new();
        let (first, _far) = tokio::join!(read(&mut near, &mut bytes), writer);
        let First::Hello(hello) = first.expect("no error") else { panic!("a hello") };
        assert_eq!((hello.sni.as_deref(), bytes), (Some("a.test"), expected));
    }

    #[tokio::test]
    async fn who_leaves_or_speaks_otherwise_is_told_apart() {
        let mut bytes = Vec::new();
        assert!(matches!(read(&mut &dust()[..20], &mut bytes).await, Ok(First::Left)));
        let mut bytes = Vec::new();
        assert!(matches!(read(&mut &b"SSH-2.0"[..], &mut bytes).await, Ok(First::NotTls(b'S'))));
        assert_eq!(bytes, b"SSH-2.0");
    }
}
