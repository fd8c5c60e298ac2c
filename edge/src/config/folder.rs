//! The route files of a folder: every `*.toml` below it. What cannot be read is a fault and stops no other file.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use routes::document::Source;
use routes::fault::{Fault, Place};

/// The most bytes of one route file: more is a mistake, and is held in memory several times.
const BIGGEST: u64 = 64 << 20;

/// All route files below a folder in the order of their paths, and what could not be read. Folders behind links are
/// followed once.
pub fn route_files(folder: &Path) -> (Vec<Source>, Vec<Fault>) {
    let mut walk = Walk::default();
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => walk.folder(folder, &found),
        Ok(_) => walk.fault(folder, "it is not a folder", "name the folder of route files in `routes`"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => walk.nothing_in(folder, "is not there"),
        Err(error) => walk.unreadable(folder, &error),
    }
    if walk.sources.is_empty() && walk.faults.is_empty() {
        walk.nothing_in(folder, "has no *.toml files");
    }
    walk.sources.sort_by(|a, b| a.path.cmp(&b.path));
    (walk.sources, walk.faults)
}

/// Whether this is a file that an editor writes for itself, or that is hidden.
fn is_temporary(name: &str) -> bool {
    name.starts_with(['.', '#']) || [".swp", ".tmp", "~"].iter().any(|end| name.ends_with(end))
}

#[derive(Default)]
struct Walk {
    sources: Vec<Source>,
    faults: Vec<Fault>,
    /// Device and inode of every folder so far.
    seen: HashSet<(u64, u64)>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, found: &fs::Metadata) {
        if !self.seen.insert((found.dev(), found.ino())) {
            return;
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(folder, &error),
        };
        for entry in entries {
            match entry {
                Ok(entry) if is_temporary(&entry.file_name().to_string_lossy()) => {}
                Ok(entry) => self.entry(&entry.path()),
                Err(error) => self.unreadable(folder, &error),
            }
        }
    }

    fn entry(&mut self, path: &Path) {
        let is_toml = path.extension().is_some_and(|extension| extension == "toml");
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => self.folder(path, &found),
            Ok(_) if !is_toml => {}
            Ok(found) if !found.is_file() => self.fault(path, "it is not a file", "remove it, or rename it"),
            Ok(_) => self.file(path),
            // A file that an editor has just renamed away is nobody's fault, a link to nothing is one.
            Err(_) if !is_toml || fs::symlink_metadata(path).is_err() => {}
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn file(&mut self, path: &Path) {
        match read(path) {
            Ok(bytes) if bytes.len() as u64 > BIGGEST => {
                self.fault(path, "it is bigger than 64 MiB", "split it into several files");
            }
            Ok(bytes) => self.sources.push(Source::new(path.display().to_string(), bytes)),
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let why = format!("it cannot be read: {error}");
        self.fault(path, &why, "make it readable for the user that edge runs as, or remove it");
    }

    fn fault(&mut self, path: &Path, why: &str, hint: &str) {
        self.faults.push(Fault::error(Place::whole(path.display().to_string()), "", why).hint(hint));
    }

    fn nothing_in(&mut self, folder: &Path, why: &str) {
        let shown = folder.display().to_string();
        let why = format!("the folder of route files {why}, so nothing is served");
        let hint =
            "put a file with a [[route]] into it: host = \"app.example.com\", upstream = \"http://127.0.0.1:8080\"";
        self.faults.push(Fault::warning(Place::whole(shown), "", why).hint(hint));
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BIGGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let (sources, faults) = route_files(folder);
        assert_eq!(faults, []);
        let inside = |source: &Source| source.path.strip_prefix(&format!("{}/", folder.display())).map(str::to_owned);
        sources.iter().filter_map(inside).collect()
    }

    fn write(folder: &Path, name: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("made");
        fs::write(path, name).expect("written");
    }

    #[test]
    fn files_of_all_folders_are_read_in_order_and_those_of_editors_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.toml", "a.toml", "team/x/c.toml", "team.txt", "4913", "a.toml~", "a.toml.swp", "a.toml.tmp"] {
            write(folder.path(), name);
        }
        for name in [".a.toml", "#a.toml#", ".git/d.toml", "#e.toml", "a.toml.bak"] {
            write(folder.path(), name);
        }
        assert_eq!(names(folder.path()), ["a.toml", "b.toml", "team/x/c.toml"]);
    }

    #[test]
    fn linked_folders_and_files_are_followed_and_circles_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = tempfile::tempdir().expect("a folder");
        write(folder.path(), "a.toml");
        write(other.path(), "b.toml");
        symlink(folder.path(), folder.path().join("circle")).expect("linked");
        symlink(other.path(), folder.path().join("linked")).expect("linked");
        symlink(other.path().join("b.toml"), folder.path().join("c.toml")).expect("linked");
        assert_eq!(names(folder.path()), ["a.toml", "c.toml", "linked/b.toml"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_fault_and_stops_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "a.toml");
        symlink("nothing", folder.path().join("b.toml")).expect("linked");
        symlink("/dev/null", folder.path().join("c.toml")).expect("linked");
        let (sources, faults) = route_files(folder.path());
        assert_eq!(sources.len(), 1);
        let mut whys: Vec<_> = faults.iter().map(|fault| fault.why.as_str()).collect();
        whys.sort_unstable();
        assert_eq!(whys, ["it cannot be read: No such file or directory (os error 2)", "it is not a file"]);
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_a_fault() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "routes");
        let (_, faults) = route_files(&folder.path().join("routes"));
        assert_eq!((faults.len(), faults[0].why.as_str()), (1, "it is not a folder"));
    }
}
