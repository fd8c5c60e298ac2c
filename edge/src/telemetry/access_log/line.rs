//! The fields of a line and how they are written. Where they are written to is not known here.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use jiff::Timestamp;

use crate::telemetry::format::visible;
use crate::telemetry::refusal::Refusal;

/// A request that has ended. What is `None` or empty is not written.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// When it began.
    pub time: Timestamp,
    /// The id that client and upstream were told.
    pub request_id: &'a str,
    /// Name of the entrypoint.
    pub entrypoint: &'a str,
    /// Who asked, as far as trusted proxies tell.
    pub client: IpAddr,
    /// As sent.
    pub method: &'a str,
    /// As sent.
    pub host: &'a [u8],
    /// As sent, without the query.
    pub path: &'a [u8],
    /// As sent, without the `?`; only its names are written.
    pub query: Option<&'a [u8]>,
    /// Such as `HTTP/2`.
    pub proto: &'a str,
    /// The status code that was sent.
    pub status: u16,
    /// Name of the route; empty if none was chosen.
    pub route: &'a str,
    /// The server as configured.
    pub upstream: Option<&'a str>,
    /// Why the edge refused or cut it.
    pub reason: Option<Refusal>,
    /// From the first byte of the request to the last of the answer, in milliseconds.
    pub duration_ms: f64,
    /// To the first byte of the answer, in milliseconds.
    pub first_byte_ms: Option<f64>,
    /// From asking the server to the head of its answer, in milliseconds.
    pub upstream_ms: Option<f64>,
    /// To a connection with the server, in milliseconds; none if one was at hand.
    pub connect_ms: Option<f64>,
    /// Body bytes from the client.
    pub request_bytes: u64,
    /// Body bytes to the client.
    pub response_bytes: u64,
    /// Such as `1.3`.
    pub tls: Option<&'a str>,
    /// The name of the TLS handshake.
    pub sni: Option<&'a str>,
    /// Whether the TLS session was resumed.
    pub resumed: Option<bool>,
    /// Tries at servers.
    pub attempts: u32,
    /// The header of that name.
    pub user_agent: Option<&'a [u8]>,
    /// The header of that name; its query is not written.
    pub referer: Option<&'a [u8]>,
    /// Who asked, if a middleware of the route checked a login.
    pub user: Option<&'a str>,
}

/// The fields in the order in which they are written.
pub const FIELDS: &[&str] = &[
    "time",
    "request_id",
    "entrypoint",
    "client",
    "method",
    "host",
    "path",
    "query",
    "proto",
    "status",
    "route",
    "upstream",
    "reason",
    "duration_ms",
    "first_byte_ms",
    "upstream_ms",
    "connect_ms",
    "request_bytes",
    "response_bytes",
    "tls",
    "sni",
    "resumed",
    "attempts",
    "user_agent",
    "referer",
    "user",
];

pub(super) enum Value<'a> {
    None,
    Text(Cow<'a, str>),
    Count(u64),
    Millis(f64),
    Flag(bool),
}

impl Line<'_> {
    /// As one JSON object and a line feed.
    pub(super) fn json(&self, redact: Redact) -> Vec<u8> {
        json(self.shown(redact))
    }

    /// For people: what one looks for first, then the rest by name.
    pub(super) fn pretty(&self, redact: Redact) -> Vec<u8> {
        pretty(self.shown(redact))
    }

    fn shown(&self, redact: Redact) -> impl Iterator<Item = (&'static str, Value<'_>)> {
        let fields = FIELDS.iter().copied().zip(self.values()).enumerate();
        let wanted =
            move |(index, (_, value)): &(usize, (_, Value<'_>))| !redact.holds(*index) && !matches!(value, Value::None);
        fields.filter(wanted).map(|(_, field)| field)
    }

    /// In the order of [`FIELDS`].
    fn values(&self) -> [Value<'_>; FIELDS.len()] {
        let millis = |millis: Option<f64>| millis.map_or(Value::None, Value::Millis);
        [
            Value::Text(format!("{:.3}", self.time).into()),
            text(self.request_id),
            text(self.entrypoint),
            Value::Text(self.client.to_string().into()),
            text(self.method),
            bytes(Some(self.host)),
            bytes(Some(self.path)),
            self.query.map_or(Value::None, |query| Value::Text(query_names(query))),
            text(self.proto),
            Value::Count(self.status.into()),
            text(self.route),
            text(self.upstream.unwrap_or_default()),
            text(self.reason.map_or("", Refusal::label)),
            Value::Millis(self.duration_ms),
            millis(self.first_byte_ms),
            millis(self.upstream_ms),
            millis(self.connect_ms),
            Value::Count(self.request_bytes),
            Value::Count(self.response_bytes),
            text(self.tls.unwrap_or_default()),
            text(self.sni.unwrap_or_default()),
            self.resumed.map_or(Value::None, Value::Flag),
            Value::Count(self.attempts.into()),
            bytes(self.user_agent),
            bytes(self.referer.map(before_query)),
            text(self.user.unwrap_or_default()),
        ]
    }
}

/// Fields as one JSON object and a line feed.
pub(super) fn json<'v>(fields: impl Iterator<Item = (&'static str, Value<'v>)>) -> Vec<u8> {
    let mut out = String::with_capacity(512);
    for (name, value) in fields {
        out.push(if out.is_empty() { '{' } else { ',' });
        add(&mut out, format_args!("\"{name}\":"));
        match value {
            Value::None => out.push_str("null"),
            Value::Text(text) => push_json(&mut out, &text),
            Value::Count(count) => add(&mut out, format_args!("{count}")),
            Value::Millis(millis) => add(&mut out, format_args!("{millis:.3}")),
            Value::Flag(flag) => add(&mut out, format_args!("{flag}")),
        }
    }
    if out.is_empty() {
        out.push('{');
    }
    out.push_str("}\n");
    out.into_bytes()
}

