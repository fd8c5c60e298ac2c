//! What a request asks for, read once: the authority, the target and what must hold of both before a route is looked for.
//!
//! Works on the head alone; routes, certificates and answers are others' business.

use http::{HeaderMap, HeaderValue, Method, header};
use pingora::http::RequestHeader;
use routes::host::Authority;

use super::forwarded;
use crate::conn::h1_head::HeadLimits;
use crate::telemetry::Refusal;

/// A request in the terms of routes.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The method, as sent.
    pub method: String,
    /// The canonical host.
    pub host: String,
    /// The authority as the client wrote it, for whoever must see that.
    pub authority: String,
    /// The port that the client named.
    pub port: Option<u16>,
    /// The raw path of the target, without its query.
    pub path: String,
    /// The raw query without its `?`, if there is one.
    pub query: Option<String>,
}

impl Asked {
    /// The target in origin form: path and query as the client wrote them.
    pub fn target(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.path)
    }
}

/// Reads the head of a request. On HTTP/2 nobody has counted its fields before, which are those that were decoded: cookie
/// crumbs are counted one by one.
///
/// # Errors
/// The reason for which it is refused, whatever the routes say.
pub fn read(head: &RequestHeader, bounds: &HeadLimits) -> Result<Asked, Refusal> {
    if head.headers.len() > bounds.fields {
        return Err(Refusal::TooManyFields);
    }
    if head.method == Method::CONNECT {
        return Err(Refusal::MethodNotAllowed);
    }
    if forwarded::nominates_protected(head) {
        return Err(Refusal::ProtectedHeader);
    }
    if !expectation_is_known(&head.headers) {
        return Err(Refusal::ExpectationFailed);
    }
    let target = target(head).ok_or(Refusal::BadRequestLine)?;
    if target.len() > bounds.line_bytes {
        return Err(Refusal::UriTooLong);
    }
    let authority = authority(head).ok_or(Refusal::BadHost)?;
    let parsed = Authority::parse(authority.as_bytes()).map_err(|_| Refusal::BadHost)?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    Ok(Asked {
        method: head.method.as_str().to_owned(),
        host: parsed.host.into_owned(),
        port: parsed.port,
        path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
        query,
        authority,
    })
}

/// The target without scheme and authority. Printable ASCII on HTTP/1 by our own guard; on HTTP/2 checked here.
fn target(head: &RequestHeader) -> Option<&str> {
    let raw = std::str::from_utf8(head.raw_path()).ok()?;
    let origin = match raw.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => match rest.find(['/', '?']) {
            Some(at) => &rest[at..],
            // RFC 9112 section 3.2.4.
            None if head.method == Method::OPTIONS => "*",
            None => "/",
        },
        _ => raw,
    };
    let form = origin.starts_with(['/', '?']) || (origin == "*" && head.method == Method::OPTIONS);
    (form && origin.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')).then_some(origin)
}

/// The one authority: the engine has refused requests in which Host, `:authority` and absolute form differ.
fn authority(head: &RequestHeader) -> Option<String> {
    if let Some(authority) = head.uri.authority() {
        return Some(authority.as_str().to_owned());
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return None };
    host.to_str().ok().map(str::to_owned)
}

/// RFC 9110 section 10.1.1: only `100-continue` is defined.
fn expectation_is_known(headers: &HeaderMap<HeaderValue>) -> bool {
    headers.get_all(header::EXPECT).iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HeadLimits = HeadLimits { head_bytes: 32 * 1024, line_bytes: 8192, fields: 100 };

    fn head(method: &str, target: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build(method, target.as_bytes(), None).expect("valid");
        for (name, value) in fields {
            head.append_header(*name, *value).expect("valid");
        }
        head
    }

    #[test]
    fn the_parts_of_a_request_are_read_as_they_came() {
        let asked = read(&head("GET", "/a%2Fb//c?q=%20&&", &[("Host", "App.Example.:8443")]), &BOUNDS).expect("fine");
        assert_eq!((asked.host.as_str(), asked.port), ("app.example", Some(8443)));
        assert_eq!((asked.path.as_str(), asked.query.as_deref()), ("/a%2Fb//c", Some("q=%20&&")));
        assert_eq!(asked.authority, "App.Example.:8443");
    }

    #[test]
    fn an_absolute_target_is_read_without_its_authority() {
        let asked = read(&head("GET", "http://app.example/x?y", &[("Host", "app.example")]), &BOUNDS).expect("fine");
        assert_eq!((asked.path.as_str(), asked.query.as_deref()), ("/x", Some("y")));
        for (method, target, origin) in [
            ("GET", "http://a/x//y?z=http://b", "/x//y?z=http://b"),
            ("GET", "http://a", "/"),
            ("GET", "http://a?x", "/?x"),
            ("GET", "http://a/?", "/?"),
            ("OPTIONS", "http://a", "*"),
            ("OPTIONS", "http://a/", "/"),
        ] {
            let asked = read(&head(method, target, &[("Host", "a")]), &BOUNDS).expect("fine");
            assert_eq!(asked.target(), origin, "{method} {target}");
        }
    }

    #[test]
    fn what_no_route_may_see_is_refused() {
        let host = ("Host", "a");
        let table = [
            (head("GET", "/", &[]), Refusal::BadHost),
            (head("GET", "/", &[("Host", "a b")]), Refusal::BadHost),
            (head("GET", "/", &[("Host", "u@a")]), Refusal::BadHost),
            (head("GET", "/", &[("Host", "")]), Refusal::BadHost),
            (head("GET", "/", &[host, ("Expect", "200-ok")]), Refusal::ExpectationFailed),
            (head("GET", "/", &[host, ("Connection", "X-Forwarded-For")]), Refusal::ProtectedHeader),
            (head("GET", &format!("/{}", "a".repeat(9000)), &[host]), Refusal::UriTooLong),
        ];
        for (head, refusal) in table {
            assert_eq!(read(&head, &BOUNDS).err(), Some(refusal), "{head:?}");
        }
        let crumbs = vec![("Cookie", "a=b"); 100];
        assert_eq!(
            read(&head("GET", "/", &[&[host], &crumbs[..]].concat()), &BOUNDS).err(),
            Some(Refusal::TooManyFields)
        );
    }
}
