//! Picking servers and addresses, without a network.

use std::collections::BTreeMap;

use tokio::runtime::Handle;

use super::*;
use crate::tasks::Tasks;
use crate::telemetry::{BuildInfo, Metrics};
use crate::upstream::dns::NameServers;
use crate::upstream::dns::tests::{DnsServer, eventually};
use crate::upstream::settings::{Http, Server, Timeouts, Tls};

struct Rig {
    dns: Dns,
    metrics: Metrics,
}

fn rig() -> Rig {
    rig_with(NameServers::Given(Vec::new()))
}

fn rig_with(servers: NameServers) -> Rig {
    let metrics = Metrics::new(BuildInfo { version: "0", commit: "" });
    let tasks = Tasks::new(Handle::current());
    Rig { dns: Dns::new(servers, tasks, metrics.clone()), metrics }
}

impl Rig {
    fn pool(&self, servers: &[(Scheme, &str, u16)]) -> Result<Pool, BuildError> {
        let server = |&(scheme, host, weight): &(_, &str, _)| Server { scheme, host: host.into(), port: 80, weight };
        let settings = Settings {
            servers: servers.iter().map(server).collect(),
            timeouts: Timeouts::default(),
            http: Http::Auto,
            tls: Tls::default(),
            retries: 1,
        };
        let roots = SystemRoots::from_certs(Vec::new());
        Pool::build(settings, &self.dns, &roots, &self.metrics.route("blog"))
    }

    fn clear(&self, hosts: &[&str]) -> Pool {
        let servers: Vec<_> = hosts.iter().map(|host| (Scheme::Http, *host, 1)).collect();
        self.pool(&servers).expect("good settings")
    }
}

fn picks(pool: &Pool, count: usize) -> BTreeMap<String, usize> {
    let mut picks = BTreeMap::new();
    for _ in 0..count {
        let pick = pool.pick(&Tried::default()).expect("a server");
        *picks.entry(pick.address().ip().to_string()).or_default() += 1;
    }
    picks
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.map(|(ip, count)| (ip.to_owned(), count)).into()
}

#[tokio::test]
async fn servers_take_turns_by_weight() {
    let servers = [(Scheme::Http, "10.0.0.1", 3), (Scheme::H2c, "10.0.0.2", 1), (Scheme::Http, "10.0.0.3", 0)];
    let pool = rig().pool(&servers).expect("good settings");
    assert_eq!(picks(&pool, 8), counts([("10.0.0.1", 6), ("10.0.0.2", 2)]));
}

#[tokio::test]
async fn what_was_tried_is_not_picked_again() {
    let pool = rig().clear(&["10.0.0.1", "10.0.0.2"]);
    let mut tried = Tried::default();
    let first = pool.pick(&tried).expect("a server");
    tried.add(&first);
    let second = pool.pick(&tried).expect("the other");
    assert_ne!(first.address(), second.address());
    tried.add(&second);
    assert!(pool.pick(&tried).is_none());
    assert_eq!(tried.len(), 2);
}

#[tokio::test]
async fn an_address_that_cannot_be_reached_is_the_last_resort_until_it_answers() {
    let pool = rig().clear(&["10.0.0.1", "10.0.0.2"]);
    let first = pool.pick(&Tried::default()).expect("a server");
    first.done(Outcome::ConnectFailed, None, Some("refused"));
    let other = picks(&pool, 4);
    assert_eq!(other.values().collect::<Vec<_>>(), [&4]);
    assert!(!other.contains_key(&first.address().ip().to_string()));

    let second = pool.pick(&Tried::default()).expect("the other");
    second.done(Outcome::ConnectFailed, None, None);
    assert_eq!(picks(&pool, 4).len(), 2, "all are failing: all are tried");

    first.done(Outcome::Answered, Some(0.1), None);
    second.done(Outcome::Answered, Some(0.1), None);
    assert_eq!(picks(&pool, 4).len(), 2);
}

