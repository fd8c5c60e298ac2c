//! The walk reports everything at its place; schema and reference say the same as the walk.

use serde_json::json;

use super::*;
use crate::document::{Document, Source, Vars};
use crate::fault::{Fault, Faults};

const SERVER: Shape = Shape::Table(&[
    Key::new("url", Shape::Text("a URL"), "Where it is.").required(),
    Key::new("weight", Shape::Integer { min: 1, max: 100 }, "Its share.").default("1"),
]);
const FILE: Shape = Shape::Table(&[
    Key::new("name", Shape::TEXT, "The name."),
    Key::new("host", Shape::OneOrMany(&Shape::Text("a host name")), "Hosts."),
    Key::new("servers", Shape::List(&Shape::Either(&[Shape::TEXT, SERVER])), "Servers."),
    Key::new("balance", Shape::OneOf { now: &["round-robin"], later: &["random-two", "hash:"] }, "How.")
        .default("\"round-robin\""),
    Key::new("idle", Shape::Duration, "A time."),
    Key::new("body", Shape::Bytes, "A size."),
    Key::new("rate", Shape::Rate, "A rate."),
    Key::new("spa", Shape::Bool, "Single page | or not."),
    Key::new("vars", Shape::Map(&Shape::TEXT), "Names."),
    Key::later("use"),
]);

fn faults(text: &str) -> Vec<Fault> {
    let document = Document::parse(&Source::new("a.toml", text), &Vars::NONE).expect("valid TOML");
    let mut faults = Faults::new();
    walk(&document.root(), &FILE, &mut faults);
    faults.into_sorted()
}

fn one(text: &str) -> (usize, usize, String, Option<String>) {
    let faults = faults(text);
    assert_eq!(faults.len(), 1, "{text}: {faults:#?}");
    let fault = faults.into_iter().next().expect("there is one");
    (fault.line, fault.column, fault.why, fault.hint)
}

#[test]
fn a_file_of_the_right_shape_has_no_faults() {
    let text = "name = \"a\"\nhost = [\"a\"]\nservers = [\"x\", { url = \"y\", weight = 2 }]\nidle = \"5s\"\nbody = \"none\"\nrate = \"1KiB/s\"\nspa = true\nvars = { A = \"1\" }\n";
    assert_eq!(faults(text), []);
    assert_eq!(faults(""), []);
}

#[test]
fn every_fault_of_a_file_is_reported_in_one_run() {
    let faults = faults("nmae = \"a\"\nhost = 1\nspa = \"yes\"\nidle = \"5\"\nservers = [3, { wieght = 1 }]\n");
    let places: Vec<_> = faults.iter().map(|fault| (fault.line, fault.column, fault.key.as_str())).collect();
    let expected = [
        (1, 1, "nmae"),
        (2, 8, "host"),
        (3, 7, "spa"),
        (4, 8, "idle"),
        (5, 12, "servers[0]"),
        (5, 15, "servers[1]"),
        (5, 17, "servers[1].wieght"),
    ];
    assert_eq!(places, expected);
}

#[test]
fn each_fault_says_what_was_expected_and_what_to_do() {
    for (text, column, why, hint) in [
        ("hots = \"a\"", 1, "unknown key `hots`", Some("did you mean `host`?")),
        ("host = 1", 8, "`host`: expected a string (a host name) or a list, found an integer", None),
        ("spa = 1.5", 7, "`spa`: expected a boolean, found a float", None),
        ("servers = \"a\"", 11, "`servers`: expected a list, found a string", None),
        ("servers = [1979-05-27]", 12, "`servers[0]`: expected a string or a table, found a date", None),
        ("servers = [{ url = \"a\", weight = 0 }]", 34, "`weight` must be a whole number from 1 to 100", None),
        (
            "balance = \"round-robbin\"",
            11,
            "`balance`: expected one of \"round-robin\", found \"round-robbin\"",
            Some("did you mean `round-robin`?"),
        ),
        (
            "balance = \"hash:client-ip\"",
            11,
            "\"hash:client-ip\" is not available in this version",
            Some("use \"round-robin\""),
        ),
        (
            "body = \"1 MB\"",
            8,
            "`body` cannot be read from \"1 MB\": its unit is missing or not known",
            Some("write a number with B, KiB, MiB or GiB: \"32KiB\"; \"none\" is no limit"),
        ),
        (
            "use = [\"team\"]",
            1,
            "`use` is not available in this version",
            Some("remove it; it is planned for a later version"),
        ),
        ("vars = { A = 1 }", 14, "`A`: expected a string, found an integer", None),
        (
            "name = \"${X}\"",
            11,
            "the variable `X` is not set",
            Some("set it under [vars] or in the environment, or write `${X:-default}`"),
        ),
    ] {
        assert_eq!(one(text), (1, column, why.to_owned(), hint.map(str::to_owned)), "{text}");
    }
}

#[test]
fn a_variable_under_an_unknown_key_is_told_as_well() {
    let whys: Vec<_> = faults("zzzzzzzz = { a = [\"${X}\"] }").into_iter().map(|fault| fault.why).collect();
    assert_eq!(whys, ["unknown key `zzzzzzzz`", "the variable `X` is not set"]);
}

#[test]
fn the_schema_knows_every_usable_key_and_no_other() {
    let schema = schema("a file", &FILE);
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.len(), 9);
    assert!(!properties.contains_key("use"));
    assert_eq!(schema["properties"]["servers"]["items"]["anyOf"][1]["required"], json!(["url"]));
    assert_eq!(properties["balance"]["description"], "How. Default: `\"round-robin\"`.");
}

#[test]
fn the_reference_has_a_row_for_every_usable_key_and_a_section_for_every_table() {
    let text = reference(&FILE, 2);
    assert!(
        text.starts_with(
            "| key | value | default | what it does |\n|---|---|---|---|\n| `name` | text |  | The name. |\n"
        ),
        "{text}"
    );
    assert!(text.contains("## `servers`\n\n| key |"), "{text}");
    assert!(
        text.contains("| `url` | a URL | required | Where it is. |\n| `weight` | 1 to 100 | `1` | Its share. |"),
        "{text}"
    );
    assert!(text.contains("Single page \\| or not."), "{text}");
    assert!(!text.contains("`use`"));
}

#[test]
fn a_default_is_code_where_it_is_toml_and_plain_where_it_is_words() {
    const FILE: Shape = Shape::Table(&[
        Key::new("a", Shape::TEXT, "A.").default("\"x\""),
        Key::new("b", Shape::TEXT, "B.").default("those of the system"),
        Key::new("c", Shape::Map(&SERVER), "C."),
    ]);
    let text = reference(&FILE, 2);
    assert!(text.contains("| `\"x\"` | A. |") && text.contains("| those of the system | B. |"), "{text}");
    assert!(text.contains("## `c.NAME`"), "{text}");
    assert_eq!(schema("a file", &FILE)["properties"]["b"]["description"], "B. Default: those of the system.");
}
