//! Places, variables, syntax errors and writing back.

use super::*;

fn parse(text: &str) -> Document {
    Document::parse(&Source::new("a.toml", text), &Vars::NONE).expect("valid TOML")
}

fn with_domain(text: &str) -> Document {
    let lookup = |name: &str| match name {
        "DOMAIN" => Some("example.com".to_owned()),
        "EMPTY" => Some(String::new()),
        "RAW" => Some("${DOMAIN} $$".to_owned()),
        _ => None,
    };
    let known = ["DOMAIN".to_owned(), "EMPTY".to_owned()];
    Document::parse(&Source::new("a.toml", text), &Vars { lookup: &lookup, known: &known }).expect("valid TOML")
}

fn at(fault: &Fault) -> (usize, usize) {
    (fault.line, fault.column)
}

#[test]
fn keys_and_values_know_their_places() {
    let document =
        parse("# first\n[[route]]\nname = \"ü\"\n[[route]]\n  host = [\"a\",\n   \"b\"]\n[route.upstream]\nhttp = 1\n");
    let route = document.root().get("route").unwrap();
    let second = route.items().nth(1).unwrap();
    assert_eq!(at(&second.fault("x")), (4, 1));
    let host = second.get("host").unwrap();
    assert_eq!((at(&host.key_fault("x")), at(&host.fault("x"))), ((5, 3), (5, 10)));
    let b = host.items().nth(1).unwrap();
    assert_eq!((at(&b.fault("x")), b.key()), ((6, 4), "route[1].host[1]"));
    let upstream = second.get("upstream").unwrap();
    assert_eq!(at(&upstream.fault("x")), (7, 1));
    assert_eq!(at(&upstream.get("http").unwrap().fault("x")), (8, 8));
}

#[test]
fn columns_count_characters_and_lines_may_end_with_crlf() {
    let document = parse("a = { \"ü€𝄞\" = 1 }\r\nb = 2\r\n");
    let inner = document.root().get("a").unwrap().get("ü€𝄞").unwrap();
    let fault = inner.fault("x");
    assert_eq!((at(&fault), fault.source_line.as_str()), ((1, 15), "a = { \"ü€𝄞\" = 1 }"));
    assert_eq!(at(&document.root().get("b").unwrap().fault("x")), (2, 5));
}

#[test]
fn every_syntax_error_of_a_file_is_reported_with_its_place() {
    let faults = Document::parse(&Source::new("a.toml", "a = \nb = 1\nb = 2\nc = \"x\n"), &Vars::NONE).unwrap_err();
    let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
    assert!(lines.contains(&1) && lines.contains(&3) && lines.contains(&4), "{faults:#?}");
    assert!(faults.iter().all(|fault| fault.why.starts_with("not valid TOML: ")));
}

#[test]
fn bytes_that_are_not_utf8_are_a_fault_with_line_and_column() {
    let fault = &Document::parse(&Source::new("a.toml", b"a = 1\nb = \"\xff\"".to_vec()), &Vars::NONE).unwrap_err()[0];
    assert_eq!((at(fault), fault.source_line.as_str()), ((2, 6), "b = \""));
}

#[test]
fn no_prefix_of_a_file_makes_the_parser_panic() {
    let text = "[[route]]\nhost = [\"a.${DOMAIN}\", 'b']\nu = { a = 1.5, b = \"\\u00e9\", c = 1979-05-27 }\n[route.x]\ny = \"\"\"\nü\"\"\"\n";
    for end in 0..=text.len() {
        if let Err(faults) = Document::parse(&Source::new("a.toml", &text.as_bytes()[..end]), &Vars::NONE) {
            assert!(faults.iter().all(|fault| fault.line >= 1 && fault.column >= 1), "{end}: {faults:?}");
        }
    }
}

#[test]
fn variables_are_replaced_once_and_a_double_dollar_is_a_dollar() {
    for (text, value) in [
        ("mlflow.${DOMAIN}", "mlflow.example.com"),
        ("${DOMAIN}${DOMAIN}", "example.comexample.com"),
        ("${NOPE:-fall}back", "fallback"),
        ("${NOPE:-}", ""),
        ("${EMPTY:-full}", "full"),
        ("${EMPTY}", ""),
        ("$$ $${DOMAIN} a$b $", "$ ${DOMAIN} a$b $"),
        ("~^/x$", "~^/x$"),
        ("${RAW}", "${DOMAIN} $$"),
    ] {
        let document = with_domain(&format!("k = \"{text}\""));
        assert_eq!(document.root().get("k").unwrap().as_str(), Some(value), "{text}");
    }
}

#[test]
fn an_unknown_variable_is_a_fault_of_its_value_at_its_column() {
    let document = with_domain("\nk = \"a.${DOMIAN}\"\nl = '${WHAT}'\nm = \"${OPEN\"\n");
    let fault = document.root().get("k").unwrap().unresolved().unwrap();
    assert_eq!((at(&fault), fault.why.as_str()), ((2, 10), "the variable `DOMIAN` is not set"));
    assert_eq!(fault.hint.as_deref(), Some("did you mean `DOMAIN`?"));
    let fault = document.root().get("l").unwrap().unresolved().unwrap();
    assert_eq!(fault.hint.as_deref(), Some("set it under [vars] or in the environment, or write `${WHAT:-default}`"));
    let fault = document.root().get("m").unwrap().unresolved().unwrap();
    assert_eq!((at(&fault), fault.why.as_str()), ((4, 6), "a variable is not closed: `}` is missing"));
}

#[test]
fn what_is_written_reads_back_as_the_same_values() {
    let text = "a = \"q\\\"\\\\ \\u0007\\n ü $$ ${DOMAIN} $$$${X}\"\nb = [1, -2, true, 1.5]\n\"odd key\" = { x = { y = [] }, z = {} }\n";
    let document = with_domain(text);
    let lines = document.root().to_toml_lines(&[]);
    let again = parse(&lines);
    assert_eq!(again.root().get("a").unwrap().as_str(), document.root().get("a").unwrap().as_str());
    assert_eq!(again.root().to_toml_lines(&[]), lines);
    assert!(lines.contains("b = [ 1, -2, true, 1.5 ]"), "{lines}");
}

#[test]
fn deep_nesting_is_refused_or_read_but_never_overflows_the_stack() {
    let deep = 100_000;
    for text in [
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}", "{ b = ".repeat(deep)),
        format!("{}a = 1", "a.".repeat(deep)),
        format!("[{}a]", "a.".repeat(deep)),
        format!("a = {{ {}a = 1 }}", "a.".repeat(deep)),
        "[[a.a]]\n".repeat(deep),
    ] {
        let parsed = Document::parse(&Source::new("a.toml", text.as_str()), &Vars::NONE);
        if let Ok(document) = parsed {
            document.root().to_toml_lines(&[]);
        }
    }
}
