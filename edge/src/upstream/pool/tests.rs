//! Picking servers and addresses, without a network.

use std::collections::BTreeMap;
use std::time::Duration;

use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::ALPN;
use tokio::runtime::Handle;

use super::*;
use crate::tasks::Tasks;
use crate::telemetry::{BuildInfo, Metrics, Outcome};
use crate::upstream::dns::NameServers;
use crate::upstream::dns::tests::{DnsServer, eventually};
use crate::upstream::settings::{Eject, Health, Place, Probe, Server};

struct Rig {
    means: Means,
    metrics: Metrics,
}

fn rig() -> Rig {
    rig_with(NameServers::Given(Vec::new()))
}

fn rig_with(servers: NameServers) -> Rig {
    let metrics = Metrics::new(BuildInfo { version: "0", commit: "" });
    let tasks = Tasks::new(Handle::current());
    let means = Means {
        dns: Dns::new(servers, tasks.clone(), metrics.clone()),
        roots: SystemRoots::from_certs(Vec::new()),
        checks: Checks::new(&ServerConf::default(), tasks),
        sticky: StickyKey::new(&[0; StickyKey::LENGTH]),
    };
    Rig { means, metrics }
}

impl Rig {
    fn pool(&self, servers: &[(Scheme, &str, u16)]) -> Result<Pool, BuildError> {
        let server = |&(scheme, host, weight): &(_, &str, _)| Server { weight, ..Server::net(scheme, host.into(), 80) };
        self.with(Settings { servers: servers.iter().map(server).collect(), retries: 1, ..Settings::default() })
    }

    fn with(&self, settings: Settings) -> Result<Pool, BuildError> {
        Pool::build(settings, &self.means, &self.metrics.route("blog"), None)
    }

    fn clear(&self, hosts: &[&str]) -> Pool {
        let servers: Vec<_> = hosts.iter().map(|host| (Scheme::Http, *host, 1)).collect();
        self.pool(&servers).expect("good settings")
    }
}

fn picks(pool: &Pool, count: usize) -> BTreeMap<String, usize> {
    let mut picks = BTreeMap::new();
    for _ in 0..count {
        let pick = pool.pick(&Tried::default(), Wish::Any).expect("a server");
        *picks.entry(ip(&pick)).or_default() += 1;
    }
    picks
}

/// The address without its port, in the form of a URL's host.
fn ip(pick: &Pick) -> String {
    let text = pick.address().to_string();
    text.strip_suffix(":80").unwrap_or(&text).trim_matches(['[', ']']).to_owned()
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
    let first = pool.pick(&tried, Wish::Any).expect("a server");
    tried.add(&first);
    let second = pool.pick(&tried, Wish::Any).expect("the other");
    assert_ne!(first.address(), second.address());
    tried.add(&second);
    assert!(pool.pick(&tried, Wish::Any).is_none());
    assert_eq!(tried.len(), 2);
}

#[tokio::test]
async fn an_address_that_cannot_be_reached_is_the_last_resort_until_it_answers() {
    let pool = rig().clear(&["10.0.0.1", "10.0.0.2"]);
    let first = pool.pick(&Tried::default(), Wish::Any).expect("a server");
    first.done(Outcome::ConnectFailed, None, Some("refused"));
    let other = picks(&pool, 4);
    assert_eq!(other.values().collect::<Vec<_>>(), [&4]);
    assert!(!other.contains_key(&ip(&first)));

    let second = pool.pick(&Tried::default(), Wish::Any).expect("the other");
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
    let pick = pool.pick(&Tried::default(), Wish::Any).expect("a server");
    pick.done(Outcome::ConnectFailed, None, Some("connection refused"));
    pick.done(Outcome::ClientClosed, None, Some("not its fault"));
    let status = pool.status().remove(0);
    assert_eq!((status.server.as_str(), status.weight, status.requests), ("http://10.0.0.1:80", 1, 2));
    assert_eq!(status.addresses, [AddressStatus { address: pick.address().clone(), failing: true }]);
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
        status.addresses.iter().any(|known| known.failing && known.address.to_string() == format!("{address}:80"))
    };
    while !failing("127.0.0.3") {
        let pick = pool.pick(&Tried::default(), Wish::Any).expect("a server");
        let outcome = if ip(&pick) == "127.0.0.3" { Outcome::ConnectFailed } else { Outcome::Answered };
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
    assert!(pool.pick(&Tried::default(), Wish::Any).is_none());
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
    let pick = pool.pick(&Tried::default(), Wish::Any).expect("a server");
    assert_eq!(pick.peer_for_upgrade().options.alpn, ALPN::H1);
    assert_eq!(pick.authority(), "10.0.0.1");
}

