//! PostgreSQL on loopback, and the two generations of its client library: `psql` as the system has it, and the newest
//! libpq through psycopg.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use super::clients::{bare, clients};
use super::pki::Pair;
use super::process::{Process, Ran, comes_true, free_port, installed, is_root, run, unprivileged, with_libraries};

/// The one who uses the databases. She may stream changes too, and is no superuser.
pub(crate) const USER: &str = "ada";
/// Hers and that of `postgres`, the superuser. Passwords are SCRAM, on every way in.
pub(crate) const PASSWORD: &str = "a long password";

/// A running server with the databases `app` and `shop`, both of [`USER`]. It ends with this value.
pub(crate) struct Postgres {
    process: Process,
    pub(crate) port: u16,
    dir: TempDir,
}

impl Postgres {
    /// `name` is what `show cluster_name` says: [`Dsn::server`] asks for it.
    #[track_caller]
    pub(crate) fn start(name: &str) -> Self {
        Self::configured(name, None, "")
    }

    /// One that speaks TLS with this certificate, and refuses whoever does not.
    #[track_caller]
    pub(crate) fn with_tls(name: &str, pair: &Pair) -> Self {
        Self::configured(name, Some(pair), "")
    }

    /// With more lines for `postgresql.conf`.
    #[track_caller]
    pub(crate) fn configured(name: &str, pair: Option<&Pair>, settings: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (data, port) = (dir.path().join("data"), free_port());
        run(Command::new("cp").arg("-a").arg(template()).arg(&data)).success();
        let tls = pair.map_or_else(String::new, |pair| tls(dir.path(), pair));
        let folder = dir.path().display();
        let more = format!(
            "\ncluster_name = '{name}'\nport = {port}\nlisten_addresses = '127.0.0.1'\n\
             unix_socket_directories = '{folder}'\nfsync = off\nfull_page_writes = off\nsynchronous_commit = off\n\
             wal_level = logical\njit = off\nlog_connections = on\n\
             client_connection_check_interval = 100\n{tls}{settings}\n"
        );
        append(&data.join("postgresql.conf"), &more);
        let host = if pair.is_some() { "hostssl" } else { "host" };
        let rules: String = ["all", "replication"]
            .iter()
            .map(|what| format!("local {what} all scram-sha-256\n{host} {what} all 127.0.0.1/32 scram-sha-256\n"))
            .collect();
        fs::write(data.join("pg_hba.conf"), rules).expect("the folder is ours");
        let mut command = unprivileged(&program("postgres"), dir.path());
        let mut process = Process::start(command.arg("-D").arg(&data).env("LC_ALL", "C").current_dir("/"));
        let ready = "database system is ready to accept connections";
        process.ready_when("PostgreSQL is ready", |output| output.contains(ready));
        Self { process, port, dir }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join(format!(".s.PGSQL.{}", self.port))
    }

    pub(crate) fn log(&self) -> String {
        self.process.output()
    }

    /// Past the edge, as the superuser, over the unix socket.
    #[track_caller]
    pub(crate) fn ask(&self, sql: &str) -> String {
        let dsn = Dsn::default().with("host", self.dir.path().display()).with("port", self.port);
        let dsn = dsn.with("user", "postgres").with("password", PASSWORD).with("dbname", "app");
        psql(&dsn, sql).success().trim().to_owned()
    }

    /// How many clients run a statement that has this text in it now.
    #[track_caller]
    pub(crate) fn running(&self, text: &str) -> usize {
        let sql = format!(
            "select count(*) from pg_stat_activity where state = 'active' and query like '%{text}%' \
             and pid <> pg_backend_pid()"
        );
        self.ask(&sql).parse().expect("a number")
    }

    /// Clients that are connected, without those of [`Self::ask`].
    #[track_caller]
    pub(crate) fn clients(&self) -> usize {
        self.ask(&format!("select count(*) from pg_stat_activity where usename = '{USER}'")).parse().expect("a number")
    }
}

/// A server that is killed leaves its shared memory behind; one that is asked to stop at once does not.
impl Drop for Postgres {
    fn drop(&mut self) {
        let id = self.process.id().to_string();
        drop(Command::new("kill").args(["-s", "QUIT", &id]).stderr(Stdio::null()).status());
        comes_true(|| self.process.ended().is_some());
    }
}

fn tls(folder: &Path, pair: &Pair) -> String {
    let [cert, key] = [("server.pem", &pair.cert), ("server.key", &pair.key)].map(|(name, text)| {
        let path = folder.join(name);
        fs::write(&path, text).expect("the folder is ours");
        path
    });
    run(Command::new("chmod").arg("600").arg(&key)).success();
    format!("ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n", cert.display(), key.display())
}

fn append(path: &Path, text: &str) {
    let file = fs::OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the folder is ours");
}

/// The newest version's program of that name.
#[track_caller]
pub(crate) fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir(installed("usr/lib/postgresql")).expect("it is a folder").flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    installed(&format!("usr/lib/postgresql/{}/bin/{name}", newest.expect("a version is unpacked")))
}

/// A folder with a new cluster, to be copied: to make one takes seconds. It stays for later runs.
#[track_caller]
fn template() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let version = run(with_libraries(&program("initdb")).arg("--version")).success();
    let owner = if is_root() { "nobody" } else { "own" };
    let version = version.split_whitespace().nth(2).expect("initdb (PostgreSQL) 15.20");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("postgres-{version}-{owner}"));
    if !place.exists() {
        make_template(&place);
    }
    place
}

