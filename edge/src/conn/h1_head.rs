//! The head of an HTTP/1 request, checked byte by byte before any other parser sees it (RFC 9112 sections 2 to 6).
//!
//! Strict on purpose: what two parsers could read differently (bare LF, folded lines, both length headers, a space
//! in the target) is refused here, so that nothing behind the edge has to guess. Knows no sockets and no clock, and
//! does not interpret what the fields mean beyond the framing of the body.

use super::h1_body::Framing;

/// How large a request head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, request line and final empty line included.
    pub head_bytes: usize,
    /// Bytes of the request line without its line end.
    pub line_bytes: usize,
    /// Header fields, counted as lines.
    pub fields: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { head_bytes: 32 * 1024, line_bytes: 8 * 1024, fields: 100 }
    }
}

/// Why a request head is refused. Each one has its status and its words where answers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// The request line is longer than [`HeadLimits::line_bytes`].
    #[error("the request line is too long")]
    LineTooLong,
    /// The head is longer than [`HeadLimits::head_bytes`].
    #[error("the request head is too large")]
    HeadTooLarge,
    /// More header fields than [`HeadLimits::fields`].
    #[error("the request has too many header fields")]
    TooManyFields,
    /// The request line is not `METHOD SP target SP HTTP/1.x`.
    #[error("the request line is malformed")]
    BadRequestLine,
    /// The version is not HTTP/1.0 or HTTP/1.1.
    #[error("the HTTP version is not supported")]
    BadVersion,
    /// CONNECT: the edge is no forward proxy.
    #[error("the method CONNECT is not offered")]
    Connect,
    /// A line ends in LF without CR, or holds a CR or NUL.
    #[error("a line does not end in CR LF")]
    BadLineEnd,
    /// A header line is folded, has no name, or a byte that is not allowed.
    #[error("a header field is malformed")]
    BadField,
    /// Content-Length and Transfer-Encoding are both there, repeated with other values, or unreadable.
    #[error("the framing of the body is ambiguous")]
    BadFraming,
    /// Not exactly one Host field, one with a byte that no host has, or one that differs from an absolute target.
    #[error("the request must have exactly one Host, and an absolute target must agree with it")]
    BadHost,
}

/// What the edge needs to know of a complete head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head, its final empty line included.
    pub len: usize,
    /// How the body behind it is framed.
    pub framing: Framing,
}

/// Looks at a growing buffer that starts at a request head; keeps its place between calls.
#[derive(Debug, Default)]
pub struct HeadScan {
    at: usize,
    line_start: usize,
    lines: Lines,
}

#[derive(Debug, Default)]
struct Lines {
    request_line: Option<Version>,
    skipped_empty: bool,
    fields: usize,
    hosts: usize,
    /// What an absolute target names: Host must say the same.
    authority: Option<Box<[u8]>>,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

impl HeadScan {
    /// Reads on in `buf`, which must hold all bytes of earlier calls and may hold more.
    ///
    /// # Errors
    /// The first fault found. The scan must not be used after it.
    pub fn scan(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Option<Head>, HeadFault> {
        while let Some(found) = buf[self.at..].iter().position(|byte| *byte == b'\n') {
            let end = self.at + found;
            if end >= limits.head_bytes {
                return Err(self.too_large());
            }
            let line = strip_cr(&buf[self.line_start..end])?;
            self.at = end + 1;
            self.line_start = self.at;
            if self.lines.take(line, limits)? {
                return Ok(Some(Head { len: self.at, framing: self.lines.framing()? }));
            }
        }
        self.at = buf.len();
        let open_line = &buf[self.line_start..];
        if self.lines.request_line.is_none() && open_line.len() > limits.line_bytes + 1 {
            return Err(HeadFault::LineTooLong);
        }
        if buf.len() >= limits.head_bytes {
            return Err(self.too_large());
        }
        Ok(None)
    }

    fn too_large(&self) -> HeadFault {
        if self.lines.request_line.is_none() { HeadFault::LineTooLong } else { HeadFault::HeadTooLarge }
    }
}

impl Lines {
    /// Takes one line without its line end; true when it was the empty line that ends the head.
    fn take(&mut self, line: &[u8], limits: &HeadLimits) -> Result<bool, HeadFault> {
        if self.request_line.is_none() {
            if line.is_empty() && !self.skipped_empty {
                // RFC 9112 section 2.2: one empty line before the request line is tolerated.
                self.skipped_empty = true;
                return Ok(false);
            }
            let (version, target) = request_line(line, limits)?;
            (self.request_line, self.authority) = (Some(version), authority(target).map(Into::into));
            return Ok(false);
        }
        if line.is_empty() {
            return Ok(true);
        }
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(HeadFault::TooManyFields);
        }
        self.field(line)?;
        Ok(false)
    }

