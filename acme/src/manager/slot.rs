//! What is known about one wanted name, and what follows from it at a moment. It does nothing itself.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::vault::Meta;
use certs::{DiskError, Entry, Issuer, PemPair, SetId, Validity};
use tokio::task::{AbortHandle, Id};

use crate::backoff::Retry;
use crate::schedule::{self, Next, Spread};

const SAVE_AGAIN: Duration = Duration::from_secs(60);
const SAVE_AGAIN_AT_MOST: Duration = Duration::from_secs(60 * 60);

/// One wanted name.
pub(super) struct Slot {
    pub(super) set: SetId,
    pub(super) held: Option<Held>,
    pub(super) retry: Option<Retry>,
    pub(super) work: Work,
    pub(super) asked: bool,
    pub(super) unsaved: Option<Unsaved>,
}

/// The certificate that is served.
pub(super) struct Held {
    pub(super) entry: Arc<Entry>,
    /// Whether it is from the authority of the settings: one of another is served, and replaced at once.
    pub(super) ours: bool,
}

/// What is under way.
pub(super) enum Work {
    Nothing,
    Ordering(AbortHandle),
    Saving,
}

/// A certificate that is served from memory alone.
pub(super) struct Unsaved {
    pub(super) parcel: Parcel,
    pub(super) wait: Duration,
    pub(super) next_try: SystemTime,
}

impl Unsaved {
    /// After a failed try; `before` is the wait that led to it.
    pub(super) fn after(parcel: Parcel, before: Option<Duration>, now: SystemTime) -> Self {
        let wait = before.map_or(SAVE_AGAIN, |before| (before * 2).min(SAVE_AGAIN_AT_MOST));
        Self { parcel, wait, next_try: now + wait }
    }
}

/// What goes to disk.
#[derive(Clone)]
pub(super) struct Parcel {
    pub(super) entry: Arc<Entry>,
    pub(super) pair: PemPair,
    pub(super) meta: Meta,
}

/// How a name is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its certificate is there and nothing is to be done.
    Serving,
    /// An order runs, or is about to.
    Obtaining,
    /// The last order failed; the next one waits for its time.
    Failed,
}

impl State {
    /// The word for people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Obtaining => "obtaining",
            Self::Failed => "failed",
        }
    }
}

/// A name and its certificate, for `edge certs`.
#[derive(Debug, Clone)]
pub struct Status {
    /// The host.
    pub name: String,
    /// How it is doing.
    pub state: State,
    /// Who signed what is served, if anything of ours is.
    pub issuer: Option<Issuer>,
    /// Its dates.
    pub validity: Option<Validity>,
    /// When it is renewed.
    pub renew_at: Option<SystemTime>,
    /// Whether it is on disk too.
    pub saved: bool,
    /// The word for the last failure since the last success.
    pub last_error_kind: Option<String>,
    /// Its sentence.
    pub last_error: Option<String>,
    /// Failed orders since the last success.
    pub attempts: u32,
    /// When the next order is made, after a failure.
    pub next_try: Option<SystemTime>,
}

impl Slot {
    pub(super) fn new(set: SetId, held: Option<Held>, retry: Option<Retry>) -> Self {
        Self { set, held, retry, work: Work::Nothing, asked: false, unsaved: None }
    }

    /// When to order. Nothing is due while something is under way.
    pub(super) fn next(&self, now: SystemTime) -> Option<Next> {
        match (&self.work, self.asked) {
            (Work::Ordering(_) | Work::Saving, _) => None,
            (Work::Nothing, true) => Some(Next::Due),
            (Work::Nothing, false) => {
                let ours = self.held.as_ref().filter(|held| held.ours);
                let validity = ours.map(|held| held.entry.validity());
                let not_before = self.retry.as_ref().map(Retry::next_try);
                Some(schedule::next(validity, not_before, now, self.spread()))
            }
        }
    }

    /// An order is over; unless a later one runs, for a name that left and came back.
    pub(super) fn order_ended(&mut self, id: Id) {
        if matches!(&self.work, Work::Ordering(order) if order.id() == id) {
            self.work = Work::Nothing;
        }
    }

    /// Saving is over; unless an order runs, for a name that left and came back.
    pub(super) fn save_ended(&mut self) {
        if matches!(self.work, Work::Saving) {
            self.work = Work::Nothing;
        }
    }

    pub(super) fn spread(&self) -> Spread {
        Spread::of(&self.set, 0)
    }

    /// When a certificate of this name with these dates is renewed.
    pub(super) fn renew_at(&self, validity: Validity) -> SystemTime {
        schedule::renew_at(validity, self.spread())
    }

    pub(super) fn validity(&self) -> Option<Validity> {
        self.held.as_ref().map(|held| held.entry.validity())
    }

    pub(super) fn not_after(&self) -> Option<SystemTime> {
        self.validity().map(|validity| validity.not_after)
    }

    pub(super) fn is_serving(&self, now: SystemTime) -> bool {
        self.validity().is_some_and(|validity| validity.contains(now))
    }

    pub(super) fn status(&self, name: &str, now: SystemTime) -> Status {
        let state = match self.next(now) {
            None | Some(Next::Due) => State::Obtaining,
            Some(Next::Idle { .. }) if self.retry.is_some() => State::Failed,
            Some(Next::Idle { .. }) => State::Serving,
        };
        let retry = self.retry.as_ref();
        Status {
            name: name.to_owned(),
            state,
            issuer: self.held.as_ref().map(|held| held.entry.issuer()),
            validity: self.validity(),
            renew_at: self.validity().map(|validity| self.renew_at(validity)),
            saved: self.held.is_some() && self.unsaved.is_none(),
            last_error_kind: retry.map(|retry| retry.kind.clone()),
            last_error: retry.map(|retry| retry.sentence.clone()),
            attempts: retry.map_or(0, |retry| retry.failures),
            next_try: retry.map(Retry::next_try),
        }
    }
}

/// What came of work on the disk.
pub(super) enum Kept {
    Certificate { parcel: Parcel, saved: Result<u32, DiskError> },
    Note { saved: Result<(), DiskError> },
}
