//! Edits while routes serve: who stays and who is rejected.

use crate::check::Checked;
use crate::fixture::{check_files, check_over};

fn named(name: &str, host: &str, rest: &str) -> String {
    format!("[[route]]\nname = \"{name}\"\nhost = \"{host}.example\"\nrespond = \"\"\n{rest}\n")
}

/// The good routes and the rejected ones, each as `file name`.
fn outcome(checked: &Checked) -> (Vec<String>, Vec<String>) {
    let good = checked.routes.iter().map(|route| format!("{} {}", route.file, route.name));
    (good.collect(), checked.rejected.iter().map(|route| format!("{} {}", route.file, route.name)).collect())
}

#[test]
fn a_route_that_serves_keeps_its_name_from_newcomers() {
    let (b, c) = (named("app", "b", ""), named("other", "c", ""));
    let live = check_files(&[("b", &b), ("c", &c)]).routes;
    let newcomer = named("app", "a", "");
    let checked = check_over(&live, &[("a", &newcomer), ("b", &b), ("c", &c)]);
    assert_eq!(outcome(&checked), (vec!["b app".into(), "c other".into()], vec!["a app".into()]));
    let fault = &checked.rejected[0].faults[0];
    assert_eq!((fault.file.as_str(), fault.line), ("a", 2));
    assert_eq!(fault.why, "the name `app` is taken by the route at b:1");
    assert!(checked.rejected[0].name_taken);
    // Edited, with a fault, or in a file that does not parse: the name stays where it serves.
    for (edited, good) in
        [(named("app", "moved", ""), vec!["b app"]), (named("app", "b", "x = 1"), vec![]), ("[[".into(), vec![])]
    {
        let checked = check_over(&live, &[("a", &newcomer), ("b", &edited)]);
        assert_eq!(outcome(&checked).0, good, "{edited}");
        assert!(checked.rejected.iter().any(|rejected| rejected.file == "a" && rejected.name_taken), "{edited}");
    }
    let moved = check_over(&live, &[("a", &newcomer), ("c", &c)]);
    assert_eq!(outcome(&moved).0, ["a app", "c other"], "a name that nobody has any more is free");
}

#[test]
fn a_route_that_serves_keeps_its_requests_from_newcomers() {
    let b = named("old", "x", "");
    let live = check_files(&[("b", &b)]).routes;
    let newcomer = named("new", "x", "");
    let other_target = b.replace("respond = \"\"", "respond = \"edited\"");
    for edited in [b.as_str(), &other_target, &named("old", "x", "y = 1"), "[["] {
        let checked = check_over(&live, &[("a", &newcomer), ("b", edited)]);
        assert!(outcome(&checked).1.contains(&"a new".to_owned()), "{edited}");
        let fault = &checked.rejected[0].faults[0];
        assert_eq!(fault.file, "a");
        assert!(fault.why.ends_with("`old` is at b:1"), "{}", fault.why);
    }
    for freed in ["# nothing\n".to_owned(), named("old", "y", "")] {
        let checked = check_over(&live, &[("a", &newcomer), ("b", &freed)]);
        assert!(outcome(&checked).0.contains(&"a new".to_owned()), "{freed}");
    }
}

#[test]
fn an_edit_takes_no_requests_of_a_route_that_serves_as_it_was() {
    let [a, b, c] = ["a", "b", "c"].map(|name| named(name, name, ""));
    let live = check_files(&[("a", &a), ("b", &b), ("c", &c)]).routes;
    let to = |name: &str, host: &str| named(name, host, "");
    let onto = check_over(&live, &[("a", &to("a", "b")), ("b", &b), ("c", &c)]);
    assert_eq!(outcome(&onto), (vec!["b b".into(), "c c".into()], vec!["a a".into()]));
    // b cannot have the host of c, so it keeps its own, and a cannot have that.
    let chain = check_over(&live, &[("a", &to("a", "b")), ("b", &to("b", "c")), ("c", &c)]);
    assert_eq!(outcome(&chain), (vec!["c c".into()], vec!["a a".into(), "b b".into()]));
    let swapped = check_over(&live, &[("a", &to("a", "b")), ("b", &to("b", "a")), ("c", &c)]);
    assert_eq!(outcome(&swapped).0, ["a a", "b b", "c c"]);
}

#[test]
fn good_routes_are_in_the_order_of_files_whoever_served_before() {
    let (a, b) = (named("a", "a", ""), named("b", "b", ""));
    let live = check_files(&[("b", &b)]).routes;
    assert_eq!(outcome(&check_over(&live, &[("b", &b), ("a", &a)])).0, ["a a", "b b"]);
}
