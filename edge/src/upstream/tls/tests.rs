//! Files as operators leave them.

use std::fs;
use std::path::PathBuf;

use rustls_pki_types::pem::PemObject as _;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("the folder is writable");
        path
    }
}

fn certified(name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate")
}

fn error(tls: &Tls) -> String {
    Profile::load(tls).err().expect("it cannot be used").to_string()
}

#[test]
fn a_fault_in_a_ca_file_names_the_file_and_what_to_do() {
    let folder = Folder::new();
    let with = |ca_file: PathBuf| Tls { ca_file: Some(ca_file), ..Tls::default() };
    assert!(error(&with("/nonexistent/ca.pem".into())).contains("/nonexistent/ca.pem cannot be read"));
    assert!(error(&with(folder.write("empty.pem", ""))).ends_with("empty.pem holds no certificate"));
    let bad = pem_of(b"not a certificate");
    let good = certified("ca.x").cert.pem();
    assert!(error(&with(folder.write("bad.pem", good + &bad))).starts_with("certificate 2 of"));
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert!(error(&with(folder.write("cut.pem", cut))).contains("cut.pem is not valid PEM"));
}

#[test]
fn every_file_that_is_read_is_named() {
    let [ca_file, cert, key] = ["ca.pem", "client.pem", "client.key"].map(PathBuf::from);
    let tls = Tls { ca_file: Some(ca_file.clone()), client: Some((cert.clone(), key.clone())), ..Tls::default() };
    assert_eq!(tls.files().collect::<Vec<_>>(), [&ca_file, &cert, &key]);
    assert_eq!(Tls::default().files().count(), 0);
}

#[test]
fn no_cut_of_a_ca_file_panics() {
    let folder = Folder::new();
    let pem = certified("ca.x").cert.pem();
    let der: Vec<u8> = certified("ca.x").cert.der().to_vec();
    for end in 0..der.len() {
        let path = folder.write("ca.pem", pem_of(&der[..end]));
        let tls = Tls { ca_file: Some(path), ..Tls::default() };
        assert!(Profile::load(&tls).is_err(), "{end} bytes of a certificate are none");
    }
    let path = folder.write("ca.pem", pem);
    assert!(Profile::load(&Tls { ca_file: Some(path), ..Tls::default() }).is_ok());
}

#[test]
fn a_client_key_of_another_certificate_is_refused() {
    let folder = Folder::new();
    let (one, two) = (certified("a.x"), certified("b.x"));
    let cert = folder.write("a.pem", one.cert.pem());
    let key = folder.write("a.key", one.signing_key.serialize_pem());
    let wrong = folder.write("b.key", two.signing_key.serialize_pem());
    let client = Some((cert.clone(), key));
    assert!(Profile::load(&Tls { client, ..Tls::default() }).is_ok());
    let said = error(&Tls { client: Some((cert.clone(), wrong)), ..Tls::default() });
    assert!(said.contains("a.pem cannot be used with the key"), "{said}");
    let said = error(&Tls { client: Some((cert.clone(), cert)), ..Tls::default() });
    assert!(said.contains("a.pem is not valid PEM"), "{said}");
}

#[test]
fn unusable_system_roots_are_left_out() {
    let good = certified("ca.x").cert.der().clone();
    let roots = SystemRoots::from_certs(vec![good, CertificateDer::from(vec![1, 2, 3])]);
    assert_eq!((roots.len(), roots.unusable(), roots.is_empty()), (1, 1, false));
    let read: Vec<_> = CertificateDer::pem_slice_iter(roots.pem().as_bytes()).collect();
    assert!(matches!(read.as_slice(), [Ok(_)]));
}

#[test]
fn without_system_roots_the_file_for_pingora_still_has_one_certificate() {
    let pem = SystemRoots::from_certs(Vec::new()).pem();
    let read: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    assert!(matches!(read.as_slice(), [Ok(der)] if anchor(der).is_ok()));
}

#[test]
fn the_fingerprint_follows_what_decides_about_trust_only() {
    let folder = Folder::new();
    let (one, two) = (certified("a.x").cert.pem(), certified("b.x").cert.pem());
    let print = |text: String| {
        let ca_file = Some(folder.write("ca.pem", text));
        Profile::load(&Tls { ca_file, ..Tls::default() }).expect("a good file").fingerprint
    };
    let both = print(format!("{one}{two}"));
    assert_eq!(both, print(format!("{two}# a comment\n{one}")));
    assert_ne!(both, print(one.clone()));
    assert_ne!(print(one), print(two));
    let system = Profile::load(&Tls::default()).expect("no files").fingerprint;
    let unverified = Tls { verify: false, ..Tls::default() };
    assert_ne!(system, Profile::load(&unverified).expect("no files").fingerprint);
}

#[test]
fn a_name_that_cannot_be_verified_is_refused() {
    let profile = Profile::load(&Tls::default()).expect("no files");
    for name in ["", "a b", "-", "a..b"] {
        assert!(profile.name_for(name).is_err(), "{name:?}");
    }
    for name in ["a.x", "10.0.0.1", "::1", "my_service"] {
        assert_eq!(profile.name_for(name).expect("it can be verified"), name);
    }
}
