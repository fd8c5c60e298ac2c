//! The files beside a route's own that are read for it: whether they still hold what they held.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Longer than any of them may be.
const LONGEST: u64 = 8 * 1024 * 1024;

/// A digest of what stands in these files now; none if there are none. Only good for comparing with another of the same
/// process. Blocks.
pub(super) fn digest(files: &[PathBuf]) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    for path in files {
        // Why a file cannot be read is for whoever needs it to say.
        read(path).ok().hash(&mut hasher);
    }
    (!files.is_empty()).then(|| hasher.finish())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_changes_with_each_file_and_with_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = ["ca.pem", "client.pem", "client.key"].map(|name| folder.path().join(name));
        for path in &files {
            fs::write(path, "some").expect("the folder is writable");
        }
        let mut before = digest(&files);
        assert!(before.is_some() && before == digest(&files));
        for path in &files {
            fs::write(path, "changed").expect("the folder is writable");
            let changed = digest(&files);
            fs::remove_file(path).expect("it was written");
            assert!(changed != before && changed != digest(&files), "{}", path.display());
            before = digest(&files);
        }
        assert_eq!(digest(&[]), None);
    }
}