/// Fields for people, by name where their place does not tell.
pub(super) fn pretty<'v>(fields: impl Iterator<Item = (&'static str, Value<'v>)>) -> Vec<u8> {
    let mut out = String::with_capacity(256);
    for (name, value) in fields {
        if !out.is_empty() {
            out.push(' ');
        }
        if !UNNAMED.contains(&name) {
            add(&mut out, format_args!("{name}="));
        }
        match value {
            Value::None => {}
            Value::Text(text) if text.contains([' ', '"']) => push_json(&mut out, &text),
            Value::Text(text) => out.push_str(&text),
            Value::Count(count) => add(&mut out, format_args!("{count}")),
            Value::Millis(millis) => add(&mut out, format_args!("{millis:.1}")),
            Value::Flag(flag) => add(&mut out, format_args!("{flag}")),
        }
    }
    out.push('\n');
    out.into_bytes()
}

/// Fields that a person knows by their place or form.
const UNNAMED: &[&str] = &["time", "method", "host", "path", "status", "proto"];

fn add(out: &mut String, what: fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(what);
}

pub(super) fn text(text: &str) -> Value<'_> {
    bytes(Some(text.as_bytes()))
}

fn bytes(bytes: Option<&[u8]>) -> Value<'_> {
    match bytes {
        None | Some([]) => Value::None,
        Some(bytes) => Value::Text(visible(bytes)),
    }
}

fn before_query(referer: &[u8]) -> &[u8] {
    let end = referer.iter().position(|byte| matches!(byte, b'?' | b'#'));
    &referer[..end.unwrap_or(referer.len())]
}

/// `a=1&b=2&token` becomes `a=*&b=*&*`: the names tell which call it was, the values are secrets.
fn query_names(query: &[u8]) -> Cow<'_, str> {
    let pieces = query.split(|byte| *byte == b'&').map(|piece| {
        let end = piece.iter().position(|byte| *byte == b'=');
        end.map_or(&b"*"[..], |end| &piece[..=end])
    });
    let mut names = Vec::new();
    for (index, piece) in pieces.enumerate() {
        if index > 0 {
            names.push(b'&');
        }
        names.extend_from_slice(piece);
        if piece.ends_with(b"=") {
            names.push(b'*');
        }
    }
    visible(&names).into_owned().into()
}

/// Text that [`visible`] made, in quotes: only quotes and backslashes are left to escape.
fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
}

/// Which fields are never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Redact {
    bits: u32,
}

/// A name in `log.redact` is no field of the access log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log.redact: \"{name}\" is no field of the access log; the nearest is \"{nearest}\"")]
pub struct UnknownField {
    /// As written.
    pub name: String,
    /// The field that is most like it.
    pub nearest: &'static str,
}

impl Redact {
    pub(super) fn parse(names: &[String]) -> Result<Self, UnknownField> {
        let mut redact = Self::default();
        for name in names {
            let index = FIELDS.iter().position(|field| field == name);
            redact.bits |= 1 << index.ok_or_else(|| unknown(name))?;
        }
        Ok(redact)
    }

    /// Whether the field of this name is never written, on whatever kind of line.
    pub(super) fn hides(self, name: &str) -> bool {
        FIELDS.iter().position(|field| *field == name).is_some_and(|index| self.holds(index))
    }

    const fn holds(self, field: usize) -> bool {
        self.bits & (1 << field) != 0
    }
}

const _: () = assert!(FIELDS.len() <= 32, "Redact has a bit for each field");

