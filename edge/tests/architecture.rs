//! Reads the source tree and fails where it leaves the design: who may import whom, circles, files that
//! grow too long, files that do not say what they are. It is about shape; it runs nothing of edge.

mod architecture {
    pub(crate) mod graph;
    pub(crate) mod source;
}

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use architecture::graph::{Module, Modules};
use architecture::source::{paths, without_tests, words};

/// Which of our crates each may name.
const CRATES: &[(&str, &[&str])] = &[
    ("routes", &[]),
    ("certs", &[]),
    ("acme", &["certs"]),
    ("stack", &[]),
    ("edge", &["routes", "certs", "acme", "stack"]),
    ("loadtest", &[]),
];

/// The modules of `edge` in their order: none imports one to its right.
const EDGE_ORDER: &[&str] = &[
    "tasks",
    "conn",
    "telemetry",
    "upstream",
    "middleware",
    "l4",
    "snapshot",
    "config",
    "proxy",
    "listen",
    "reload",
    "admin",
    "app",
    "demo",
    "cli",
];

/// Foreign crates that one of ours keeps to itself: (the crate, who may name it).
const KEPT_BY: &[(&str, &str)] = &[("pingora", "edge"), ("instant_acme", "acme"), ("axum", "edge")];

/// Modules of `edge` that work on our own view of a request, so that they are plain functions in a test.
const WITHOUT_PINGORA: &[&str] = &["tasks", "middleware", "snapshot", "config", "admin", "demo", "cli"];

/// Lines that a file may have outside its tests, and the files that may have more, with the reason.
const LONGEST: usize = 400;
const MAY_BE_LONGER: &[(&str, &str)] = &[];

/// Files that may say `unsafe`, with the reason. The lints of the workspace forbid it as well.
const MAY_BE_UNSAFE: &[(&str, &str)] = &[];

struct File {
    /// From the root of the workspace, with `/`.
    path: String,
    text: String,
}

impl File {
    /// Integration tests, benches and files that are included only as `#[cfg(test)] mod tests;`.
    fn is_test(&self) -> bool {
        ["/tests/", "/benches/", "/fuzz/"].iter().any(|part| self.path.contains(part))
            || self.path.ends_with("/tests.rs")
    }

    /// `edge/src/listen/tls.rs` is (`edge`, [`listen`, `tls`]); the root of a library is (.., []).
    fn module(&self) -> Option<(&str, Module)> {
        let (krate, inside) = self.path.split_once("/src/")?;
        let stem = inside.strip_suffix(".rs")?;
        let parts = stem.split('/').filter(|part| *part != "lib").map(str::to_owned).collect();
        Some((krate, parts))
    }

    fn lines_outside_tests(&self) -> usize {
        self.text.lines().count() - without_tests(&words(&self.text)).1
    }

    fn says(&self, name: &str) -> bool {
        words(&self.text).iter().any(|word| word.text == name)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("edge lies in the workspace").to_owned()
}

fn manifest(path: &Path) -> toml::Table {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn members() -> Vec<String> {
    let workspace = manifest(&root().join("Cargo.toml"));
    let list = workspace["workspace"]["members"].as_array().expect("members is a list");
    list.iter().map(|member| member.as_str().expect("a member is a string").to_owned()).collect()
}

fn sources() -> Vec<File> {
    let mut files = Vec::new();
    for member in members() {
        collect(&root().join(&member), &mut files);
    }
    files
}

fn collect(folder: &Path, files: &mut Vec<File>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).expect("a folder of the workspace").flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::path);
    for path in entries.iter().map(std::fs::DirEntry::path) {
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let inside = path.strip_prefix(root()).expect("collected below the root");
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            files.push(File { path: inside.to_string_lossy().replace('\\', "/"), text });
        }
    }
}

fn modules_of(krate: &str, files: &[File]) -> Modules {
    let mut modules = Modules::default();
    for file in files.iter().filter(|file| !file.is_test()) {
        if let Some((_, module)) = file.module().filter(|(of, _)| *of == krate) {
            let (kept, _) = without_tests(&words(&file.text));
            modules.0.insert(module.clone(), paths(&kept, &module));
        }
    }
    modules
}

/// Faults are shown together: one run names all that there is to mend.
fn assert_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} fault(s):\n{}", faults.len(), faults.join("\n"));
}

fn dependencies(table: &toml::Table) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (key, value) in table {
        match (key.as_str(), value.as_table()) {
            ("dependencies" | "dev-dependencies" | "build-dependencies", Some(list)) => {
                names.extend(list.keys().cloned())
            }
            ("target", Some(targets)) => {
                names.extend(targets.values().filter_map(toml::Value::as_table).flat_map(dependencies));
            }
            _ => {}
        }
    }
    names
}

