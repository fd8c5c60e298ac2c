//! Programs that a test starts, and waiting for what they do. Every program is killed by its own id
//! when the test lets go of it, and its output is kept to be shown when something fails.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// How long anything may take before the test gives up on it: far more than it ever needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again until `condition` holds; fails the test with `what` when the patience is over.
#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(comes_true(condition), "never came true within {PATIENCE:?}: {what}");
}

/// Like [`eventually`], with the value that made it true.
#[track_caller]
pub(crate) fn eventually_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    eventually(what, || {
        found = look();
        found.is_some()
    });
    found.expect("eventually returns only once it is there")
}

/// Asks again until `condition` holds; false when the patience is over.
pub(crate) fn comes_true(mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + PATIENCE;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a value stays as it is for longer than what changes it usually rests: the value.
#[track_caller]
pub(crate) fn settled<T: PartialEq>(what: &str, mut look: impl FnMut() -> T) -> T {
    let (mut last, mut same) = (look(), 0);
    eventually(what, || {
        let now = look();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same == 25
    });
    last
}

/// A port of loopback that is free now. Another program may take it first, so prefer port 0 where a
/// program can say which one it got.
pub(crate) fn free_port() -> u16 {
    // Below the range from which the system takes the ports of outgoing connections: one of those is not taken from
    // under us while a program is starting.
    loop {
        let chance = RandomState::new().hash_one("a port");
        let port = 10_000 + u16::try_from(chance % 20_000).expect("below 20,000");
        let address = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
}

/// An address of loopback that refuses connections and that no other program can take meanwhile.
pub(crate) struct Nobody(Socket);

impl Nobody {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).expect("a free port");
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().ok().and_then(|address| address.as_socket()).expect("it is bound")
    }

    /// As a route's `upstream`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Somebody listens there from now on.
    pub(crate) fn listen(self) -> TcpListener {
        self.0.listen(128).expect("it is bound");
        self.0.into()
    }
}

/// Whether somebody listens there.
pub(crate) fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// A program by name: from `target/tools`, where `./dev` unpacks some, else from `PATH`.
pub(crate) fn tool(name: &str) -> PathBuf {
    let places = ["usr/bin", "usr/sbin"].map(|folder| tools().join(folder).join(name));
    places.into_iter().find(|path| path.exists()).unwrap_or_else(|| name.into())
}

/// A program of [`tool`] with the libraries that were unpacked with it.
pub(crate) fn unpacked(name: &str) -> Command {
    with_libraries(&tool(name))
}

/// The same for one that lies elsewhere.
pub(crate) fn with_libraries(program: &Path) -> Command {
    let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
    let folders = ["usr/lib", "lib"].map(|folder| tools().join(folder).join(&triple).display().to_string());
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", folders.join(":"));
    command
}

/// The same for a server that will not run as root: then it runs as nobody, to whom `folder` is given.
#[track_caller]
pub(crate) fn unprivileged(program: &Path, folder: &Path) -> Command {
    if !is_root() {
        return with_libraries(program);
    }
    run(Command::new("chown").args(["-R", &format!("{NOBODY}:{NOBODY}")]).arg(folder)).success();
    let mut command = with_libraries(Path::new("setpriv"));
    command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]).arg(program);
    command
}

/// The same id on every system.
const NOBODY: u32 = 65534;

pub(crate) fn is_root() -> bool {
    run(Command::new("id").arg("-u")).success().trim() == "0"
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("edge lies in the workspace").join("target/tools")
}

/// What `./dev` has put below `target/tools`, such as `venv-backends/bin/mlflow`.
#[track_caller]
pub(crate) fn installed(name: &str) -> PathBuf {
    let path = tools().join(name);
    assert!(path.exists(), "{} is missing: run ./dev setup, which installs what tests need", path.display());
    path
}

/// The Python that sees the system's modules, even if another comes first in `PATH`.
pub(crate) fn python() -> PathBuf {
    let system = Path::new("/usr/bin/python3");
    if system.exists() { system.into() } else { "python3".into() }
}

/// A running program with everything it has printed.
pub(crate) struct Process {
    name: String,
    child: Child,
    /// Whether its own children end with it.
    group: bool,
    output: Arc<Mutex<String>>,
}

impl Process {
    /// Starts it with no input and with both outputs collected.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child =
            spawned.unwrap_or_else(|e| panic!("cannot start {name}: {e}; ./dev setup installs what tests need"));
        let output = Arc::default();
        collect(child.stdout.take().expect("stdout is piped"), Arc::clone(&output));
        collect(child.stderr.take().expect("stderr is piped"), Arc::clone(&output));
        Self { name, child, group: false, output }
    }

    /// The same for a program that leaves processes behind when it is killed: they are ended with it.
    #[track_caller]
    pub(crate) fn start_group(command: &mut Command) -> Self {
        let mut this = Self::start(command.process_group(0));
        this.group = true;
        this
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All lines of both outputs so far.
    pub(crate) fn output(&self) -> String {
        self.output.lock().expect("no reader panics").clone()
    }

    /// The last lines of the output, for the message of a failing test.
    pub(crate) fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be waited for")
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = comes_true(|| {
            status = self.ended();
            status.is_some()
        });
        assert!(ended, "{} did not end within {PATIENCE:?}; its last lines:\n{}", self.name, self.tail());
        status.expect("it ended")
    }

    /// Waits for `condition`, which is given all output so far, and which a program that has ended can
    /// no longer fulfil.
    #[track_caller]
    pub(crate) fn ready_when(&mut self, what: &str, mut condition: impl FnMut(&str) -> bool) {
        let mut status = None;
        let ready = comes_true(|| {
            status = self.ended();
            condition(&self.output()) || status.is_some()
        });
        if !ready || status.is_some() {
            let ended = status.map_or("still runs".to_owned(), |status| format!("ended: {status}"));
            panic!("{what}: not so; {} {ended}; its last lines:\n{}", self.name, self.tail());
        }
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(status.expect("kill is there").success(), "{} is gone already:\n{}", self.name, self.tail());
    }
}

impl Process {
    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if self.group {
            let group = format!("-{}", self.id());
            drop(Command::new("kill").args(["-s", "KILL", "--", &group]).stderr(Stdio::null()).status());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn collect(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            into.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

/// Runs a program to its end: its status and both outputs as text.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ran {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("cannot run {name}: {e}; ./dev setup installs what tests need"));
    Ran {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What a program that ran to its end left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Its standard output; fails the test with everything it said if it failed.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert!(self.status.success(), "{}\n{}\n{}", self.status, self.stdout, self.stderr);
        self.stdout
    }
}
