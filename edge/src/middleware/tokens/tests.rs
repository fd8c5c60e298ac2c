//! Tokens files that are good and bad, and what their tokens may do.

use super::*;

fn now() -> Timestamp {
    "2026-06-15T12:00:00Z".parse().expect("a time")
}

fn parse(text: &str) -> Result<Tokens, String> {
    Tokens::parse(text, PathScopes::Allowed)
}

/// A file with one token, and the token.
fn file(more: &str) -> (String, String) {
    let (token, hash) = make().expect("randomness");
    (format!("[[token]]\nname = \"ci\"\nsha256 = \"{hash}\"\n{more}\n"), token)
}

#[test]
fn a_token_is_found_by_itself_alone() {
    let (text, token) = file("");
    let tokens = parse(&text).expect("one token");
    assert!(token.len() > 40 && !text.contains(&token));
    assert_eq!(tokens.find(&token, now()).map(|token| token.name.as_str()), Some("ci"));
    let (other, _) = make().expect("randomness");
    for wrong in [other.as_str(), "", &token[..token.len() - 1], &token.to_uppercase()] {
        assert!(tokens.find(wrong, now()).is_none(), "{wrong}");
    }
}

#[test]
fn a_token_ends_with_its_last_day_or_at_its_time() {
    for (expires, is_good) in [
        ("2026-06-15", true),
        ("2026-06-14", false),
        ("2027-01-01", true),
        ("2026-06-15T12:00:01Z", true),
        ("2026-06-15T12:00:00Z", false),
        ("2026-06-15T13:00:00+02:00", false),
    ] {
        let (text, token) = file(&format!("expires = {expires}"));
        assert_eq!(parse(&text).expect("a token").find(&token, now()).is_some(), is_good, "{expires}");
    }
}

#[test]
fn a_token_may_do_what_its_scopes_say() {
    let (text, token) = file("methods = [\"GET\", \"PUT\"]\npaths = [\"/api/models/\", \"/health\"]");
    let tokens = parse(&text).expect("a token");
    let token = tokens.find(&token, now()).expect("it is known");
    for (method, path, may) in [
        ("GET", "/api/models/", true),
        ("HEAD", "/api/models/x", true),
        ("PUT", "/api/m%6Fdels/x", true),
        ("POST", "/api/models/x", false),
        ("OPTIONS", "/api/models/x", false),
        ("GET", "/api/models", false),
        ("GET", "/api/modelsx/", false),
        ("GET", "/health", true),
        ("GET", "/health/x", true),
        ("GET", "/healthy", false),
        ("GET", "/", false),
        ("GET", "/api/models/../users", false),
        ("GET", "/api/models/%2e%2e/users", false),
        ("GET", "/api/models/..%2fusers", false),
        ("GET", "/api/models/x%2fy", false),
        ("GET", "/API/models/", false),
    ] {
        let method: Method = method.parse().expect("a method");
        assert_eq!(token.may(&method, &Canonical::read(path.as_bytes())), may, "{method} {path}");
    }
}

#[test]
fn the_wrong_line_of_a_file_is_told() {
    let (good, _) = file("");
    let again = good.replace("name = \"ci\"", "name = \"other\"");
    for (text, wanted) in [
        (String::new(), "it holds no tokens"),
        ("[[token]]\nname = \"a\"\n".to_owned(), "line 1: missing field `sha256`"),
        (format!("{good}\n[[token]]\nname = \"a\"\nsha256 = \"12\"\n"), "line 6: token `a`: sha256 is not"),
        (format!("{good}{good}"), "line 5: the name `ci` is there already"),
        (format!("{good}{again}"), "line 5: this is the token of `ci` already"),
        (file("path = \"/\"").0, "line 4: unknown field `path`"),
        (file("paths = [\"api\"]").0, "line 1: token `ci`: `api` is not a plain path"),
        (file("paths = [\"/a/../b\"]").0, "line 1: token `ci`: `/a/../b` is not a plain path"),
        (file("paths = []").0, "line 1: token `ci`: an empty list"),
        (file("methods = [\"get\"]").0, "line 1: token `ci`: `get` is not a method"),
        (file("expires = 12:00:00").0, "line 1: token `ci`: expires is a date"),
        (file("expires = 2026-06-15T12:00:00").0, "line 1: token `ci`: expires is a date"),
        ("[[token]\n".to_owned(), "line 1: "),
        (good.replace("ci", "c:i"), "line 1: the name of a token"),
    ] {
        let why = parse(&text).expect_err(wanted);
        assert!(why.starts_with(wanted), "{why}");
    }
    let scoped = file("paths = [\"/api\"]").0;
    let why = Tokens::parse(&scoped, PathScopes::Refused).expect_err("paths");
    assert!(why.contains("path_scopes = false"), "{why}");
}

#[test]
fn no_beginning_of_a_file_is_read_with_a_panic() {
    let (text, token) = file("methods = [\"GET\"]\npaths = [\"/api\"]\nexpires = 2027-01-01");
    for end in 0..=text.len() {
        if let Ok(tokens) = parse(&text[..end]) {
            assert!(tokens.find(&token, now()).is_some(), "{}", &text[..end]);
        }
    }
}
