//! Asks other servers on behalf of middlewares: login providers, key sets. One whole answer within one deadline, with a
//! bounded body, over connections that are used again.
//!
//! It follows no redirect and keeps no cookie: what an answer means is for who asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

use crate::upstream::{PemFault, pem};

/// How a [`Client`] asks.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// What certificates of servers are checked against; none are the authorities of this system.
    pub(crate) ca_file: Option<PathBuf>,
    /// From the question to the last byte of the answer.
    pub(crate) deadline: Duration,
    /// The most bytes of a body.
    pub(crate) body: usize,
}

/// Asks other servers. Clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    deadline: Duration,
    body: usize,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The file of authorities cannot be used.
    #[error(transparent)]
    Authorities(#[from] PemFault),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It took too long.
    #[error("no whole answer within {after:?}")]
    TooSlow {
        /// The deadline.
        after: Duration,
    },
    /// The server cannot be reached, or does not speak HTTP.
    #[error("it cannot be asked: {}", chain(.0))]
    Unreachable(#[from] legacy::Error),
    /// The answer broke off.
    #[error("its answer broke off: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is too long.
    #[error("its answer has more than {most} bytes")]
    TooLong {
        /// The most that is read.
        most: usize,
    },
    /// The question cannot be put into words of HTTP.
    #[error("it cannot be asked: {0}")]
    Unspeakable(#[from] http::Error),
}

/// Between two questions on one connection.
const IDLE: Duration = Duration::from_secs(30);
/// To one server.
const IDLE_CONNECTIONS: usize = 32;

impl Client {
    /// A client that has asked nobody yet. Blocks: it reads authorities from disk.
    ///
    /// # Errors
    /// When the file of authorities cannot be used.
    pub(crate) fn new(settings: &Settings) -> Result<Self, ClientError> {
        let roots = settings.ca_file.as_deref().map_or_else(|| Ok(system_roots()), pem::roots)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(settings.deadline));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector.wrap_connector(tcp));
        Ok(Self { inner, deadline: settings.deadline, body: settings.body })
    }

    /// GET with these fields.
    ///
    /// # Errors
    /// When there is no whole answer; every status is one.
    pub(crate) async fn get(&self, uri: &Uri, fields: HeaderMap) -> Result<Response<Bytes>, CallError> {
        self.send(Method::GET, uri, fields, Bytes::new()).await
    }

    /// POST of a body of this type with these fields.
    ///
    /// # Errors
    /// When there is no whole answer; every status is one.
    pub(crate) async fn post(
        &self,
        uri: &Uri,
        mut fields: HeaderMap,
        kind: HeaderValue,
        body: impl Into<Bytes>,
    ) -> Result<Response<Bytes>, CallError> {
        fields.insert(CONTENT_TYPE, kind);
        self.send(Method::POST, uri, fields, body.into()).await
    }

    /// Any request with these fields.
    ///
    /// # Errors
    /// When there is no whole answer; every status is one.
    pub(crate) async fn send(
        &self,
        method: Method,
        uri: &Uri,
        fields: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, CallError> {
        let mut request = Request::builder().method(method).uri(uri).body(Full::new(body))?;
        *request.headers_mut() = fields;
        let whole = async {
            let (head, body) = self.inner.request(request).await?.into_parts();
            let too_long = || CallError::TooLong { most: self.body };
            let named = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
            if named.is_some_and(|length| length > self.body) {
                return Err(too_long());
            }
            let body = Limited::new(body, self.body)
                .collect()
                .await
                .map_err(|error| if error.is::<LengthLimitError>() { too_long() } else { CallError::Broken(error) })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let late = |_| CallError::TooSlow { after: self.deadline };
        tokio::time::timeout(self.deadline, whole).await.map_err(late)?
    }
}

/// The error with its causes: the outermost alone says no more than "client error".
fn chain(error: &legacy::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Those that can be read: a system may have some that nobody understands.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

#[cfg(test)]
mod tests;
