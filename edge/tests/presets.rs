//! Every preset: its sample is a good configuration, and it has a page, a line in the list and a test.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
}

use std::fs;
use std::path::{Path, PathBuf};

use routes::preset::Preset;
use support::backend::Backend;
use support::edge::{TestEdge, edge};
use support::process::eventually;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("edge lies in the workspace").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A folder with a configuration and these route files, checked.
#[track_caller]
fn check(routes: &[(String, String)]) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for folder in ["routes", "frontend/dist"] {
        fs::create_dir_all(dir.path().join(folder)).expect("it is new");
    }
    for (name, text) in [("edge.toml", ""), ("users.htpasswd", USERS), ("tokens.toml", TOKENS)] {
        fs::write(dir.path().join(name), text).expect("the folder is writable");
    }
    for (name, text) in routes {
        fs::write(dir.path().join("routes").join(name), text).expect("the folder is writable");
    }
    edge(dir.path(), &["check"]).success()
}

/// The password `x`.
const USERS: &str = "ann:$2y$10$bG0etTs6furpzIWE8kntUO1VO3nWURKJyIvN1.ejQrebdh3xfnkoG\n";
/// Of a token that nobody has.
const TOKENS: &str =
    "[[token]]\nname = \"ci\"\nsha256 = \"92906661b05482e1845d608b639ff9ebd9ed8484f9e6f8ba84542616c30b7538\"\n";

fn toml_blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next())
}

#[test]
fn the_sample_of_every_preset_is_a_good_route() {
    let files: Vec<_> = Preset::all().iter().map(|preset| (format!("{}.toml", preset.name), preset.sample())).collect();
    let said = check(&files);
    assert!(said.contains("no faults in edge.toml"), "{said}");
}

/// What a page shows can be copied: each block that has a route is one file of a good configuration.
#[test]
fn every_route_on_a_page_is_a_good_route() {
    for preset in Preset::all() {
        let page = read(&root().join("docs/backends").join(format!("{}.md", preset.name)));
        for block in toml_blocks(&page).filter(|block| block.contains("[[route]]")) {
            let said = check(&[("a.toml".to_owned(), block.to_owned())]);
            assert!(said.contains("no faults in edge.toml"), "{}: {said}", preset.name);
        }
    }
}

#[test]
fn every_preset_has_a_page_with_all_its_parts_and_none_is_stale() {
    let (docs, dir) = (root().join("docs/backends"), tempfile::tempdir().expect("a temporary folder"));
    let copy = dir.path().join("docs/backends");
    fs::create_dir_all(&copy).expect("it is new");
    let mut pages: Vec<String> = Preset::all().iter().map(|preset| format!("{}.md", preset.name)).collect();
    for page in &pages {
        let text = read(&docs.join(page));
        for part in ["## What the preset sets", "## The backend", "## Clients", "## Known limits"] {
            assert!(text.contains(&format!("\n{part}\n")), "docs/backends/{page} has no \"{part}\"");
        }
        fs::write(copy.join(page), text).expect("the folder is writable");
    }
    edge(dir.path(), &["docs", "--write", "docs"]).success();
    pages.push("README.md".to_owned());
    for page in &pages {
        assert!(read(&docs.join(page)) == read(&copy.join(page)), "docs/backends/{page} is stale: run ./dev docs");
    }
    let mut there: Vec<_> =
        fs::read_dir(&docs).expect("it is there").flatten().map(|entry| entry.file_name()).collect();
    there.retain(|name| !pages.iter().any(|page| **page == *name));
    assert!(there.is_empty(), "pages of no preset: {there:?}");
}

#[test]
fn the_readme_links_to_the_page_of_every_preset_and_to_no_other() {
    let readme = read(&root().join("README.md"));
    let mut linked: Vec<&str> = readme
        .split("(docs/backends/")
        .skip(1)
        .filter_map(|rest| rest.split_once(".md)"))
        .map(|(name, _)| name)
        .collect();
    linked.retain(|name| *name != "README");
    linked.sort_unstable();
    let mut names: Vec<&str> = Preset::all().iter().map(|preset| preset.name).collect();
    names.sort_unstable();
    assert_eq!(linked, names, "the table of backends in README.md, beside the presets");
}

#[test]
fn every_preset_is_in_a_test() {
    let tests = fs::read_dir(root().join("edge/tests")).expect("it is there").flatten();
    let texts: Vec<String> =
        tests.map(|entry| entry.path()).filter(|path| path.is_file()).map(|path| read(&path)).collect();
    // As a key of a route, in a string or not, or through a helper that writes the route.
    let ways = ["preset = \"NAME\"", "preset = \\\"NAME\\\"", "before(\"NAME\"", "route(\"NAME\""];
    let names = |text: &String, name: &str| ways.iter().any(|way| text.contains(&way.replace("NAME", name)));
    let missing = Preset::all().iter().filter(|preset| !texts.iter().any(|text| names(text, preset.name)));
    let missing: Vec<_> = missing.map(|preset| preset.name).collect();
    assert!(missing.is_empty(), "presets that no test names: {missing:?}");
}

/// Where the health of a backend is asked for; none if it is asked for a connection alone.
fn health_path(preset: &'static Preset) -> Option<String> {
    let upstream = preset.route()?.get("upstream")?;
    let health = upstream.get("health").unwrap_or_else(|| panic!("{} has no health check", preset.name));
    Some(health.get("path")?.as_str()?.to_owned())
}

#[test]
fn every_preset_serves_and_asks_for_the_health_of_its_backend() {
    let backends: Vec<(&'static Preset, Backend)> =
        Preset::all().iter().map(|preset| (preset, Backend::echo())).collect();
    let route = |(preset, backend): &(&'static Preset, Backend)| {
        let (name, url) = (preset.name, backend.url());
        format!("[[route]]\nhost = \"{name}.test\"\npreset = \"{name}\"\nupstream = \"{url}\"\n")
    };
    let routes: String = backends.iter().map(route).collect();
    let edge = TestEdge::with_routes(&[("all.toml", &routes)]);
    for (preset, backend) in &backends {
        let line = health_path(preset).map(|path| format!("GET {path} HTTP/1.1\r\n"));
        eventually(&format!("{} asks for the health of its backend", preset.name), || match &line {
            Some(line) => backend.heads().iter().any(|head| head.starts_with(line)),
            None => backend.accepted() > 0,
        });
        // The echo does not speak HTTP/2.
        if preset.name != "jaeger-otlp" {
            let answer = edge.https(&format!("https://{}.test/page?a=%2F", preset.name), &[]);
            assert!(answer.text().starts_with("GET /page?a=%2F HTTP/1.1\r\n"), "{}: {}", preset.name, answer.text());
        }
    }
}
