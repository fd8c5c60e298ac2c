//! Sends clients elsewhere: paths that match `from` to `to`, and whatever host, scheme or slash is not the wanted one to
//! that which is.
//!
//! ```toml
//! [middleware.moved]
//! kind = "redirect"
//! from = "^/blog/(?<year>[0-9]{4})/(.*)$"
//! to = "https://blog.example.com/{year}/{2}{query}"
//! status = 301
//!
//! [middleware.canonical]
//! kind = "redirect"
//! www = "remove"       # www.example.com -> example.com
//! scheme = "https"     # http:// -> https://
//! slash = "add"        # /docs -> /docs/, but not /logo.png
//! ```
//!
//! `from` is matched against the canonical path (escapes of plain characters decoded, slashes merged), anywhere unless it
//! begins with `^`. In `to`, `{1}` and `{name}` are its captures; `{scheme}`, `{host}`, `{path}` and `{query}` (with its `?`)
//! are those of the request. No capture can choose the host: it stands in `to` or is the request's own, and a path never
//! begins with two slashes. A request that would be sent to where it already is passes.

use http::{HeaderValue, Method, StatusCode, header};
use regex::Regex;
use routes::document::Item;
use routes::path::Canonical;
use routes::shape::{Key, Shape};
use routes::target::Template as Place;
use routes::world::{Needs, Reading};

use super::captures::{Template, expression, with_one_slash};
use super::{Ask, Asker, BuildError, Building, Flow, Kind, Middleware};

/// The middleware.
#[derive(Debug)]
pub struct Redirect {
    moved: Option<(Regex, Template)>,
    https: bool,
    www: Option<Wanted>,
    slash: Option<Wanted>,
    status: StatusCode,
}

/// What becomes of a part of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// It has to be there.
    Add,
    /// It must not be there.
    Remove,
}

const WORDS: [&str; 4] = ["scheme", "host", "path", "query"];
const STATUS: i64 = 308;

impl Kind for Redirect {
    const NAME: &'static str = "redirect";
    const KEYS: &'static [Key] = &[
        Key::new("from", Shape::Text("a regular expression"), "Paths that have moved."),
        Key::new("to", Shape::Text("an address"), "Where those are now."),
        Key::new("scheme", Shape::one_of(&["https"]), "Requests over HTTP are sent to HTTPS."),
        Key::new("www", Shape::one_of(&["add", "remove"]), "Hosts without, or with, `www.` are sent to the other."),
        Key::new(
            "slash",
            Shape::one_of(&["add", "remove"]),
            "Paths without, or with, a slash at their end are sent to the other.",
        ),
        Key::new("status", Shape::Integer { min: 301, max: 308 }, "301, 302, 303, 307 or 308.").default("308"),
    ];
    type Settings = Redirect;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Redirect> {
        let status = item.get("status").and_then(|status| status.as_integer()).unwrap_or(STATUS);
        if let Some(given) = item.get("status").filter(|_| !matches!(status, 301..=303 | 307 | 308)) {
            reading.faults.push(given.fault(format!("{status} is not a redirect")).hint("301, 302, 303, 307 or 308"));
        }
        let wanted = |key| match item.get(key).and_then(|item| item.as_str()) {
            Some("add") => Some(Wanted::Add),
            Some("remove") => Some(Wanted::Remove),
            _ => None,
        };
        let redirect = Redirect {
            moved: moved(item, reading),
            https: item.get("scheme").is_some(),
            www: wanted("www"),
            slash: wanted("slash"),
            status: StatusCode::from_u16(u16::try_from(status).ok()?).ok()?,
        };
        if !["from", "to", "scheme", "www", "slash"].iter().any(|key| item.get(key).is_some()) {
            let fault = item.fault("nothing is ever redirected");
            reading.faults.push(fault.hint("write `from` and `to`, or one of `scheme`, `www` and `slash`"));
        }
        Some(redirect)
    }

    fn needs(settings: &Redirect) -> Needs {
        Needs { one_reading: settings.moved.is_some() || settings.slash.is_some(), ..Needs::default() }
    }

    fn build(settings: Redirect, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(settings)
    }
}