fn servers(hosts: &[&str]) -> Vec<Server> {
    hosts.iter().map(|host| Server::net(Scheme::Http, (*host).into(), 80)).collect()
}

#[tokio::test]
async fn servers_on_which_requests_fail_in_a_row_are_left_alone_but_never_more_than_half() {
    let rig = rig();
    let eject = Eject { after: 2, time: Duration::from_secs(60), max: Duration::from_secs(60) };
    let hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
    let settings = Settings { servers: servers(&hosts), eject: Some(eject), ..Settings::default() };
    let pool = rig.with(settings).expect("good settings");
    let all: Vec<Pick> = (0..4).map(|_| pool.pick(&Tried::default(), Wish::Any).expect("a server")).collect();
    for pick in &all {
        pick.done(Outcome::Broken, None, Some("reset"));
        pick.done(Outcome::TimedOut, None, None);
    }
    let states: Vec<ServerState> = pool.status().into_iter().map(|server| server.state).collect();
    assert!(matches!(states[..2], [ServerState::Ejected(_), ServerState::Ejected(_)]), "{states:?}");
    assert_eq!(states[2..], [ServerState::Up, ServerState::Up]);
    assert_eq!(picks(&pool, 100).keys().collect::<Vec<_>>(), ["10.0.0.3", "10.0.0.4"]);
    let page = rig.metrics.render();
    assert!(page.contains("edge_upstream_ejections_total{route=\"blog\",upstream=\"http://10.0.0.1:80\"} 1"), "{page}");
}

#[tokio::test]
async fn the_only_server_is_never_left_alone() {
    let eject = Eject { after: 1, time: Duration::from_secs(60), max: Duration::from_secs(60) };
    let settings = Settings { servers: servers(&["10.0.0.1"]), eject: Some(eject), ..Settings::default() };
    let pool = rig().with(settings).expect("good settings");
    for _ in 0..10 {
        pool.pick(&Tried::default(), Wish::Any).expect("the server").done(Outcome::Broken, None, None);
    }
    assert_eq!(pool.status()[0].state, ServerState::Up);
}

#[tokio::test]
async fn a_backup_is_asked_only_when_no_other_can_be() {
    let mut servers = servers(&["10.0.0.1", "10.0.0.2"]);
    servers[1].backup = true;
    let pool = rig().with(Settings { servers, ..Settings::default() }).expect("good settings");
    assert_eq!(picks(&pool, 9), counts([("10.0.0.1", 9)]));
    let first = pool.pick(&Tried::default(), Wish::Any).expect("a server");
    first.done(Outcome::ConnectFailed, None, None);
    assert_eq!(picks(&pool, 9), counts([("10.0.0.2", 9)]));
    first.done(Outcome::Answered, None, None);
    assert_eq!(picks(&pool, 9), counts([("10.0.0.1", 9)]));
}

#[tokio::test]
async fn who_wishes_for_a_server_gets_it_as_long_as_it_can_be_used_even_out_of_turn() {
    let mut servers = servers(&["10.0.0.1", "10.0.0.2"]);
    servers[1].weight = 0;
    let pool = rig().with(Settings { servers, ..Settings::default() }).expect("good settings");
    let wished = || ip(&pool.pick(&Tried::default(), Wish::Server(1)).expect("a server"));
    assert_eq!((wished().as_str(), picks(&pool, 5).len()), ("10.0.0.2", 1));
    pool.pick(&Tried::default(), Wish::Server(1)).expect("it").done(Outcome::ConnectFailed, None, None);
    assert_eq!(wished(), "10.0.0.1");
    assert!(pool.pick(&Tried::default(), Wish::Server(7)).is_some(), "a wish for nobody is no wish");
}

