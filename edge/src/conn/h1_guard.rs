//! Lets one HTTP/1 request at a time through to the engine, whole heads only, and holds back what belongs to the next.
//!
//! The engine is told nothing that was not checked: a head comes out in one piece when it is complete and clean, body
//! bytes come out as far as the framing of that head goes, and bytes behind it wait until the engine is ready for the
//! next request. Bytes of a tunnel wait until the upstream agreed to it.

use bytes::{Buf, BytesMut};

use super::h1_body::{BodyFault, BodyScan};
use super::h1_head::{HeadFault, HeadLimits, HeadScan};

/// Why the bytes of a connection are not handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum H1Fault {
    /// The head of a request: nothing of it was handed on, the answer is ours to write.
    #[error(transparent)]
    Head(#[from] HeadFault),
    /// The body of a request that the engine already has.
    #[error(transparent)]
    Body(#[from] BodyFault),
}

/// What the connection may take from the socket next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// Bytes of a head; none of it came yet.
    FirstByte,
    /// More bytes of a head that has begun.
    Head,
    /// Bytes of a body or tunnel, which may go straight to the engine through [`H1Guard::pass`].
    Bulk,
    /// The request is complete: bytes are kept for the next one, as far as there is room.
    Nothing,
    /// To fail: the framing of the body is broken behind what was handed on.
    Fault(BodyFault),
}

/// The guard of one connection.
#[derive(Debug)]
pub struct H1Guard {
    limits: HeadLimits,
    /// Received and not yet handed on.
    buffer: BytesMut,
    /// Bytes at the front of `buffer` that may be handed on.
    ready: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(HeadScan),
    Body(BodyScan),
    Complete,
    Tunnel,
    Broken(BodyFault),
}

impl H1Guard {
    /// A connection on which the first request is awaited.
    pub fn new(limits: HeadLimits) -> Self {
        Self { limits, buffer: BytesMut::new(), ready: 0, state: State::Head(HeadScan::default()) }
    }

    /// What to do with the socket now; look for [`H1Guard::ready`] bytes first.
    pub fn wants(&self) -> Wants {
        match self.state {
            State::Head(_) if self.buffer.is_empty() => Wants::FirstByte,
            State::Head(_) => Wants::Head,
            State::Body(_) | State::Tunnel => Wants::Bulk,
            State::Complete => Wants::Nothing,
            State::Broken(fault) => Wants::Fault(fault),
        }
    }

    /// Bytes that may be handed on at once.
    pub fn ready(&self) -> &[u8] {
        &self.buffer[..self.ready]
    }

    /// Bytes that wait, handed on or not.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// So many of the [`H1Guard::ready`] bytes were handed on.
    pub fn hand_on(&mut self, count: usize) {
        let count = count.min(self.ready);
        self.buffer.advance(count);
        self.ready -= count;
        if self.buffer.is_empty() {
            // An idle connection should hold no buffer.
            self.buffer = BytesMut::new();
        }
    }

    /// Whether the body of the present request has ended (and all that is left is the answer).
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// The engine waits for the next request: bytes held back are looked at as its head.
    ///
    /// # Errors
    /// A fault in that head.
    pub fn next_request(&mut self) -> Result<(), HeadFault> {
        if self.is_complete() && self.ready == 0 {
            self.state = State::Head(HeadScan::default());
            return self.advance();
        }
        Ok(())
    }

    /// The upstream answered 101: everything goes through from here on.
    pub fn tunnel(&mut self) {
        self.state = State::Tunnel;
        self.ready = self.buffer.len();
    }

    /// Bytes came from the socket.
    ///
    /// # Errors
    /// A fault in a head. One in the body behind it is [`Wants::Fault`] after the head was handed on: the engine has to
    /// know the request whose answer the refusal is.
    pub fn received(&mut self, bytes: &[u8]) -> Result<(), HeadFault> {
        self.buffer.extend_from_slice(bytes);
        self.advance()
    }

