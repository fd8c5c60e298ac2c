//! Keeps the wanted names in certificates: looks what is on disk, orders what is missing or due, saves, publishes,
//! waits, tries again. One flow owns all of it; orders and disk work run beside it and end with it.
//! When to renew, how long to wait and how to order are decided elsewhere.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use certs::vault::Meta;
use certs::{Batch, Issuer, Store, Vault};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use self::found::{Found, look};
use self::handle::{Board, lock};
use self::slot::{Held, Kept, Parcel, Slot, Unsaved, Work};
use crate::backoff::{Notes, Retry};
use crate::ca::Ca;
use crate::challenges::Challenges;
use crate::clock::Clock;
use crate::order::{Issued, OrderError, OrderRequest, Step};
use crate::schedule::{Next, Spread};

mod event;
mod found;
mod handle;
mod slot;

pub use event::{Event, Report, Unsaved as UnsavedThing};
pub use handle::Handle;
pub use slot::{State, Status};

/// Orders at one time. Authorities limit orders per account, and a start with many names must not use that up at once.
const ORDERS: usize = 4;
/// The longest that one order may take.
const ORDER_TIME: Duration = Duration::from_secs(5 * 60);
/// The longest sleep, when nothing is due.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// What a manager works with.
pub struct Parts {
    /// The authority.
    pub ca: Arc<dyn Ca>,
    /// The profile to ask it for.
    pub profile: Option<String>,
    /// Where orders put their challenges.
    pub challenges: Challenges,
    /// Where certificates are kept.
    pub vault: Vault,
    /// Where failures are noted.
    pub notes: Notes,
    /// Where certificates are served from.
    pub store: Arc<Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub report: Arc<dyn Report>,
    /// The names that live routes want from this authority.
    pub wanted: watch::Receiver<Arc<[String]>>,
}

/// The work itself; [`Manager::run`] does it.
pub struct Manager {
    parts: Parts,
    slots: BTreeMap<String, Slot>,
    orders: JoinSet<Result<Issued, OrderError>>,
    saves: JoinSet<Kept>,
    tasks: HashMap<Id, String>,
    asked: mpsc::UnboundedReceiver<String>,
    board: Arc<Mutex<Board>>,
    names_follow: bool,
}

impl Manager {
    /// Looks at the disk for the names wanted now and publishes what is there. Asks no network, so that serving can
    /// begin when it returns. Blocks on the disk.
    #[must_use]
    pub fn open(mut parts: Parts) -> (Self, Handle) {
        let (sender, asked) = mpsc::unbounded_channel();
        let board = Arc::default();
        let handle = Handle { asked: sender, board: Arc::clone(&board) };
        let wanted = parts.wanted.borrow_and_update().clone();
        let found = look(&parts.vault, &parts.notes, parts.profile.as_deref(), wanted.to_vec(), parts.clock.now());
        let mut manager = Self {
            parts,
            slots: BTreeMap::new(),
            orders: JoinSet::new(),
            saves: JoinSet::new(),
            tasks: HashMap::new(),
            asked,
            board,
            names_follow: true,
        };
        manager.adopt(found, Batch::default());
        (manager, handle)
    }

