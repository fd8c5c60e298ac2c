//! What holds for every kind: its words, its examples, its keys.

use std::path::{Path, PathBuf};

use routes::check::check;
use routes::document::{Source, Vars};
use routes::world::{Disk, Entrypoint, Protocol, Seen, World};

use super::testing::step;
use super::{AllKinds, KINDS, files};

struct AllFiles;

impl Disk for AllFiles {
    fn look(&self, path: &Path) -> Seen {
        if path.ends_with("dist") { Seen::Folder } else { Seen::File }
    }
}

/// The faults of a route file in which every file exists.
fn faults(text: &str) -> Vec<String> {
    let lookup = |_: &str| Some("example.com".to_owned());
    let world = World {
        vars: Vars { lookup: &lookup, known: &[] },
        entrypoints: &[Entrypoint { name: "https".to_owned(), protocol: Protocol::Http, tls: true }],
        acme: true,
        certificates: &[],
        folder: Path::new("/etc/edge"),
        disk: &AllFiles,
        kinds: &AllKinds,
    };
    let checked = check(&[Source::new("example.toml", text)], &world);
    checked.faults.iter().map(|fault| format!("{}: {}", fault.line, fault.why)).collect()
}

/// The TOML examples in the words of a kind.
fn examples(docs: &str) -> Vec<&str> {
    docs.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_kind_explains_itself_with_an_example_that_checks() {
    for entry in KINDS {
        let docs = entry.docs();
        assert!(docs.len() > 100, "{}: its file opens with what it does", entry.name);
        let examples = examples(&docs);
        assert!(!examples.is_empty(), "{}: an example in TOML", entry.name);
        for example in examples {
            for text in whole_files(example) {
                assert_eq!(faults(&text), [""; 0], "{}:\n{text}", entry.name);
            }
        }
    }
}

/// Examples are whole files, middlewares alone, or one `use` a line.
fn whole_files(example: &str) -> Vec<String> {
    if example.starts_with("use = ") {
        let route = |line: &str| format!("[[route]]\nhost = \"a\"\nupstream = \"http://b\"\n{line}\n");
        return example.lines().map(route).collect();
    }
    vec![example.to_owned()]
}

#[test]
fn files_that_are_read_once_are_named_and_those_that_are_followed_are_not() {
    let table: [(&str, &str, &[&str]); 8] = [
        (
            "oidc",
            "issuer = \"https://a\"\nclient_id = \"b\"\nca_file = \"ca\"\nclient_secret = \"file:/c\"\ncookie_secret = \"file:d\"",
            &["/etc/edge/ca", "/c", "/etc/edge/d"],
        ),
        ("oidc", "issuer = \"https://a\"\nclient_id = \"b\"\nclient_secret = \"c\"", &[]),
        ("forward-auth", "url = \"https://a\"\nca_file = \"ca\"", &["/etc/edge/ca"]),
        ("jwt", "jwks_url = \"https://a\"\naudience = \"b\"\nca_file = \"ca\"", &["/etc/edge/ca"]),
        ("jwt", "jwks_file = \"keys\"\naudience = \"b\"", &[]),
        ("error-pages", "text = { 404 = \"a\" }\nfile = { 500 = \"b\", 502 = \"c\" }", &["/etc/edge/b", "/etc/edge/c"]),
        ("basic-auth", "users_file = \"users\"", &[]),
        ("api-token", "tokens_file = \"tokens\"", &[]),
    ];
    for (kind, settings, wanted) in table {
        let found = files(&step(kind, settings), Path::new("/etc/edge"));
        assert_eq!(found, wanted.iter().map(PathBuf::from).collect::<Vec<_>>(), "{kind}: {settings}");
    }
}

#[test]
fn names_and_keys_are_spelled_as_elsewhere() {
    for entry in KINDS {
        let is_kebab = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(entry.name.chars().all(is_kebab), "{}", entry.name);
        for key in entry.keys {
            assert!(key.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}.{}", entry.name, key.name);
            assert!(!key.doc.is_empty() && !["kind", "name"].contains(&key.name), "{}.{}", entry.name, key.name);
        }
    }
}
