//! What the pages of the samples have in common: style, head, and text that is safe in HTML. No page's content is here.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST};
use axum::response::{IntoResponse, Response};

/// A whole page around `main`, which is HTML. Nothing is fetched from elsewhere, and the browser is told so.
pub(super) fn page(title: &str, main: &str) -> Response {
    let html = TEMPLATE.replace("{{title}}", &text(title)).replace("{{main}}", main);
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, html).into_response()
}

/// Style and scripts are written in the pages; they may speak with their own host only.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const TEMPLATE: &str = include_str!("page.html");

/// Text of anybody as HTML text or as a quoted attribute.
pub(super) fn text(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for char in raw.chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(char),
        }
    }
    safe
}

/// `:8443` if the client named a port, else nothing: with it the pages link each other.
pub(super) fn port(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    port.map(|port| format!(":{port}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(text("<a href=\"x\" id='y'>&amp;ß"), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp;ß");
    }

    #[test]
    fn the_port_of_a_host_is_a_number_or_nothing() {
        let of = |host: &str| port(&HeaderMap::from_iter([(HOST, host.parse().expect("a header value"))]));
        assert_eq!(of("hello.localhost:8443"), ":8443");
        assert_eq!(of("[::1]:1"), ":1");
        for none in ["hello.localhost", "x:", "x:65536", "x:\"><script>", "[::1]"] {
            assert_eq!(of(none), "", "{none}");
        }
        assert_eq!(port(&HeaderMap::new()), "");
    }
}
