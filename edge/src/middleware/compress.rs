//! Compresses answers with zstd, Brotli or gzip, as the client's `Accept-Encoding` weighs them; among equals the first of
//! `codings` is taken.
//!
//! ```toml
//! [middleware.small]
//! kind = "compress"
//! types = ["text/*", "application/json"]    # the default has more
//! min = "1KiB"
//! ```
//!
//! It leaves alone whatever could break by it: answers that have a coding already, say `Cache-Control: no-transform` or
//! `X-Accel-Buffering: no`, have no body (HEAD, 204, 304), are a part (206) or have a digest or signature over their bytes
//! (`Content-MD5`, `Digest`, `Content-Digest`, `Repr-Digest`, `Signature`), and everything of S3 and its like: `X-Amz-` and
//! `X-Goog-` fields, signed requests and signed links. Event streams, NDJSON, gRPC and the like are never compressed,
//! whatever `types` says. Of other answers without `Content-Length` every piece is sent on when it comes.
//!
//! A strong `ETag` becomes a weak one, as the bytes are others; `Vary: Accept-Encoding` is added, `Accept-Ranges` taken
//! away. Trailers of a compressed answer are dropped.
//!
//! An answer takes up to 3 MiB of memory while it is compressed, however slowly its client reads. So 256 answers of the
//! whole edge are compressed at once: beyond them they go as they are.
//!
//! Compression tells the length of what is in an answer: pages that show a secret beside text of the request can lose it
//! bit by bit (BREACH). Leave such routes uncompressed.

mod accept;
mod encoder;

use http::header::{self, HeaderName};
use http::{HeaderValue, Method};
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::units;
use routes::world::Reading;
use tokio::sync::Semaphore;

use self::encoder::{Encoded, Flush, Placed};
use super::{Asker, BuildError, Building, Fields, Kind, Middleware, Reply};

pub use self::accept::Coding;

/// The middleware.
#[derive(Debug)]
pub struct Compress {
    types: Vec<String>,
    min: u64,
    codings: Vec<Coding>,
    places: &'static Semaphore,
}

/// Answers that may be on their way through an encoder, over all routes: clients choose how long that takes.
static PLACES: Semaphore = Semaphore::const_new(256);

const TYPES: [&str; 12] = [
    "text/*",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/xhtml+xml",
    "application/rss+xml",
    "application/atom+xml",
    "application/manifest+json",
    "application/problem+json",
    "application/geo+json",
    "application/wasm",
    "image/svg+xml",
];

/// Streams: whoever reads one waits for each piece, and many clients do not decode them.
const STREAMS: [&str; 9] = [
    "text/event-stream",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/stream+json",
    "application/json-seq",
    "application/grpc",
    "application/connect",
    "multipart/x-mixed-replace",
];

/// Fields that say something about the bytes as the server sent them.
const ABOUT_BYTES: [HeaderName; 7] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("signature"),
    header::CONTENT_RANGE,
    header::CONTENT_ENCODING,
];

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

impl Kind for Compress {
    const NAME: &'static str = "compress";
    const KEYS: &'static [Key] = &[
        Key::new(
            "types",
            Shape::OneOrMany(&Shape::Text("a media type")),
            "Media types of answers that are compressed; `text/*` is all of text.",
        )
        .default("text, JSON, JavaScript, XML, SVG and WebAssembly"),
        Key::new("min", Shape::Bytes, "Answers that say to be smaller go as they are.").default("\"1KiB\""),
        Key::new(
            "codings",
            Shape::List(&Shape::one_of(&["zstd", "br", "gzip"])),
            "Codings in the order in which they are chosen among those that a client likes equally.",
        )
        .default("[\"zstd\", \"br\", \"gzip\"]"),
    ];
    type Settings = Compress;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Compress> {
        let types = match item.get("types") {
            Some(types) => types.one_or_many().iter().filter_map(|item| media_type(item, reading)).collect(),
            None => TYPES.map(str::to_owned).to_vec(),
        };
        let min = item.get("min").and_then(|min| units::bytes(min.as_str()?).ok());
        let codings: Vec<Coding> = match item.get("codings") {
            Some(list) => list.items().filter_map(|coding| Coding::named(coding.as_str()?)).collect(),
            None => vec![Coding::Zstd, Coding::Br, Coding::Gzip],
        };
        if let Some(list) = item.get("codings").filter(|_| codings.is_empty()) {
            reading.faults.push(list.fault("no coding is left").hint("leave the middleware out instead"));
        }
        Some(Compress { types, min: min.unwrap_or(Some(1024)).unwrap_or(0), codings, places: &PLACES })
    }

    fn build(settings: Compress, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(settings)
    }
}

