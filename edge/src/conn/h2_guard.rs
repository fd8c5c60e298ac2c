//! Counts the frames of an HTTP/2 connection from outside (RFC 9113 section 4.1), to end floods that the protocol engine lets pass.
//!
//! It reads frame headers only, keeps no payload and never changes a byte. What a stream means is the engine's business.

use std::time::{Duration, Instant};

/// Limits of one connection.
#[derive(Debug, Clone, Copy)]
pub struct H2Limits {
    /// Frames that bring no request forward, per [`H2Limits::window`].
    pub idle_frames: u32,
    /// The window over which they are counted.
    pub window: Duration,
    /// From the first byte of a header block to its last.
    pub head: Duration,
}

impl Default for H2Limits {
    fn default() -> Self {
        Self { idle_frames: 1_000, window: Duration::from_secs(10), head: Duration::from_secs(10) }
    }
}

/// Why a connection is told to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum H2Fault {
    /// Too many frames that bring no request forward (SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA ...).
    #[error("too many frames that bring no request forward")]
    FrameFlood,
    /// A header block was begun and not ended in time.
    #[error("a header block was not ended in time")]
    HeadTimeout,
}

/// Splits a byte stream into frames, however it is cut.
#[derive(Debug, Default)]
struct Frames {
    preface_left: usize,
    header: [u8; 9],
    have: usize,
    payload_left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
}