    /// Bytes came from the socket straight into the engine's buffer: says how many of them are its own; the rest is kept.
    /// Only when [`Wants::Bulk`] and nothing is [`H1Guard::held`].
    ///
    /// # Errors
    /// A fault in the framing of the body.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<usize, BodyFault> {
        let own = match &mut self.state {
            State::Body(scan) => scan.take(bytes)?,
            State::Tunnel => bytes.len(),
            State::Head(_) | State::Complete | State::Broken(_) => 0,
        };
        self.buffer.extend_from_slice(&bytes[own..]);
        self.settle();
        Ok(own)
    }

    fn advance(&mut self) -> Result<(), HeadFault> {
        if let State::Head(scan) = &mut self.state {
            let Some(head) = scan.scan(&self.buffer, &self.limits)? else { return Ok(()) };
            self.ready = head.len;
            self.state = State::Body(BodyScan::new(head.framing));
        }
        match &mut self.state {
            State::Body(scan) => match scan.take(&self.buffer[self.ready..]) {
                Ok(own) => self.ready += own,
                Err(fault) => self.state = State::Broken(fault),
            },
            State::Tunnel => self.ready = self.buffer.len(),
            State::Head(_) | State::Complete | State::Broken(_) => {}
        }
        self.settle();
        Ok(())
    }

    fn settle(&mut self) {
        if let State::Body(scan) = &self.state
            && scan.is_done()
        {
            self.state = State::Complete;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    const SECOND: &[u8] = b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";

    fn drain(guard: &mut H1Guard) -> Vec<u8> {
        let out = guard.ready().to_vec();
        guard.hand_on(out.len());
        out
    }

    #[test]
    fn pipelined_requests_come_out_one_by_one_at_every_split() {
        let input = [FIRST, SECOND].concat();
        for cut in 0..=input.len() {
            let mut guard = H1Guard::new(HeadLimits::default());
            guard.received(&input[..cut]).expect("valid");
            let mut out = drain(&mut guard);
            guard.received(&input[cut..]).expect("valid");
            out.extend(drain(&mut guard));
            assert_eq!(out, FIRST, "at {cut}");
            assert!(guard.is_complete());
            guard.next_request().expect("valid");
            assert_eq!(drain(&mut guard), SECOND, "at {cut}");
            assert_eq!(guard.held(), 0);
        }
    }

    #[test]
    fn a_head_comes_out_whole_or_not_at_all() {
        for cut in 0..SECOND.len() {
            let mut guard = H1Guard::new(HeadLimits::default());
            guard.received(&SECOND[..cut]).expect("valid");
            assert!(guard.ready().is_empty(), "at {cut}");
            assert_eq!(guard.wants(), if cut == 0 { Wants::FirstByte } else { Wants::Head });
        }
    }

    #[test]
    fn bytes_behind_a_request_wait_for_the_upstreams_word_before_they_tunnel() {
        let mut guard = H1Guard::new(HeadLimits::default());
        guard.received(&[SECOND, b"early"].concat()).expect("valid");
        assert_eq!(drain(&mut guard), SECOND);
        assert_eq!((guard.ready(), guard.wants()), (&b""[..], Wants::Nothing));
        guard.tunnel();
        assert_eq!(drain(&mut guard), b"early");
        assert_eq!(guard.pass(b"later"), Ok(5));
    }

    #[test]
    fn bulk_bytes_stop_at_the_end_of_the_body() {
        let mut guard = H1Guard::new(HeadLimits::default());
        guard.received(&FIRST[..FIRST.len() - 3]).expect("valid");
        drain(&mut guard);
        assert_eq!(guard.wants(), Wants::Bulk);
        assert_eq!(guard.pass(b"ab"), Ok(2));
        assert_eq!(guard.pass(&[b"c", SECOND].concat()), Ok(1));
        guard.next_request().expect("valid");
        assert_eq!(drain(&mut guard), SECOND);
    }

    #[test]
    fn a_fault_in_the_held_head_shows_when_its_turn_comes() {
        let mut guard = H1Guard::new(HeadLimits::default());
        guard.received(&[FIRST, b"GET / HTTP/1.1\nHost: a\r\n\r\n"].concat()).expect("the first is fine");
        assert_eq!(drain(&mut guard), FIRST);
        assert_eq!(guard.next_request(), Err(HeadFault::BadLineEnd));
    }

    #[test]
    fn a_body_fault_is_told_apart_from_a_head_fault() {
        let mut guard = H1Guard::new(HeadLimits::default());
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        guard.received(head).expect("valid");
        drain(&mut guard);
        assert_eq!(guard.pass(b"zz\r\n"), Err(BodyFault::BadChunk));
    }

    #[test]
    fn a_body_that_is_broken_from_its_first_byte_fails_after_its_head() {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let input = [&head[..], b"zz\r\n"].concat();
        for cut in 0..=head.len() {
            let mut guard = H1Guard::new(HeadLimits::default());
            guard.received(&input[..cut]).expect("the head is fine");
            guard.received(&input[cut..]).expect("the head is fine");
            assert_eq!(drain(&mut guard), head, "at {cut}");
            assert_eq!(guard.wants(), Wants::Fault(BodyFault::BadChunk), "at {cut}");
        }
    }
}