#[tokio::test]
async fn the_status_tells_addresses_requests_and_the_last_error() {
    let rig = rig();
    let pool = rig.clear(&["10.0.0.1"]);
    let pick = pool.pick(&Tried::default()).expect("a server");
    pick.done(Outcome::ConnectFailed, None, Some("connection refused"));
    pick.done(Outcome::ClientClosed, None, Some("not its fault"));
    let status = pool.status().remove(0);
    assert_eq!((status.server.as_str(), status.weight, status.requests), ("http://10.0.0.1:80", 1, 2));
    assert_eq!(status.addresses, [AddressStatus { address: pick.address(), failing: true }]);
    assert_eq!(status.last_error.map(|error| error.text).as_deref(), Some("connection refused"));
    let page = rig.metrics.render();
    let line = r#"edge_upstream_requests_total{result="connect_failed",route="blog",upstream="http://10.0.0.1:80"} 1"#;
    assert!(page.contains(line), "{page}");
}

#[tokio::test]
async fn a_name_has_no_address_at_first_and_then_uses_all_it_has() {
    let pool = rig().clear(&["localhost"]);
    pool.resolved().await;
    let status = pool.status().remove(0);
    assert_eq!(status.addresses.len(), 2, "{status:?}");
    assert_eq!(picks(&pool, 4), counts([("127.0.0.1", 2), ("::1", 2)]));
}

#[tokio::test]
async fn a_pool_follows_a_name_and_keeps_what_it_knows_of_an_address_that_stays() {
    let server = DnsServer::start().await;
    server.set("app.test", r#"127.0.0.2","127.0.0.3"#);
    let pool = rig_with(NameServers::Given(vec![server.dns])).clear(&["app.test"]);
    pool.resolved().await;
    assert_eq!(picks(&pool, 4), counts([("127.0.0.2", 2), ("127.0.0.3", 2)]));
    let failing = |address: &str| {
        let status = pool.status().remove(0);
        status.addresses.iter().any(|known| known.failing && known.address.ip().to_string() == address)
    };
    while !failing("127.0.0.3") {
        let pick = pool.pick(&Tried::default()).expect("a server");
        let outcome =
            if pick.address().ip().to_string() == "127.0.0.3" { Outcome::ConnectFailed } else { Outcome::Answered };
        pick.done(outcome, None, None);
    }
    server.set("app.test", r#"127.0.0.3","127.0.0.4"#);
    eventually(|| picks(&pool, 2).contains_key("127.0.0.4")).await;
    assert!(failing("127.0.0.3"));
    assert_eq!(picks(&pool, 4), counts([("127.0.0.4", 4)]));
}

#[tokio::test]
async fn a_name_that_is_unknown_says_so_and_is_not_picked() {
    let pool = rig().clear(&["nowhere.invalid"]);
    pool.resolved().await;
    assert!(pool.pick(&Tried::default()).is_none());
    assert!(pool.status().remove(0).dns_error.is_some());
}

#[tokio::test]
async fn what_can_never_work_is_refused() {
    let rig = rig();
    let said = |servers: &[(Scheme, &str, u16)]| rig.pool(servers).expect_err("it cannot work").to_string();
    assert_eq!(said(&[(Scheme::Http, "10.0.0.1", 0)]), "no server has a weight above 0");
    assert_eq!(said(&[]), "no server has a weight above 0");
    assert!(said(&[(Scheme::Https, "10.0.0.1", 1)]).starts_with("this system has no certificate authorities"));
}

#[tokio::test]
async fn an_upgrade_never_asks_for_http_2() {
    let rig = rig();
    let pool = rig.clear(&["10.0.0.1"]);
    let pick = pool.pick(&Tried::default()).expect("a server");
    assert_eq!(pick.peer_for_upgrade().options.alpn, ALPN::H1);
    assert_eq!(pick.authority(), "10.0.0.1");
}