/// Watches both directions of one server-side connection.
#[derive(Debug)]
pub struct H2Guard {
    limits: H2Limits,
    inbound: Frames,
    outbound: Frames,
    count: u32,
    /// Frames that answer DATA of ours and are therefore free: two WINDOW_UPDATEs and one PING each (gRPC measures so).
    credit: u32,
    resets: u32,
    data: u64,
    window_began: Option<Instant>,
    block_began: Option<Instant>,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`
const PREFACE: usize = 24;

impl Frames {
    fn after_preface(preface_left: usize) -> Self {
        Self { preface_left, ..Self::default() }
    }

    /// Reads on; returns the next frame header and the bytes left, or nothing when `input` is used up.
    fn next<'a>(&mut self, mut input: &'a [u8]) -> Option<(Frame, &'a [u8])> {
        for left in [&mut self.preface_left, &mut self.payload_left] {
            let skip = input.len().min(*left);
            *left -= skip;
            input = &input[skip..];
        }
        let take = input.len().min(self.header.len() - self.have);
        self.header[self.have..self.have + take].copy_from_slice(&input[..take]);
        self.have += take;
        if self.have < self.header.len() {
            return None;
        }
        self.have = 0;
        let [a, b, c, kind, flags, ..] = self.header;
        self.payload_left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Some((Frame { length: self.payload_left, kind, flags }, &input[take..]))
    }

    fn inside_frame(&self) -> bool {
        self.have > 0 || self.payload_left > 0
    }
}

impl H2Guard {
    /// A connection whose preface is still to come.
    pub fn new(limits: H2Limits) -> Self {
        Self {
            limits,
            inbound: Frames::after_preface(PREFACE),
            outbound: Frames::default(),
            count: 0,
            credit: 0,
            resets: 0,
            data: 0,
            window_began: None,
            block_began: None,
        }
    }

    /// Bytes came from the client.
    ///
    /// # Errors
    /// The limit that the client passed.
    pub fn received(&mut self, mut input: &[u8], now: Instant) -> Result<(), H2Fault> {
        while let Some((frame, rest)) = self.inbound.next(input) {
            input = rest;
            self.count_frame(frame, now)?;
        }
        if self.block_began.is_some() && !self.inbound.inside_frame() && self.block_ended() {
            self.block_began = None;
        }
        self.tick(now)
    }

    /// Bytes went to the client.
    pub fn sent(&mut self, mut output: &[u8]) {
        while let Some((frame, rest)) = self.outbound.next(output) {
            output = rest;
            if frame.kind == DATA && frame.length > 0 {
                // Bounded: nobody saves up for a flood.
                self.credit = (self.credit + 3).min(self.limits.idle_frames);
            }
        }
    }

    /// Bytes of bodies that came or have begun to come.
    pub fn data(&self) -> u64 {
        self.data
    }

    /// When a look is due although no byte came; nothing while no header block is open.
    pub fn deadline(&self) -> Option<Instant> {
        self.block_began.map(|began| began + self.limits.head)
    }

    /// Time passed.
    ///
    /// # Errors
    /// [`H2Fault::HeadTimeout`] when an open header block is overdue.
    pub fn tick(&self, now: Instant) -> Result<(), H2Fault> {
        if self.deadline().is_some_and(|deadline| now >= deadline) { Err(H2Fault::HeadTimeout) } else { Ok(()) }
    }

    fn block_ended(&self) -> bool {
        let [_, _, _, kind, flags, ..] = self.inbound.header;
        !matches!(kind, HEADERS | CONTINUATION) || flags & END_HEADERS != 0
    }

    fn count_frame(&mut self, frame: Frame, now: Instant) -> Result<(), H2Fault> {
        match frame.kind {
            HEADERS => {
                self.block_began = Some(now);
                // A request: what was counted before it has brought something. Resets are counted on.
                self.count = self.resets;
            }
            DATA if frame.length > 0 => {
                self.block_began = None;
                // Padding is not handed on: counted, it would never be taken.
                self.data += if frame.flags & PADDED == 0 { frame.length as u64 } else { 0 };
            }
            CONTINUATION if self.block_began.is_some() && frame.length > 0 => {}
            WINDOW_UPDATE | PING if self.credit > 0 => self.credit -= 1,
            RST_STREAM => {
                self.resets += 1;
                return self.count_idle(now);
            }
            _ => return self.count_idle(now),
        }
        Ok(())
    }

    fn count_idle(&mut self, now: Instant) -> Result<(), H2Fault> {
        match self.window_began {
            Some(began) if now.duration_since(began) < self.limits.window => self.count += 1,
            _ => {
                (self.window_began, self.count) = (Some(now), 1);
                self.resets = self.resets.min(1);
            }
        }
        if self.count > self.limits.idle_frames { Err(H2Fault::FrameFlood) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(length).expect("small").to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1][..], &vec![0; length]].concat()
    }

    fn opened() -> (H2Guard, Instant) {
        let (mut guard, now) = (H2Guard::new(H2Limits::default()), Instant::now());
        guard.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now).expect("a preface");
        (guard, now)
    }

    fn times(guard: &mut H2Guard, now: Instant, bytes: &[u8], count: usize) -> Result<(), H2Fault> {
        (0..count).try_for_each(|_| guard.received(bytes, now))
    }

    #[test]
    fn idle_frames_end_the_connection_after_a_thousand() {
        for kind in [2, 4, 6, 8, 9, 0xab] {
            let (mut guard, now) = opened();
            let one = frame(kind, 0, if kind == 9 { 0 } else { 8 });
            assert_eq!(times(&mut guard, now, &one, 1_000), Ok(()), "kind {kind}");
            assert_eq!(guard.received(&one, now), Err(H2Fault::FrameFlood), "kind {kind}");
        }
        let (mut guard, now) = opened();
        assert_eq!(times(&mut guard, now, &frame(0, 0, 0), 1_001), Err(H2Fault::FrameFlood));
    }

    #[test]
    fn the_count_starts_again_with_each_window() {
        let (mut guard, mut now) = opened();
        for _ in 0..50 {
            assert_eq!(times(&mut guard, now, &frame(6, 0, 8), 999), Ok(()));
            now += Duration::from_secs(10);
        }
    }

    #[test]
    fn requests_and_bodies_are_free() {
        let (mut guard, now) = opened();
        assert_eq!(times(&mut guard, now, &[frame(1, 4, 40), frame(0, 1, 9)].concat(), 50_000), Ok(()));
    }

    #[test]
    fn window_updates_that_answer_our_data_are_free() {
        let (mut guard, now) = opened();
        for _ in 0..20_000 {
            guard.sent(&frame(0, 0, 100));
            assert_eq!(times(&mut guard, now, &frame(8, 0, 4), 2), Ok(()));
        }
        assert_eq!(times(&mut guard, now, &frame(8, 0, 4), 2_001), Err(H2Fault::FrameFlood));
    }

    #[test]
    fn a_request_starts_the_count_again_but_not_that_of_resets() {
        let (mut guard, now) = opened();
        let busy = [frame(1, 5, 20), frame(6, 0, 8), frame(8, 0, 4)].concat();
        assert_eq!(times(&mut guard, now, &busy, 50_000), Ok(()));
        let rapid = [frame(1, 5, 20), frame(3, 0, 4)].concat();
        assert_eq!(times(&mut guard, now, &rapid, 1_001), Err(H2Fault::FrameFlood));
    }

    #[test]
    fn acknowledged_pings_earn_nothing() {
        let (mut guard, now) = opened();
        for _ in 0..1_000 {
            guard.sent(&frame(6, 1, 8));
            assert_eq!(guard.received(&frame(6, 0, 8), now), Ok(()));
        }
        assert_eq!(guard.received(&frame(6, 0, 8), now), Err(H2Fault::FrameFlood));
    }

    #[test]
    fn every_split_counts_the_same() {
        let bytes = [frame(6, 0, 8), frame(1, 4, 3), frame(0, 0, 0), frame(4, 0, 6)].concat();
        for cut in 0..=bytes.len() {
            let (mut guard, now) = opened();
            guard.received(&bytes[..cut], now).expect("few frames");
            guard.received(&bytes[cut..], now).expect("few frames");
            assert_eq!(guard.count, 2, "the frames since the request, at {cut}");
            assert!(!guard.inbound.inside_frame(), "at {cut}");
        }
    }

    #[test]
    fn a_header_block_has_ten_seconds() {
        let whole = frame(1, 4, 40);
        for cut in 10..whole.len() {
            let (mut guard, now) = opened();
            guard.received(&whole[..cut], now).expect("a part");
            assert_eq!(guard.tick(now + Duration::from_secs(9)), Ok(()), "at {cut}");
            assert_eq!(guard.tick(now + Duration::from_secs(10)), Err(H2Fault::HeadTimeout), "at {cut}");
            guard.received(&whole[cut..], now + Duration::from_secs(5)).expect("the rest");
            assert_eq!(guard.deadline(), None, "at {cut}");
        }
        let (mut guard, now) = opened();
        guard.received(&[frame(1, 0, 4), frame(9, 0, 4)].concat(), now).expect("an open block");
        assert_eq!(guard.tick(now + Duration::from_secs(10)), Err(H2Fault::HeadTimeout));
        guard.received(&frame(9, 4, 4), now).expect("its end");
        assert_eq!(guard.deadline(), None);
    }
}