fn moved(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<(Regex, Template)> {
    let (from, to) = match (item.get("from"), item.get("to")) {
        (Some(from), Some(to)) => (from, to),
        (None, None) => return None,
        (Some(alone), None) | (None, Some(alone)) => {
            reading.faults.push(alone.fault("`from` and `to` belong together").hint("write the other one too"));
            return None;
        }
    };
    let regex = expression(&from, reading);
    let text = to.as_str()?;
    let template = Template::read(&to, Some(regex.as_ref()?), &WORDS, reading)?;
    let place = if text.starts_with('/') { Ok(()) } else { host_is_ours(text) };
    if let Err(why) = place {
        reading.faults.push(to.fault(why).hint("for example \"https://new.example.com/{1}{query}\" or \"/new/{1}\""));
    }
    Some((regex?, template))
}

/// The host stands in the text or is the request's.
fn host_is_ours(text: &str) -> Result<(), String> {
    let begin = text.find("://").map_or(text.len(), |at| at + 3);
    let ends = [text[begin..].find(['/', '?', '#']), text[begin..].find("{path}")];
    let end = ends.into_iter().flatten().min().map_or(text.len(), |at| begin + at);
    let host = &text[..end];
    // What is left of the braces is a capture.
    let bare = WORDS.iter().fold(host.to_owned(), |bare, word| bare.replace(&format!("{{{word}}}"), ""));
    if bare.contains('{') {
        return Err("a capture must not be part of the host: clients could choose where they are sent".into());
    }
    Place::parse(host).map(drop).map_err(|error| error.to_string())
}

impl Middleware for Redirect {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        let from = ask.from;
        let Some(to) = self.moved_to(&from).or_else(|| self.canonical(&from)) else { return Flow::Next };
        match HeaderValue::try_from(to) {
            Ok(to) => Flow::answer(self.status, vec![(header::LOCATION, to)]),
            Err(_) => Flow::Next,
        }
    }
}

impl Redirect {
    fn moved_to(&self, from: &Asker<'_>) -> Option<String> {
        let (regex, template) = self.moved.as_ref()?;
        let path = Canonical::read(from.path.as_bytes()).path;
        let captures = regex.captures(&path)?;
        let query = from.query.map(|query| format!("?{query}")).unwrap_or_default();
        let to = template.render(Some(&captures), |word| match word {
            "scheme" => from.scheme.to_owned(),
            "host" => from.host.to_owned(),
            "path" => with_one_slash(from.path),
            _ => query.clone(),
        });
        let to = if to.starts_with('/') { with_one_slash(&to) } else { to };
        let here = format!("{}{query}", from.path);
        let whole = format!("{}://{}{here}", from.scheme, from.authority);
        (to != here && to != whole).then_some(to)
    }

    /// The same place as it is wanted, if it was asked for as it is not.
    fn canonical(&self, from: &Asker<'_>) -> Option<String> {
        let scheme = if self.https { "https" } else { from.scheme };
        let host = match (self.www, from.host.strip_prefix("www.")) {
            (Some(Wanted::Remove), Some(rest)) if rest.contains('.') => rest.to_owned(),
            (Some(Wanted::Add), None) if is_name(from.host) => format!("www.{}", from.host),
            _ => from.host.to_owned(),
        };
        let path = self.slashed(from);
        if scheme == from.scheme && host == from.host && path == from.path {
            return None;
        }
        // The port of the other scheme is not known: it is its default.
        let port = from.authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let port = port.filter(|_| scheme == from.scheme).map(|(_, port)| format!(":{port}")).unwrap_or_default();
        let query = from.query.map(|query| format!("?{query}")).unwrap_or_default();
        Some(format!("{scheme}://{host}{port}{path}{query}"))
    }

    fn slashed(&self, from: &Asker<'_>) -> String {
        let path = from.path;
        let is_page = matches!(*from.method, Method::GET | Method::HEAD) && path.starts_with('/');
        let last = path.rsplit('/').next().unwrap_or_default();
        match self.slash.filter(|_| is_page) {
            Some(Wanted::Add) if !last.is_empty() && !last.contains('.') => format!("{path}/"),
            Some(Wanted::Remove) if last.is_empty() && path.len() > 1 => with_one_slash(path.trim_end_matches('/')),
            _ => path.to_owned(),
        }
    }
}

/// Whether a host is a name, not an address, for which `www.` makes sense.
fn is_name(host: &str) -> bool {
    host.contains('.') && !host.starts_with('[') && host.parse::<std::net::IpAddr>().is_err()
}

#[cfg(test)]
mod tests;