    fn field(&mut self, line: &[u8]) -> Result<(), HeadFault> {
        let colon = line.iter().position(|byte| *byte == b':').ok_or(HeadFault::BadField)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(HeadFault::BadField);
        }
        if value.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            return Err(HeadFault::BadField);
        }
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            if !is_authority(value) || self.authority.as_ref().is_some_and(|authority| **authority != *value) {
                return Err(HeadFault::BadHost);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = content_length(value).ok_or(HeadFault::BadFraming)?;
            if self.length.is_some_and(|earlier| earlier != length) {
                return Err(HeadFault::BadFraming);
            }
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadFault::BadFraming);
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn framing(&self) -> Result<Framing, HeadFault> {
        if self.hosts != 1 {
            return Err(HeadFault::BadHost);
        }
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(HeadFault::BadFraming),
            (true, None) if self.request_line == Some(Version::Http10) => Err(HeadFault::BadFraming),
            (true, None) => Ok(Framing::Chunked),
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

fn strip_cr(line: &[u8]) -> Result<&[u8], HeadFault> {
    let line = line.strip_suffix(b"\r").ok_or(HeadFault::BadLineEnd)?;
    if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
        return Err(HeadFault::BadLineEnd);
    }
    Ok(line)
}

fn request_line<'a>(line: &'a [u8], limits: &HeadLimits) -> Result<(Version, &'a [u8]), HeadFault> {
    if line.len() > limits.line_bytes {
        return Err(HeadFault::LineTooLong);
    }
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HeadFault::BadRequestLine);
    };
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        other if other.starts_with(b"HTTP/") => return Err(HeadFault::BadVersion),
        _ => return Err(HeadFault::BadRequestLine),
    };
    // Methods are case-sensitive (RFC 9110 section 9.1) and all known ones are upper-case: `get` is a parser test.
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte) && !byte.is_ascii_lowercase()) {
        return Err(HeadFault::BadRequestLine);
    }
    if method == b"CONNECT" {
        return Err(HeadFault::Connect);
    }
    if !is_target(target) || (target == b"*" && method != b"OPTIONS") {
        return Err(HeadFault::BadRequestLine);
    }
    Ok((version, target))
}

/// Origin form, absolute form or `*`; printable ASCII without a fragment.
fn is_target(target: &[u8]) -> bool {
    let form = target.first() == Some(&b'/')
        || target == b"*"
        || starts_with_ignore_case(target, b"http://")
        || starts_with_ignore_case(target, b"https://");
    form && target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
}

/// The authority of a target in absolute form.
fn authority(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') || target == b"*" {
        return None;
    }
    let begin = target.windows(3).position(|window| window == b"://")? + 3;
    let rest = &target[begin..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Whether a name, an address or a port could be written with these bytes; what they mean is read later.
fn is_authority(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(byte))
}

fn starts_with_ignore_case(text: &[u8], prefix: &[u8]) -> bool {
    text.len() >= prefix.len() && text[..prefix.len()].eq_ignore_ascii_case(prefix)
}

