//! Our own authority, for names that no public one can sign (`*.localhost`, an inner network) and for the time until a
//! public certificate is there. The root lives on disk, the leafs only in memory: they cost less to make than to keep.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer as Signer,
    KeyPair, KeyUsagePurpose,
};

use crate::disk::{Disk, DiskError, PRIVATE, Told as _, rename_if_free};
use crate::entry::{Entry, EntryError, Issuer, PemPair, Validity};
use crate::pem;

const ROOT: &str = "root.pem";
const KEY: &str = "root.key";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the root is good.
pub const ROOT_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// How long a leaf is good.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Leafs begin earlier than now, for clients whose clock is behind.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// Why the local authority cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalCaError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The files are there and are not what was written.
    #[error(
        "the local authority in {folder} is damaged: {why}; restore root.pem and root.key, or remove the folder to make a new one that clients must trust again",
        folder = .folder.display()
    )]
    Damaged {
        /// The folder of both files.
        folder: PathBuf,
        /// Which file, and what is wrong with it.
        why: String,
    },
    /// Ten years are over.
    #[error(
        "the local authority in {folder} is over; remove the folder to make a new one that clients must trust again",
        folder = .folder.display()
    )]
    Over {
        /// The folder of both files.
        folder: PathBuf,
    },
    /// The root could not be made.
    #[error("the local authority cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// Why no leaf can be made for a name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The name cannot stand in a certificate.
    #[error("no local certificate for {name:?}: {why}")]
    Name {
        /// The name as it was given.
        name: String,
        /// What the encoder says.
        why: rcgen::Error,
    },
    /// What was made does not read back; the name has a form that TLS clients do not know.
    #[error("no local certificate for {name:?}: {why}")]
    Entry {
        /// The name as it was given.
        name: String,
        /// What does not fit.
        why: EntryError,
    },
}

/// The local authority: a root that clients may be told to trust, and its key.
pub struct LocalCa {
    root: Entry,
    root_pem: String,
    signer: Signer<'static, KeyPair>,
}

impl LocalCa {
    /// Reads the authority of this folder, or makes it if the folder is not there. Both files come at once, by a
    /// rename of the folder, so there is no state between.
    ///
    /// # Errors
    /// [`LocalCaError`]; a damaged authority is never replaced silently, as clients trust the old one.
    pub fn open(disk: &dyn Disk, folder: &Path, now: SystemTime) -> Result<Self, LocalCaError> {
        let listed = disk.list(folder).told("read the folder", folder);
        let missing = match listed {
            Ok(items) => items.is_empty(),
            Err(error) if error.is_not_found() => true,
            Err(error) => return Err(error.into()),
        };
        if missing {
            make(disk, folder, &new_root(now)?)?;
        }
        let ca = Self::read(disk, folder)?;
        if ca.root.validity().contains(now) || now < ca.root.validity().not_before {
            return Ok(ca);
        }
        Err(LocalCaError::Over { folder: folder.into() })
    }

    fn read(disk: &dyn Disk, folder: &Path) -> Result<Self, LocalCaError> {
        let text = |name: &str| {
            let path = folder.join(name);
            let bytes = disk.read(&path).told("read", &path)?;
            String::from_utf8(bytes).map_err(|_| damaged(folder, name, "it is not text"))
        };
        let pair = PemPair { chain: text(ROOT)?, key: text(KEY)? };
        Self::from_pem(&pair).map_err(|why| damaged(folder, "the pair", why))
    }

    fn from_pem(pair: &PemPair) -> Result<Self, Box<dyn std::error::Error>> {
        let root = Entry::from_pem(pair, Issuer::Internal, "root")?;
        let key = pem::key(pair.key.as_bytes())?;
        let leaf = root.key().end_entity_cert()?;
        Ok(Self {
            signer: Signer::from_ca_cert_der(leaf, KeyPair::try_from(&key)?)?,
            root_pem: pair.chain.clone(),
            root,
        })
    }

    /// The root for clients to trust, as PEM.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The root's dates and fingerprint.
    #[must_use]
    pub fn root(&self) -> &Entry {
        &self.root
    }

    /// Makes a certificate for one name: a host, a one-label wildcard or an IP address.
    ///
    /// # Errors
    /// [`IssueError`] for a name that cannot stand in a certificate.
    pub fn issue(&self, name: &str, now: SystemTime) -> Result<Entry, IssueError> {
        let pair = self.sign(name, now).map_err(|why| IssueError::Name { name: name.into(), why })?;
        Entry::from_pem(&pair, Issuer::Internal, name).map_err(|why| IssueError::Entry { name: name.into(), why })
    }

    fn sign(&self, name: &str, now: SystemTime) -> Result<PemPair, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + LEAF_LIFETIME).min(self.root.validity().not_after).into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &self.signer)?;
        // The root goes along: a client that trusts it finds the path, and others can show it.
        Ok(PemPair { chain: format!("{}{}", leaf.pem(), self.root_pem), key: key.serialize_pem() })
    }
}

impl std::fmt::Debug for LocalCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalCa").field("root", &self.root.fingerprint()).finish_non_exhaustive()
    }
}

/// Whether a leaf should be made again: when a third of its time is left.
#[must_use]
pub fn due(validity: Validity, now: SystemTime) -> bool {
    validity.left(now) <= validity.lifetime() / 3
}

fn damaged(folder: &Path, what: &str, why: impl std::fmt::Display) -> LocalCaError {
    LocalCaError::Damaged { folder: folder.into(), why: format!("{what}: {why}") }
}

