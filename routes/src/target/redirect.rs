//! Redirects: a template such as `https://new.example{path}{query}`, and what a request puts into it.
//! A template cannot be made to lead to a host that it does not name: that is checked when it is read.

use std::fmt;

use thiserror::Error;

use crate::fault;

/// Where clients are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The new place.
    pub to: Template,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

impl Redirect {
    /// The default of `status`: permanent, method and body kept.
    pub const STATUS: u16 = 308;
}

/// The text of a new place with holes for parts of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Hole),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    Scheme,
    Host,
    Path,
    Query,
}

const HOLES: [(&str, Hole); 4] =
    [("scheme", Hole::Scheme), ("host", Hole::Host), ("path", Hole::Path), ("query", Hole::Query)];

/// The parts of a request that a template can take.
#[derive(Debug, Clone, Copy)]
pub struct Original<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The canonical host.
    pub host: &'a str,
    /// The raw path as the client sent it.
    pub path: &'a str,
    /// The raw query without its `?`, if there was one.
    pub query: Option<&'a str>,
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RedirectError {
    /// `{` without `}`.
    #[error("a `{{` is not closed")]
    Open,
    /// A hole that does not exist.
    #[error("`{{{name}}}` is not known")]
    Hole {
        /// The name in the braces.
        name: String,
    },
    /// It begins neither with a scheme and a host nor with a path of its own.
    #[error(
        "a redirect leads to `http://..`, `https://..`, `{{scheme}}://..` or to a path that begins with `/` and a name"
    )]
    Start,
    /// The host depends on the path or is missing: a client could choose where it leads.
    #[error("the host of a redirect must not come from the path or the query")]
    Host,
    /// Control characters, spaces, or characters outside ASCII.
    #[error("a redirect may only hold visible ASCII characters; escape others with %")]
    Characters,
}

impl RedirectError {
    /// What to write instead, where that can be known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Hole { name } => {
                let near = fault::did_you_mean(name, HOLES.iter().map(|(name, _)| *name));
                Some(near.unwrap_or_else(|| "use {scheme}, {host}, {path} or {query}".into()))
            }
            _ => Some("for example \"https://new.example.com{path}{query}\"".into()),
        }
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When a hole is not known, or a client could choose the host that it leads to.
    pub fn parse(text: &str) -> Result<Self, RedirectError> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RedirectError::Characters);
        }
        check_start(text)?;
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(RedirectError::Open)?;
            let hole = HOLES.iter().find(|(known, _)| *known == name).map(|(_, hole)| *hole);
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Hole(hole.ok_or_else(|| RedirectError::Hole { name: name.to_owned() })?));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self { parts })
    }

    /// The new place for a request. `{query}` brings its `?` along and is nothing where there was no query.
    pub fn render(&self, original: &Original<'_>) -> String {
        let mut place = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => place.push_str(text),
                Part::Hole(hole) => hole.fill(original, &mut place),
            }
        }
        place
    }
}

impl fmt::Display for Template {
    /// The template as it may be written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Hole(hole) => {
                let name = HOLES.iter().find(|(_, known)| known == hole).map_or("", |(name, _)| name);
                write!(f, "{{{name}}}")
            }
        })
    }
}

impl Hole {
    fn fill(self, original: &Original<'_>, place: &mut String) {
        match self {
            Self::Scheme => place.push_str(original.scheme),
            Self::Host => place.push_str(original.host),
            Self::Path => fill_path(original.path, place),
            Self::Query => {
                if let Some(query) = original.query {
                    place.push('?');
                    place.push_str(query);
                }
            }
        }
    }
}

/// A path always begins with `/` here: one that does not (`OPTIONS *`) would run into the host before it.
fn fill_path(path: &str, place: &mut String) {
    if !path.starts_with('/') {
        place.push('/');
    }
    place.push_str(path);
}

/// The start decides who chooses the host: we, never the client.
fn check_start(text: &str) -> Result<(), RedirectError> {
    let lower = text.to_ascii_lowercase();
    let after = ["http://", "https://", "{scheme}://"].iter().find_map(|start| lower.strip_prefix(start));
    match after {
        Some(rest) => check_host(rest),
        None => match text.as_bytes() {
            // `//host` and `/\host` lead to another host, and a hole behind the slash may bring the second one.
            [b'/', b'/' | b'\\' | b'{', ..] => Err(RedirectError::Start),
            [b'/', ..] => Ok(()),
            _ => Err(RedirectError::Start),
        },
    }
}

fn check_host(rest: &str) -> Result<(), RedirectError> {
    let path = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // `{path}` brings its slash and ends the host too; `{query}` may be nothing, and what follows it would go on.
    let hole = rest.find("{path}").unwrap_or(rest.len());
    let host = &rest[..path.min(hole)];
    let is_safe = !host.is_empty()
        && !host.contains(['\\', '@'])
        && host.find("{query}").is_none_or(|at| at > 0 && host.ends_with("{query}"));
    if is_safe { Ok(()) } else { Err(RedirectError::Host) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGINAL: Original<'_> =
        Original { scheme: "https", host: "old.example", path: "/a%2Fb//c", query: Some("x=1&y") };

    #[test]
    fn a_template_takes_parts_of_the_request_untouched() {
        for (text, place) in [
            ("https://new.example{path}{query}", "https://new.example/a%2Fb//c?x=1&y"),
            ("{scheme}://www.{host}/x", "https://www.old.example/x"),
            ("/login?from={path}", "/login?from=/a%2Fb//c"),
            ("/", "/"),
            ("https://new.example{query}", "https://new.example?x=1&y"),
        ] {
            assert_eq!(
                Template::parse(text).map(|template| template.render(&ORIGINAL)).as_deref(),
                Ok(place),
                "{text}"
            );
        }
    }

    #[test]
    fn a_missing_query_is_nothing_and_an_empty_one_stays() {
        let template = Template::parse("/x{query}").unwrap();
        assert_eq!(template.render(&Original { query: None, ..ORIGINAL }), "/x");
        assert_eq!(template.render(&Original { query: Some(""), ..ORIGINAL }), "/x?");
    }

    #[test]
    fn a_target_without_slash_cannot_run_into_the_host() {
        let template = Template::parse("https://new.example{path}").unwrap();
        assert_eq!(
            template.render(&Original { path: ".evil.example", ..ORIGINAL }),
            "https://new.example/.evil.example"
        );
    }

    #[test]
    fn a_template_that_lets_the_client_choose_the_host_is_refused() {
        for (text, error) in [
            ("{path}", RedirectError::Start),
            ("//{host}/", RedirectError::Start),
            ("/{path}", RedirectError::Start),
            ("/\\evil", RedirectError::Start),
            ("new.example", RedirectError::Start),
            ("javascript:alert(1)", RedirectError::Start),
            ("https://{path}", RedirectError::Host),
            ("https:///x", RedirectError::Host),
            ("https://a@{host}", RedirectError::Host),
            ("https://a{query}.example", RedirectError::Host),
            ("https://a.example/{pth}", RedirectError::Hole { name: "pth".into() }),
            ("https://a.example/{path", RedirectError::Open),
            ("https://a.example/\r\nx", RedirectError::Characters),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
        assert_eq!(RedirectError::Hole { name: "pth".into() }.hint().as_deref(), Some("did you mean `path`?"));
    }
}
