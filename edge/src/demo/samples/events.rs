//! Server-sent events: a page that shows them and the stream itself, one event a second.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::stream::{Stream, unfold};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::page::page;

pub(super) fn router(stop: &CancellationToken) -> Router {
    Router::new()
        .route("/", get(|| async { page("Events", MAIN) }))
        .route("/stream", get(stream))
        .with_state(stop.clone())
}

const MAIN: &str = include_str!("events.html");

/// What a client may ask for.
#[derive(serde::Deserialize)]
struct Wanted {
    /// Ends after so many events; without it, never.
    count: Option<u64>,
}

async fn stream(
    State(stop): State<CancellationToken>,
    Query(wanted): Query<Wanted>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(events(stop, wanted.count.unwrap_or(u64::MAX)))
}

const EVERY: Duration = Duration::from_secs(1);

/// Numbered events until there are enough, the client leaves or the demo stops.
fn events(stop: CancellationToken, count: u64) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    unfold((clock, stop, 1), move |(mut clock, stop, number)| async move {
        if number > count {
            return None;
        }
        stop.run_until_cancelled(clock.tick()).await?;
        let event = Event::default().id(number.to_string()).data(format!("event {number}"));
        Some((Ok(event), (clock, stop, number + 1)))
    })
}
