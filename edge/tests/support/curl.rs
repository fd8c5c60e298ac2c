//! The real curl as a client: its arguments in, the answer that it saw out.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::process::{Command, Stdio};

/// One answer as curl read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// 0 if there was no answer.
    pub(crate) status: u16,
    /// `1.1` or `2`, as curl names it.
    pub(crate) version: String,
    /// Fields of the last answer (not of a redirect or an interim answer before it), names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Curl's exit code: 0, or why there is no whole answer (18 cut short, 35 TLS, 52 empty, 56 reset, 60 certificate).
    pub(crate) exit: i32,
    /// What curl said, with its `-v` lines if they were asked for.
    pub(crate) said: String,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first field of that name, which is written in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// Runs `curl` with these arguments. No configuration of the machine and no proxy takes part.
#[track_caller]
pub(crate) fn curl(args: &[&str]) -> Answer {
    let heads = tempfile::NamedTempFile::new().expect("a temporary file");
    let output = Command::new("curl")
        .args(["-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "--dump-header"])
        .arg(heads.path())
        .args(["--write-out", "%{stderr}\n%{http_version} %{http_code}"])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("curl is there: ./dev setup installs it");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let (before, last) = said.trim_end().rsplit_once('\n').unwrap_or(("", &said));
    let (version, status) = last.trim().split_once(' ').unwrap_or_default();
    Answer {
        status: status.parse().unwrap_or(0),
        version: version.to_owned(),
        headers: last_head(&std::fs::read(heads.path()).expect("curl wrote the heads")),
        body: output.stdout,
        exit: output.status.code().unwrap_or(-1),
        said: before.trim().to_owned(),
    }
}

/// Curl writes one head after another, each ended by an empty line; trailers stand behind the last one
/// without a status line and belong to it.
fn last_head(dump: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(dump);
    let from = text.rfind("\nHTTP/").map_or(0, |before| before + 1);
    let fields = text[from..].lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned())).collect()
}
