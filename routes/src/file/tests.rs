//! What the description of the keys says is what the readers do.

use super::*;
use crate::fixture::check_files;
use crate::rule::Rule;
use crate::shape::{reference, schema};
use crate::target::Target;

/// Every default of a table that is written as TOML, as the text of an inline table.
fn defaults(keys: &[Key]) -> String {
    let entries = keys.iter().filter_map(|key| Some(format!("{} = {}", key.name, default(key)?)));
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

fn default(key: &Key) -> Option<String> {
    match (key.default, key.shape) {
        (Some(text), _) => {
            Some(text.to_owned()).filter(|text| toml::from_str::<toml::Table>(&format!("x = {text}")).is_ok())
        }
        (None, Shape::Table(keys)) => Some(defaults(keys)),
        _ => None,
    }
}

fn keys_of(shape: Shape) -> &'static [Key] {
    match shape {
        Shape::Table(keys) => keys,
        Shape::Either(shapes) => {
            shapes.iter().map(|shape| keys_of(*shape)).find(|keys| !keys.is_empty()).unwrap_or_default()
        }
        _ => &[],
    }
}

fn find(keys: &[Key], name: &str) -> Key {
    *keys.iter().find(|key| key.name == name).expect("a key of that name")
}

#[test]
fn the_defaults_in_the_description_are_the_defaults_of_the_readers() {
    let route = keys_of(ROUTE);
    let inline = |name: &str| defaults(keys_of(find(route, name).shape));
    let upstream = inline("upstream").replacen('{', "{ servers = \"https://b\",", 1);
    let given = format!(
        "upstream = {upstream}\nlimits = {}\npath_policy = \"strict\"\nhost_header = \"keep\"\npriority = 0\n",
        inline("limits")
    );
    assert!(upstream.contains("pool_idle") && upstream.contains("verify") && given.contains("min_rate"), "{given}");
    for (short, long) in [
        ("upstream = \"https://b\"\n".to_owned(), given),
        (
            "redirect = \"/x\"\n".to_owned(),
            format!("redirect = {}\n", inline("redirect").replacen('{', "{ to = \"/x\",", 1)),
        ),
        (
            "files = \"dist\"\n".to_owned(),
            format!("files = {}\n", inline("files").replacen('{', "{ root = \"dist\",", 1)),
        ),
        ("respond = \"\"\n".to_owned(), format!("respond = {}\n", inline("respond"))),
    ] {
        let read = |text: &str| {
            let checked = check_files(&[("a.toml", &format!("[[route]]\nhost = \"a\"\n{text}"))]);
            assert_eq!(checked.faults, [], "{text}");
            let route = checked.routes.into_iter().next().expect("one route");
            Route { text: String::new(), ..(*route).clone() }
        };
        assert_eq!(read(&short), read(&long), "{long}");
    }
}

#[test]
fn every_usable_key_has_words_for_the_reference() {
    let reference = reference(&FILE, 2);
    for section in [
        "## `route`",
        "## `route.except`",
        "## `route.upstream.timeouts`",
        "## `route.redirect`",
        "## `tcp`",
        "## `tcp.tls`",
        "## `tcp.upstream.health`",
        "## `udp.upstream`",
        "## `udp.limits`",
    ] {
        assert!(reference.contains(section), "{section}\n{reference}");
    }
    assert!(!reference.lines().any(|line| line.ends_with("|  |")), "a key has no words\n{reference}");
}

#[test]
fn the_schema_describes_routes_of_each_kind() {
    let schema = schema("route file", &FILE);
    let route = &schema["properties"]["route"]["items"]["properties"];
    assert_eq!(route["upstream"]["anyOf"][0]["type"], "string");
    assert!(route.get("use").is_some());
    let tcp = &schema["properties"]["tcp"]["items"];
    assert_eq!(tcp["required"], serde_json::json!(["upstream"]));
    assert_eq!(tcp["properties"]["tls"]["anyOf"][0]["anyOf"][0]["enum"][3], "passthrough");
    assert_eq!(schema["properties"]["udp"]["items"]["required"], serde_json::json!(["name", "listen", "upstream"]));
}

#[test]
fn a_misspelt_key_makes_the_rule_unknown_only_if_it_may_have_been_part_of_it() {
    let rule = |text: &str| -> Option<Rule> {
        let text = format!("[[route]]\nname = \"x\"\nhost = \"a.example\"\n{text}\n");
        check_files(&[("a.toml", &text)]).rejected.swap_remove(0).rule
    };
    assert!(rule("respond = \"\"\npth = \"/admin\"").is_none());
    assert!(rule("respond = \"\"\npath = \"admin\"").is_none());
    assert!(rule("respond = \"\"\nexcept = { pth = \"/admin\" }").is_none());
    assert!(rule("path = \"/admin\"\nrespnd = \"\"").is_some());
    assert!(rule("respond = \"\"\nlimits = { bdy = \"1B\" }").is_some());
    assert!(rule("respond = \"\"\nuse = [\"team\"]").is_some());
}

#[test]
fn a_target_is_one_of_four_kinds() {
    let checked = check_files(&[("a.toml", "[[route]]\nhost = \"a\"\nredirect = \"https://b{path}{query}\"\n")]);
    let Target::Redirect(redirect) = &checked.routes[0].target else { panic!("{:?}", checked.routes) };
    assert_eq!((redirect.status, checked.routes[0].target.kind()), (308, "redirect"));
}
