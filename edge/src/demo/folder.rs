//! The folder that the demo lives in: what is written there, and what is left as its owner made it. Nothing is served
//! here.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::vars::with_vars;

/// The demo's folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

/// Why the demo cannot use its folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// No folder was named and none can be told.
    #[error("there is no home folder to keep the demo in; set HOME, or name a folder with --folder")]
    NoHome,
    /// A file of somebody else stands there.
    #[error("{} was not written by `edge demo`; name another folder with --folder", .0.display())]
    Foreign(PathBuf),
    /// Its socket answers.
    #[error("a demo runs in {} already; stop it, or name another folder with --folder", .0.display())]
    InUse(PathBuf),
    /// The disk said no.
    #[error("cannot {doing} {}; mend that, or name another folder with --folder", path.display())]
    Disk {
        /// What was tried, as a verb.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
}

impl Folder {
    /// The folder at `root`, which need not exist yet.
    ///
    /// # Errors
    /// If the current folder is gone and `root` is relative to it.
    pub(super) fn new(root: &Path) -> Result<Self, FolderError> {
        // What is printed must work from every folder.
        let root = std::path::absolute(root).map_err(|source| disk("find", root, source))?;
        Ok(Self { root })
    }

    /// `edge-demo` among the user's data: in `$XDG_DATA_HOME`, else in `~/.local/share`.
    ///
    /// # Errors
    /// If the environment names neither.
    pub(super) fn of_user(environment: impl Fn(&str) -> Option<String>) -> Result<Self, FolderError> {
        // The XDG specification has relative paths ignored.
        let absolute = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
        Ok(Self { root: data.ok_or(FolderError::NoHome)?.join("edge-demo") })
    }

    /// Where it is; absolute.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Its `edge.toml`.
    pub(super) fn config(&self) -> PathBuf {
        self.root.join("edge.toml")
    }

    /// Where certificates and history are.
    pub(super) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// The route file to edit; the folder of route files if its owner has removed that one.
    pub(super) fn routes(&self) -> PathBuf {
        let file = self.root.join("routes/demo.toml");
        if file.exists() { file } else { self.root.join("routes") }
    }

    /// Makes sure that the folder may be used: nobody else's, and no demo running in it.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub(super) fn claim(&self) -> Result<(), FolderError> {
        if UnixStream::connect(self.state().join("edge.sock")).is_ok() {
            return Err(FolderError::InUse(self.root.clone()));
        }
        match self.read_config()? {
            Some(text) if !text.lines().next().is_some_and(|line| line.contains(MARK)) => {
                Err(FolderError::Foreign(self.config()))
            }
            _ => Ok(()),
        }
    }

    /// Removes everything that a demo wrote, and nothing else. Only after [`Folder::claim`]; a folder without the
    /// demo's `edge.toml` is left alone.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub(super) fn start_over(&self) -> Result<(), FolderError> {
        if self.read_config()?.is_none() {
            return Ok(());
        }
        for name in ["routes", "files", "state"] {
            let path = self.root.join(name);
            ignore_missing(fs::remove_dir_all(&path)).map_err(|source| disk("remove", &path, source))?;
        }
        // Last: as long as it is there, the rest is known to be the demo's.
        ignore_missing(fs::remove_file(self.config())).map_err(|source| disk("remove", &self.config(), source))
    }

    /// Writes what is missing, and `vars` into `edge.toml`. `ipv6`: whether a new one listens on `[::1]` too.
    ///
    /// # Errors
    /// If something cannot be written.
    pub(super) fn write(&self, vars: &[(&str, String)], ipv6: bool) -> Result<(), FolderError> {
        fs::create_dir_all(&self.root).map_err(|source| disk("make", &self.root, source))?;
        // First: it is the mark by which the rest is known.
        let old = self.read_config()?;
        let text = with_vars(old.as_deref().unwrap_or(&new_config(ipv6)), vars);
        if old.as_deref() != Some(text.as_str()) {
            replace(&self.config(), &text)?;
        }
        self.write_new_folder("routes", "demo.toml", ROUTES)?;
        self.write_new_folder("files", "read-me.txt", FILE)
    }

    /// A folder that is there belongs to its owner, who may have removed files on purpose.
    fn write_new_folder(&self, name: &str, file: &str, text: &str) -> Result<(), FolderError> {
        let folder = self.root.join(name);
        if folder.exists() {
            return Ok(());
        }
        fs::create_dir(&folder).map_err(|source| disk("make", &folder, source))?;
        replace(&folder.join(file), text)
    }

    fn read_config(&self) -> Result<Option<String>, FolderError> {
        match fs::read_to_string(self.config()) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(disk("read", &self.config(), source)),
        }
    }
}

/// What the first line of the demo's `edge.toml` has.
const MARK: &str = "`edge demo`";
const CONFIG: &str = include_str!("edge.toml");
const ROUTES: &str = include_str!("routes.toml");
const FILE: &str =
    "This file lies in the folder `files` of the demo, beside edge.toml. Put another one there and reload.\n";

fn new_config(ipv6: bool) -> String {
    if ipv6 {
        return CONFIG.to_owned();
    }
    CONFIG.replace(", \"[::1]:${HTTP_PORT}\"", "").replace(", \"[::1]:${HTTPS_PORT}\"", "")
}

/// Whole or not at all: a full disk or a kill leaves the old file.
fn replace(path: &Path, text: &str) -> Result<(), FolderError> {
    // The name is one that edge does not take for a route file.
    let beside = path.with_extension("tmp~");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| disk("write", path, source))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn disk(doing: &'static str, path: &Path, source: io::Error) -> FolderError {
    FolderError::Disk { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
