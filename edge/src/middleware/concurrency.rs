//! Lets only so many requests of a route through at once. Those beyond `limit` wait in a queue of at most `queue` places for
//! at most `wait`, first come, first served; who finds the queue full or waits in vain is refused with 503 and
//! `Retry-After`.
//!
//! ```toml
//! [[route]]
//! host = "models.example.com"
//! upstream = "http://127.0.0.1:8000"
//! use = [{ kind = "concurrency", limit = 4, queue = 32, wait = "30s" }]
//! ```
//!
//! A place is held until the answer has been sent or broken off, by a WebSocket until it closes. A client that goes away
//! while it waits keeps its place in the queue until its turn comes or `wait` is over: its connection is not looked at
//! before. The places are those of one route, also where routes share a `[middleware.NAME]`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderValue, header};
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::Reading;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Ask, BuildError, Building, Denial, Flow, Kind, Middleware};
use crate::telemetry::Refusal;

/// The middleware.
#[derive(Debug)]
pub struct Concurrency {
    places: Arc<Semaphore>,
    queue: Queue,
    wait: Duration,
}

/// What was written.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    limit: usize,
    queue: usize,
    wait: Duration,
}

/// Who waits, counted.
#[derive(Debug)]
struct Queue {
    waiting: AtomicUsize,
    most: usize,
}

/// A place in the queue, given back when it is dropped.
struct Waiting<'a>(&'a Queue);

const WAIT: Duration = Duration::from_secs(10);

impl Kind for Concurrency {
    const NAME: &'static str = "concurrency";
    const KEYS: &'static [Key] = &[
        Key::new("limit", Shape::Integer { min: 1, max: 1_000_000 }, "How many requests may be under way.").required(),
        Key::new("queue", Shape::Integer { min: 0, max: 1_000_000 }, "How many more may wait.").default("0"),
        Key::new("wait", Shape::Duration, "How long each of them waits at most.").default("\"10s\""),
    ];
    type Settings = Settings;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Settings> {
        let number = |key: &str| item.get(key).and_then(|item| usize::try_from(item.as_integer()?).ok());
        let wait = item.get("wait").and_then(|wait| wait.as_duration()).unwrap_or(WAIT);
        if let Some(given) = item.get("wait").filter(|_| wait.is_zero()) {
            reading.faults.push(given.fault("waiting has to end, and not at once").hint("leave `queue` out instead"));
        }
        Some(Settings { limit: number("limit")?, queue: number("queue").unwrap_or(0), wait })
    }

    fn build(settings: Settings, _: &Building<'_>) -> Result<Self, BuildError> {
        let Settings { limit, queue, wait } = settings;
        let queue = Queue { waiting: AtomicUsize::new(0), most: queue };
        Ok(Self { places: Arc::new(Semaphore::new(limit)), queue, wait })
    }
}

impl Middleware for Concurrency {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => enter(ask, place),
            Err(_) if self.queue.most == 0 => self.full(),
            Err(_) => Flow::Wait,
        }
    }

    fn wait<'a>(&'a self, ask: &'a mut Ask<'_>) -> BoxFuture<'a, Flow> {
        Box::pin(async move {
            let Some(_waiting) = self.queue.enter() else { return self.full() };
            match tokio::time::timeout(self.wait, Arc::clone(&self.places).acquire_owned()).await {
                Ok(Ok(place)) => enter(ask, place),
                Ok(Err(_)) | Err(_) => self.full(),
            }
        })
    }
}

impl Concurrency {
    fn full(&self) -> Flow {
        let seconds = self.wait.as_secs().max(1);
        Denial::new(Refusal::QueueFull).header(header::RETRY_AFTER, HeaderValue::from(seconds)).into()
    }
}

fn enter(ask: &mut Ask<'_>, place: OwnedSemaphorePermit) -> Flow {
    ask.hold(place);
    Flow::Next
}

impl Queue {
    fn enter(&self) -> Option<Waiting<'_>> {
        let more = |waiting: usize| (waiting < self.most).then_some(waiting + 1);
        let entered = self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok();
        entered.then_some(Waiting(self))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::task::Poll;

    use super::super::Done;
    use super::super::testing::{ask, ask_and_wait, get, made};
    use super::*;

    fn is_full(flow: &Flow) -> bool {
        matches!(flow, Flow::Refuse(denial) if denial.reason == Refusal::QueueFull && !denial.headers.is_empty())
    }

    /// Polls once: none while it waits.
    async fn look<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        poll_fn(|context| {
            Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                Poll::Ready(value) => Some(value),
                Poll::Pending => None,
            })
        })
        .await
    }

    #[test]
    fn who_comes_beyond_the_limit_is_refused_and_a_place_is_free_again_when_its_request_ends() {
        let middleware = made("concurrency", "limit = 2");
        let (first, held) = ask(&middleware, &get("/"));
        let (second, _also_held) = ask(&middleware, &get("/"));
        assert!(matches!((first, second), (Flow::Next, Flow::Next)));
        assert!(is_full(&ask(&middleware, &get("/")).0));
        drop(held);
        assert!(matches!(ask(&middleware, &get("/")).0, Flow::Next));
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_served_in_order_and_has_a_bound_and_a_deadline() {
        let middleware = made("concurrency", "limit = 1\nqueue = 2\nwait = \"5s\"");
        let (_, held) = ask(&middleware, &get("/"));
        let (one, two) = (get("/"), get("/"));
        let mut first = Box::pin(ask_and_wait(&middleware, &one));
        let mut second = Box::pin(ask_and_wait(&middleware, &two));
        assert!(look(&mut first).await.is_none() && look(&mut second).await.is_none());
        assert!(is_full(&ask_and_wait(&middleware, &get("/")).await.0), "the queue is full");
        drop(held);
        assert!(look(&mut second).await.is_none(), "first come, first served");
        let (flow, held) = first.await;
        assert!(matches!(flow, Flow::Next));
        let (flow, _) = second.await;
        assert!(is_full(&flow), "the clock has gone past its deadline");
        drop(held);
        assert!(matches!(ask(&middleware, &get("/")).0, Flow::Next), "nobody waits any more");
    }

    #[tokio::test]
    async fn who_gives_up_waiting_gives_back_the_place_in_the_queue() {
        let middleware = made("concurrency", "limit = 1\nqueue = 1\nwait = \"1h\"");
        let (_, _held) = ask(&middleware, &get("/"));
        for _ in 0..3 {
            let request = get("/");
            let mut waiting = Box::pin(ask_and_wait(&middleware, &request));
            assert!(look(&mut waiting).await.is_none());
        }
        let mut done = Done::default();
        let request = get("/");
        let mut ask = Ask { from: request.asker(), done: &mut done };
        assert!(look(&mut middleware.wait(&mut ask)).await.is_none(), "there is a place");
    }
}
