//! The manager over months, with time that passes by itself and an authority that does as it is told.
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

#[path = "support/world.rs"]
mod world;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use acme::manager::State;
use acme::{Ca, Challenges, Clock, Issued, OrderError, OrderRequest};
use certs::PemPair;
use rcgen::{CertificateParams, KeyPair};
use tokio::sync::Semaphore;

use world::{World, list, within};

const DAY: Duration = Duration::from_secs(86_400);

/// A day of paused time passes in no time.
async fn eventually(what: &str, is: impl FnMut() -> bool) {
    within(DAY, what, is).await;
}

/// The wall clock of tests with paused time: it runs with tokio's.
struct PausedClock {
    start: tokio::time::Instant,
}

/// Some day in 2027.
const START: Duration = Duration::from_secs(1_800_000_000);

impl PausedClock {
    fn new() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

#[async_trait::async_trait]
impl Clock for PausedClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + START + self.start.elapsed()
    }

    async fn sleep_until(&self, moment: SystemTime) {
        tokio::time::sleep(moment.duration_since(self.now()).unwrap_or_default()).await;
    }
}

/// What the authority does with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Sign,
    Away,
    Panic,
    Hang,
}

struct FakeCa {
    clock: Arc<PausedClock>,
    lifetime: Duration,
    moods: Mutex<HashMap<String, Mood>>,
    orders: Mutex<Vec<String>>,
    running: AtomicUsize,
    most: AtomicUsize,
    gate: Semaphore,
}