fn content_length(value: &[u8]) -> Option<u64> {
    // 18 digits stay far below 2^63, so no reader of the number can wrap.
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"POST /a?b=c HTTP/1.1\r\nHost: x.example\r\nContent-Length: 3\r\n\r\nabc";

    fn scan(bytes: &[u8]) -> Result<Option<Head>, HeadFault> {
        HeadScan::default().scan(bytes, &HeadLimits::default())
    }

    fn head(lines: &str) -> Result<Option<Head>, HeadFault> {
        scan(format!("{}\r\n\r\n", lines.replace('\n', "\r\n")).as_bytes())
    }

    #[test]
    fn every_prefix_waits_and_every_split_gives_the_same_head() {
        let whole = scan(PLAIN).expect("valid").expect("complete");
        assert_eq!(whole, Head { len: PLAIN.len() - 3, framing: Framing::Length(3) });
        for cut in 0..PLAIN.len() {
            let mut scan = HeadScan::default();
            let first = scan.scan(&PLAIN[..cut], &HeadLimits::default()).expect("a prefix is no fault");
            assert_eq!(first.is_some(), cut >= whole.len, "at {cut}");
            if first.is_none() {
                assert_eq!(scan.scan(PLAIN, &HeadLimits::default()), Ok(Some(whole)), "at {cut}");
            }
        }
    }

    #[test]
    fn byte_by_byte_is_the_same_as_at_once() {
        let mut scan = HeadScan::default();
        for end in 1..PLAIN.len() - 3 {
            assert_eq!(scan.scan(&PLAIN[..end], &HeadLimits::default()), Ok(None));
        }
        assert!(scan.scan(&PLAIN[..PLAIN.len() - 3], &HeadLimits::default()).expect("valid").is_some());
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        use HeadFault::*;
        let table: &[(&[u8], HeadFault)] = &[
            (b"GET / HTTP/1.1\nHost: a\r\n\r\n", BadLineEnd),
            (b"GET / HTTP/1.1\r\nHost: a\n\r\n", BadLineEnd),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", BadLineEnd),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", BadLineEnd),
            (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", BadField),
            (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", BadField),
            (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", BadField),
            (b"GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", BadField),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", BadField),
            (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
            (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
            (b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
            (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
            (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
            (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
            (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
            (b"GET /\r\nHost: a\r\n\r\n", BadRequestLine),
            (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", BadVersion),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BadVersion),
            (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Connect),
        ];
        for (bytes, fault) in table {
            assert_eq!(scan(bytes), Err(*fault), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for lines in [
            "Content-Length: 3\nTransfer-Encoding: chunked",
            "Content-Length: 3\nContent-Length: 4",
            "Content-Length: 3, 3",
            "Content-Length: +3",
            "Content-Length: 0x3",
            "Content-Length: ",
            "Content-Length: 9999999999999999999",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: \u{b}chunked",
        ] {
            let found = head(&format!("POST / HTTP/1.1\nHost: a\n{lines}"));
            assert!(matches!(found, Err(HeadFault::BadFraming | HeadFault::BadField)), "{lines}: {found:?}");
        }
        assert_eq!(head("POST / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked"), Err(HeadFault::BadFraming));
    }

    #[test]
    fn exactly_one_host_is_wanted() {
        assert_eq!(head("GET / HTTP/1.1\nX: a"), Err(HeadFault::BadHost));
        assert_eq!(head("GET / HTTP/1.1\nHost: a\nHost: a"), Err(HeadFault::BadHost));
        assert_eq!(head("GET / HTTP/1.0\nX: a"), Err(HeadFault::BadHost));
    }

    #[test]
    fn host_and_an_absolute_target_say_the_same() {
        for (target, host) in [
            ("http://a/", "b"),
            ("http://a/", "a:80"),
            ("http://u@a/", "a"),
            ("http://u@a/", "u@a"),
            ("http:///x", ""),
            ("http://a\\b/", "a"),
            ("/", "a/b"),
            ("/", "a b"),
            ("/", "a,b"),
            ("/", ""),
        ] {
            let lines = format!("GET {target} HTTP/1.1\nHost: {host}");
            assert_eq!(head(&lines), Err(HeadFault::BadHost), "{lines}");
        }
        for (target, host) in [("HTTP://a?b://c", "a"), ("https://a:8/b", "a:8"), ("/x?u=http://b/", "a")] {
            assert!(head(&format!("GET {target} HTTP/1.1\nHost: {host}")).is_ok(), "{target}");
        }
    }

    #[test]
    fn framing_is_read() {
        let framing = |lines: &str| head(lines).expect("valid").expect("complete").framing;
        assert_eq!(framing("GET / HTTP/1.1\nHost: a"), Framing::Length(0));
        assert_eq!(framing("PUT / HTTP/1.1\nHost: a\nContent-Length: 7\nContent-Length: 7"), Framing::Length(7));
        assert_eq!(framing("PUT / HTTP/1.1\nHost: a\nTransfer-Encoding: Chunked"), Framing::Chunked);
        assert_eq!(framing("OPTIONS * HTTP/1.1\nHost: a"), Framing::Length(0));
        assert_eq!(framing("GET https://a/b HTTP/1.1\nHost: a"), Framing::Length(0));
        assert_eq!(scan(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("valid").expect("complete").len, 29);
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let fields = |count: usize| "X: 1\n".repeat(count);
        assert!(head(&format!("GET / HTTP/1.1\n{}Host: a", fields(99))).is_ok());
        assert_eq!(head(&format!("GET / HTTP/1.1\n{}Host: a", fields(100))), Err(HeadFault::TooManyFields));
        let line = |len: usize| format!("GET /{} HTTP/1.1\nHost: a", "a".repeat(len - "GET / HTTP/1.1".len()));
        assert!(head(&line(8192)).is_ok());
        assert_eq!(head(&line(8193)), Err(HeadFault::LineTooLong));
        assert_eq!(scan(&vec![b'a'; 9000]), Err(HeadFault::LineTooLong));
        let big = |len: usize| format!("GET / HTTP/1.1\nHost: a\nX: {}", "a".repeat(len));
        assert!(head(&big(32 * 1024 - 60)).is_ok());
        assert_eq!(head(&big(32 * 1024)), Err(HeadFault::HeadTooLarge));
        let open = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(33 * 1024));
        assert_eq!(scan(open.as_bytes()), Err(HeadFault::HeadTooLarge));
    }
}
