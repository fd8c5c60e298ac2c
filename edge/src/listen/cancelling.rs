//! Passes a Postgres CancelRequest on to the server that holds the session, and waits for it to close, as clients do.
//!
//! Who does not know a session's key cannot cancel it: the server compares, and whatever it finds it only closes.

use std::time::Duration;

use futures_util::future::join_all;
use routes::stream::{Mode, Streams};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::shared::CancelTarget;
use super::visit::Visit;
use crate::l4::dial::{Greeting, Place, dial_at};
use crate::l4::postgres::Cancel;
use crate::snapshot::Snapshot;
use crate::telemetry::StreamEnd;

/// How long a server may take over it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Servers that are asked where nobody knows which one it is.
const MOST: usize = 16;

impl Visit<'_> {
    /// `unknown` are the routes whose sessions nobody could look into.
    pub(super) async fn cancel(&self, snapshot: &Snapshot, unknown: Option<&Streams>, cancel: &Cancel) {
        let mut targets = self.shared.streams.cancels.find(cancel.pid, &cancel.key);
        if targets.is_empty() {
            targets = unknown.map(|streams| opaque(snapshot, streams)).unwrap_or_default();
        }
        // Whoever may not come in has no session to cancel, and no word with the servers.
        targets.retain(|target| target.site.route.ip.admits(self.ends.client.ip()));
        let packet = cancel.packet();
        let sent = join_all(targets.iter().take(MOST).map(|target| self.send(target, &packet))).await;
        let Some(target) = targets.first() else {
            return self.finish(None, StreamEnd::Cancelled, "no session has this key");
        };
        let failed = sent.into_iter().find_map(Result::err).unwrap_or_default();
        self.finish(Some(&target.site), StreamEnd::Cancelled, &failed);
    }

    async fn send(&self, target: &CancelTarget, packet: &[u8]) -> Result<(), String> {
        let greeting = if target.site.route.mode == Mode::Reencrypt { Greeting::PostgresTls } else { Greeting::None };
        let sent = async {
            let mut wire =
                dial_at(&target.site, &target.place, self.ends, greeting).await.map_err(|error| error.to_string())?;
            wire.write_all(packet).await.map_err(|error| error.to_string())?;
            wire.flush().await.map_err(|error| error.to_string())?;
            // A server says nothing and closes once it has told the session; a reset is a close too.
            let mut nothing = [0; 64];
            while matches!(wire.read(&mut nothing).await, Ok(1..)) {}
            Ok(())
        };
        tokio::time::timeout(PATIENCE, Box::pin(sent)).await.unwrap_or(Ok(()))
    }
}

/// The servers of the routes that pass TLS on: a client of libpq 16 and before asks in clear, without a name.
fn opaque(snapshot: &Snapshot, streams: &Streams) -> Vec<CancelTarget> {
    let passed = streams.iter().filter(|route| route.mode == Mode::Passthrough);
    let sites = passed.filter_map(|route| snapshot.streams.tcp(&route.name));
    let places = sites.flat_map(|site| {
        let servers = site.pool.status().into_iter();
        servers.flat_map(move |server| {
            let name: std::sync::Arc<str> = server.server.as_str().into();
            let place = move |address| Place { address, server: name.clone(), tls_name: String::new() };
            let addresses = server.addresses.into_iter().filter(|known| !known.failing).map(|known| known.address);
            addresses.map(place).map(|place| CancelTarget { site: std::sync::Arc::clone(site), place })
        })
    });
    places.take(MOST).collect()
}