#[tokio::test]
async fn who_came_to_a_backup_goes_back_once_another_can_be_asked() {
    let mut servers = servers(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    (servers[1].backup, servers[2].backup) = (true, true);
    let pool = rig().with(Settings { servers, ..Settings::default() }).expect("good settings");
    let wished = || ip(&pool.pick(&Tried::default(), Wish::Server(2)).expect("a server"));
    let first = pool.pick(&Tried::default(), Wish::Any).expect("a server");
    first.done(Outcome::ConnectFailed, None, None);
    assert!((0..4).all(|_| wished() == "10.0.0.3"));
    first.done(Outcome::Answered, None, None);
    assert_eq!(wished(), "10.0.0.1");
}

#[tokio::test]
async fn requests_under_way_are_counted_until_they_end() {
    let pool = rig().clear(&["10.0.0.1"]);
    let pick = pool.pick(&Tried::default(), Wish::Any).expect("a server");
    let (one, two) = (pick.begin(), pick.begin());
    assert_eq!(pool.status()[0].active, 2);
    drop((one, two));
    assert_eq!(pool.status()[0].active, 0);
}

#[tokio::test]
async fn a_socket_is_a_server_like_any_other() {
    let place = Place::Unix("/run/x.sock".into());
    let server = Server { scheme: Scheme::Http, place, weight: 1, backup: false };
    let pool = rig().with(Settings { servers: vec![server], ..Settings::default() }).expect("good settings");
    let pick = pool.pick(&Tried::default(), Wish::Any).expect("a server");
    assert_eq!((pick.server(), pick.address().to_string().as_str()), ("unix:/run/x.sock", "unix:/run/x.sock"));
    assert_eq!((pick.authority(), pick.peer()._address.to_string().as_str()), ("localhost", "/run/x.sock"));
}

#[tokio::test]
async fn a_new_pool_goes_on_with_what_the_one_before_knows_of_its_servers() {
    let rig = rig();
    let eject = Some(Eject { after: 1, time: Duration::from_secs(60), max: Duration::from_secs(60) });
    let settings = |hosts: &[&str]| Settings { servers: servers(hosts), eject, ..Settings::default() };
    let before = rig.with(settings(&["10.0.0.1", "10.0.0.2", "10.0.0.3"])).expect("good settings");
    let first = before.pick(&Tried::default(), Wish::Any).expect("a server");
    first.done(Outcome::Broken, None, None);
    assert_eq!(ip(&first), "10.0.0.1");
    let after = Pool::build(
        settings(&["10.0.0.4", "10.0.0.1", "10.0.0.3"]),
        &rig.means,
        &rig.metrics.route("blog"),
        Some(&before),
    )
    .expect("good settings");
    let states: Vec<ServerState> = after.status().into_iter().map(|server| server.state).collect();
    assert!(matches!(states[..], [ServerState::Up, ServerState::Ejected(_), ServerState::Up]), "{states:?}");
}

#[tokio::test]
async fn a_server_that_checks_found_down_counts_as_up_when_nobody_checks_it_any_more() {
    let rig = rig();
    let probe = Probe::Connect;
    let (every, timeout) = (Duration::from_secs(3600), Duration::from_secs(1));
    let health = Some(Health { probe, every, timeout, up_after: 1, down_after: 1 });
    let settings = Settings { servers: servers(&["10.0.0.1"]), ..Settings::default() };
    let before = rig.with(Settings { health, ..settings.clone() }).expect("good settings");
    before.inner.members[0].metrics.set_up(false);
    let after = Pool::build(settings, &rig.means, &rig.metrics.route("blog"), Some(&before)).expect("good settings");
    before.retire();
    let page = rig.metrics.render();
    let line = "edge_upstream_up{route=\"blog\",upstream=\"http://10.0.0.1:80\"} 1";
    assert!(page.contains(line), "{page}");
    assert_eq!(after.status()[0].state, ServerState::Up);
}
