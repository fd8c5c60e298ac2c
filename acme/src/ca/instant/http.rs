//! HTTPS to an authority, with what the protocol library leaves open: a time limit, a size limit, a name for us, and
//! what an answer said beside its body. It does not know what the requests mean.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

const TIME: Duration = Duration::from_secs(30);
const SIZE: usize = 1024 * 1024;
const AGENT: &str = concat!("edge/", env!("CARGO_PKG_VERSION"));
/// As much of an error page as a log line should carry.
const QUOTED: usize = 200;

tokio::task_local! {
    static LAST: Cell<Option<Heard>>;
}

/// What the last answer of an order said beside its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    /// Its status.
    pub(super) status: StatusCode,
    /// How long to wait, if it said so.
    pub(super) retry_after: Option<Duration>,
}

/// Runs an order so that [`last_heard`] can tell what its last answer said.
pub(super) async fn listening<T>(order: impl Future<Output = T>) -> T {
    LAST.scope(Cell::new(None), order).await
}

/// The last answer within [`listening`]; none before the first one, and after a request without an answer.
pub(super) fn last_heard() -> Option<Heard> {
    LAST.try_with(Cell::get).ok().flatten()
}

fn hear(heard: Option<Heard>) {
    // Outside of an order nobody asks.
    let _ = LAST.try_with(|last| last.set(heard));
}

/// The client of one authority; clones share its connections.
#[derive(Clone)]
pub(super) struct EdgeHttp {
    client: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    now: fn() -> SystemTime,
}

impl EdgeHttp {
    /// A client that believes these roots, over HTTPS only. Its idle connections end with the last clone.
    pub(super) fn new(roots: RootCertStore, now: fn() -> SystemTime) -> Result<Self, rustls::Error> {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(2).build(https);
        Ok(Self { client, now })
    }

    async fn exchange(self, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let signed = request.method() == Method::POST;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        hear(None);
        let answer = self.client.request(request).await.map_err(|error| Error::Other(error.into()))?;
        let (parts, body) = answer.into_parts();
        hear(Some(Heard { status: parts.status, retry_after: retry_after(&parts.headers, (self.now)()) }));
        let body = Limited::new(body, SIZE).collect().await.map_err(Error::Other)?.to_bytes();
        let body = if is_error(parts.status) { problem(parts.status, body) } else { body };
        if is_error(parts.status) && !signed {
            // The library reads the directory and the nonce without a look at the status.
            return Err(Error::Api(serde_json::from_slice(&body)?));
        }
        Ok(BytesResponse { parts, body: Box::new(body) })
    }
}

impl HttpClient for EdgeHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let exchange = self.clone().exchange(request);
        Box::pin(async move {
            match tokio::time::timeout(TIME, exchange).await {
                Ok(answer) => answer,
                Err(late) => Err(Error::Other(late.into())),
            }
        })
    }
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Seconds or a date (RFC 9110, 10.2.3); a date that is over is no wait.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

/// The problem document of an error (RFC 7807). A proxy's error page becomes one, as the library would only say that
/// it is not JSON.
fn problem(status: StatusCode, body: Bytes) -> Bytes {
    if serde_json::from_slice::<serde_json::Map<_, _>>(&body).is_ok() {
        return body;
    }
    let page = String::from_utf8_lossy(&body);
    let words: Vec<&str> = page.split_whitespace().collect();
    let quoted: String = words.join(" ").chars().take(QUOTED).collect();
    let detail = match quoted.as_str() {
        "" => "an answer without a body".to_owned(),
        quoted => format!("an answer that is not ACME: {quoted}"),
    };
    let problem = serde_json::json!({ "type": "about:blank", "status": status.as_u16(), "detail": detail });
    problem.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            retry_after(&headers, now)
        };
        assert_eq!(read(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-1"), None);
    }

    #[test]
    fn an_error_page_becomes_a_problem_and_a_problem_stays() {
        let page = problem(StatusCode::BAD_GATEWAY, Bytes::from_static(b"<html>\n  <h1>502</h1>"));
        let read: serde_json::Value = serde_json::from_slice(&page).unwrap();
        assert_eq!(read["status"], 502);
        assert_eq!(read["detail"], "an answer that is not ACME: <html> <h1>502</h1>");
        let real = Bytes::from_static(br#"{"type":"urn:ietf:params:acme:error:malformed"}"#);
        assert_eq!(problem(StatusCode::BAD_REQUEST, real.clone()), real);
        for odd in [&b"\xff\xfe"[..], b"[]", b"null", b""] {
            let text = problem(StatusCode::NOT_FOUND, Bytes::from_static(odd));
            assert!(serde_json::from_slice::<serde_json::Map<_, _>>(&text).is_ok());
        }
    }
}
