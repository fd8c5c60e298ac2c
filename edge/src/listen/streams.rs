//! A connection on an entrypoint of plain TCP, or one on an HTTPS entrypoint whose name is that of a `[[tcp]]` route:
//! which route it is for, and how its TLS is treated.

use std::sync::Arc;
use std::time::Duration;

use routes::stream::{Mode, Streams, Tcp};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::tls;
use super::visit::Visit;
use crate::conn::prefixed::Prefixed;
use crate::l4::dial::{Greeting, keep_alive};
use crate::l4::first_bytes::{self, First};
use crate::l4::site::TcpSite;
use crate::snapshot::Snapshot;
use crate::telemetry::StreamEnd;

/// How long the last words to a client may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a client may be silent where a route without TLS may be meant, whose server speaks first.
const SERVER_SPEAKS: Duration = Duration::from_secs(3);

impl Visit<'_> {
    /// Serves the connection to its end.
    pub(super) async fn tcp(mut self, mut socket: TcpStream) {
        let mut bytes = Vec::new();
        let Some(site) = Box::pin(self.route_of(&mut socket, &mut bytes)).await else { return };
        self.serve(site, socket, bytes).await;
    }

    /// Serves a connection whose ClientHello, read already, names a `[[tcp]]` route.
    pub(super) async fn serve(mut self, site: Arc<TcpSite>, socket: TcpStream, bytes: Vec<u8>) {
        keep_alive(&socket);
        match site.route.mode {
            Mode::None | Mode::Passthrough => self.pass(&site, socket, bytes).await,
            Mode::Terminate => self.end_tls(&site, socket, bytes, Greeting::None).await,
            Mode::Reencrypt => self.end_tls(&site, socket, bytes, Greeting::Tls).await,
        }
    }

    /// Bytes as they come.
    async fn pass(&self, site: &Arc<TcpSite>, mut socket: TcpStream, bytes: Vec<u8>) {
        match self.open(site, Greeting::None).await {
            Ok(opened) => self.carry(site, &mut socket, opened, bytes, None).await,
            Err(closed) => self.finish(Some(site), closed.end(), &closed.detail()),
        }
    }

    async fn end_tls(&mut self, site: &Arc<TcpSite>, socket: TcpStream, bytes: Vec<u8>, greeting: Greeting) {
        let unnamed = site.route.hosts.first().map(ToString::to_string);
        let shaken = self.handshake(Some(site), Prefixed::new(bytes, socket), unnamed.as_deref()).await;
        let Some(stream) = shaken else { return };
        let mut stream = Box::new(stream);
        match self.open(site, greeting).await {
            Ok(opened) => self.carry(site, &mut *stream, opened, Vec::new(), None).await,
            Err(closed) => {
                self.finish(Some(site), closed.end(), &closed.detail());
                // In TLS an end without a word is an attack.
                let _ = tokio::time::timeout(Duration::from_secs(1), stream.shutdown()).await;
            }
        }
    }

    /// The route that the first bytes are for; refused where there is none.
    async fn route_of(&mut self, socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Arc<TcpSite>> {
        let snapshot = self.snapshot();
        let Some(streams) = snapshot.streams.table.entrypoint(&self.entrypoint.name) else {
            self.finish(None, StreamEnd::NoRoute, "the entrypoint has no [[tcp]] route");
            return None;
        };
        let route = match streams.has_names() {
            true => self.named(streams, socket, bytes).await,
            false => streams.default().ok_or((StreamEnd::NoRoute, String::new())),
        };
        match route {
            Ok(route) => self.site(&snapshot, route),
            Err((end, detail)) => {
                self.finish(None, end, &detail);
                if end == StreamEnd::NoRoute && self.said.sni.is_some() {
                    let _ = tokio::time::timeout(LAST_WORDS, tls::refuse_name(socket)).await;
                }
                None
            }
        }
    }

    pub(super) fn site(&self, snapshot: &Snapshot, route: &Tcp) -> Option<Arc<TcpSite>> {
        let site = snapshot.streams.tcp(&route.name).cloned();
        if site.is_none() {
            self.finish(None, StreamEnd::NoRoute, "the route has nothing that serves it");
        }
        site
    }

    /// By the name in the ClientHello, or the route for all that is none.
    async fn named<'s>(
        &mut self,
        streams: &'s Streams,
        socket: &mut TcpStream,
        bytes: &mut Vec<u8>,
    ) -> Result<&'s Arc<Tcp>, (StreamEnd, String)> {
        let raw = streams.default().filter(|route| route.mode == Mode::None);
        let until = match raw {
            Some(_) => self.deadline.min(tokio::time::Instant::now() + SERVER_SPEAKS),
            None => self.deadline,
        };
        let first = tokio::time::timeout_at(until, first_bytes::read(socket, bytes)).await;
        match first {
            Ok(Ok(First::Hello(hello))) => {
                let candidates = streams.by_sni(hello.sni.as_deref());
                self.said.sni = hello.sni.map(Into::into);
                let found = candidates.iter().next();
                found.ok_or_else(|| (StreamEnd::NoRoute, no_route(self.said.sni.as_deref()).to_owned()))
            }
            Ok(Ok(First::Left)) => Err((StreamEnd::Left, String::new())),
            Ok(Err(error)) => Err((StreamEnd::ClientBroken, error.to_string())),
            Ok(Ok(First::NotTls(_))) => raw.ok_or((StreamEnd::NoRoute, "the first bytes are not TLS".to_owned())),
            Ok(Ok(First::Malformed(why))) => raw.ok_or((StreamEnd::Protocol, why.to_string())),
            Err(_) => raw.ok_or((StreamEnd::Timeout, "no ClientHello came".to_owned())),
        }
    }
}

/// Why no route takes a client that asked for this name, or for none.
pub(super) fn no_route(sni: Option<&str>) -> &'static str {
    match sni {
        Some(_) => "no [[tcp]] route that serves has the name; see edge routes",
        None => "the client sent no name (SNI), and the routes of the entrypoint have different hosts",
    }
}
