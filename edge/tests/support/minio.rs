//! MinIO on loopback: a server that checks the signatures of S3 as Amazon does.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::process::Command;

use tempfile::TempDir;

use super::curl::curl;
use super::process::{Process, free_port, installed};

/// The account that owns everything.
pub(crate) const KEY: &str = "test-access-key";
pub(crate) const SECRET: &str = "test-secret-key";

/// A server with an empty folder. It serves buckets by path and, below `domain`, by name.
pub(crate) struct Minio {
    process: Process,
    pub(crate) url: String,
    pub(crate) console: String,
    _dir: TempDir,
}

impl Minio {
    #[track_caller]
    pub(crate) fn start(domain: &str) -> Self {
        let (dir, address, console) = (folder(), local(free_port()), local(free_port()));
        let mut command = Command::new(installed("bin/minio"));
        command.args(["server", "--address", &address, "--console-address", &console]).arg(dir.path());
        command.env("MINIO_ROOT_USER", KEY).env("MINIO_ROOT_PASSWORD", SECRET).env("MINIO_DOMAIN", domain);
        // It would ask the world for a newer version.
        command.env("MINIO_UPDATE", "off").env("HOME", dir.path());
        let (url, console) = (format!("http://{address}"), format!("http://{console}"));
        let mut process = Process::start(&mut command);
        let ready = format!("{url}/minio/health/ready");
        process.ready_when("MinIO is ready", |_| curl(&[&ready]).status == 200);
        Self { process, url, console, _dir: dir }
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}
