//! An edge whose certificates come from Pebble: the configuration between the two, and a gate in front of the authority.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::backend::Backend;
use super::curl::curl;
use super::pebble::Pebble;

/// An `edge.toml` with Pebble as the public authority, whose questions come to `http_port`.
pub(crate) fn config(pebble: &Pebble, directory: &str, http_port: u16) -> String {
    let ca_file = pebble.ca_file.display();
    format!(
        r#"
routes = "routes"
state = "state"

[entrypoint.http]
listen = ["127.0.0.1:{http_port}"]
redirect = "https"

[entrypoint.https]
listen = ["127.0.0.1:0"]
tls = true

[acme]
email = "ops@example.com"
directory = "{directory}"
ca_file = "{ca_file}"

[limits]
client_handshakes_per_second = 0

[admin]
listen = "127.0.0.1:0"
"#
    )
}

/// The root that Pebble's certificates lead to: PEM.
#[track_caller]
pub(crate) fn issuing_root(pebble: &Pebble) -> String {
    let answer = curl(&["--insecure", &pebble.issuing_root]);
    assert_eq!(answer.status, 200, "{}", answer.said);
    answer.text()
}

/// How many orders Pebble has taken. It refuses some requests at random, which are then asked again.
pub(crate) fn orders(pebble: &Pebble) -> usize {
    pebble.log().matches("Added order ").count()
}

/// In front of a server: connections through it wait until it is opened.
pub(crate) struct Gate {
    entry: Backend,
    opened: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    /// Closed, in front of the server at this port of loopback.
    pub(crate) fn before(port: u16) -> Self {
        let opened = Arc::new((Mutex::new(false), Condvar::new()));
        let waits = Arc::clone(&opened);
        let entry = Backend::serve((Ipv4Addr::LOCALHOST, 0).into(), move |client, _| {
            let (opened, changed) = &*waits;
            let opened = opened.lock().expect("nobody panics with it");
            drop(changed.wait_while(opened, |opened| !*opened));
            if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                join(&client, &server);
            }
        });
        Self { entry, opened }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.entry.address()
    }

    /// Connections that came so far.
    pub(crate) fn knocks(&self) -> usize {
        self.entry.accepted()
    }

    pub(crate) fn open(&self) {
        let (opened, changed) = &*self.opened;
        *opened.lock().expect("nobody panics with it") = true;
        changed.notify_all();
    }
}

/// Copies both ways until one side ends.
fn join(client: &TcpStream, server: &TcpStream) {
    let copies =
        [(client, server), (server, client)].map(|(from, to)| Some((from.try_clone().ok()?, to.try_clone().ok()?)));
    let threads: Vec<_> =
        copies.into_iter().flatten().map(|(from, to)| thread::spawn(move || copy(from, to))).collect();
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut block = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut block) {
        if to.write_all(&block[..count]).is_err() {
            break;
        }
    }
    let _: [io::Result<()>; 2] = [from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)];
}
