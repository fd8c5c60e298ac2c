//! A regular expression over a path and a template that takes its captures: what `redirect` and `rewrite` share.

use regex::{Captures, Regex, RegexBuilder};
use routes::document::Item;
use routes::world::Reading;

/// What a compiled expression may take: one that needs more could not be meant for paths.
const SIZE: usize = 1 << 20;

/// A template with holes: `{1}` and `{name}` for captures, and words of who uses it.
#[derive(Debug, Clone)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Capture(usize),
    Word(&'static str),
}

/// The expression of `item`.
pub(super) fn expression(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Regex> {
    let text = item.as_str()?;
    match RegexBuilder::new(text).size_limit(SIZE).build() {
        Ok(regex) => Some(regex),
        Err(error) => {
            // The last line of a syntax error is its reason; those before draw a picture.
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let fault = item.fault(format!("`{text}` is not a regular expression: {why}"));
            reading.faults.push(fault.hint("the syntax is that of Rust's regex crate; it has no look-around"));
            None
        }
    }
}

impl Template {
    /// The template of `item`, with captures of `regex` and these words.
    pub(super) fn read(
        item: &Item<'_>,
        regex: Option<&Regex>,
        words: &[&'static str],
        reading: &mut Reading<'_>,
    ) -> Option<Self> {
        match Self::parse(item.as_str()?, regex, words) {
            Ok(template) => Some(template),
            Err(why) => {
                let words: Vec<_> = words.iter().map(|word| format!("{{{word}}}")).collect();
                let words = if words.is_empty() { String::new() } else { format!(", and {}", words.join(", ")) };
                let hint = format!("captures of `from` are {{1}}, {{2}} .. or {{name}}{words}");
                reading.faults.push(item.fault(why).hint(hint));
                None
            }
        }
    }

    fn parse(text: &str, regex: Option<&Regex>, words: &[&'static str]) -> Result<Self, String> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("only visible ASCII characters may stand here; escape others with %".into());
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a `{` is not closed")?;
            let word = words.iter().find(|word| **word == name).map(|word| Part::Word(word));
            let part = word.or_else(|| capture(name, regex?).map(Part::Capture));
            parts.push(Part::Text(before.to_owned()));
            parts.push(part.ok_or_else(|| format!("there is nothing called `{{{name}}}`"))?);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }

    /// With everything filled in; a capture that took no part is nothing.
    pub(super) fn render(&self, captures: Option<&Captures<'_>>, word: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Capture(index) => {
                    let found = captures.and_then(|captures| captures.get(*index));
                    text.push_str(found.map_or("", |found| found.as_str()));
                }
                Part::Word(name) => text.push_str(&word(name)),
            }
        }
        text
    }
}

fn capture(name: &str, regex: &Regex) -> Option<usize> {
    match name.parse::<usize>() {
        Ok(index) => (index < regex.captures_len()).then_some(index),
        Err(_) => regex.capture_names().position(|known| known == Some(name)),
    }
}

/// With one slash in front: two would begin the name of a host, and a backslash is a slash to browsers.
pub(super) fn with_one_slash(path: &str) -> String {
    format!("/{}", path.trim_start_matches(['/', '\\']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_and_words_are_filled_in() {
        let regex = Regex::new("^/(?<user>[^/]+)/(.*?)(/x)?$").unwrap();
        let captures = regex.captures("/ann/a%20b").unwrap();
        let filled = |text: &str| {
            let template = Template::parse(text, Some(&regex), &["query"]).unwrap();
            template.render(Some(&captures), |word| format!("<{word}>"))
        };
        assert_eq!(filled("/u/{user}/{2}{3}{query}"), "/u/ann/a%20b<query>");
        assert_eq!((filled("{0}").as_str(), filled("").as_str()), ("/ann/a%20b", ""));
    }

    #[test]
    fn holes_that_nothing_fills_are_told() {
        let regex = Regex::new("^/(x)").unwrap();
        for text in ["{2}", "{name}", "{", "{1", "{}", "{-1}", "a b", "ü", "{18446744073709551616}"] {
            assert!(Template::parse(text, Some(&regex), &["path"]).is_err(), "{text}");
        }
        assert!(Template::parse("{1}", None, &[]).is_err());
    }

    #[test]
    fn a_path_of_ours_names_no_host() {
        for (path, wanted) in
            [("//evil.example", "/evil.example"), ("/\\evil", "/evil"), ("x", "/x"), ("", "/"), ("/a//b", "/a//b")]
        {
            assert_eq!(with_one_slash(path), wanted);
        }
    }
}
