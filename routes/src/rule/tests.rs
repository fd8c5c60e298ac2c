//! Every condition alone, and together with others.

use super::*;

fn rule() -> Rule {
    Rule {
        hosts: vec![],
        entrypoints: vec!["https".into()],
        conditions: Conditions::default(),
        except: None,
        priority: 0,
    }
}

fn request<'a>(headers: &'a dyn Headers) -> Request<'a> {
    Request {
        entrypoint: "https",
        host: "a.example",
        path: "/api/x",
        method: "GET",
        query: "v=2&empty&sp=a+b%2Fc&bad=%zz",
        headers,
        client: "10.1.2.3".parse().unwrap(),
    }
}

fn any_of(values: &[&str]) -> Wanted {
    Wanted::AnyOf(values.iter().map(|value| (*value).to_owned()).collect())
}

#[test]
fn a_rule_without_conditions_fits_everything_on_its_entrypoint() {
    assert_eq!(rule().full_mismatch(&request(&())), None);
    assert_eq!(rule().weight(), 0);
    let other = Request { entrypoint: "http", ..request(&()) };
    assert_eq!(rule().full_mismatch(&other), Some(Mismatch::Entrypoint));
}

#[test]
fn hosts_paths_and_methods_are_lists_of_which_one_is_enough() {
    let mut rule = rule();
    rule.hosts = vec![Host::parse("*.other").unwrap(), Host::parse("a.example").unwrap()];
    rule.conditions.paths = vec![PathPattern::parse("/v2/").unwrap(), PathPattern::parse("/api").unwrap()];
    rule.conditions.methods = vec!["HEAD".into(), "GET".into()];
    assert_eq!(rule.full_mismatch(&request(&())), None);
    for (request, why) in [
        (Request { host: "b.example", ..request(&()) }, Mismatch::Host),
        (Request { path: "/apis", ..request(&()) }, Mismatch::Path),
        (Request { method: "get", ..request(&()) }, Mismatch::Method),
    ] {
        assert_eq!(rule.full_mismatch(&request), Some(why));
    }
    assert!(rule.depends_on_path());
}

#[test]
fn headers_match_any_of_their_repeated_values_exactly() {
    let headers = vec![("X-Canary", "0"), ("x-canary", "1"), ("x-empty", "")];
    for (name, wanted, fits) in [
        ("x-canary", any_of(&["1"]), true),
        ("x-canary", any_of(&["2", "0"]), true),
        ("x-canary", any_of(&["01"]), false),
        ("x-empty", Wanted::Present, true),
        ("x-none", Wanted::Present, false),
    ] {
        let mut rule = rule();
        rule.conditions.headers = vec![(name.to_owned(), wanted.clone())];
        let expected = (!fits).then_some(Mismatch::Header(name, &wanted));
        assert_eq!(rule.mismatch(&request(&headers)), expected, "{name}");
    }
}

#[test]
fn query_parameters_are_decoded_before_they_are_compared() {
    for (name, wanted, fits) in [
        ("v", any_of(&["2"]), true),
        ("v", any_of(&["3"]), false),
        ("empty", any_of(&[""]), true),
        ("empty", Wanted::Present, true),
        ("sp", any_of(&["a b/c"]), true),
        ("bad", any_of(&["%zz"]), true),
        ("V", Wanted::Present, false),
    ] {
        let mut rule = rule();
        rule.conditions.query = vec![(name.to_owned(), wanted)];
        assert_eq!(rule.mismatch(&request(&())).is_none(), fits, "{name}");
    }
}

#[test]
fn a_client_behind_a_mapped_address_is_the_client_it_is() {
    let mut rule = rule();
    rule.conditions.client_ip = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    for (client, fits) in
        [("10.9.9.9", true), ("::ffff:10.9.9.9", true), ("11.0.0.1", false), ("2001:db8::1", true), ("::1", false)]
    {
        let request = Request { client: client.parse().unwrap(), ..request(&()) };
        assert_eq!(rule.mismatch(&request).is_none(), fits, "{client}");
    }
}

#[test]
fn an_exception_needs_all_of_its_conditions() {
    let mut rule = rule();
    let conditions = Conditions {
        paths: vec![PathPattern::parse("/api").unwrap()],
        methods: vec!["POST".into()],
        ..Conditions::default()
    };
    rule.except = Some(Except { hosts: vec![], conditions });
    assert_eq!(rule.mismatch(&request(&())), None, "the method differs");
    let post = Request { method: "POST", ..request(&()) };
    assert_eq!(rule.mismatch(&post), Some(Mismatch::Except));
    assert!(rule.depends_on_path());
    assert_eq!(rule.weight(), 1);
}