fn unknown(name: &str) -> UnknownField {
    let distance = |field: &&&str| strsim::damerau_levenshtein(name, field);
    let nearest = FIELDS.iter().min_by_key(distance).copied().unwrap_or_default();
    UnknownField { name: name.to_owned(), nearest }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    pub(in crate::telemetry::access_log) fn line() -> Line<'static> {
        Line {
            time: Timestamp::UNIX_EPOCH,
            request_id: "r1",
            entrypoint: "https",
            client: Ipv4Addr::LOCALHOST.into(),
            method: "GET",
            host: b"blog.x",
            path: b"/a",
            query: None,
            proto: "HTTP/2",
            status: 200,
            route: "blog",
            upstream: Some("http://10.0.0.1:80"),
            reason: None,
            duration_ms: 1.23456,
            first_byte_ms: None,
            upstream_ms: Some(1.0),
            connect_ms: None,
            request_bytes: 0,
            response_bytes: 5,
            tls: Some("1.3"),
            sni: Some("blog.x"),
            resumed: Some(false),
            attempts: 1,
            user_agent: Some(b"curl/8"),
            referer: None,
            user: None,
        }
    }

    fn json(line: &Line<'_>, redact: Redact) -> serde_json::Value {
        serde_json::from_slice(&line.json(redact)).expect("it is JSON")
    }

    #[test]
    fn a_line_is_one_json_object_with_the_fields_that_there_are() {
        let text = String::from_utf8(line().json(Redact::default())).expect("text");
        let expected = concat!(
            r#"{"time":"1970-01-01T00:00:00.000Z","request_id":"r1","entrypoint":"https","client":"127.0.0.1","#,
            r#""method":"GET","host":"blog.x","path":"/a","proto":"HTTP/2","status":200,"route":"blog","#,
            r#""upstream":"http://10.0.0.1:80","duration_ms":1.235,"upstream_ms":1.000,"request_bytes":0,"#,
            r#""response_bytes":5,"tls":"1.3","sni":"blog.x","resumed":false,"attempts":1,"user_agent":"curl/8"}"#,
            "\n",
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_pretty_line_starts_with_what_one_looks_for() {
        let refused = Line { reason: Some(Refusal::NoRoute), user_agent: Some(b"a b"), ..line() };
        let text = String::from_utf8(refused.pretty(Redact::default())).expect("text");
        assert!(text.contains("GET blog.x /a HTTP/2 200 route=blog"), "{text}");
        assert!(text.contains("reason=no_route duration_ms=1.2"), "{text}");
        assert!(text.ends_with("user_agent=\"a b\"\n"), "{text}");
    }

    #[test]
    fn values_of_a_query_are_never_written() {
        let query = Some(&b"X-Amz-Signature=secret&secret&a==secret&=secret"[..]);
        let referer = Some(&b"https://x/y?token=secret"[..]);
        let line = Line { query, referer, ..line() };
        let text = String::from_utf8(line.json(Redact::default())).expect("text");
        assert!(!text.contains("secret"), "{text}");
        let json = json(&line, Redact::default());
        assert_eq!(json["query"], "X-Amz-Signature=*&*&a=*&=*");
        assert_eq!(json["referer"], "https://x/y");
    }

    #[test]
    fn a_hostile_request_makes_exactly_one_json_line() {
        let all: Vec<u8> = (0..=255).collect();
        let method = String::from_utf8_lossy(&all).into_owned();
        let bytes = Some(&all[..]);
        let line =
            Line { method: &method, host: &all, path: &all, query: bytes, user_agent: bytes, referer: bytes, ..line() };
        for text in [line.json(Redact::default()), line.pretty(Redact::default())] {
            assert_eq!(text.iter().filter(|byte| **byte < b' ').count(), 1);
            assert!(text.ends_with(b"\n"));
        }
        let json = json(&line, Redact::default());
        assert!(json["path"].as_str().expect("text").starts_with(r"\u{0}\u{1}"));
    }

    #[test]
    fn redacted_fields_are_in_no_line() {
        let names = ["client", "user_agent", "time"].map(str::to_owned);
        let redact = Redact::parse(&names).expect("they are fields");
        let json = json(&line(), redact);
        assert!(names.iter().all(|name| json.get(name).is_none()), "{json}");
        let pretty = String::from_utf8(line().pretty(redact)).expect("text");
        assert!(!pretty.contains("127.0.0.1") && !pretty.contains("curl"), "{pretty}");
        let all: Vec<String> = FIELDS.iter().map(|&field| field.to_owned()).collect();
        let redact = Redact::parse(&all).expect("they are fields");
        assert_eq!(line().json(redact), b"{}\n");
    }

    #[test]
    fn an_unknown_field_is_answered_with_the_nearest() {
        let error = Redact::parse(&["useragent".to_owned()]).expect_err("no such field");
        assert_eq!(
            error.to_string(),
            "log.redact: \"useragent\" is no field of the access log; the nearest is \"user_agent\""
        );
    }
}
