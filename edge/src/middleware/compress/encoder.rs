//! Encodes a body piece by piece. What an encoder holds is its window: see the figures at the constants.

use std::io::{self, Write};

use bytes::Bytes;
use tokio::sync::SemaphorePermit;

use super::accept::Coding;
use crate::middleware::{BodyFault, BodyFilter};

/// When what went in has to come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    /// Behind every piece: somebody may be waiting for it.
    Each,
    /// When the encoder likes, and at the end.
    End,
}

/// An answer on its way through an encoder.
pub(super) struct Encoded {
    /// Gone once the body has ended.
    encoder: Option<Encoder>,
    flush: Flush,
}

enum Encoder {
    Zstd(zstd::Encoder<'static, Vec<u8>>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

/// Windows of 512 KiB for the first two, of 32 KiB for gzip by its format: with tables and buffers under 3 MiB an answer.
const WINDOW_BITS: u32 = 19;
/// Each at the level at which it costs about as much time as gzip does at its default.
const ZSTD_LEVEL: i32 = 3;
const BR_LEVEL: u32 = 4;
const GZIP_LEVEL: u32 = 6;
const BR_BUFFER: usize = 4096;

impl Encoded {
    /// An encoder that has seen nothing.
    pub(super) fn new(coding: Coding, flush: Flush) -> io::Result<Self> {
        let encoder = match coding {
            Coding::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(WINDOW_BITS)?;
                Encoder::Zstd(encoder)
            }
            Coding::Br => {
                let encoder = brotli::CompressorWriter::new(Vec::new(), BR_BUFFER, BR_LEVEL, WINDOW_BITS);
                Encoder::Br(Box::new(encoder))
            }
            Coding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Encoder::Gzip(flate2::write::GzEncoder::new(Vec::new(), level))
            }
        };
        Ok(Self { encoder: Some(encoder), flush })
    }

    fn pass(&mut self, chunk: Option<Bytes>, end: bool) -> io::Result<Vec<u8>> {
        let Some(encoder) = &mut self.encoder else { return Ok(Vec::new()) };
        if let Some(chunk) = chunk.filter(|chunk| !chunk.is_empty()) {
            encoder.write_all(&chunk)?;
            if self.flush == Flush::Each && !end {
                encoder.flush()?;
            }
        }
        let mut out = std::mem::take(encoder.out());
        if end && let Some(encoder) = self.encoder.take() {
            out.extend(encoder.finish()?);
        }
        Ok(out)
    }
}

impl BodyFilter for Encoded {
    fn chunk(&mut self, chunk: Option<Bytes>, end: bool) -> Result<Option<Bytes>, BodyFault> {
        let out = self.pass(chunk, end).map_err(|error| BodyFault { why: error.to_string() })?;
        Ok((!out.is_empty()).then(|| out.into()))
    }
}

/// An encoder and the place that it takes, which is free again when the answer has gone or is given up.
pub(super) struct Placed {
    encoded: Encoded,
    place: Option<SemaphorePermit<'static>>,
}

impl Placed {
    /// Takes the place.
    pub(super) fn new(encoded: Encoded, place: SemaphorePermit<'static>) -> Self {
        Self { encoded, place: Some(place) }
    }
}

impl BodyFilter for Placed {
    fn chunk(&mut self, chunk: Option<Bytes>, end: bool) -> Result<Option<Bytes>, BodyFault> {
        let out = self.encoded.chunk(chunk, end);
        if end {
            self.place = None;
        }
        out
    }
}

impl Encoder {
    /// What came out and was not taken yet.
    fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Br(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Zstd(encoder) => encoder,
            Self::Br(encoder) => encoder,
            Self::Gzip(encoder) => encoder,
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer().write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Br(encoder) => Ok(encoder.into_inner()),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const ALL: [Coding; 3] = [Coding::Zstd, Coding::Br, Coding::Gzip];

    /// What a client makes of so much of the answer, and whether that is the whole.
    fn decoded(coding: Coding, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut text = Vec::new();
        let read = match coding {
            Coding::Zstd => zstd::Decoder::new(bytes).and_then(|mut decoder| decoder.read_to_end(&mut text)),
            Coding::Br => brotli::Decompressor::new(bytes, 64).read_to_end(&mut text),
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut text),
        };
        (text, read.is_ok())
    }

    fn send(encoded: &mut Encoded, piece: &str, end: bool) -> Vec<u8> {
        let piece = (!piece.is_empty()).then(|| Bytes::copy_from_slice(piece.as_bytes()));
        encoded.chunk(piece, end).expect("memory takes all").unwrap_or_default().to_vec()
    }

    #[test]
    fn every_coding_gives_back_what_went_in_however_it_is_cut() {
        let text: String = (0..5_000).map(|n| format!("line {n} of a text\n")).collect();
        for coding in ALL {
            for size in [1, 7, 4_096, text.len()] {
                for last_is_empty in [true, false] {
                    let text = &text[..text.len().min(size * 300)];
                    let mut encoded = Encoded::new(coding, Flush::End).expect("good settings");
                    let mut out = Vec::new();
                    let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
                    for (index, piece) in pieces.iter().enumerate() {
                        let end = !last_is_empty && index + 1 == pieces.len();
                        out.extend(send(&mut encoded, std::str::from_utf8(piece).unwrap(), end));
                    }
                    if last_is_empty {
                        out.extend(send(&mut encoded, "", true));
                    }
                    assert_eq!(decoded(coding, &out), (text.as_bytes().to_vec(), true), "{coding:?} by {size}");
                    assert!(send(&mut encoded, "", true).is_empty(), "it ends once");
                }
            }
        }
    }

    #[test]
    fn a_flushed_piece_can_be_read_before_the_next_one_comes() {
        for coding in ALL {
            let mut encoded = Encoded::new(coding, Flush::Each).expect("good settings");
            let (mut out, mut text) = (Vec::new(), String::new());
            for n in 0..20 {
                let piece = format!("piece {n}\n");
                text.push_str(&piece);
                out.extend(send(&mut encoded, &piece, false));
                assert_eq!(decoded(coding, &out).0, text.as_bytes(), "{coding:?}");
            }
            out.extend(send(&mut encoded, "", true));
            assert_eq!(decoded(coding, &out), (text.into_bytes(), true), "{coding:?}");
        }
    }

    #[test]
    fn an_empty_body_is_a_whole_one() {
        for coding in ALL {
            let mut encoded = Encoded::new(coding, Flush::Each).expect("good settings");
            let out = send(&mut encoded, "", true);
            assert_eq!(decoded(coding, &out), (Vec::new(), true), "{coding:?}");
        }
    }
}
