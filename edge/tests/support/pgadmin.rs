//! pgAdmin 4 in server mode under gunicorn, as its documentation says.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;

use tempfile::TempDir;

use super::clients::bare;
use super::process::{Process, eventually_some, installed};

/// The account that it begins with.
pub(crate) const ACCOUNT: (&str, &str) = ("me@example.com", "a-long-password");

/// A running server.
pub(crate) struct PgAdmin {
    _process: Process,
    pub(crate) url: String,
    _dir: TempDir,
}

impl PgAdmin {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data = dir.path().display();
        let config = format!(
            "import os\nSERVER_MODE = True\nUPGRADE_CHECK_ENABLED = False\nMASTER_PASSWORD_REQUIRED = False\n\
             DATA_DIR = {data:?}\nLOG_FILE = os.path.join(DATA_DIR, 'log')\n\
             SQLITE_PATH = os.path.join(DATA_DIR, 'pgadmin4.db')\nSESSION_DB_PATH = os.path.join(DATA_DIR, 'sessions')\n\
             STORAGE_DIR = os.path.join(DATA_DIR, 'storage')\nKERBEROS_CCACHE_DIR = os.path.join(DATA_DIR, 'krb')\n\
             AZURE_CREDENTIAL_CACHE_DIR = os.path.join(DATA_DIR, 'azure')\n",
            data = data.to_string(),
        );
        let file = dir.path().join("config_distro.py");
        fs::write(&file, config).expect("the folder is writable");
        // Where Python's version puts packages: lib/python3.11/site-packages.
        let lib = fs::read_dir(installed("venv-backends/lib")).expect("a folder").flatten().next().expect("Python's");
        let mut command = bare("gunicorn");
        command.args(["--bind", "127.0.0.1:0", "--workers", "1", "--threads", "8", "--chdir"]);
        command.arg(lib.path().join("site-packages/pgadmin4")).arg("pgAdmin4:app");
        command.env("CONFIG_DISTRO_FILE_PATH", file).env("HOME", dir.path());
        command.env("PGADMIN_SETUP_EMAIL", ACCOUNT.0).env("PGADMIN_SETUP_PASSWORD", ACCOUNT.1);
        let process = Process::start_group(&mut command);
        let url = eventually_some("gunicorn says where it listens", || {
            let output = process.output();
            let line = output.lines().find(|line| line.contains("Listening at: "))?;
            line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
        });
        Self { _process: process, url, _dir: dir }
    }
}
