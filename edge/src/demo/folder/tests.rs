//! The folder of the demo on a real disk.

use std::os::unix::net::UnixListener;

use std::collections::BTreeSet;

use routes::check::{Checked, check};
use routes::document::{Source, Vars};
use routes::world::{Disk, Entrypoint, Protocol, Seen, World};

use super::*;
use crate::demo::samples::SAMPLES;

struct Rig {
    dir: tempfile::TempDir,
    folder: Folder,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::new(&dir.path().join("not/there/yet")).expect("an absolute path");
        Self { dir, folder }
    }

    fn write(&self, port: &str) {
        self.folder.claim().expect("it is the demo's");
        self.folder.write(&[("HTTPS_PORT", port.to_owned())], true).expect("the folder is writable");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.folder.root().join(name), text).expect("the folder is writable");
    }

    fn has(&self, name: &str) -> bool {
        self.folder.root().join(name).exists()
    }
}

#[test]
fn a_first_start_writes_everything_and_leaves_no_other_file() {
    let rig = Rig::new();
    rig.write("8443");
    assert!(rig.read("edge.toml").contains("[vars]\nHTTPS_PORT = \"8443\"\n"));
    assert_eq!(rig.folder.routes(), rig.folder.root().join("routes/demo.toml"));
    let mut names: Vec<_> =
        fs::read_dir(rig.folder.root()).expect("a folder").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["edge.toml", "files", "routes"]);
    assert_eq!(fs::read_dir(rig.folder.root().join("routes")).expect("a folder").count(), 1);
}

#[test]
fn a_later_start_keeps_every_edit_and_writes_the_values_again() {
    let rig = Rig::new();
    rig.write("8443");
    rig.put("edge.toml", &(rig.read("edge.toml") + "# mine\n"));
    rig.put("routes/demo.toml", "# mine too\n");
    fs::remove_file(rig.folder.root().join("files/read-me.txt")).expect("it was written");
    rig.write("9443");
    let config = rig.read("edge.toml");
    assert!(config.contains("HTTPS_PORT = \"9443\"\n") && !config.contains("8443") && config.ends_with("# mine\n"));
    assert_eq!(rig.read("routes/demo.toml"), "# mine too\n");
    assert!(!rig.has("files/read-me.txt"));
    fs::remove_file(rig.folder.routes()).expect("it was written");
    rig.write("9443");
    assert_eq!(rig.folder.routes(), rig.folder.root().join("routes"));
}

#[test]
fn starting_over_removes_what_the_demo_wrote_and_nothing_else() {
    let rig = Rig::new();
    rig.write("8443");
    rig.put("mine.txt", "");
    fs::create_dir(rig.folder.state()).expect("a new folder");
    rig.folder.start_over().expect("all of it can be removed");
    assert!(rig.has("mine.txt"));
    for gone in ["edge.toml", "routes", "files", "state"] {
        assert!(!rig.has(gone), "{gone}");
    }
}

#[test]
fn a_folder_that_is_not_the_demos_is_left_as_it_is() {
    let rig = Rig::new();
    fs::create_dir_all(rig.folder.root().join("routes")).expect("a new folder");
    rig.folder.start_over().expect("nothing to do");
    assert!(rig.has("routes"), "no edge.toml of the demo says whose it is");
    rig.put("edge.toml", "[acme]\n# `edge demo`\n");
    let said = rig.folder.claim().expect_err("it is foreign").to_string();
    let file = rig.folder.config();
    assert_eq!(said, format!("{} was not written by `edge demo`; name another folder with --folder", file.display()));
    rig.put("edge.toml", "");
    assert!(matches!(rig.folder.claim(), Err(FolderError::Foreign(_))));
}

#[test]
fn a_folder_in_which_a_demo_runs_is_not_used_twice() {
    let rig = Rig::new();
    fs::create_dir_all(rig.folder.state()).expect("a new folder");
    let socket = UnixListener::bind(rig.folder.state().join("edge.sock")).expect("a short path");
    assert!(matches!(rig.folder.claim(), Err(FolderError::InUse(_))));
    drop(socket);
    rig.folder.claim().expect("the socket of one that ended is left behind");
}

#[test]
fn what_cannot_be_written_is_named() {
    let rig = Rig::new();
    let file = rig.dir.path().join("not");
    fs::write(&file, "a file").expect("the folder is writable");
    let error = rig.folder.write(&[], true).expect_err("a file is in the way");
    assert!(matches!(&error, FolderError::Disk { doing: "make", .. }), "{error:?}");
    rig.folder.claim().expect_err("nor can it be read");
}

#[test]
fn the_users_folder_is_that_of_the_xdg_specification() {
    let root = |xdg: &str, home: &str| {
        let value = |name: &str| Some(if name == "HOME" { home } else { xdg }.to_owned()).filter(|it| !it.is_empty());
        Folder::of_user(value).map(|folder| folder.root().to_owned())
    };
    assert_eq!(root("/data", "/home/u").expect("named"), Path::new("/data/edge-demo"));
    for ignored in ["", "relative/path"] {
        assert_eq!(root(ignored, "/home/u").expect("named"), Path::new("/home/u/.local/share/edge-demo"));
    }
    assert!(matches!(root("", ""), Err(FolderError::NoHome)));
}

#[test]
fn without_ipv6_nothing_of_it_is_left() {
    assert!(!new_config(false).contains("[::1]") && new_config(true).matches("[::1]").count() == 2);
    assert_eq!(new_config(false).matches("listen = [\"127.0.0.1:${HTTP").count(), 2);
}

struct Folders;

impl Disk for Folders {
    fn look(&self, path: &Path) -> Seen {
        if path.is_dir() { Seen::Folder } else { Seen::Missing }
    }
}

fn checked(rig: &Rig) -> Checked {
    let value = |name: &str| {
        let sample = SAMPLES.iter().any(|sample| sample.var == name).then(|| "http://127.0.0.1:1".to_owned());
        sample.or_else(|| (name == "HTTPS_PORT").then(|| "8443".to_owned()))
    };
    let source = Source::new("routes/demo.toml", rig.read("routes/demo.toml"));
    let world = World {
        vars: Vars { lookup: &value, known: &[] },
        entrypoints: &[Entrypoint { name: "https".to_owned(), protocol: Protocol::Http, tls: true }],
        acme: false,
        certificates: &[],
        folder: rig.folder.root(),
        disk: &Folders,
        kinds: &crate::middleware::AllKinds,
    };
    check(&[source], &world)
}

#[test]
fn the_routes_that_are_written_have_no_fault_and_lead_to_every_sample() {
    let rig = Rig::new();
    rig.write("8443");
    let checked = checked(&rig);
    assert!(checked.faults.is_empty() && checked.rejected.is_empty(), "{:?}", checked.faults);
    let names: BTreeSet<&str> = checked.routes.iter().map(|route| route.name.as_str()).collect();
    for sample in SAMPLES {
        assert!(names.contains(sample.name), "no route leads to {}", sample.name);
        assert!(
            ROUTES.contains(&format!("\"{}.localhost\"", sample.name))
                && ROUTES.contains(&format!("${{{}}}", sample.var))
        );
    }
    for target in ["redirect = ", "respond = ", "files = "] {
        assert!(ROUTES.contains(target), "{target}");
    }
}
