//! The backends of the demo: five small HTTP servers on loopback, each on a port of its own so that a route can name
//! it. They know nothing of edge; what they show is what any backend behind it would see.

mod page;

mod echo;
mod events;
mod hello;
mod upload;
mod ws;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

/// One backend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// First label of its host, such as `hello` of `hello.localhost`.
    pub(super) name: &'static str,
    /// The variable by which a route names its address.
    pub(super) var: &'static str,
    /// What there is to see, in a few words.
    pub(super) about: &'static str,
    router: fn(&Tasks, &CancellationToken) -> Router,
}

/// All of them, in the order in which they are shown. A new one needs its file, its line here and its route.
pub(super) const SAMPLES: &[Sample] = &[
    Sample { name: "hello", var: "HELLO", about: "what a backend learns of you", router: |_, _| hello::router() },
    Sample { name: "echo", var: "ECHO", about: "your request, every header of it", router: |_, _| echo::router() },
    Sample { name: "ws", var: "WS", about: "a WebSocket that answers", router: |tasks, _| ws::router(tasks) },
    Sample {
        name: "events",
        var: "EVENTS",
        about: "an event a second, as it happens",
        router: |_, s| events::router(s),
    },
    Sample { name: "upload", var: "UPLOAD", about: "counts and hashes what you send", router: |_, _| upload::router() },
];

/// The samples with their sockets: bound, so that their addresses can be written down, and not yet served.
#[derive(Debug)]
pub(super) struct Bound {
    sockets: Vec<(Sample, TcpListener, SocketAddr)>,
}

impl Bound {
    /// Binds every sample to a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If loopback has no free port.
    pub(super) fn new() -> io::Result<Self> {
        let sockets = SAMPLES.iter().map(|sample| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((*sample, listener, address))
        });
        Ok(Self { sockets: sockets.collect::<io::Result<_>>()? })
    }

    /// The variables with which routes name the samples: name and URL.
    pub(super) fn vars(&self) -> Vec<(&'static str, String)> {
        self.sockets.iter().map(|(sample, _, address)| (sample.var, format!("http://{address}"))).collect()
    }

    /// Serves each until `tasks` stop. Who connected before that has waited and is served now.
    pub(super) fn serve(self, tasks: &Tasks) {
        for (sample, listener, _) in self.sockets {
            let owner = tasks.clone();
            tasks.spawn(format!("demo {}", sample.name), move |stop| async move {
                if let Err(why) = serve(sample, listener, &owner, &stop).await {
                    tracing::error!(sample = sample.name, %why, "a sample of the demo cannot be served");
                }
            });
        }
    }
}

/// Answers under way get this long at a stop: a browser may keep a connection open for ever.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

async fn serve(sample: Sample, listener: TcpListener, tasks: &Tasks, stop: &CancellationToken) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let router = (sample.router)(tasks, stop);
    let server = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let limit = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        ended = server.into_future() => ended,
        () = limit => Ok(()),
    }
}

#[cfg(test)]
mod tests;
