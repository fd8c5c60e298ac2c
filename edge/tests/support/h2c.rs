//! A server of HTTP/2 in clear that says what it was asked.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::Ipv4Addr;
use std::path::Path;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Answers `METHOD TARGET BYTES` with a trailer. Ends with this value.
pub(crate) struct H2cServer {
    url: String,
    _runtime: Runtime,
}

impl H2cServer {
    pub(crate) fn start() -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let url = format!("h2c://{}", listener.local_addr().expect("it is bound"));
        drop(runtime.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket));
            }
        }));
        Self { url, _runtime: runtime }
    }

    /// One that listens on a socket of the machine.
    pub(crate) fn at_socket(path: &Path) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(async { UnixListener::bind(path) }).expect("the folder is ours");
        drop(runtime.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket));
            }
        }));
        Self { url: format!("unix:{}", path.display()), _runtime: runtime }
    }

    /// As a route's `upstream`.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }
}

fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("threads")
}

async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    let mut requests = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        requests.spawn(async move {
            let (head, body) = request.into_parts();
            let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
            drop(answer(format!("{} {target}", head.method), body, respond).await);
        });
    }
}

async fn answer(said: String, mut body: RecvStream, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut bytes = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        bytes += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    let mut stream = respond.send_response(http::Response::new(()), false)?;
    stream.send_data(format!("{said} {bytes}").into(), false)?;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-trailer", http::HeaderValue::from_static("after the body"));
    stream.send_trailers(trailers)
}
