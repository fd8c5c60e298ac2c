//! Real servers that speak no HTTP: Redis, dnsmasq, pgbouncer, git over ssh. Each listens on loopback and ends with its
//! value.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::clients::{bare, clients};
use super::pki::Pair;
use super::postgres::{PASSWORD, Postgres, USER};
use super::process::{Process, Ran, free_port, run, tool, unpacked, unprivileged};

/// A server on a port that it was given.
pub(crate) struct Served {
    process: Process,
    pub(crate) port: u16,
    dir: TempDir,
}

impl Served {
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn log(&self) -> String {
        self.process.output()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Redis; with a pair it speaks TLS alone.
#[track_caller]
pub(crate) fn redis(pair: Option<&Pair>) -> Served {
    let (dir, port) = (folder(), free_port());
    let mut command = unpacked("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]).arg(dir.path());
    if let Some(pair) = pair {
        let [cert, key] = [("redis.pem", &pair.cert), ("redis.key", &pair.key)].map(|(name, text)| {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("the folder is ours");
            path
        });
        command.args(["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
        command.arg("--tls-cert-file").arg(cert).arg("--tls-key-file").arg(key);
    } else {
        command.args(["--port", &port.to_string()]);
    }
    let mut process = Process::start(&mut command);
    process.ready_when("Redis is ready", |output| output.contains("Ready to accept connections"));
    Served { process, port, dir }
}

/// `redis-cli` at an address, with TLS for this name under this root or without.
pub(crate) fn redis_cli(to: SocketAddr, tls: Option<(&str, &Path)>) -> Command {
    let mut command = unpacked("redis-cli");
    command.args(["-h", &to.ip().to_string(), "-p", &to.port().to_string()]);
    if let Some((name, root)) = tls {
        command.args(["--tls", "--sni", name, "--cacert"]).arg(root);
    }
    command
}

/// dnsmasq, which knows these names (each with its address) and asks nobody else.
#[track_caller]
pub(crate) fn dnsmasq(names: &[(&str, &str)]) -> Served {
    let (dir, port) = (folder(), free_udp_port());
    let mut command = unpacked("dnsmasq");
    command.args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", "--user="]);
    command.args(["--listen-address=127.0.0.1", "--pid-file=", &format!("--port={port}"), "--edns-packet-max=4096"]);
    command.args(names.iter().map(|(name, address)| format!("--address=/{name}/{address}")));
    // Longer than a datagram that passes everywhere.
    let long = vec!["x".repeat(250); 8].join(",");
    command.arg(format!("--txt-record=long.test,{long}"));
    let mut process = Process::start(&mut command);
    process.ready_when("dnsmasq is ready", |output| output.contains("started, version"));
    Served { process, port, dir }
}

/// `dig` at an address: the values of its answer. It asks once.
#[track_caller]
pub(crate) fn dig(at: SocketAddr, args: &[&str]) -> Ran {
    let place = [format!("@{}", at.ip()), "-p".to_owned(), at.port().to_string()];
    run(Command::new("dig").args(place).args(["+short", "+tries=1", "+time=10"]).args(args))
}

/// A port of loopback for datagrams (and for TCP) that is free now.
pub(crate) fn free_udp_port() -> u16 {
    loop {
        let port = free_port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// pgbouncer before this server: many clients on few of its connections, each for a transaction.
#[track_caller]
pub(crate) fn pgbouncer(before: &Postgres) -> Served {
    let (dir, port) = (folder(), free_port());
    let (users, settings) = (dir.path().join("users.txt"), dir.path().join("pgbouncer.ini"));
    fs::write(&users, format!("\"{USER}\" \"{PASSWORD}\"\n")).expect("the folder is ours");
    let text = format!(
        "[databases]\napp = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 2\n",
        before.port,
        users.display()
    );
    fs::write(&settings, text).expect("the folder is ours");
    let mut process = Process::start(unprivileged(&tool("pgbouncer"), dir.path()).arg(settings).current_dir("/"));
    process.ready_when("pgbouncer is ready", |output| output.contains("process up"));
    Served { process, port, dir }
}

/// An ssh server that lets anybody clone a repository with one file, `hello.txt`, of this many bytes.
pub(crate) struct GitServer {
    served: Served,
}

impl GitServer {
    #[track_caller]
    pub(crate) fn start(bytes: usize) -> Self {
        let dir = folder();
        let repository = dir.path().join("repository");
        fs::create_dir(&repository).expect("it is new");
        // Random enough that nothing makes it smaller.
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .take(bytes)
        .collect();
        fs::write(repository.join("hello.txt"), noise).expect("the folder is ours");
        for args in [&["init", "--quiet", "-b", "main"][..], &["add", "."], &["commit", "--quiet", "-m", "hello"]] {
            run(git(dir.path()).arg("-C").arg(&repository).args(args)).success();
        }
        let mut command = bare("python");
        command.arg(clients().join("git_ssh_server.py")).env("HOME", dir.path());
        let (mut process, mut port) = (Process::start(&mut command), None);
        process.ready_when("the ssh server prints its port", |output| {
            port = output.lines().find_map(|line| line.strip_prefix("port ")?.trim().parse().ok());
            port.is_some()
        });
        Self { served: Served { process, port: port.expect("it was printed"), dir } }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.served.address()
    }

    /// Clones through `port`: the bytes of the file as they came.
    #[track_caller]
    pub(crate) fn clone_through(&self, port: u16) -> Vec<u8> {
        let url = format!("ssh://git@127.0.0.1:{port}{}", self.served.path("repository").display());
        let ssh = "ssh -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
        let copy = folder();
        let mut command = git(copy.path());
        command.env("GIT_SSH_COMMAND", ssh).args(["clone", "--quiet", &url]).arg(copy.path().join("copy"));
        run(&mut command).success();
        fs::read(copy.path().join("copy/hello.txt")).expect("it was cloned")
    }

    /// The file as it is.
    #[track_caller]
    pub(crate) fn file(&self) -> Vec<u8> {
        fs::read(self.served.path("repository/hello.txt")).expect("it was written")
    }
}

/// Git without the settings of this machine's user.
fn git(home: &Path) -> Command {
    let mut command = Command::new("git");
    command.env("HOME", home).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "ada@example.com");
    }
    command
}
