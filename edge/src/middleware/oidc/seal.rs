//! Sealing of what a browser keeps for us: it can neither read nor change it, and what was sealed for one purpose opens
//! for no other.

use std::fmt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use certs::RealDisk;
use certs::disk::{DiskError, read_if_there, write_atomic};
use data_encoding::BASE64URL_NOPAD;

/// A key for one purpose.
pub(super) struct Seal {
    key: RandomizedNonceKey,
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// The file of the secret cannot be read or written.
    #[error("the key of logins cannot be kept: {0}")]
    Disk(#[from] DiskError),
    /// The system gives no random bytes.
    #[error("the system has no random bytes")]
    NoRandomness,
    /// The file is not one of ours.
    #[error("{0} does not hold a key of logins; remove it, and everybody logs in once more")]
    Damaged(String),
}

/// Bytes of a secret.
const SECRET: usize = 32;
/// The file of the state folder with the secret of all logins.
const FILE: &str = "oidc/secret";

/// The secret of the state folder; made at the first use, and kept, so that a restart ends no login. Blocks.
pub(super) fn secret(state: &Path) -> Result<Vec<u8>, SecretError> {
    let path = state.join(FILE);
    if let Some(secret) = read_if_there(&RealDisk, &path)? {
        let damaged = SecretError::Damaged(path.display().to_string());
        return if secret.len() == SECRET { Ok(secret) } else { Err(damaged) };
    }
    let secret = random::<SECRET>().map_err(|_| SecretError::NoRandomness)?;
    write_atomic(&RealDisk, &path, &secret, 0o600)?;
    Ok(secret.to_vec())
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Unspecified> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(bytes)
}

impl Seal {
    /// The key that `secret` gives for the purpose that these words name.
    pub(super) fn new(secret: &[u8], purpose: &[&str]) -> Result<Self, Unspecified> {
        let mut key = [0; 32];
        // Lengths in front: no two purposes read the same.
        let words: Vec<u8> = purpose.iter().flat_map(|word| format!("{}:{word},", word.len()).into_bytes()).collect();
        Salt::new(HKDF_SHA256, b"edge oidc v1").extract(secret).expand(&[&words], HKDF_SHA256)?.fill(&mut key)?;
        // A nonce that came twice would tell no more than that two texts are the same.
        Ok(Self { key: RandomizedNonceKey::new(&AES_256_GCM_SIV, &key)? })
    }

    /// `plain` for a browser, under the name that it is kept by.
    pub(super) fn seal(&self, name: &str, plain: &[u8]) -> Result<String, Unspecified> {
        let mut sealed = plain.to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(name), &mut sealed)?;
        Ok(BASE64URL_NOPAD.encode(&[nonce.as_ref(), &*sealed].concat()))
    }

    /// What was sealed under this name, if nobody has changed it.
    pub(super) fn open(&self, name: &str, text: &str) -> Option<Vec<u8>> {
        let mut bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        Some(self.key.open_in_place(nonce, Aad::from(name), sealed).ok()?.to_vec())
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn seal(purpose: &[&str]) -> Seal {
        Seal::new(&[7; SECRET], purpose).expect("a key")
    }

    #[test]
    fn what_is_sealed_opens_again_and_looks_new_each_time() {
        let seal = seal(&["session"]);
        let (one, two) = (seal.seal("a", b"alice").expect("sealed"), seal.seal("a", b"alice").expect("sealed"));
        assert_ne!(one, two);
        assert_eq!(seal.open("a", &one).as_deref(), Some(&b"alice"[..]));
    }

    #[test]
    fn every_changed_byte_and_every_prefix_is_refused() {
        let seal = seal(&["session"]);
        let sealed = seal.seal("a", b"{\"user\":\"alice\"}").expect("sealed");
        let bytes = BASE64URL_NOPAD.decode(sealed.as_bytes()).expect("base64");
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[index] ^= 1 << bit;
                assert_eq!(seal.open("a", &BASE64URL_NOPAD.encode(&changed)), None, "byte {index}, bit {bit}");
            }
        }
        for index in 0..sealed.len() {
            assert_eq!(seal.open("a", &sealed[..index]), None, "the first {index}");
            let mut changed = sealed.clone();
            changed.replace_range(index..=index, if &sealed[index..=index] == "A" { "B" } else { "A" });
            assert_eq!(seal.open("a", &changed), None, "character {index}");
        }
        assert_eq!(seal.open("a", &format!("{sealed}A")), None);
        assert_eq!(seal.open("a", &format!("{sealed}=")), None);
    }

    #[test]
    fn a_seal_is_good_for_its_name_and_purpose_alone() {
        let sealed = seal(&["session", "x"]).seal("a", b"alice").expect("sealed");
        assert_eq!(seal(&["session", "x"]).open("b", &sealed), None);
        for other in [&["login", "x"][..], &["session"], &["session", "x", ""], &["session,1:x"]] {
            assert_eq!(seal(other).open("a", &sealed), None, "{other:?}");
        }
    }

    #[test]
    fn the_secret_is_made_once_and_private_and_a_damaged_one_is_refused() {
        let state = tempfile::tempdir().expect("a folder");
        let first = secret(state.path()).expect("made");
        assert_eq!(secret(state.path()).expect("read"), first);
        let file = state.path().join(FILE);
        let mode = std::fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&file, "short").expect("written");
        let error = secret(state.path()).expect_err("damaged").to_string();
        assert!(error.contains("oidc/secret does not hold a key"), "{error}");
    }
}
