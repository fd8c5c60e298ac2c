//! Where the keys come from: a file that is followed, or an address that is asked again from time to time and when a
//! token names a key that is not known yet.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::header::{ACCEPT, HeaderMap, HeaderValue};
use http::{StatusCode, Uri};
use tokio::sync::Mutex;

use super::super::client::Client;
use super::super::hot_file::HotFile;
use super::super::signed::Keys;
use crate::telemetry::LastGood;

/// The keys of one middleware.
#[derive(Debug)]
pub(super) enum Source {
    /// In a file.
    File(HotFile<Keys>),
    /// At an address.
    Url(Box<Published>),
}

/// Keys that somebody publishes.
pub(super) struct Published {
    pub(super) client: Client,
    pub(super) url: Uri,
    /// How often they are asked for without a reason.
    pub(super) refresh: Duration,
    /// How often they may be asked for because of a key that is not known, or after a failure.
    pub(super) refetch: Duration,
    pub(super) last_good: LastGood,
    keys: ArcSwapOption<Known>,
    began: Instant,
    /// When they were last asked for, in milliseconds since the beginning; 0 is never.
    asked: AtomicU64,
    /// Whether the last answer was of no use.
    failed: AtomicBool,
    /// One question at a time.
    asking: Mutex<()>,
}

struct Known {
    keys: Arc<Keys>,
    text: String,
}

impl Source {
    /// The keys, if they need not be waited for.
    pub(super) fn fresh(&self) -> Option<Arc<Keys>> {
        match self {
            Self::File(file) => file.fresh(),
            Self::Url(published) => published.keys().filter(|_| published.age() < published.interval()),
        }
    }

    /// The keys. None if there never were any.
    pub(super) async fn get(&self) -> Option<Arc<Keys>> {
        match self {
            Self::File(file) => Some(file.get().await),
            Self::Url(published) => published.get().await,
        }
    }

    /// Whether asking again may bring a key that is not known yet.
    pub(super) fn may_have_more(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Url(published) => published.age() >= published.refetch,
        }
    }

    /// The keys after asking again, if that may be done now.
    pub(super) async fn again(&self) -> Option<Arc<Keys>> {
        match self {
            Self::File(_) => None,
            Self::Url(published) => {
                published.ask(published.refetch).await;
                published.keys()
            }
        }
    }
}

impl Published {
    pub(super) fn new(client: Client, url: Uri, refresh: Duration, refetch: Duration, last_good: LastGood) -> Self {
        let (keys, asked, asking) = (ArcSwapOption::empty(), AtomicU64::new(0), Mutex::new(()));
        let (began, failed) = (Instant::now(), AtomicBool::new(false));
        Self { client, url, refresh, refetch, last_good, keys, began, asked, failed, asking }
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.load().as_ref().map(|known| Arc::clone(&known.keys))
    }

    /// How long an answer is good for: after one that was of no use it is tried again sooner.
    fn interval(&self) -> Duration {
        if self.failed.load(Ordering::Acquire) { self.refetch.min(self.refresh) } else { self.refresh }
    }

    /// Since they were last asked for.
    fn age(&self) -> Duration {
        match self.asked.load(Ordering::Acquire) {
            0 => Duration::MAX,
            asked => self.began.elapsed().saturating_sub(Duration::from_millis(asked)),
        }
    }

    async fn get(&self) -> Option<Arc<Keys>> {
        match self.keys() {
            // Whoever comes while another one asks uses those that there are.
            Some(keys) if self.age() < self.interval() || self.asking.try_lock().is_err() => return Some(keys),
            Some(_) => self.ask(self.interval()).await,
            // Without keys nobody passes: a second is the most that is lost once they can be had.
            None => self.ask(self.refetch.min(Duration::from_secs(1))).await,
        }
        self.keys()
    }

    /// Asks, unless somebody has within `least`.
    async fn ask(&self, least: Duration) {
        let _one = self.asking.lock().await;
        if self.age() < least {
            return;
        }
        let asked = self.fetch().await;
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.failed.store(asked.is_err(), Ordering::Release);
        self.asked.store(now.max(1), Ordering::Release);
        match asked {
            Err(why) => self.last_good.kept(&format!("{}: {why}", self.url)),
            Ok(known) if self.keys.load().as_ref().is_some_and(|old| old.text == known.text) => self.last_good.well(),
            Ok(known) => {
                self.keys.store(Some(Arc::new(known)));
                self.last_good.renewed();
            }
        }
    }

    async fn fetch(&self) -> Result<Known, String> {
        let accept = HeaderValue::from_static("application/json, application/jwk-set+json");
        let answer = self.client.get(&self.url, HeaderMap::from_iter([(ACCEPT, accept)])).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answered {}", answer.status()));
        }
        let text = String::from_utf8(answer.into_body().into()).map_err(|_| "it is not UTF-8 text".to_owned())?;
        Ok(Known { keys: Arc::new(Keys::of_set(&text)?), text })
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published").field("url", &self.url).finish_non_exhaustive()
    }
}
