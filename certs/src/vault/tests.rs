//! The vault against full disks, crashes and damaged files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::disk::RealDisk;
use crate::testing::{FaultyDisk, Plug, pair};

const ISSUER: Issuer = Issuer::Acme;

struct World {
    folder: tempfile::TempDir,
    set: SetId,
    meta: Meta,
}

impl World {
    fn new() -> Self {
        let names = vec!["a.test".to_owned()];
        Self {
            folder: tempfile::tempdir().unwrap(),
            set: SetId::of(&names, "", "p256"),
            meta: Meta { names, ca: "pebble".into(), profile: String::new(), obtained: 7 },
        }
    }

    fn vault(&self, disk: impl Disk + 'static) -> Vault {
        Vault::new(self.folder.path().join("certs"), Arc::new(disk))
    }

    fn save(&self, disk: impl Disk + 'static, pair: &PemPair) -> Result<u32, DiskError> {
        self.vault(disk).save(ISSUER, &self.set, pair, &self.meta)
    }

    fn load(&self) -> Loaded {
        self.vault(RealDisk).load(ISSUER, &self.set).unwrap()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.vault(RealDisk).folder(ISSUER, &self.set).join(below)
    }

    fn names(&self) -> Vec<String> {
        let items = RealDisk.list(&self.path("")).unwrap();
        items.into_iter().map(|item| item.name).collect()
    }
}

fn fingerprint(pair: &PemPair) -> crate::Fingerprint {
    Entry::from_pem(pair, ISSUER, "x").unwrap().fingerprint()
}

#[test]
fn what_is_saved_is_loaded_and_readable_by_us_alone() {
    let world = World::new();
    let pair = pair(&["a.test"]);
    assert!(world.load().stored.is_none());
    assert_eq!(world.save(RealDisk, &pair).unwrap(), 1);
    let stored = world.load().stored.unwrap();
    assert_eq!(stored.entry.fingerprint(), fingerprint(&pair));
    assert_eq!((stored.meta, stored.generation), (world.meta.clone(), 1));
    let mode = |path: &str| fs::metadata(world.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("gen-1"), 0o700);
    assert_eq!(mode("current/privkey.pem"), 0o600);
}

#[test]
fn after_a_failure_or_a_crash_at_every_step_the_old_or_the_new_generation_is_there_whole() {
    let (old, new) = (pair(&["a.test"]), pair(&["a.test"]));
    for plug in [Plug::Full, Plug::Flaky, Plug::Killed] {
        let mut steps = 0;
        loop {
            let world = World::new();
            world.save(RealDisk, &old).unwrap();
            let outcome = world.save(FaultyDisk::new(plug, steps), &new);
            let loaded = world.load();
            let got = loaded.stored.unwrap().entry.fingerprint();
            assert!(loaded.faults.is_empty(), "{plug:?} at {steps}: {:?}", loaded.faults);
            assert!(got == fingerprint(&old) || got == fingerprint(&new));
            let link = fs::read_link(world.path(CURRENT)).unwrap();
            let linked = Entry::from_pem(
                &PemPair {
                    chain: fs::read_to_string(world.path("current/fullchain.pem")).unwrap(),
                    key: fs::read_to_string(world.path("current/privkey.pem")).unwrap(),
                },
                ISSUER,
                "x",
            );
            assert_eq!(linked.unwrap().fingerprint(), got, "{link:?}");
            assert!(!world.names().iter().any(|name| name.starts_with(".tmp")));
            steps += 1;
            if outcome.is_ok() && (plug != Plug::Flaky || steps > 20) {
                assert_eq!(got, fingerprint(&new));
                break;
            }
        }
        assert!(steps > 10, "only {steps} steps were tried");
    }
}

#[test]
fn a_first_save_that_fails_at_any_step_leaves_nothing_or_the_whole() {
    for plug in [Plug::Full, Plug::Killed] {
        for step in 0..30 {
            let world = World::new();
            let saved = world.save(FaultyDisk::new(plug, step), &pair(&["a.test"]));
            let loaded = world.load();
            assert!(loaded.faults.is_empty());
            assert!(saved.is_err() || loaded.stored.is_some());
        }
    }
}

#[test]
fn a_damaged_generation_is_put_aside_and_the_one_before_is_served() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("SHA256SUMS", |folder| fs::write(folder.join("privkey.pem"), "x").unwrap()),
        ("read", |folder| fs::remove_file(folder.join("privkey.pem")).unwrap()),
        ("SHA256SUMS", |folder| fs::write(folder.join("meta.json"), "{}").unwrap()),
        ("SHA256SUMS", |folder| fs::write(folder.join("SHA256SUMS"), "").unwrap()),
    ];
    for (told, damage) in damages {
        let world = World::new();
        let (old, new) = (pair(&["a.test"]), pair(&["a.test"]));
        world.save(RealDisk, &old).unwrap();
        world.save(RealDisk, &new).unwrap();
        damage(&world.path("gen-2"));
        let loaded = world.load();
        assert_eq!(loaded.stored.unwrap().entry.fingerprint(), fingerprint(&old));
        assert_eq!(loaded.faults.len(), 1);
        assert!(loaded.faults[0].aside && loaded.faults[0].to_string().contains(told));
        assert!(world.path("bad-gen-2").is_dir());
        assert_eq!(fs::read_link(world.path(CURRENT)).unwrap(), Path::new("gen-1"));
        assert_eq!(world.save(RealDisk, &new).unwrap(), 3);
    }
}

#[test]
fn a_certificate_without_a_name_that_was_ordered_is_put_aside() {
    let world = World::new();
    world.save(RealDisk, &pair(&["b.test"])).unwrap();
    let loaded = world.load();
    assert!(loaded.stored.is_none());
    assert!(loaded.faults[0].to_string().contains("not for a.test"));
}

#[test]
fn three_generations_stay() {
    let world = World::new();
    for _ in 0..5 {
        world.save(RealDisk, &pair(&["a.test"])).unwrap();
    }
    assert_eq!(world.names(), ["current", "gen-3", "gen-4", "gen-5"]);
}

#[test]
fn the_set_id_depends_on_names_profile_and_key_but_not_on_order() {
    let names = |list: [&str; 2]| list.map(str::to_owned).to_vec();
    let id = SetId::of(&names(["a", "b"]), "", "p256");
    assert_eq!(id, SetId::of(&names(["b", "a"]), "", "p256"));
    assert_ne!(id, SetId::of(&names(["b", "a"]), "shortlived", "p256"));
    assert_ne!(id, SetId::of(&names(["b", "a"]), "", "rsa2048"));
}