impl FakeCa {
    fn new(clock: &Arc<PausedClock>, lifetime: Duration) -> Arc<Self> {
        Arc::new(Self {
            clock: clock.clone(),
            lifetime,
            moods: Mutex::default(),
            orders: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    fn mood(&self, name: &str, mood: Mood) {
        self.moods.lock().unwrap().insert(name.to_owned(), mood);
    }

    fn orders(&self, name: &str) -> usize {
        self.orders.lock().unwrap().iter().filter(|ordered| *ordered == name).count()
    }

    fn sign(&self, order: &OrderRequest) -> Result<Issued, OrderError> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(order.names()).unwrap();
        let now = self.clock.now();
        params.not_before = now.into();
        params.not_after = (now + self.lifetime).into();
        let chain = params.self_signed(&key).unwrap().pem();
        Issued::check(PemPair { chain, key: key.serialize_pem() }, order, now)
    }
}

struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Ca for FakeCa {
    fn label(&self) -> &str {
        "fake"
    }

    async fn issue(&self, order: &OrderRequest, _: &Challenges) -> Result<Issued, OrderError> {
        let name = &order.names()[0];
        self.orders.lock().unwrap().push(name.clone());
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let _leaving = Leaving(&self.running);
        self.most.fetch_max(running, Ordering::SeqCst);
        let _passed = self.gate.acquire().await.unwrap();
        let mood = self.moods.lock().unwrap().get(name).copied();
        match mood.unwrap_or(Mood::Sign) {
            Mood::Sign => self.sign(order),
            Mood::Away => Err(OrderError::Unavailable {
                ca: "fake".into(),
                step: acme::order::Step::NewOrder,
                status: 503,
                detail: "away".into(),
                retry_after: None,
            }),
            Mood::Panic => panic!("told to"),
            Mood::Hang => std::future::pending().await,
        }
    }
}

fn cast(lifetime: Duration) -> (World, Arc<PausedClock>, Arc<FakeCa>) {
    let clock = Arc::new(PausedClock::new());
    let ca = FakeCa::new(&clock, lifetime);
    (World::new(), clock, ca)
}

#[tokio::test(start_paused = true)]
async fn over_a_year_every_certificate_is_renewed_in_time_and_not_too_often() {
    let names = ["a.example.test", "b.example.test", "c.example.test"];
    let (world, clock, ca) = cast(90 * DAY);
    let running = world.start(ca.clone(), clock.clone(), &names);
    eventually("first certificates", || world.heard.count("saved") == names.len()).await;
    for _ in 0..365 {
        tokio::time::sleep(DAY).await;
        for name in names {
            let entry = world.store.snapshot().lookup(name).cloned().unwrap();
            assert!(entry.validity().left(clock.now()) > 26 * DAY, "{name}");
        }
    }
    for name in names {
        assert!((6..=7).contains(&ca.orders(name)), "{}", ca.orders(name));
    }
    assert_eq!(world.heard.count("obtained"), 3);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_is_away_for_weeks_is_asked_seldom_and_costs_no_certificate() {
    for (lifetime, away) in [(90 * DAY, 25), (6 * DAY, 2)] {
        let (world, clock, ca) = cast(lifetime);
        let running = world.start(ca.clone(), clock.clone(), &["a.example.test"]);
        eventually("the first certificate", || world.heard.count("saved") == 1).await;
        ca.mood("a.example.test", Mood::Away);
        let renewal = if away == 25 { 57 } else { 2 };
        tokio::time::sleep((renewal + away) * DAY).await;
        let asked = ca.orders("a.example.test");
        assert!((3..60).contains(&asked), "asked {asked} times");
        ca.mood("a.example.test", Mood::Sign);
        while world.heard.count("renewed") == 0 {
            let entry = world.store.snapshot().lookup("a.example.test").cloned().unwrap();
            assert!(entry.validity().contains(clock.now()), "it lapsed");
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        assert_eq!(running.handle.status()[0].attempts, 0);
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_panics_harms_its_name_alone() {
    let (world, clock, ca) = cast(90 * DAY);
    ca.mood("a.example.test", Mood::Panic);
    let running = world.start(ca.clone(), clock, &["a.example.test", "b.example.test"]);
    eventually("the other certificate", || world.heard.count("saved b") == 1).await;
    assert_eq!(world.heard.count("failed a.example.test panicked"), 1);
    ca.mood("a.example.test", Mood::Sign);
    tokio::time::sleep(Duration::from_secs(120)).await;
    eventually("the first, later", || world.heard.count("obtained a") == 1).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn four_orders_run_at_once_and_never_two_for_one_name() {
    let names: Vec<String> = (0..20).map(|n| format!("h{n}.example.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (world, clock, ca) = cast(90 * DAY);
    ca.gate.forget_permits(Semaphore::MAX_PERMITS);
    let running = world.start(ca.clone(), clock, &names);
    eventually("four orders", || ca.running.load(Ordering::SeqCst) == 4).await;
    assert!(running.handle.renew_now("h0.example.test"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(ca.orders.lock().unwrap().len(), 4);
    ca.gate.add_permits(100);
    eventually("all certificates", || world.heard.count("saved") >= 20).await;
    assert_eq!(ca.most.load(Ordering::SeqCst), 4);
    assert!(names.iter().skip(1).all(|name| ca.orders(name) == 1));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_does_not_forget_how_long_to_wait() {
    let (world, clock, ca) = cast(90 * DAY);
    ca.mood("a.example.test", Mood::Away);
    let running = world.start(ca.clone(), clock.clone(), &["a.example.test"]);
    eventually("three failures", || world.heard.count("failed") == 3).await;
    let before = running.handle.status();
    running.stop().await;
    let running = world.start(ca.clone(), clock.clone(), &["a.example.test"]);
    let status = running.handle.status();
    assert_eq!((status[0].attempts, status[0].next_try), (3, before[0].next_try));
    assert_eq!((status[0].state, status[0].last_error_kind.as_deref()), (State::Failed, Some("unavailable")));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ca.orders("a.example.test"), 3);
    ca.mood("a.example.test", Mood::Sign);
    eventually("the certificate", || world.heard.count("saved") == 1).await;
    assert!(clock.now() >= before[0].next_try.unwrap());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn renew_now_does_not_wait_for_the_schedule_or_the_backoff() {
    let (world, clock, ca) = cast(90 * DAY);
    ca.mood("a.example.test", Mood::Away);
    let running = world.start(ca.clone(), clock, &["a.example.test"]);
    eventually("some failures", || world.heard.count("failed") == 8).await;
    ca.mood("a.example.test", Mood::Sign);
    assert!(running.handle.renew_now("a.example.test"));
    assert!(!running.handle.renew_now("unknown.example.test"));
    eventually("the certificate", || world.heard.count("saved") == 1).await;
    assert!(running.handle.renew_now("a.example.test"));
    eventually("another", || world.heard.count("renewed") == 1).await;
    assert_eq!(ca.orders("a.example.test"), 10);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn with_a_full_disk_the_certificate_is_served_from_memory_and_saved_when_there_is_room() {
    let (world, clock, ca) = cast(90 * DAY);
    world.disk.fill(true);
    let running = world.start(ca.clone(), clock.clone(), &["a.example.test"]);
    eventually("it is served", || world.served("a.example.test").is_some()).await;
    eventually("it is told", || world.heard.count("unsaved a.example.test certificate") >= 2).await;
    assert!(world.heard.all().iter().any(|line| line.contains("make room")));
    assert!(!running.handle.status()[0].saved);
    world.disk.fill(false);
    eventually("it is saved", || world.heard.count("saved a.example.test 1") == 1).await;
    assert!(running.handle.status()[0].saved);
    assert_eq!(ca.orders("a.example.test"), 1);
    let served = world.served("a.example.test");
    running.stop().await;
    world.store.remove(certs::Issuer::Acme, "none", clock.now());
    let running = world.start(ca.clone(), clock, &["a.example.test"]);
    assert_eq!(world.served("a.example.test"), served);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn names_come_and_go_and_their_certificates_stay_on_disk() {
    let (world, clock, ca) = cast(90 * DAY);
    ca.mood("hang.example.test", Mood::Hang);
    let running = world.start(ca.clone(), clock, &["a.example.test", "hang.example.test"]);
    eventually("the first", || world.heard.count("saved a") == 1).await;
    let served = world.served("a.example.test");
    running.wanted.send(list(&["b.example.test"])).unwrap();
    eventually("the second", || world.heard.count("saved b") == 1).await;
    assert_eq!(world.served("a.example.test"), None);
    eventually("the hanging order ends", || ca.running.load(Ordering::SeqCst) == 0).await;
    running.wanted.send(list(&["a.example.test", "b.example.test"])).unwrap();
    eventually("the first is back", || world.served("a.example.test") == served).await;
    assert_eq!(ca.orders("a.example.test"), 1);
    let names: Vec<String> = running.handle.status().into_iter().map(|status| status.name).collect();
    assert_eq!(names, ["a.example.test", "b.example.test"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_orders_that_hang_and_leaves_what_is_served() {
    let (world, clock, ca) = cast(90 * DAY);
    ca.mood("hang.example.test", Mood::Hang);
    let running = world.start(ca.clone(), clock, &["a.example.test", "hang.example.test"]);
    eventually("the order hangs", || {
        ca.running.load(Ordering::SeqCst) == 1 && world.served("a.example.test").is_some()
    })
    .await;
    running.stop().await;
    assert_eq!(ca.running.load(Ordering::SeqCst), 0);
    assert!(world.served("a.example.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_order_that_hangs_is_given_up_and_a_wildcard_is_not_even_tried() {
    let (world, clock, ca) = cast(90 * DAY);
    ca.mood("hang.example.test", Mood::Hang);
    let running = world.start(ca.clone(), clock, &["*.example.test", "hang.example.test"]);
    eventually("the wildcard is refused", || world.heard.count("failed *.example.test not_orderable") == 1).await;
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert!(world.heard.count("failed hang.example.test timed_out") >= 1);
    assert_eq!(ca.orders("*.example.test"), 0);
    running.stop().await;
}
