//! HTTP/2 as a test writes it, frame by frame, over TLS: also what no client library would send.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::time::Duration;

use super::edge::TestEdge;
use super::wire::{TlsClient, Wire};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The largest payload that a peer takes unasked (RFC 9113 section 4.2).
const FRAME: usize = 16 * 1024;

/// `ENHANCE_YOUR_CALM` (RFC 9113 section 7).
pub(crate) const CALM: u32 = 11;

/// One HTTP/2 connection.
pub(crate) struct H2Wire {
    pub(crate) wire: Wire,
}

/// One frame that came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let code = self.payload.get(at..at + 4).and_then(|code| code.try_into().ok());
        u32::from_be_bytes(code.expect("the frame has a code"))
    }
}

/// Bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).expect("small").to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literal fields, none of them indexed (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(value: usize, block: &mut Vec<u8>) {
    if value < 127 {
        return block.push(u8::try_from(value).expect("below 127"));
    }
    block.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).expect("below 128") | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).expect("below 128"));
}

/// The fields of a plain request to `app.test`.
pub(crate) fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "https"), (":authority", "app.test"), (":path", path)]
}

impl H2Wire {
    /// Connects as a client of `app.test` and sends preface and SETTINGS.
    #[track_caller]
    pub(crate) fn open(edge: &TestEdge) -> Self {
        let mut wire = TlsClient::new(edge).alpn(&["h2"]).connect("app.test");
        wire.send([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, b"")].concat());
        Self { wire }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.wire.send(bytes);
    }

    /// A request without a body, its head in as many frames as it takes.
    #[track_caller]
    pub(crate) fn get(&mut self, stream: u32, fields: &[(&str, &str)]) {
        let block = block(fields);
        let last = block.len().div_ceil(FRAME) - 1;
        for (number, piece) in block.chunks(FRAME).enumerate() {
            let (kind, begin) = if number == 0 { (HEADERS, END_STREAM) } else { (CONTINUATION, 0) };
            let end = if number == last { END_HEADERS } else { 0 };
            self.send(&frame(kind, begin | end, stream, piece));
        }
    }

    /// The next frame; none when the edge has closed.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let head = self.wire.exactly_or_end(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload: self.wire.exactly_or_end(length)? })
    }

    /// The next frame if one begins within that time, or none.
    #[track_caller]
    pub(crate) fn next_within(&mut self, time: Duration) -> Option<Frame> {
        if self.wire.hears(time) { self.next() } else { None }
    }

    /// Reads until a frame of this kind comes.
    #[track_caller]
    pub(crate) fn until(&mut self, kind: u8) -> Frame {
        loop {
            let next = self.next().unwrap_or_else(|| panic!("the edge closed before a frame of kind {kind}"));
            if next.kind == kind {
                return next;
            }
        }
    }

    /// Sends `bytes` until the edge reads no more, at most `times` times, and waits until it has closed; the code of
    /// the last GOAWAY, which a reset can take away if far more was sent than read.
    #[track_caller]
    pub(crate) fn flood(&mut self, bytes: &[u8], times: usize) -> Option<u32> {
        for _ in 0..times {
            if self.wire.try_send(bytes).is_err() {
                break;
            }
        }
        let mut code = None;
        while let Some(frame) = self.next() {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }
}
