//! Builds what serves each stream. What did not change is taken over as it is, with its connections and counters; a socket
//! of datagrams whose address stays goes from one load to the next without being closed.

use std::path::PathBuf;
use std::sync::Arc;

use routes::check::Rejected;
use routes::fault::{Fault, Place};
use routes::route::RouteKind;
use routes::stream::{SessionRule, Stream, Tcp, Udp};

use super::files;
use super::sites::Builder;
use crate::l4::site::{Around, TcpSite};
use crate::l4::udp_site::{self, UdpSite};
use crate::snapshot::{Snapshot, Unit, stream_settings};
use crate::telemetry::Metrics;
use crate::upstream::BuildError;

/// Why a checked stream cannot be served.
#[derive(Debug, thiserror::Error)]
enum Unbuilt {
    #[error(transparent)]
    Upstream(#[from] BuildError),
    #[error(transparent)]
    Udp(#[from] udp_site::BuildError),
}

impl Unbuilt {
    /// The key of the stream that it is about.
    fn key(&self) -> &'static str {
        match self {
            Self::Upstream(_) | Self::Udp(udp_site::BuildError::Upstream(_)) => "upstream",
            Self::Udp(udp_site::BuildError::Bind { .. }) => "listen",
        }
    }
}

impl Builder {
    /// What serves one stream.
    pub(super) fn stream(&self, stream: &Stream, before: &Snapshot, metrics: &Metrics) -> Result<Unit, Box<Rejected>> {
        let built = match stream {
            Stream::Tcp(route) => self.tcp(route, before, metrics).map(Unit::Tcp),
            Stream::Udp(route) => self.udp(route, before, metrics).map(Unit::Udp),
        };
        built.map_err(|error| Box::new(rejected(stream, &error)))
    }

    fn tcp(&self, route: &Arc<Tcp>, before: &Snapshot, metrics: &Metrics) -> Result<Arc<TcpSite>, Unbuilt> {
        let settings = stream_settings(&route.upstream, &self.folder);
        let before = before.streams.tcp(&route.name);
        let files: Arc<[PathBuf]> = settings.tls.files().cloned().collect();
        // Read before they are used: an edit in between is seen as a change by the next load.
        let files_digest = files::digest(&files);
        if let Some(old) = before.filter(|old| old.files_digest == files_digest && old.route.same_as(route)) {
            return Ok(Arc::new(old.moved(route)));
        }
        let is_postgres = route.entrypoints.iter().any(|name| self.postgres.contains(name));
        let before = before.map(|site| &**site);
        let around = Around { means: &self.means, settings, before, is_postgres, files, files_digest, metrics };
        Ok(Arc::new(TcpSite::build(route, around)?))
    }

    fn udp(&self, route: &Arc<Udp>, before: &Snapshot, metrics: &Metrics) -> Result<Arc<UdpSite>, Unbuilt> {
        let same = before.streams.udp(&route.name).filter(|old| old.route.same_as(route));
        if let Some(old) = same {
            return Ok(Arc::new(old.moved(route)));
        }
        let settings = stream_settings(&route.upstream, &self.folder);
        let around = udp_site::Around {
            means: &self.means,
            settings,
            before: before.streams.all_udp().cloned().collect(),
            metrics,
            tasks: &self.relays,
            grace: self.grace,
        };
        Ok(Arc::new(UdpSite::build(route, around)?))
    }
}

fn rejected(stream: &Stream, error: &Unbuilt) -> Rejected {
    let (kind, header, hosts, sessions) = match stream {
        Stream::Tcp(tcp) => {
            let sessions = SessionRule { databases: tcp.databases.clone(), users: tcp.users.clone() };
            (RouteKind::Tcp, "[[tcp]]", tcp.hosts.clone(), sessions)
        }
        Stream::Udp(_) => (RouteKind::Udp, "[[udp]]", Vec::new(), SessionRule::default()),
    };
    let (name, file, line) = (stream.name().to_owned(), stream.file().to_owned(), stream.line());
    let place = Place { file: file.clone(), line, column: 1, source_line: header.to_owned() };
    let mut fault = Fault::error(place, error.key(), error.to_string());
    fault.route = Some(name.clone());
    Rejected { name, kind, hosts, rule: None, sessions, file, line, name_taken: false, faults: vec![fault] }
}
