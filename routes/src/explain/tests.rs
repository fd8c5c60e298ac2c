//! The words, and that the winner is always the one that a real match finds.

use super::*;
use crate::fixture::{Chance, check_files};
use crate::table::Found;
use crate::table::tests::{random_request, random_table, request, table};

const TEXT: &str = r#"
[[route]]
name = "canary"
host = "a.example"
path = "/api/"
header = { x-canary = ["1", "2"] }
respond = ""
[[route]]
name = "api"
host = "a.example"
path = "/api/"
respond = ""
[[route]]
name = "writes"
host = "a.example"
method = "POST"
respond = ""
[[route]]
name = "all"
host = "a.example"
respond = ""
[[route]]
name = "docs"
host = "a.example"
path = ["/docs/", "=/d"]
respond = ""
"#;

#[test]
fn every_route_of_the_host_is_told_in_the_order_it_is_tried() {
    let explanation = explain(&table(TEXT), &request("a.example", "/api/x"));
    assert_eq!(explanation.winner.as_deref(), Some("api"));
    let expected = "a.example/api/x\n   \
        canary (respond, a.toml:2): header `x-canary` is none of `1`, `2`\n\
        -> api (respond, a.toml:8): wins\n   \
        writes (respond, a.toml:13): method: `GET` is none of POST\n   \
        all (respond, a.toml:18): fits too, but `api` comes first\n   \
        docs (respond, a.toml:22): path: `/api/x` fits none of /docs/, =/d";
    assert_eq!(explanation.to_string(), expected);
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!((json["winner"].as_str(), json["candidates"][1]["won"].as_bool()), (Some("api"), Some(true)));
}

#[test]
fn an_unknown_host_is_told_with_the_nearest_one() {
    let explanation = explain(&table(TEXT), &request("b.example", "/"));
    assert_eq!((explanation.winner.as_deref(), explanation.nearest.as_deref()), (None, Some("a.example")));
    assert_eq!(explanation.to_string(), "b.example/\n   no route is for this host; the nearest is a.example");
}

#[test]
fn a_rejected_route_that_would_win_is_told_with_its_fault() {
    let text = "[[route]]\nname = \"x\"\nhost = \"a.example\"\nfiles = \"missing\"\n";
    let id = check_files(&[("a.toml", text)]).faults[0].id();
    let explanation = explain(&table(text), &request("a.example", "/"));
    assert_eq!(explanation.candidates[0].target, "503");
    assert_eq!(
        explanation.candidates[0].why,
        format!("wins, but is rejected: answered with 503 and the fault id {id}")
    );
}

#[test]
fn thousands_of_other_paths_are_counted_instead_of_listed() {
    let text: String = (0..500)
        .map(|n| format!("[[route]]\nname = \"r{n}\"\nhost = \"a\"\npath = \"/{n}\"\nrespond = \"\"\n"))
        .collect();
    let explanation = explain(&table(&text), &request("a", "/none"));
    assert_eq!((explanation.candidates.len(), explanation.more), (20, 480));
}

#[test]
fn the_winner_is_always_the_one_that_a_match_finds() {
    let headers = vec![("A", "1")];
    let mut chance = Chance(7);
    for _ in 0..300 {
        let table = random_table(&mut chance);
        for _ in 0..40 {
            let request = random_request(&mut chance, &headers);
            let found = match table.find(&request) {
                Found::Route(route) => Some(route.name.clone()),
                Found::Closed(closed) => Some(closed.name.clone()),
                Found::Nothing => None,
            };
            let explanation = explain(&table, &request);
            assert_eq!(explanation.winner, found);
            assert_eq!(
                explanation.candidates.iter().filter(|candidate| candidate.won).count(),
                usize::from(found.is_some())
            );
        }
    }
}