/// What is wrong with the order: an import to the right, or a module that has no place.
fn against_order(modules: &Modules, order: &[&str]) -> Vec<String> {
    let place = |module: &Module| order.iter().position(|name| module.first().is_some_and(|first| first == name));
    let missing = modules.0.keys().filter(|module| module.len() == 1 && module[0] != "main" && place(module).is_none());
    let mut faults: Vec<String> = missing.map(|module| format!("{}: has no place in EDGE_ORDER", module[0])).collect();
    for (from, to) in modules.imports() {
        if matches!((place(&from), place(&to)), (Some(left), Some(right)) if right > left) {
            faults.push(format!("{} imports {}, which is to its right", from.join("::"), to.join("::")));
        }
    }
    faults
}

fn too_long(files: &[File], longest: usize, excused: &[(&str, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| !file.is_test()) {
        let lines = file.lines_outside_tests();
        match (lines > longest, excused.iter().any(|(path, _)| *path == file.path)) {
            (true, false) => faults.push(format!(
                "{}: {lines} lines outside tests, more than {longest}: cut it where it has two subjects",
                file.path
            )),
            (false, true) => faults.push(format!("{}: {lines} lines, so its excuse can go", file.path)),
            _ => {}
        }
    }
    faults
}

#[test]
fn crates_name_only_the_crates_below_them() {
    let members = members();
    let mut faults = Vec::new();
    for member in &members {
        let Some((_, allowed)) = CRATES.iter().find(|(name, _)| name == member) else {
            faults.push(format!("{member}: has no line in CRATES"));
            continue;
        };
        let named = dependencies(&manifest(&root().join(member).join("Cargo.toml")));
        let ours = named.iter().filter(|name| CRATES.iter().any(|(krate, _)| krate == name));
        faults.extend(
            ours.filter(|name| !allowed.contains(&name.as_str()))
                .map(|name| format!("{member}/Cargo.toml: names {name}")),
        );
    }
    assert_none(faults);
}

#[test]
fn foreign_crates_with_one_keeper_are_named_by_it_alone() {
    let mut faults = Vec::new();
    for (name, keeper) in KEPT_BY {
        for member in members().iter().filter(|member| member != keeper) {
            let named = dependencies(&manifest(&root().join(member).join("Cargo.toml")));
            faults
                .extend(named.contains(&name.replace('_', "-")).then(|| format!("{member}/Cargo.toml: names {name}")));
        }
        let others = sources().into_iter().filter(|file| !file.path.starts_with(&format!("{keeper}/")));
        faults.extend(others.filter(|file| file.says(name)).map(|file| format!("{}: names {name}", file.path)));
    }
    assert_none(faults);
}

#[test]
fn modules_on_our_own_view_of_a_request_do_not_name_pingora() {
    let files = sources();
    let inside = files.iter().filter(|file| {
        file.module().is_some_and(|(krate, module)| {
            krate == "edge" && module.first().is_some_and(|first| WITHOUT_PINGORA.contains(&first.as_str()))
        })
    });
    assert_none(
        inside.filter(|file| file.says("pingora")).map(|file| format!("{}: names pingora", file.path)).collect(),
    );
}

#[test]
fn modules_of_edge_keep_their_order() {
    assert_none(against_order(&modules_of("edge", &sources()), EDGE_ORDER));
}

#[test]
fn no_crate_has_an_import_circle() {
    let files = sources();
    assert_none(
        members()
            .iter()
            .filter_map(|member| Some(format!("{member}: {}", modules_of(member, &files).circle()?)))
            .collect(),
    );
}

#[test]
fn files_are_short_or_excused() {
    assert_none(too_long(&sources(), LONGEST, MAY_BE_LONGER));
}

#[test]
fn files_open_by_saying_what_they_are() {
    let silent = sources().into_iter().filter(|file| !file.text.trim_start().starts_with("//!"));
    assert_none(silent.map(|file| format!("{}: does not open with //!", file.path)).collect());
}

#[test]
fn modules_are_named_files_and_nothing_is_unsafe() {
    let files = sources();
    let modules = files.iter().filter(|file| file.path.ends_with("/mod.rs"));
    let mut faults: Vec<String> =
        modules.map(|file| format!("{}: name the file after its module", file.path)).collect();
    let excused = |file: &File| MAY_BE_UNSAFE.iter().any(|(path, _)| *path == file.path);
    let wild = files.iter().filter(|file| file.says("unsafe") && !excused(file));
    faults.extend(wild.map(|file| format!("{}: says unsafe", file.path)));
    assert_none(faults);
}

mod the_checker {
    use super::architecture::source::Named;
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> Modules {
        let files: Vec<File> =
            files.iter().map(|(path, text)| File { path: format!("x/src/{path}"), text: (*text).to_owned() }).collect();
        modules_of("x", &files)
    }

    fn named(source: &str, module: &[&str]) -> Vec<String> {
        let module: Module = module.iter().map(|part| (*part).to_owned()).collect();
        let join = |named: Named| named.path.join("::");
        paths(&without_tests(&words(source)).0, &module).into_iter().map(join).collect()
    }

    #[test]
    fn finds_a_circle_of_three() {
        let modules = crate_of(&[
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "fn f() { super::c::g() }"),
            ("c.rs", "use crate::{a::A};"),
        ]);
        assert_eq!(modules.circle().as_deref(), Some("crate: a -> b -> c -> a"));
    }

    #[test]
    fn finds_a_circle_among_children_and_through_a_re_export() {
        let below = crate_of(&[("a.rs", ""), ("a/p.rs", "use super::q::Q;"), ("a/q.rs", "use crate::a::p;")]);
        assert_eq!(below.circle().as_deref(), Some("crate::a: p -> q -> p"));
        let through = crate_of(&[("lib.rs", "pub use b::B;"), ("a.rs", "use crate::B;"), ("b.rs", "use crate::a;")]);
        assert_eq!(through.circle().as_deref(), Some("crate: a -> b -> a"));
    }

    #[test]
    fn lets_parent_and_child_use_each_other() {
        let modules = crate_of(&[
            ("a.rs", "mod p; use crate::a::p::P;"),
            ("a/p.rs", "use super::Trait;"),
            ("b.rs", "use crate::a::p;"),
        ]);
        assert_eq!(modules.circle(), None);
    }

    #[test]
    fn overlooks_what_is_in_tests_comments_and_strings() {
        let source = "// crate::x::y\n/* crate::x /* */ */ const A: &str = \"crate::x::y\"; const B: &str = r#\"\"crate::x::y\"#;\n\
                      const C: char = '\"'; fn f<'a>(x: &'a str) { let q = b'\\''; d::e() }\n#[cfg(test)]\nmod tests { use crate::x::y; fn t() {} }\n";
        assert_eq!(named(source, &[]), ["d::e"]);
    }

    #[test]
    fn unfolds_trees_and_relative_paths() {
        let source = "use crate::{a::{self, B as C}, d::*}; use super::e::F; fn f() { self::g::h(); std::mem::drop(1) } mod inner { use super::super::k::K; }";
        let all = named(source, &["m", "n"]);
        assert_eq!(
            all,
            [
                "crate::a",
                "crate::a::B",
                "crate::d",
                "crate::m::e::F",
                "crate::m::n::g::h",
                "std::mem::drop",
                "crate::m::k::K"
            ]
        );
    }

    #[test]
    fn finds_an_import_to_the_right_and_a_module_without_a_place() {
        let modules = crate_of(&[
            ("left.rs", "use crate::right::R;"),
            ("right.rs", "use crate::left::L;"),
            ("new.rs", ""),
            ("main.rs", ""),
        ]);
        assert_eq!(
            against_order(&modules, &["left", "right"]),
            ["new: has no place in EDGE_ORDER", "left imports right, which is to its right"]
        );
    }

    #[test]
    fn finds_a_long_file_but_does_not_count_its_tests() {
        let file = |body: &str| [File { path: "x/src/a.rs".into(), text: body.into() }];
        let tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn t() {}\n".repeat(20));
        assert_eq!(file(&tests)[0].lines_outside_tests(), 1);
        assert!(too_long(&file(&tests), 10, &[]).is_empty());
        let long = "fn f() {}\n".repeat(11);
        assert_eq!(too_long(&file(&long), 10, &[]).len(), 1);
        assert!(too_long(&file(&long), 10, &[("x/src/a.rs", "a table")]).is_empty());
        assert_eq!(too_long(&file("fn f() {}\n"), 10, &[("x/src/a.rs", "a table")]).len(), 1);
    }

    #[test]
    fn reads_the_dependencies_of_every_section() {
        let table =
            "[dependencies]\na = \"1\"\n[target.'cfg(unix)'.dependencies]\nb = \"1\"\n[dev-dependencies]\nc = \"1\"\n"
                .parse();
        assert_eq!(dependencies(&table.expect("valid TOML")).into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
