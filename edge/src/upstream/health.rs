//! Active health checks: one task for each server of a pool that wants them, ended when the pool is dropped.
//!
//! They run on the control side, so that a busy data side does not make servers look ill. What comes of an answer is
//! decided by the pool.

mod probe;
mod tally;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::server::configuration::ServerConf;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::settings::Health;
use crate::tasks::Tasks;
use pingora::upstreams::peer::HttpPeer;

pub(super) use tally::{Change, Tally};

/// Checks under way at once, of one pool: servers that keep theirs waiting delay no other route.
const AT_ONCE_A_POOL: usize = 8;
/// Checks under way at once, over all routes: each has a connection.
const AT_ONCE: usize = 512;

/// What checks are made with. Clones are the same.
#[derive(Clone)]
pub struct Checks {
    connector: Arc<Connector>,
    tasks: Tasks,
    at_once: Arc<Semaphore>,
    of_pool: Arc<Semaphore>,
}

impl Checks {
    /// Connections are made as `conf` says, by tasks of `tasks`. Blocks on the file of authorities.
    pub fn new(conf: &ServerConf, tasks: Tasks) -> Self {
        let connector = Arc::new(Connector::new(Some(ConnectorOptions::from_server_conf(conf))));
        let [at_once, of_pool] = [AT_ONCE, AT_ONCE_A_POOL].map(|places| Arc::new(Semaphore::new(places)));
        Self { connector, tasks, at_once, of_pool }
    }

    /// The same with places of its own for one more pool.
    pub(super) fn of_pool(&self) -> Self {
        Self { of_pool: Arc::new(Semaphore::new(AT_ONCE_A_POOL)), ..self.clone() }
    }

    /// Asks the places of `patient` again and again, until it is gone or `gone` is cancelled.
    pub(super) fn start(&self, name: String, health: Health, patient: impl Patient, gone: CancellationToken) {
        let checks = self.clone();
        self.tasks.spawn(name, |stop| async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = gone.cancelled() => {}
                () = checks.watch(&health, &patient) => {}
            }
            // Whoever is not asked any more counts as up.
            patient.unwatched();
        });
    }

    async fn watch(&self, health: &Health, patient: &impl Patient) {
        // All servers of a load would be asked in the same moment.
        tokio::time::sleep(health.every.min(SPREAD).mul_f64(chance())).await;
        while let Some((own_host, places)) = patient.places() {
            // Side by side: an address that keeps its check waiting delays no other one.
            join_all(places.iter().map(|place| self.ask(health, patient, &own_host, place))).await;
            tokio::time::sleep(jittered(health.every, chance())).await;
        }
    }

    async fn ask(
        &self,
        health: &Health,
        patient: &impl Patient,
        own_host: &str,
        (address, peer): &(Address, HttpPeer),
    ) {
        let Ok(_of_pool) = self.of_pool.acquire().await else { return };
        let Ok(_place) = self.at_once.acquire().await else { return };
        let asked = probe::ask(&self.connector, (address, peer), own_host, &health.probe, health.timeout);
        let answer = asked.await.map_err(|why| why.to_string());
        patient.answered(address, answer);
    }
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Checks").finish_non_exhaustive()
    }
}

/// One server that is asked.
pub(super) trait Patient: Send + Sync + 'static {
    /// The server's own host, and its addresses as of now with the way to connect; `None` when it is gone.
    fn places(&self) -> Option<(String, Vec<(Address, HttpPeer)>)>;
    /// How an address answered, or why it did not.
    fn answered(&self, address: &Address, answer: Result<(), String>);
    /// Nobody asks any more.
    fn unwatched(&self);
}

/// The longest time before the first check.
const SPREAD: Duration = Duration::from_millis(500);

/// A tenth more or less; `chance` is in 0..1.
fn jittered(every: Duration, chance: f64) -> Duration {
    every.mul_f64(0.9 + 0.2 * chance)
}

fn chance() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};

    use tokio::runtime::Handle;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;
    use crate::upstream::settings::Probe;

    /// A server of several addresses that tells which have answered.
    struct Ward {
        places: Vec<SocketAddr>,
        answered: UnboundedSender<Address>,
    }

    impl Patient for Ward {
        fn places(&self) -> Option<(String, Vec<(Address, HttpPeer)>)> {
            let place = |place: &SocketAddr| ((*place).into(), HttpPeer::new(place, false, String::new()));
            Some(("ward.test".to_owned(), self.places.iter().map(place).collect()))
        }

        fn answered(&self, address: &Address, _: Result<(), String>) {
            drop(self.answered.send(address.clone()));
        }

        fn unwatched(&self) {}
    }

    #[tokio::test]
    async fn an_address_that_keeps_its_check_waiting_delays_no_other_one() {
        let listeners: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let places: Vec<SocketAddr> = listeners.iter().map(|it| it.local_addr().expect("bound")).collect();
        let well = listeners[3].try_clone().expect("a descriptor");
        std::thread::spawn(move || {
            let (mut stream, _) = well.accept().expect("a check");
            let count = stream.read(&mut [0; 4096]).expect("a request");
            assert!(count > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("it listens");
        });
        let probe = Probe::Get { path: "/".to_owned(), host: None, status: vec![(200, 399)] };
        let (every, timeout) = (Duration::from_millis(10), Duration::from_secs(3600));
        let health = Health { probe, every, timeout, up_after: 1, down_after: 1 };
        let (answered, mut heard) = unbounded_channel();
        let checks = Checks::new(&ServerConf::default(), Tasks::new(Handle::current()));
        let last = places[3];
        checks.start("ward".to_owned(), health, Ward { places, answered }, CancellationToken::new());
        assert_eq!(heard.recv().await, Some(last.into()));
        drop(listeners);
    }

    #[test]
    fn checks_are_spread_by_a_tenth() {
        let every = Duration::from_secs(10);
        assert_eq!([0.0, 0.5, 1.0].map(|chance| jittered(every, chance).as_millis()), [9_000, 10_000, 11_000]);
        assert!((0..100).map(|_| chance()).all(|chance| (0.0..1.0).contains(&chance)));
    }
}
