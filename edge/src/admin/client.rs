//! Asks a running edge over its socket. For the command line.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// Why a running edge gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no edge is running with the state folder {}; start one with `edge run`", state.display())]
    NotRunning {
        /// The folder that the socket is in.
        state: PathBuf,
    },
    /// The socket belongs to somebody else.
    #[error("{} belongs to another user; run this as the user that runs the edge, or with sudo", socket.display())]
    Denied {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket cannot be used.
    #[error("{} cannot be connected to: {source}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the running edge broke the connection: {0}")]
    Broken(#[from] hyper::Error),
    /// It took too long.
    #[error("the running edge did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It refused.
    #[error("the running edge answered {status}: {text}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What it said.
        text: String,
    },
    /// It speaks another version of the API.
    #[error("the running edge said something that this version does not understand: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// Asks for what `path`, such as `/api/v1/status`, says.
///
/// # Errors
/// See [`ClientError`].
pub async fn get<T: DeserializeOwned>(socket: &Path, path: &'static str) -> Result<T, ClientError> {
    ask(socket, Method::GET, path).await
}

/// Has `path`, such as `/api/v1/reload`, done. A refusal that has a body of the type is an answer.
///
/// # Errors
/// See [`ClientError`].
pub async fn post<T: DeserializeOwned>(socket: &Path, path: &'static str) -> Result<T, ClientError> {
    ask(socket, Method::POST, path).await
}

/// A reload of ten thousand routes takes well under a second.
const LIMIT: Duration = Duration::from_secs(30);

async fn ask<T: DeserializeOwned>(socket: &Path, method: Method, path: &'static str) -> Result<T, ClientError> {
    let exchange = exchange(socket, method, path);
    let (status, body) = tokio::time::timeout(LIMIT, exchange).await.map_err(|_| ClientError::TimedOut(LIMIT))??;
    match serde_json::from_slice(&body) {
        Ok(answer) => Ok(answer),
        Err(error) if status.is_success() => Err(error.into()),
        Err(_) => Err(ClientError::Refused { status, text: String::from_utf8_lossy(&body).trim().to_owned() }),
    }
}

async fn exchange(socket: &Path, method: Method, path: &'static str) -> Result<(StatusCode, Bytes), ClientError> {
    let stream = UnixStream::connect(socket).await.map_err(|source| unreachable(socket, source))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::new(Full::<Bytes>::default());
    *request.method_mut() = method;
    *request.uri_mut() = http::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(HOST, http::HeaderValue::from_static("edge"));
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        // Our own server on a socket of ours: it does not send without end.
        Ok((status, response.into_body().collect().await?.to_bytes()))
    };
    // The connection ends once the exchange lets go of it; its error is the exchange's too.
    let (answer, _) = tokio::join!(exchange, connection);
    answer
}

fn unreachable(socket: &Path, source: io::Error) -> ClientError {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ClientError::NotRunning { state: socket.parent().unwrap_or(socket).to_owned() }
        }
        io::ErrorKind::PermissionDenied => ClientError::Denied { socket: socket.to_owned() },
        _ => ClientError::Connect { socket: socket.to_owned(), source },
    }
}
