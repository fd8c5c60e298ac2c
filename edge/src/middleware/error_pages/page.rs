//! Pages with holes, and the statuses that they are for.

/// Some statuses of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statuses {
    first: u16,
    last: u16,
}

impl Statuses {
    /// Reads `404`, `500-599` or `5xx`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let status = |text: &str| text.parse().ok().filter(|status| text.len() == 3 && (400..=599).contains(status));
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (status(first)?, status(last)?),
            None => match text {
                "4xx" => (400, 499),
                "5xx" => (500, 599),
                one => (status(one)?, status(one)?),
            },
        };
        (first <= last).then_some(Self { first, last })
    }

    /// How many there are, less one.
    pub(super) fn width(self) -> u16 {
        self.last - self.first
    }

    pub(super) fn contain(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

/// What a page can tell of an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) status: u16,
    pub(super) reason: &'a str,
    pub(super) host: &'a str,
    pub(super) request_id: &'a str,
}

/// A page, cut at its holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Status,
    Reason,
    Host,
    RequestId,
}

const HOLES: [(&str, Part); 4] =
    [("{status}", Part::Status), ("{reason}", Part::Reason), ("{host}", Part::Host), ("{request_id}", Part::RequestId)];

impl Page {
    /// Never fails: braces that are no hole are text, as styles and scripts are full of them.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        let next = |rest: &str| {
            let found = HOLES.iter().filter_map(|(name, part)| Some((rest.find(name)?, *name, part.clone())));
            found.min_by_key(|(at, ..)| *at)
        };
        while let Some((at, name, part)) = next(rest) {
            parts.push(Part::Text(rest[..at].to_owned()));
            parts.push(part);
            rest = &rest[at + name.len()..];
        }
        parts.push(Part::Text(rest.to_owned()));
        Self(parts)
    }

    pub(super) fn render(&self, facts: &Facts<'_>) -> String {
        let mut page = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => page.push_str(text),
                Part::Status => page.push_str(&facts.status.to_string()),
                Part::Reason => escape(facts.reason, &mut page),
                Part::Host => escape(facts.host, &mut page),
                Part::RequestId => escape(facts.request_id, &mut page),
            }
        }
        page
    }
}

/// Text as HTML shows it, between tags and within quotes.
fn escape(text: &str, page: &mut String) {
    for c in text.chars() {
        match c {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            c => page.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_one_a_range_or_a_class() {
        for (text, wanted) in [
            ("404", Some((404, 404))),
            ("500-599", Some((500, 599))),
            ("4xx", Some((400, 499))),
            ("5xx", Some((500, 599))),
            ("200", None),
            ("600", None),
            ("0404", None),
            ("+404", None),
            ("503-500", None),
            ("500-", None),
            ("3xx", None),
            ("", None),
        ] {
            assert_eq!(Statuses::parse(text).map(|s| (s.first, s.last)), wanted, "{text}");
        }
    }

    #[test]
    fn holes_are_filled_safely_and_other_braces_stay() {
        let facts = Facts { status: 502, reason: "Bad Gateway", host: "<b>\"'&", request_id: "id-1" };
        for (text, wanted) in [
            ("{status} {reason} {request_id}", "502 Bad Gateway id-1"),
            ("<i title='{host}'>", "<i title='&lt;b&gt;&quot;&#39;&amp;'>"),
            ("a { color: {status}; } {unknown} {", "a { color: 502; } {unknown} {"),
            ("{{status}}", "{502}"),
            ("", ""),
        ] {
            assert_eq!(Page::parse(text).render(&facts), wanted, "{text}");
        }
    }
}
