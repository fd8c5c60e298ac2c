//! Where the body of an HTTP/1 request ends (RFC 9112 sections 6 and 7), found without keeping a byte of it.
//!
//! Bytes are counted and the grammar of chunks is checked; nothing is decoded or copied here.

/// How the body behind a head is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Exactly so many bytes; 0 for a request without a body.
    Length(u64),
    /// Chunks, ended by a chunk of size 0 and the trailer section.
    Chunked,
}

/// Why a chunked body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Not `1*HEX CRLF`, data without its CRLF, or a size that could wrap. Chunk extensions are refused too: nothing
    /// real sends them and readers disagree about where they end.
    #[error("the chunked body is malformed")]
    BadChunk,
    /// Trailers over 8 KiB.
    #[error("the trailers of the chunked body are too large")]
    TrailersTooLarge,
}

/// Follows one body through its bytes.
#[derive(Debug)]
pub struct BodyScan {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Plain bytes left, of a Content-Length body.
    Plain(u64),
    Size {
        value: u64,
        digits: u8,
    },
    SizeLf {
        value: u64,
    },
    Data(u64),
    DataCr,
    DataLf,
    Trailer {
        line: u16,
        total: u16,
    },
    TrailerLf {
        line: u16,
        total: u16,
    },
    Done,
}

/// Bytes of trailers that one body may carry.
const MAX_TRAILERS: u16 = 8 * 1024;

impl BodyScan {
    /// A body framed as its head says.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Plain(length),
            Framing::Chunked => State::Size { value: 0, digits: 0 },
        };
        Self { state }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes the bytes of `input` that belong to this body and says how many they were; fewer than all only at its end.
    ///
    /// # Errors
    /// A chunk that is not what RFC 9112 section 7.1 says, bare LF included.
    pub fn take(&mut self, input: &[u8]) -> Result<usize, BodyFault> {
        let mut at = 0;
        while at < input.len() && !self.is_done() {
            at += match self.state {
                State::Plain(left) => self.bulk(left, input.len() - at, State::Plain),
                State::Data(left) => self.bulk(left, input.len() - at, State::Data),
                _ => {
                    self.step(input[at])?;
                    1
                }
            };
        }
        Ok(at)
    }

    fn bulk(&mut self, left: u64, available: usize, rebuild: fn(u64) -> State) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(available);
        let left = left - taken as u64;
        self.state = match (left, &self.state) {
            (0, State::Plain(_)) => State::Done,
            (0, _) => State::DataCr,
            (left, _) => rebuild(left),
        };
        taken
    }

    fn step(&mut self, byte: u8) -> Result<(), BodyFault> {
        self.state = match (&self.state, byte) {
            // 15 hex digits stay below 2^60, so no reader of the size can wrap.
            (State::Size { value, digits }, _) if byte.is_ascii_hexdigit() && *digits < 15 => {
                State::Size { value: value * 16 + hex(byte), digits: digits + 1 }
            }
            (State::Size { value, digits: 1.. }, b'\r') => State::SizeLf { value: *value },
            (State::SizeLf { value: 0 }, b'\n') => State::Trailer { line: 0, total: 0 },
            (State::SizeLf { value }, b'\n') => State::Data(*value),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::Trailer { line, total }, b'\r') => State::TrailerLf { line: *line, total: *total },
            (State::Trailer { .. }, 0 | b'\n') => return Err(BodyFault::BadChunk),
            (State::Trailer { total: MAX_TRAILERS.., .. }, _) => return Err(BodyFault::TrailersTooLarge),
            (State::Trailer { line, total }, _) => State::Trailer { line: line + 1, total: total + 1 },
            (State::TrailerLf { line: 0, .. }, b'\n') => State::Done,
            (State::TrailerLf { total, .. }, b'\n') => State::Trailer { line: 0, total: *total },
            _ => return Err(BodyFault::BadChunk),
        };
        Ok(())
    }
}

fn hex(byte: u8) -> u64 {
    u64::from((byte as char).to_digit(16).expect("called for hex digits only"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] = b"4\r\nWiki\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-Sum: 1\r\n\r\n";

    fn chunked(bytes: &[u8]) -> Result<(usize, bool), BodyFault> {
        let mut scan = BodyScan::new(Framing::Chunked);
        let taken = scan.take(bytes)?;
        Ok((taken, scan.is_done()))
    }

    #[test]
    fn a_plain_body_ends_at_its_length() {
        let mut scan = BodyScan::new(Framing::Length(5));
        assert_eq!(scan.take(b"abc"), Ok(3));
        assert_eq!(scan.take(b"deGET /"), Ok(2));
        assert!(scan.is_done());
        assert_eq!(scan.take(b"GET /"), Ok(0));
        assert!(BodyScan::new(Framing::Length(0)).is_done());
    }

    #[test]
    fn a_chunked_body_ends_at_every_split_in_the_same_place() {
        let input = [CHUNKED, b"GET / HTTP/1.1"].concat();
        for cut in 0..input.len() {
            let mut scan = BodyScan::new(Framing::Chunked);
            let first = scan.take(&input[..cut]).expect("valid");
            let rest = scan.take(&input[first..]).expect("valid");
            assert_eq!(first + rest, CHUNKED.len(), "at {cut}");
            assert!(scan.is_done(), "at {cut}");
        }
    }

    #[test]
    fn no_prefix_of_a_chunked_body_is_its_end() {
        for cut in 0..CHUNKED.len() {
            assert_eq!(chunked(&CHUNKED[..cut]), Ok((cut, false)), "at {cut}");
        }
    }

    #[test]
    fn other_grammar_is_refused() {
        for bytes in [
            &b"4\nWiki"[..],
            b"\r\n",
            b"0x4\r\nWiki",
            b"+4\r\nWiki",
            b" 4\r\nWiki",
            b"4 \r\nWiki",
            b"4;a=b\r\nWiki",
            b"-1\r\n",
            b"ffffffffffffffff\r\n",
            b"4\r\nWikiX\r\n",
            b"4\r\nWiki\n",
            b"0\r\nX: 1\n\r\n",
            b"0\r\n\rX",
        ] {
            assert_eq!(chunked(bytes), Err(BodyFault::BadChunk), "{}", bytes.escape_ascii());
        }
        let trailers = [b"0\r\nX: ".to_vec(), vec![b'a'; 9000]].concat();
        assert_eq!(chunked(&trailers), Err(BodyFault::TrailersTooLarge));
    }
}