    /// Works until `stop` is done. Orders are then dropped; what is being saved is saved first.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        loop {
            let wake = self.start_due();
            tokio::select! {
                () = &mut stop => break,
                changed = self.parts.wanted.changed(), if self.names_follow => match changed {
                    Ok(()) => self.follow().await,
                    Err(_) => self.names_follow = false,
                },
                Some(name) = self.asked.recv() => self.ask(&name),
                Some(ended) = self.orders.join_next_with_id() => self.order_ended(ended),
                Some(ended) = self.saves.join_next_with_id() => self.save_ended(ended),
                () = self.parts.clock.sleep_until(wake) => {}
            }
        }
        self.orders.shutdown().await;
        while let Some(ended) = self.saves.join_next_with_id().await {
            self.save_ended(ended);
        }
    }

    /// Takes the names that are wanted now: new ones are looked up on disk, others leave.
    async fn follow(&mut self) {
        let wanted = self.parts.wanted.borrow_and_update().clone();
        let names: HashSet<&str> = wanted.iter().map(String::as_str).collect();
        let gone: Vec<String> = self.slots.keys().filter(|name| !names.contains(name.as_str())).cloned().collect();
        let batch = gone.iter().fold(Batch::default(), |batch, name| self.leave(name, batch));
        let new: Vec<String> = wanted.iter().filter(|name| !self.slots.contains_key(*name)).cloned().collect();
        let (vault, notes, profile) = (self.parts.vault.clone(), self.parts.notes.clone(), self.parts.profile.clone());
        let now = self.parts.clock.now();
        let looked = tokio::task::spawn_blocking(move || look(&vault, &notes, profile.as_deref(), new, now));
        self.adopt(looked.await.unwrap_or_default(), batch);
    }

    fn leave(&mut self, name: &str, batch: Batch) -> Batch {
        lock(&self.board).remove(name);
        let Some(slot) = self.slots.remove(name) else { return batch };
        if let Work::Ordering(order) = &slot.work {
            order.abort();
        }
        self.parts.report.report(Event::Left { name });
        batch.remove(Issuer::Acme, slot.set.as_str())
    }

    fn adopt(&mut self, found: Vec<Found>, mut batch: Batch) {
        for found in found {
            found.tell(&*self.parts.report);
            if let Some(stored) = &found.stored {
                batch = batch.put(stored.entry.clone());
            }
            let ca = self.parts.ca.label();
            let held = found.stored.map(|stored| Held { entry: stored.entry, ours: stored.meta.ca == ca });
            let slot = Slot::new(found.set, held, found.retry);
            if let Some(Held { entry, .. }) = &slot.held {
                let renew_at = slot.renew_at(entry.validity());
                self.parts.report.report(Event::Found { name: &found.name, entry, renew_at });
            }
            self.slots.insert(found.name.clone(), slot);
            self.post(&found.name);
        }
        if !batch.is_empty() {
            // Nothing is given back: a set that is new here has nothing better in the store.
            self.parts.store.publish(batch, self.parts.clock.now());
        }
    }

    fn ask(&mut self, name: &str) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.asked = true;
            slot.retry = None;
        }
    }

    /// Starts what is due, the missing and the oldest first, and tells when to look again.
    fn start_due(&mut self) -> SystemTime {
        let now = self.parts.clock.now();
        let mut wake = now + IDLE;
        let mut due = Vec::new();
        let mut save = Vec::new();
        for (name, slot) in &self.slots {
            match slot.next(now) {
                Some(Next::Due) => due.push((slot.not_after(), name)),
                Some(Next::Idle { until }) => wake = wake.min(until),
                None => continue,
            }
            match &slot.unsaved {
                Some(unsaved) if unsaved.next_try <= now => save.push(name.clone()),
                Some(unsaved) => wake = wake.min(unsaved.next_try),
                None => {}
            }
        }
        due.sort();
        due.truncate(ORDERS.saturating_sub(self.orders.len()));
        let due: Vec<String> = due.into_iter().map(|(_, name)| name.clone()).collect();
        save.iter().for_each(|name| self.save_again(name));
        due.iter().for_each(|name| self.order(name));
        wake
    }

    fn order(&mut self, name: &str) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        if !matches!(slot.work, Work::Nothing) {
            return;
        }
        slot.asked = false;
        let serving = slot.is_serving(self.parts.clock.now());
        self.parts.report.report(Event::Ordering { name, serving });
        let (ca, challenges) = (self.parts.ca.clone(), self.parts.challenges.clone());
        let (name, profile) = (name.to_owned(), self.parts.profile.clone());
        let ordered = name.clone();
        let order = self.orders.spawn(async move {
            let request = OrderRequest::new(&ordered, profile.as_deref())?;
            let issued = tokio::time::timeout(ORDER_TIME, ca.issue(&request, &challenges));
            issued.await.unwrap_or_else(|_| {
                Err(OrderError::TimedOut { ca: ca.label().into(), step: Step::Whole, retry_after: None })
            })
        });
        self.tasks.insert(order.id(), name.clone());
        slot.work = Work::Ordering(order);
        self.post(&name);
    }

    fn order_ended(&mut self, ended: Result<(Id, Result<Issued, OrderError>), JoinError>) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => {
                self.tasks.remove(&error.id());
                return;
            }
            Err(error) => (error.id(), Err(OrderError::Panicked)),
        };
        let Some(name) = self.tasks.remove(&id) else { return };
        if let Some(slot) = self.slots.get_mut(&name) {
            slot.order_ended(id);
        }
        match outcome {
            Ok(issued) => self.issued(&name, issued),
            Err(error) => self.failed(&name, &error),
        }
        self.post(&name);
    }

    fn issued(&mut self, name: &str, issued: Issued) {
        if let Some(why) = &issued.account_unsaved {
            self.parts.report.report(Event::SaveFailed { name, what: UnsavedThing::Account, why });
        }
        let now = self.parts.clock.now();
        let meta = Meta {
            names: vec![name.to_owned()],
            ca: self.parts.ca.label().to_owned(),
            profile: self.parts.profile.clone().unwrap_or_default(),
            obtained: now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
        };
        if let Some(slot) = self.slots.get_mut(name) {
            slot.unsaved = None;
        }
        self.save(name, Parcel { entry: Arc::new(issued.entry), pair: issued.pair, meta });
    }

    /// Disk first: what is served must be there after a crash.
    fn save(&mut self, name: &str, parcel: Parcel) {
        let (vault, notes) = (self.parts.vault.clone(), self.parts.notes.clone());
        let set = crate::order::set_of(&parcel.meta.names, self.parts.profile.as_deref());
        let save = self.saves.spawn_blocking(move || {
            notes.clear(&set);
            let saved = vault.save(Issuer::Acme, &set, &parcel.pair, &parcel.meta);
            Kept::Certificate { parcel, saved }
        });
        self.tasks.insert(save.id(), name.to_owned());
        if let Some(slot) = self.slots.get_mut(name) {
            slot.work = Work::Saving;
        }
    }

    fn save_again(&mut self, name: &str) {
        let unsaved = self.slots.get(name).and_then(|slot| slot.unsaved.as_ref());
        if let Some(parcel) = unsaved.map(|unsaved| unsaved.parcel.clone()) {
            self.save(name, parcel);
        }
    }

    fn save_ended(&mut self, ended: Result<(Id, Kept), JoinError>) {
        let (id, kept) = match ended {
            Ok((id, kept)) => (id, Some(kept)),
            Err(error) => (error.id(), None),
        };
        let Some(name) = self.tasks.remove(&id) else { return };
        match kept {
            Some(Kept::Certificate { parcel, saved }) => self.saved(&name, parcel, saved),
            Some(Kept::Note { saved: Err(why) }) => {
                let what = UnsavedThing::RetryNote;
                self.parts.report.report(Event::SaveFailed { name: &name, what, why: &why });
            }
            Some(Kept::Note { saved: Ok(()) }) => {}
            // A panic while saving is a fault of ours; the name is looked at again as if nothing had come.
            None => {
                self.slots.get_mut(&name).into_iter().for_each(Slot::save_ended);
                self.failed(&name, &OrderError::Panicked);
            }
        }
        self.post(&name);
    }

    fn saved(&mut self, name: &str, parcel: Parcel, saved: Result<u32, certs::DiskError>) {
        let now = self.parts.clock.now();
        let report = &*self.parts.report;
        // A name that has left meanwhile has its certificate on disk, and nobody to serve it to.
        let Some(slot) = self.slots.get_mut(name) else { return };
        slot.save_ended();
        let entry = parcel.entry.clone();
        let had = slot.held.as_ref().map(|held| held.entry.fingerprint());
        if had != Some(entry.fingerprint()) {
            // Given back only if the live one is good and this one is over, which the order has checked.
            let _ = self.parts.store.put(entry.clone(), now);
            slot.held = Some(Held { entry: entry.clone(), ours: true });
            slot.retry = None;
            let renew_at = slot.renew_at(entry.validity());
            report.report(match had {
                Some(_) => Event::Renewed { name, entry: &entry, renew_at },
                None => Event::Obtained { name, entry: &entry, renew_at },
            });
        }
        match saved {
            Ok(generation) => {
                slot.unsaved = None;
                report.report(Event::Saved { name, generation });
            }
            Err(why) => {
                let before = slot.unsaved.as_ref().map(|unsaved| unsaved.wait);
                slot.unsaved = Some(Unsaved::after(parcel, before, now));
                report.report(Event::SaveFailed { name, what: UnsavedThing::Certificate, why: &why });
            }
        }
    }

    fn failed(&mut self, name: &str, error: &OrderError) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        let now = self.parts.clock.now();
        let failure = error.failure();
        let left = slot.validity().map(|validity| validity.left(now));
        let turn = slot.retry.as_ref().map_or(0, |retry| retry.failures).saturating_add(1);
        let spread = Spread::of(&slot.set, turn);
        let retry = Retry::after(slot.retry.as_ref(), name, &failure, now, left, spread);
        self.parts.report.report(Event::Failed {
            name,
            kind: failure.kind,
            sentence: &failure.sentence,
            next_try: retry.next_try(),
            serving: slot.is_serving(now),
        });
        slot.retry = Some(retry.clone());
        let (notes, set) = (self.parts.notes.clone(), slot.set.clone());
        let note = self.saves.spawn_blocking(move || Kept::Note { saved: notes.write(&set, &retry) });
        self.tasks.insert(note.id(), name.to_owned());
    }

    fn post(&self, name: &str) {
        if let Some(slot) = self.slots.get(name) {
            let status = slot.status(name, self.parts.clock.now());
            lock(&self.board).insert(name.to_owned(), status);
        }
    }
}
