//! The edge seen from inside: metrics, health, state as JSON, a page, and reload.
//!
//! Served on a loopback address for Prometheus and browsers, and on a socket in the state folder
//! for the command line. It shows what [`Source`] says and decides nothing.

pub mod api;
pub mod client;
mod http;
mod page;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use api::Source;
use http::{Door, router};

pub use socket::SocketError;

/// Where the edge can be seen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// TCP address; port 0 is any free one. `None`: none.
    pub listen: Option<SocketAddr>,
    /// Names besides `localhost` by which a browser or Prometheus may ask for it.
    pub hosts: Vec<String>,
    /// Socket for the command line.
    pub socket: PathBuf,
}

/// Why the edge cannot be seen.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The TCP address cannot be used.
    #[error("the admin address {address} cannot be listened on: {source}; change admin.listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The socket cannot be used.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

/// Begins to serve, under `tasks`; returns the TCP address in use.
///
/// # Errors
/// If the address or the socket cannot be used; then neither is served.
pub async fn start(
    settings: &Settings,
    source: Arc<dyn Source>,
    metrics: Metrics,
    tasks: &Tasks,
) -> Result<Option<SocketAddr>, StartError> {
    let tcp = match settings.listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let unix = socket::bind(&settings.socket)?;
    let address = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
    if let Some(tcp) = tcp {
        let app = router(Arc::clone(&source), metrics.clone(), Door::tcp(&settings.hosts));
        tasks.spawn("admin tcp", |stop| async move {
            let done = stop.clone().cancelled_owned();
            until(stop, axum::serve(tcp, app).with_graceful_shutdown(done)).await;
        });
    }
    let app = router(source, metrics, Door::Socket);
    tasks.spawn("admin socket", |stop| async move {
        let (listener, _file) = unix;
        let done = stop.clone().cancelled_owned();
        until(stop, axum::serve(listener, app).with_graceful_shutdown(done)).await;
    });
    Ok(address)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

/// Answers under way get this long at a stop. A browser may keep a connection open for ever.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

async fn until(stop: CancellationToken, serve: impl IntoFuture<Output = io::Result<()>>) {
    let limit = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        // Accepting never fails for good: axum goes on after each error.
        _ = serve.into_future() => {}
        () = limit => {}
    }
}

#[cfg(test)]
mod tests;
