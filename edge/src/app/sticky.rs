//! The secret behind the cookies that bring clients back to their servers, kept in the state folder.

use std::path::Path;

use certs::disk::{PRIVATE, RealDisk, write_atomic};
use certs::tickets::NoRandomness;

use crate::upstream::StickyKey;

/// The secret in the file at `path`, or a new one, which is saved there.
///
/// A secret that cannot be saved is no reason not to serve: clients get another server after the next start.
///
/// # Errors
/// When the system gives no randomness.
pub(super) fn key(path: &Path) -> Result<StickyKey, NoRandomness> {
    if let Ok(saved) = std::fs::read(path)
        && let Ok(secret) = <[u8; StickyKey::LENGTH]>::try_from(saved)
    {
        return Ok(StickyKey::new(&secret));
    }
    let mut secret = [0; StickyKey::LENGTH];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| NoRandomness)?;
    if let Err(error) = write_atomic(&RealDisk, path, &secret, PRIVATE) {
        tracing::warn!(%error, "the secret of sticky cookies is not saved; after a restart clients may get another server");
    }
    Ok(StickyKey::new(&secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_saved_privately_and_found_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sticky.key");
        key(&path).expect("made");
        let secret = std::fs::read(&path).expect("saved");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        key(&path).expect("found");
        assert_eq!(std::fs::read(&path).expect("there"), secret);
        std::fs::write(&path, "short").expect("written");
        key(&path).expect("made anew");
        assert_eq!(std::fs::read(&path).expect("there").len(), StickyKey::LENGTH);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_reason_not_to_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sticky.key");
        std::fs::create_dir_all(path.join("in the way")).expect("made");
        assert!(key(&path).is_ok());
    }
}
