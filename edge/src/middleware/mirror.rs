//! Sends copies of requests to a second server and throws its answers away: to try a new version with real traffic. The
//! original never waits for its copy and never fails by it.
//!
//! ```toml
//! [[route]]
//! host = "api.example.com"
//! upstream = "http://127.0.0.1:8080"
//! use = [{ kind = "mirror", to = "http://127.0.0.1:9090", percent = 10 }]
//! ```
//!
//! A copy has the method, the path, the fields and the body that the server gets, logins and cookies among them: send
//! copies only to whom you trust as much as the server. It leaves once the body is complete. Only what reaches a server is
//! copied, so a request that a middleware refuses is not, wherever this one stands; nor is a WebSocket.
//!
//! Copies have bounds: of those beyond `at_once`, and of bodies larger than `max_body`, there is none. What became of them
//! is in `edge_mirrored_total`. Copies that are under way when the route changes or the edge stops are given up. Mind that
//! what a copy does is done twice where both servers share a database.

mod copy;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Uri, header};
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::units;
use routes::world::{Needs, Reading};
use tokio::sync::Semaphore;

use self::copy::{Collect, Copies, Copy};
use super::client::{self, Client};
use super::{Ask, BuildError, Building, Flow, Kind, Middleware};
use crate::telemetry::Mirrored;

/// The middleware.
#[derive(Debug)]
pub struct Mirror {
    copies: Arc<Copies>,
    places: Arc<Semaphore>,
    percent: u64,
    max_body: usize,
    /// Requests so far.
    seen: AtomicU64,
}

/// What was written.
#[derive(Debug)]
pub struct Settings {
    to: String,
    percent: u64,
    max_body: usize,
    at_once: usize,
    timeout: Duration,
}

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BODY: u64 = 64 * 1024;
/// Answers are thrown away: of a longer one the connection is closed.
const ANSWER: usize = 64 * 1024;

impl Kind for Mirror {
    const NAME: &'static str = "mirror";
    const KEYS: &'static [Key] = &[
        Key::new("to", Shape::Text("an address"), "Scheme, host and port of the server that gets the copies.")
            .required(),
        Key::new("percent", Shape::Integer { min: 1, max: 100 }, "How many of a hundred requests are copied.")
            .default("100"),
        Key::new("max_body", Shape::Bytes, "Requests with larger bodies are not copied.").default("\"64KiB\""),
        Key::new("at_once", Shape::Integer { min: 1, max: 10_000 }, "How many copies may be under way.").default("32"),
        Key::new("timeout", Shape::Duration, "How long a copy may take to be answered.").default("\"10s\""),
    ];
    type Settings = Settings;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Settings> {
        let given = item.get("to")?;
        let to = given.as_str()?.trim_end_matches('/');
        let is_server = to.parse::<Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.path().len() < 2
        });
        if !is_server || to.contains(['?', '@', '#']) {
            let fault = given.fault(format!("`{to}` is not the address of a server"));
            reading.faults.push(fault.hint("scheme, host and port without a path: \"http://127.0.0.1:9090\""));
        }
        let number = |key: &str| item.get(key).and_then(|item| u64::try_from(item.as_integer()?).ok());
        let max_body =
            item.get("max_body").and_then(|size| units::bytes(size.as_str()?).ok()).unwrap_or(Some(MAX_BODY));
        if let Some(size) = item.get("max_body").filter(|_| max_body.is_none_or(|size| size > 64 << 20)) {
            reading
                .faults
                .push(size.fault("copies are kept in memory: at most 64MiB each").hint("for example \"1MiB\""));
        }
        Some(Settings {
            to: to.to_owned(),
            percent: number("percent").unwrap_or(100),
            max_body: usize::try_from(max_body?).ok()?,
            at_once: usize::try_from(number("at_once").unwrap_or(32)).ok()?,
            timeout: item.get("timeout").and_then(|item| item.as_duration()).unwrap_or(TIMEOUT),
        })
    }

    fn needs(_: &Self::Settings) -> Needs {
        Needs { servers: true, ..Needs::default() }
    }

    fn build(settings: Settings, building: &Building<'_>) -> Result<Self, BuildError> {
        let asked = client::Settings { ca_file: None, deadline: settings.timeout, body: ANSWER };
        let client = Client::new(&asked).map_err(|error| building.error(error))?;
        Ok(Self {
            copies: Arc::new(Copies::new(client, settings.to, building.route, building.metrics.clone())),
            places: Arc::new(Semaphore::new(settings.at_once)),
            percent: settings.percent,
            max_body: settings.max_body,
            seen: AtomicU64::new(0),
        })
    }
}

impl Middleware for Mirror {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        if !self.is_chosen() || ask.from.headers.contains_key(header::UPGRADE) {
            return Flow::Next;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.copies.count(Mirrored::Busy);
            return Flow::Next;
        };
        let copy = Copy::new(Arc::clone(&self.copies), place);
        if ask.from.has_body {
            ask.done.request_body.push(Box::new(Collect::new(copy.clone(), self.max_body)));
        } else {
            copy.end_body();
        }
        let host = ask.from.authority.to_owned();
        ask.done.on_sent.push(Box::new(move |method, target, fields| copy.sent(method, target, fields, &host)));
        Flow::Next
    }
}

impl Mirror {
    /// Spread evenly: of any hundred in a row so many as were asked for.
    fn is_chosen(&self) -> bool {
        let before = self.seen.fetch_add(1, Ordering::Relaxed);
        let so_far = |count: u64| u128::from(count) * u128::from(self.percent) / 100;
        so_far(before.saturating_add(1)) > so_far(before)
    }
}

#[cfg(test)]
mod tests;