#[track_caller]
fn make_template(place: &Path) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (data, secret) = (dir.path().join("data"), dir.path().join("secret"));
    fs::write(&secret, PASSWORD).expect("the folder is ours");
    let mut command = unprivileged(&program("initdb"), dir.path());
    command.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--username=postgres"]);
    run(command.arg("--pwfile").arg(&secret).arg("-D").arg(&data).current_dir("/")).success();
    let sql = format!(
        "create role {USER} login replication password '{PASSWORD}'\ncreate database app owner {USER}\n\
         create database shop owner {USER}\n"
    );
    let mut command = unprivileged(&program("postgres"), dir.path());
    command.args(["--single", "-c", "fsync=off", "-D"]).arg(&data).arg("postgres").current_dir("/");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    child.stdin.take().expect("it is piped").write_all(sql.as_bytes()).expect("it reads");
    assert!(child.wait().expect("our own child").success(), "the databases are made");
    // Another test binary may do the same now: whoever is first gives the name.
    let beside = tempfile::tempdir_in(place.parent().expect("a folder")).expect("a temporary folder");
    run(Command::new("cp").arg("-a").arg(&data).arg(beside.path().join("data"))).success();
    assert!(fs::rename(beside.path().join("data"), place).is_ok() || place.exists(), "{}", place.display());
}

/// Where and how a client connects: keywords of libpq.
#[derive(Clone, Default)]
pub(crate) struct Dsn(Vec<(String, String)>);

impl Dsn {
    /// As [`USER`] to the database `app` at a name of the tests, whose certificate must lead to `root` (a file).
    pub(crate) fn verified(to: SocketAddr, host: &str, root: &Path) -> Self {
        let dsn = Self::plain(to).with("host", host).with("sslmode", "verify-full");
        dsn.with("sslrootcert", root.display())
    }

    /// The same without TLS and without a name.
    pub(crate) fn plain(to: SocketAddr) -> Self {
        let dsn = Self::default().with("hostaddr", to.ip()).with("port", to.port()).with("sslmode", "disable");
        let dsn = dsn.with("user", USER).with("password", PASSWORD).with("dbname", "app");
        dsn.with("connect_timeout", 30).with("gssencmode", "disable")
    }

    pub(crate) fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.0.retain(|(have, _)| have != key);
        self.0.push((key.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.0.retain(|(have, _)| have != key);
        self
    }

    /// As a connection string.
    pub(crate) fn text(&self) -> String {
        let quoted = |value: &str| value.replace('\\', r"\\").replace('\'', r"\'");
        self.0.iter().map(|(key, value)| format!("{key}='{}' ", quoted(value))).collect()
    }

    /// Which server is at the other end, asked by `psql`.
    #[track_caller]
    pub(crate) fn server(&self) -> String {
        psql(self, "show cluster_name").success().trim().to_owned()
    }

    /// What `psql` says when it cannot connect.
    #[track_caller]
    pub(crate) fn refusal(&self) -> String {
        let ran = psql(self, "show cluster_name");
        assert_eq!(ran.status.code(), Some(2), "psql is refused: {ran:?}");
        ran.stderr
    }
}

/// Runs one statement in `psql`: the values alone.
#[track_caller]
pub(crate) fn psql(dsn: &Dsn, sql: &str) -> Ran {
    run(pg("psql").args(["-d", &dsn.text(), "-c", sql]).args(PSQL))
}

/// No settings of a user, bare values, and an error ends it.
const PSQL: [&str; 6] = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"];

/// The same as a program that stays: it must be stopped.
#[track_caller]
pub(crate) fn psql_running(dsn: &Dsn, sql: &str) -> Process {
    Process::start(pg("psql").args(["-d", &dsn.text(), "-c", sql]).args(PSQL))
}

/// A program of PostgreSQL's, such as `pg_dump`, without the settings of this machine's user.
#[track_caller]
pub(crate) fn pg(name: &str) -> Command {
    let mut command = with_libraries(&program(name));
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("PG")) {
        command.env_remove(key);
    }
    command.env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8").env("PGAPPNAME", name);
    command
}

/// `postgres_client.py`, which has the newest libpq: the program.
#[track_caller]
pub(crate) fn newest(dsn: &Dsn, what: &[&str]) -> Command {
    let mut command = bare("python");
    command.arg(clients().join("postgres_client.py")).arg(dsn.text()).args(what);
    command
}

/// Runs it to its end: the last line that it printed.
#[track_caller]
pub(crate) fn ask_newest(dsn: &Dsn, what: &[&str]) -> serde_json::Value {
    let said = run(&mut newest(dsn, what)).success();
    serde_json::from_str(said.lines().last().unwrap_or_default()).expect("the client prints JSON")
}

/// Runs a statement with it: the first value, or what it said instead.
#[track_caller]
pub(crate) fn newest_value(dsn: &Dsn, sql: &str) -> Result<String, String> {
    let said = ask_newest(dsn, &["query", sql]);
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if said["ok"] == true { Ok(text(&said["rows"][0][0])) } else { Err(text(&said["error"])) }
}
