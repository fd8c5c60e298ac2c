//! Names behind a real DNS server: Debian's `pebble-challtestsrv`, which `./dev test` installs.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::*;
use crate::telemetry::BuildInfo;

pub(in crate::upstream) struct DnsServer {
    child: Child,
    pub(in crate::upstream) dns: SocketAddr,
    management: SocketAddr,
}

impl DnsServer {
    pub(in crate::upstream) async fn start() -> Self {
        let (dns, management) = (free_port(), free_port());
        let child = Command::new("pebble-challtestsrv")
            .args(["-defaultIPv4", "", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-dns01", &dns.to_string(), "-management", &management.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble-challtestsrv: apt-get install pebble");
        let server = Self { child, dns, management };
        for address in [dns, management] {
            eventually(|| TcpStream::connect(address).is_ok()).await;
        }
        server
    }

    pub(in crate::upstream) fn set(&self, host: &str, address: &str) {
        self.tell("clear-a", &format!(r#"{{"host":"{host}."}}"#));
        self.tell("add-a", &format!(r#"{{"host":"{host}.","addresses":["{address}"]}}"#));
    }

    fn tell(&self, what: &str, body: &str) {
        let mut stream = TcpStream::connect(self.management).expect("it listens");
        let length = body.len();
        write!(stream, "POST /{what} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        assert!(answer.contains(" 200 "), "{answer}");
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has then noticed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Free for both transports, and below the ports that the system gives to outgoing connections: one of those is not taken
/// from under us while the server is starting.
fn free_port() -> SocketAddr {
    loop {
        let chance = RandomState::new().hash_one("a port");
        let port = 10_000 + u16::try_from(chance % 20_000).expect("below 20,000");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

/// Waits for a condition; a test that never meets it fails by the limit.
pub(in crate::upstream) async fn eventually(mut met: impl FnMut() -> bool) {
    let wait = async {
        while !met() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the condition is met");
}

struct Rig {
    dns: Dns,
    tasks: Tasks,
    metrics: Metrics,
}

fn rig(servers: NameServers) -> Rig {
    let tasks = Tasks::new(Handle::current());
    let metrics = Metrics::new(BuildInfo { version: "0", commit: "" });
    Rig { dns: Dns::new(servers, tasks.clone(), metrics.clone()), tasks, metrics }
}

fn ips(texts: &[&str]) -> Arc<[IpAddr]> {
    texts.iter().map(|text| text.parse::<IpAddr>().expect("an address")).collect()
}

#[tokio::test]
async fn a_name_follows_its_record_and_outlives_a_broken_dns_server() {
    let server = DnsServer::start().await;
    server.set("app.test", "127.0.0.2");
    let rig = rig(NameServers::Given(vec![server.dns]));
    let app = rig.dns.watch("App.test");
    app.known().await;
    assert_eq!(app.current().addresses, ips(&["127.0.0.2"]));

    server.set("app.test", "127.0.0.3");
    eventually(|| app.current().addresses == ips(&["127.0.0.3"])).await;

    server.tell("set-servfail", r#"{"host":"app.test."}"#);
    eventually(|| app.current().error.is_some()).await;
    assert_eq!(app.current().addresses, ips(&["127.0.0.3"]));
    assert!(rig.metrics.render().contains(r#"edge_dns_lookups_total{result="failed"}"#));

    server.tell("clear-servfail", r#"{"host":"app.test."}"#);
    eventually(|| app.current().error.is_none()).await;

    drop(server);
    eventually(|| app.current().error.is_some()).await;
    assert_eq!(app.current().addresses, ips(&["127.0.0.3"]));
}

#[tokio::test]
async fn a_name_without_a_record_is_known_as_such() {
    let server = DnsServer::start().await;
    let rig = rig(NameServers::Given(vec![server.dns]));
    let none = rig.dns.watch("none.test");
    none.known().await;
    assert_eq!(none.current().addresses, ips(&[]));
    assert_eq!(none.current().error.as_deref(), Some("DNS has no address for this name"));
}

#[tokio::test]
async fn a_name_has_one_refresher_until_its_last_user_is_gone() {
    let rig = rig(NameServers::Given(vec![free_port()]));
    let (one, two) = (rig.dns.watch("a.test"), rig.dns.watch("A.TEST"));
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(rig.tasks.running(), 1);
    drop(one);
    assert_eq!(rig.tasks.running(), 1);
    drop(two);
    eventually(|| rig.tasks.running() == 0).await;
    let _again = rig.dns.watch("a.test");
    assert_eq!(rig.tasks.running(), 1);
    assert_eq!(rig.tasks.drain(Duration::from_secs(30)).await, Ok(()));
}

#[tokio::test]
async fn localhost_needs_no_dns_server() {
    let rig = rig(NameServers::Given(Vec::new()));
    let localhost = rig.dns.watch("localhost");
    localhost.known().await;
    let addresses = localhost.current().addresses.clone();
    assert_eq!(addresses.first(), Some(&IpAddr::from(Ipv4Addr::LOCALHOST)), "{addresses:?}");
}

#[tokio::test]
async fn the_hosts_file_of_the_system_is_honoured() {
    let text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let own = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let (ip, name) = (words.next()?.parse::<Ipv4Addr>().ok()?, words.next()?);
        (!name.contains("localhost")).then(|| (IpAddr::from(ip), name.to_owned()))
    };
    // Every Debian has a line for its own name; a machine without one has nothing to honour.
    let Some((ip, name)) = text.lines().find_map(own) else { return };
    let rig = rig(NameServers::System);
    let own = rig.dns.watch(&name);
    own.known().await;
    assert!(own.current().addresses.contains(&ip), "{name}: {:?}", own.current());
}

#[test]
fn the_wait_is_the_ttl_within_bounds_and_grows_with_failures() {
    let seconds = |ttl, failures| wait_after(ttl, failures).as_secs();
    let ttl = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!([seconds(ttl(0), 0), seconds(ttl(7), 0), seconds(ttl(86400), 0)], [1, 7, 30]);
    assert_eq!([1, 2, 3, 6, 1000].map(|failures| seconds(None, failures)), [1, 2, 4, 30, 30]);
}

#[test]
fn answers_in_another_order_are_no_change() {
    let found = |texts: &[&str]| Ok(Found { addresses: ips(texts).to_vec(), ttl: Duration::ZERO });
    let first = Resolution::default().after(&found(&["::1", "10.0.0.2", "10.0.0.1"]));
    assert_eq!(first.addresses, ips(&["10.0.0.1", "10.0.0.2", "::1"]));
    let second = first.after(&found(&["10.0.0.2", "10.0.0.1", "::1", "::1"]));
    assert!(Arc::ptr_eq(&first.addresses, &second.addresses));
}
