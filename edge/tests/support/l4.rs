//! Edges whose entrypoints speak something else than HTTP, what such an edge says of itself, and relays and servers
//! around it that treat bytes as a test wants.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread;

use super::backend::Backend;
use super::edge::{PLAIN, TestEdge};
use super::pki::Pair;
use super::process::eventually;

/// An entrypoint of that name and protocol on any free port, and more of its keys.
pub(crate) fn entrypoint(name: &str, protocol: &str, more: &str) -> String {
    format!("\n[entrypoint.{name}]\nlisten = [\"127.0.0.1:0\"]\nprotocol = \"{protocol}\"\n{more}\n")
}

/// With an entrypoint `postgres`, the files that its certificates are in, and these routes.
#[track_caller]
pub(crate) fn postgres_edge(pairs: &[(&str, &Pair)], routes: &str) -> TestEdge {
    edge(&entrypoint("postgres", "postgres", ""), pairs, routes)
}

/// With an entrypoint `tcp`.
#[track_caller]
pub(crate) fn tcp_edge(pairs: &[(&str, &Pair)], routes: &str) -> TestEdge {
    edge(&entrypoint("tcp", "tcp", ""), pairs, routes)
}

/// With `config` behind [`PLAIN`]. `pairs` are `tls/NAME.pem` and `.key`, each a `[[certificate]]`. Clients may come as
/// often as they like.
#[track_caller]
pub(crate) fn edge(config: &str, pairs: &[(&str, &Pair)], routes: &str) -> TestEdge {
    let limits = "\n[limits]\nclient_handshakes_per_second = 0\n";
    let certificates: String = pairs
        .iter()
        .map(|(name, _)| format!("\n[[certificate]]\ncert = \"tls/{name}.pem\"\nkey = \"tls/{name}.key\"\n"))
        .collect();
    TestEdge::start(|_| {
        let mut files = vec![
            ("edge.toml".to_owned(), format!("{PLAIN}{config}{limits}{certificates}")),
            ("routes/l4.toml".to_owned(), routes.to_owned()),
        ];
        for (name, pair) in pairs {
            files.push((format!("tls/{name}.pem"), pair.cert.clone()));
            files.push((format!("tls/{name}.key"), pair.key.clone()));
        }
        files
    })
}

/// A `[[tcp]]` that has `keys`.
pub(crate) fn tcp(name: &str, upstream: impl ToString, keys: &str) -> String {
    format!("[[tcp]]\nname = \"{name}\"\nupstream = \"{}\"\n{keys}\n", upstream.to_string())
}

impl TestEdge {
    /// The root of its own authority, as a file.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("state/local-ca/root.pem")
    }

    /// A file of this edge with this text.
    #[track_caller]
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("the folder is ours");
        path
    }

    /// Replaces the pair of a `[[certificate]]` as a renewal does: each file whole.
    #[track_caller]
    pub(crate) fn renew(&self, name: &str, pair: &Pair) {
        for (ending, text) in [("key", &pair.key), ("pem", &pair.cert)] {
            let beside = self.file(&format!("tls/{name}.{ending}.new"), text);
            fs::rename(beside, self.path(&format!("tls/{name}.{ending}"))).expect("the folder is ours");
        }
    }

    /// Waits until so many tunnels of a route are open.
    #[track_caller]
    pub(crate) fn has_open(&self, route: &str, count: f64) {
        let label = format!("route=\"{route}\"");
        let open = || self.metric_sum("edge_tcp_connections_open", &[&label]);
        eventually(&format!("{count} connections of {route} are open"), || open() == count);
    }
}

/// A server that says `name` to each connection and then sends back whatever comes.
pub(crate) fn greeting(name: &'static str) -> Backend {
    greeting_at((Ipv4Addr::LOCALHOST, 0).into(), name)
}

pub(crate) fn greeting_at(address: SocketAddr, name: &'static str) -> Backend {
    Backend::serve(address, move |mut stream, _| {
        if stream.write_all(format!("{name}\n").as_bytes()).is_ok() {
            let _echoed = stream.try_clone().and_then(|mut from| io::copy(&mut from, &mut stream));
        }
    })
}

/// A server that sends back whatever comes and never speaks first. When the client is done it says `bye`.
pub(crate) fn echo() -> Backend {
    Backend::serve((Ipv4Addr::LOCALHOST, 0).into(), |mut stream, _| {
        let echoed = stream.try_clone().and_then(|mut from| io::copy(&mut from, &mut stream));
        drop(echoed.and_then(|_| stream.write_all(b"bye")));
    })
}

/// How a relay passes on what the client says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mangle {
    /// The first two thousand bytes one by one.
    SingleBytes,
    /// The first TLS record, which follows an `SSLRequest`, as two.
    TwoRecords,
    /// As it is, behind a PROXY header that names the client 203.0.113.7.
    Proxied,
}

/// Stands between a client and `to`.
pub(crate) fn relay(to: SocketAddr, mangle: Mangle) -> Backend {
    Backend::serve((Ipv4Addr::LOCALHOST, 0).into(), move |client, _| {
        let Ok(server) = TcpStream::connect(to) else { return };
        drop((client.set_nodelay(true), server.set_nodelay(true)));
        let (Ok(back_from), Ok(back_to)) = (server.try_clone(), client.try_clone()) else { return };
        let back = thread::spawn(move || pass(back_from, back_to));
        drop(match mangle {
            Mangle::SingleBytes => single_bytes(&client, &server),
            Mangle::TwoRecords => two_records(&client, &server),
            Mangle::Proxied => (&server).write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 5432\r\n"),
        });
        pass(client, server);
        drop(back.join());
    })
}

fn single_bytes(mut client: &TcpStream, mut server: &TcpStream) -> io::Result<()> {
    let mut sent = 0;
    let mut block = [0; 2000];
    while sent < block.len() {
        let count = client.read(&mut block)?;
        if count == 0 {
            break;
        }
        for byte in &block[..count] {
            server.write_all(&[*byte])?;
            thread::yield_now();
        }
        sent += count;
    }
    Ok(())
}

fn two_records(mut client: &TcpStream, mut server: &TcpStream) -> io::Result<()> {
    let mut request = [0; 8];
    client.read_exact(&mut request)?;
    server.write_all(&request)?;
    let mut head = [0; 5];
    client.read_exact(&mut head)?;
    let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    client.read_exact(&mut record)?;
    // In the middle of the server's name or near it: whoever looks at the first record alone does not find it.
    for part in record.chunks(record.len().div_ceil(2)) {
        let length = u16::try_from(part.len()).map_err(io::Error::other)?.to_be_bytes();
        server.write_all(&[&head[..3], &length, part].concat())?;
    }
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    drop(io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Write));
}
