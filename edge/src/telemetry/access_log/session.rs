//! The line of a connection below HTTP: a tunnel that has ended, or one that was refused.
//!
//! What passed through it is never written, only how much.

use std::net::IpAddr;

use jiff::Timestamp;

use super::line::{self, Redact, Value, text};

/// A connection that has ended. What is empty is not written.
#[derive(Clone, Debug)]
pub struct SessionLine<'a> {
    /// When it began.
    pub time: Timestamp,
    /// Name of the entrypoint.
    pub entrypoint: &'a str,
    /// Who connected, as far as trusted proxies tell.
    pub client: IpAddr,
    /// `tcp` or `postgres`.
    pub proto: &'a str,
    /// Name of the route; empty if none was chosen.
    pub route: &'a str,
    /// How it ended or why it was refused, a word of a closed set.
    pub result: &'a str,
    /// The server as configured.
    pub upstream: &'a str,
    /// The name of the TLS handshake.
    pub sni: &'a str,
    /// Such as `1.3`, where the edge ended the TLS of the client.
    pub tls: &'a str,
    /// The database that a Postgres client asked for.
    pub database: &'a str,
    /// The user that a Postgres client named.
    pub user: &'a str,
    /// From the accept to the end, in milliseconds.
    pub duration_ms: f64,
    /// Bytes from the client.
    pub received_bytes: u64,
    /// Bytes to the client.
    pub sent_bytes: u64,
    /// More about the end, in words.
    pub detail: &'a str,
}

impl SessionLine<'_> {
    /// As one JSON object and a line feed.
    pub(super) fn json(&self, redact: Redact) -> Vec<u8> {
        line::json(self.shown(redact))
    }

    /// For people.
    pub(super) fn pretty(&self, redact: Redact) -> Vec<u8> {
        line::pretty(self.shown(redact))
    }

    fn shown(&self, redact: Redact) -> impl Iterator<Item = (&'static str, Value<'_>)> {
        let fields = [
            ("time", Value::Text(format!("{:.3}", self.time).into())),
            ("proto", text(self.proto)),
            ("entrypoint", text(self.entrypoint)),
            ("client", Value::Text(self.client.to_string().into())),
            ("route", text(self.route)),
            ("result", text(self.result)),
            ("upstream", text(self.upstream)),
            ("sni", text(self.sni)),
            ("tls", text(self.tls)),
            ("database", text(self.database)),
            ("user", text(self.user)),
            ("duration_ms", Value::Millis(self.duration_ms)),
            ("received_bytes", Value::Count(self.received_bytes)),
            ("sent_bytes", Value::Count(self.sent_bytes)),
            ("detail", text(self.detail)),
        ];
        fields.into_iter().filter(move |(name, value)| !matches!(value, Value::None) && !redact.hides(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> SessionLine<'static> {
        SessionLine {
            time: Timestamp::UNIX_EPOCH,
            entrypoint: "postgres",
            client: [192, 0, 2, 7].into(),
            proto: "postgres",
            route: "db",
            result: "client_closed",
            upstream: "tcp://10.0.0.1:5432",
            sni: "db.x",
            tls: "1.3",
            database: "app",
            user: "ada",
            duration_ms: 1.5,
            received_bytes: 3,
            sent_bytes: 5,
            detail: "",
        }
    }

    #[test]
    fn a_line_is_one_json_object_with_the_fields_that_there_are() {
        let text = String::from_utf8(line().json(Redact::default())).expect("text");
        let expected = concat!(
            r#"{"time":"1970-01-01T00:00:00.000Z","proto":"postgres","entrypoint":"postgres","client":"192.0.2.7","#,
            r#""route":"db","result":"client_closed","upstream":"tcp://10.0.0.1:5432","sni":"db.x","tls":"1.3","#,
            r#""database":"app","user":"ada","duration_ms":1.500,"received_bytes":3,"sent_bytes":5}"#,
            "\n",
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_hostile_name_stays_on_its_line_and_redacted_fields_on_none() {
        let hostile = SessionLine { database: "a\"\n\u{1b}[31m", ..line() };
        let redact = Redact::parse(&["client".to_owned(), "user".to_owned()]).expect("they are fields");
        for text in [hostile.json(redact), hostile.pretty(redact)] {
            let text = String::from_utf8(text).expect("text");
            assert_eq!(text.chars().filter(|char| char.is_control()).count(), 1, "{text}");
            assert!(!text.contains("192.0.2.7") && !text.contains("ada"), "{text}");
        }
    }
}