fn new_root(now: SystemTime) -> Result<PemPair, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    let id = data_encoding::HEXLOWER.encode(&params.key_identifier(&key)[..4]);
    // Two machines' roots in one browser must not look the same.
    let name = format!("edge local authority {id}");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // Our own reader wants a name in every certificate; clients do not look at that of a root.
    params.subject_alt_names = CertificateParams::new(vec![format!("{id}.edge.invalid")])?.subject_alt_names;
    params.not_before = (now - DAY).into();
    params.not_after = (now + ROOT_LIFETIME).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = params.self_signed(&key)?;
    Ok(PemPair { chain: root.pem(), key: key.serialize_pem() })
}

fn make(disk: &dyn Disk, folder: &Path, pair: &PemPair) -> Result<(), DiskError> {
    let above = folder.parent().unwrap_or(Path::new("."));
    // One name, so that what a crash left of it goes at the next try: it holds a key.
    let temporary = above.join(".tmp-local-ca");
    disk.remove(&temporary).told("remove the leftover", &temporary)?;
    disk.create_dir(&temporary).told("make the folder", &temporary)?;
    let placed = fill(disk, &temporary, pair).and_then(|()| rename_if_free(disk, &temporary, folder));
    match placed {
        Ok(true) => disk.sync_dir(above).told("flush", above),
        // Another process made it first: its authority is the one. Or it failed, which is the error to tell.
        other => {
            let _ = disk.remove(&temporary);
            other.map(drop)
        }
    }
}

fn fill(disk: &dyn Disk, folder: &Path, pair: &PemPair) -> Result<(), DiskError> {
    for (name, text) in [(KEY, &pair.key), (ROOT, &pair.chain)] {
        let path = folder.join(name);
        disk.write_new(&path, text.as_bytes(), PRIVATE).told("write", &path)?;
    }
    disk.sync_dir(folder).told("flush", folder)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;
    use crate::disk::RealDisk;
    use crate::testing::{FaultyDisk, Plug, at};

    const NOW: u64 = 1_800_000_000;

    fn open(folder: &Path, now: u64) -> Result<LocalCa, LocalCaError> {
        LocalCa::open(&RealDisk, &folder.join("local-ca"), at(now))
    }

    /// What a client that trusts the root says.
    fn accepted(ca: &LocalCa, entry: &Entry, name: &str, now: u64) -> Result<(), rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.root().key().cert[0].clone()).unwrap();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider())).build().unwrap();
        let chain = &entry.key().cert;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now).map(drop)
    }

    #[test]
    fn the_root_is_made_once_for_us_alone_and_read_again_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), NOW).unwrap();
        let again = open(folder.path(), NOW + 100).unwrap();
        assert_eq!(first.root_pem(), again.root_pem());
        let key = fs::metadata(folder.path().join("local-ca/root.key")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
        let leaf = again.issue("a.localhost", at(NOW)).unwrap();
        accepted(&first, &leaf, "a.localhost", NOW).unwrap();
    }

    #[test]
    fn a_client_that_trusts_the_root_accepts_hosts_wildcards_and_addresses() {
        let folder = tempfile::tempdir().unwrap();
        let ca = open(folder.path(), NOW).unwrap();
        for (name, host) in [
            ("hello.localhost", "hello.localhost"),
            ("*.s3.localhost", "bucket.s3.localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
        ] {
            let leaf = ca.issue(name, at(NOW)).unwrap();
            accepted(&ca, &leaf, host, NOW).unwrap();
            assert!(accepted(&ca, &leaf, "other.test", NOW).is_err());
            assert!(accepted(&ca, &leaf, host, NOW + 8 * 86_400).is_err());
        }
    }

    #[test]
    fn a_leaf_is_due_when_a_third_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let leaf = open(folder.path(), NOW).unwrap().issue("a.localhost", at(NOW)).unwrap();
        assert!(!due(leaf.validity(), at(NOW)));
        assert!(!due(leaf.validity(), at(NOW + 4 * 86_400)));
        assert!(due(leaf.validity(), at(NOW + 5 * 86_400)));
    }

    #[test]
    fn a_name_that_cannot_stand_in_a_certificate_is_refused_with_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let ca = open(folder.path(), NOW).unwrap();
        let error = ca.issue("münchen.test", at(NOW)).unwrap_err();
        assert!(error.to_string().contains("münchen.test"));
    }

    #[test]
    fn a_damaged_or_half_authority_is_told_and_never_replaced() {
        let damages: [fn(&Path); 3] = [
            |folder| fs::write(folder.join("root.key"), "x").unwrap(),
            |folder| fs::write(folder.join("root.pem"), [0xff]).unwrap(),
            |folder| fs::remove_file(folder.join("root.pem")).unwrap(),
        ];
        for damage in damages {
            let folder = tempfile::tempdir().unwrap();
            open(folder.path(), NOW).unwrap();
            damage(&folder.path().join("local-ca"));
            let error = open(folder.path(), NOW).unwrap_err().to_string();
            assert!(error.contains("local-ca"), "{error}");
        }
    }

    #[test]
    fn an_authority_that_is_over_says_so() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), NOW).unwrap();
        let error = open(folder.path(), NOW + 4_000 * 86_400).unwrap_err();
        assert!(matches!(error, LocalCaError::Over { .. }));
    }

    #[test]
    fn a_crash_at_every_step_of_making_it_leaves_none_or_a_whole_one() {
        for plug in [Plug::Full, Plug::Killed] {
            for step in 0..10 {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("local-ca");
                let _ = LocalCa::open(&FaultyDisk::new(plug, step), &path, at(NOW));
                open(folder.path(), NOW).unwrap();
            }
        }
    }
}
