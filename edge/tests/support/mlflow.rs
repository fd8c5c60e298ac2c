//! MLflow's tracking server (with its workers), with a database and artifacts of its own.
#![allow(dead_code, reason = "each test binary uses its own part")]

use tempfile::TempDir;

use super::clients::bare;
use super::curl::curl;
use super::process::{Process, answers, comes_true};

/// A running server.
pub(crate) struct Mlflow {
    process: Process,
    _dir: TempDir,
}

impl Mlflow {
    /// At this port of loopback. `args` go to `mlflow server`, after a database and a folder for artifacts; `settings`
    /// are of its environment.
    #[track_caller]
    pub(crate) fn start(port: u16, args: &[&str], settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut command = bare("mlflow");
        let store = format!("sqlite:///{}", dir.path().join("mlflow.db").display());
        command.args(["server", "--host", "127.0.0.1", "--workers", "1", "--port", &port.to_string()]);
        command.args(["--backend-store-uri", &store]);
        if !args.contains(&"--artifacts-destination") {
            command.arg("--artifacts-destination").arg(dir.path().join("artifacts"));
        }
        // Eight more processes, for work that nobody gives it here.
        command.args(args).env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false").env("HOME", dir.path());
        command.env("DO_NOT_TRACK", "true").envs(settings.iter().copied());
        let mut this = Self { process: Process::start_group(&mut command), _dir: dir };
        let health = format!("http://127.0.0.1:{port}/health");
        // It reads thousands of files before it listens: on a busy machine that takes longer than anything else here.
        let ended_or_listens =
            |process: &mut Process| process.ended().is_some() || answers(([127, 0, 0, 1], port).into());
        let _ = (0..4).any(|_| comes_true(|| ended_or_listens(&mut this.process)));
        // Below a prefix it refuses even this to a name that it was not told.
        this.process.ready_when("MLflow answers", |_| [200, 403].contains(&curl(&[&health]).status));
        this
    }
}