fn media_type(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let text = item.as_str()?.to_ascii_lowercase();
    let is_token = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte))
    };
    let is_type = text.split_once('/').is_some_and(|(kind, rest)| is_token(kind) && (rest == "*" || is_token(rest)));
    if !is_type {
        let fault = item.fault(format!("`{text}` is not a media type"));
        reading.faults.push(fault.hint("for example \"text/html\" or \"text/*\""));
    } else if STREAMS.iter().any(|stream| text == *stream) {
        reading.faults.push(item.warning(format!("`{text}` is a stream, and streams are never compressed")));
    }
    is_type.then_some(text)
}

impl Middleware for Compress {
    fn reply(&self, reply: &mut Reply<'_>) {
        let to = reply.to;
        if reply.status == 304 {
            weaken_as_before(&to, &mut reply.headers());
        }
        if reply.status.is_informational() || matches!(reply.status.as_u16(), 204 | 205 | 206 | 304) || is_signed(&to) {
            return;
        }
        let length = {
            let fields = reply.headers();
            if !self.may(&fields) {
                return;
            }
            fields.text(&header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok())
        };
        if length.is_some_and(|length| length == 0 || length < self.min) {
            return;
        }
        vary(&mut reply.headers());
        if to.method == Method::HEAD {
            return;
        }
        let values = to.headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let Some(coding) = accept::best(&values.collect::<Vec<_>>(), &self.codings) else { return };
        let Ok(place) = self.places.try_acquire() else {
            return tracing::debug!("an answer goes uncompressed: too many are on their way");
        };
        // Without a length it may be a stream that does not say so.
        let flush = if length.is_some() { Flush::End } else { Flush::Each };
        let encoded = match Encoded::new(coding, flush) {
            Ok(encoded) => encoded,
            Err(error) => return tracing::warn!(%error, coding = coding.name(), "an answer goes uncompressed"),
        };
        reply.filter_body(Box::new(Placed::new(encoded, place)));
        let mut fields = reply.headers();
        fields.set(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        fields.remove(header::ACCEPT_RANGES);
        if let Some(weak) = fields.text(&header::ETAG).and_then(weakened) {
            fields.set(header::ETAG, weak);
        }
    }
}

impl Compress {
    /// Whether an answer with these fields may be another one on the wire.
    fn may(&self, fields: &Fields<'_>) -> bool {
        let kind = fields.text(&header::CONTENT_TYPE).unwrap_or_default();
        let is_stream = is_stream(kind);
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let fits = self.types.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => kind == *wanted,
        });
        let no_transform = fields.all(&header::CACHE_CONTROL).iter().any(|value| says(value, "no-transform"));
        let unbuffered = fields.get(&ACCEL_BUFFERING).is_some_and(|value| says(value, "no"));
        fits && !is_stream
            && !no_transform
            && !unbuffered
            && !ABOUT_BYTES.iter().any(|name| fields.has(name))
            && !fields.names().any(|name| is_of_storage(name.as_str()))
    }
}

/// Whether a body of this type is a stream by its nature.
pub(super) fn is_stream(kind: &str) -> bool {
    let kind = kind.trim_start().to_ascii_lowercase();
    STREAMS.iter().any(|stream| kind.starts_with(stream))
}

/// Whether one of the comma-separated words is this.
fn says(value: &HeaderValue, word: &str) -> bool {
    value.to_str().is_ok_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
}

/// Clients of object storage check what they get against checksums and lengths that they know from elsewhere.
fn is_of_storage(field: &str) -> bool {
    field.starts_with("x-amz-") || field.starts_with("x-goog-")
}

/// Whether the request is signed, by a field or in its link.
fn is_signed(to: &Asker<'_>) -> bool {
    let by_field = to
        .headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| [b"AWS".as_slice(), b"GOOG"].iter().any(|scheme| value.as_bytes().starts_with(scheme)));
    let by_link = to.query.unwrap_or_default().split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
        is_of_storage(&name) || name == "awsaccesskeyid"
    });
    by_field || by_link || to.headers.keys().any(|name| is_of_storage(name.as_str()))
}

/// Caches keep an answer for each of the codings.
fn vary(fields: &mut Fields<'_>) {
    let known = fields.all(&header::VARY).iter().any(|value| says(value, "accept-encoding") || says(value, "*"));
    if !known {
        fields.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

fn weakened(tag: &str) -> Option<HeaderValue> {
    tag.starts_with('"').then(|| HeaderValue::try_from(format!("W/{tag}")).ok())?
}

/// A client that has our compressed answer knows it by the weak tag: 304 must name the same.
fn weaken_as_before(to: &Asker<'_>, fields: &mut Fields<'_>) {
    let Some(weak) = fields.text(&header::ETAG).and_then(weakened) else { return };
    let asked = to.headers.get_all(header::IF_NONE_MATCH).iter();
    let had_weak =
        asked.filter_map(|value| value.to_str().ok()).any(|value| value.contains(weak.to_str().unwrap_or("\n")));
    if had_weak {
        fields.set(header::ETAG, weak);
        vary(fields);
    }
}

#[cfg(test)]
mod tests;
