//! What a provider says of a person, and what a route makes of it: a name, groups, header fields for the server, and
//! whether that is enough.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::middleware::signed::Claims;

/// Adds what else is said of the same person. What was signed stays, but an address and whether it is proved go together:
/// where only the others say both, theirs count.
pub(super) fn add(claims: &mut Claims, more: Claims) {
    let says_both = |claims: &Claims| claims.contains_key(EMAIL) && claims.contains_key(EMAIL_VERIFIED);
    if says_both(&more) && !says_both(claims) {
        claims.remove(EMAIL);
        claims.remove(EMAIL_VERIFIED);
    }
    for (name, value) in more {
        claims.entry(name).or_insert(value);
    }
}

/// What a route asks of a person's claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// The claim with the name; none are `preferred_username`, else `sub`.
    pub(super) user: Option<String>,
    /// The claim with the groups.
    pub(super) groups: String,
    /// Groups that may; with `users` empty too, everybody may.
    pub(super) allow_groups: Vec<String>,
    /// Users that may, by their name or their `sub`.
    pub(super) allow_users: Vec<String>,
    /// Fields for the server and the claims that they are of.
    pub(super) fields: Vec<(HeaderName, String)>,
}

/// A person as far as a route cares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Person {
    /// The provider's own name, which never changes.
    #[serde(rename = "s")]
    pub(super) subject: String,
    /// The name in logs and for the server.
    #[serde(rename = "u")]
    pub(super) user: String,
    /// Those of the groups that decide something.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<String>,
    /// The values of claims that the server is told.
    #[serde(rename = "c", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) claims: BTreeMap<String, String>,
}

impl Rules {
    /// Who these claims are about. None if nobody is named.
    pub(super) fn person(&self, claims: &Claims) -> Option<Person> {
        let subject = text(claims.get("sub")?)?;
        let user = match &self.user {
            Some(claim) => find(claims, claim).and_then(text)?,
            None => find(claims, "preferred_username").and_then(text).unwrap_or_else(|| subject.clone()),
        };
        let groups = find(claims, &self.groups).map(texts).unwrap_or_default();
        let groups = groups.into_iter().filter(|group| self.allow_groups.contains(group)).collect();
        let told = self.fields.iter().filter_map(|(_, claim)| Some((claim.clone(), joined(find(claims, claim)?)?)));
        Some(Person { subject, user, groups, claims: told.collect() })
    }

    /// Whether something that decides or is told is not among these claims, so that it may be worth asking for more.
    pub(super) fn lacks(&self, claims: &Claims) -> bool {
        let groups = Some(self.groups.as_str()).filter(|_| !self.allow_groups.is_empty());
        let user = self.user.as_deref().unwrap_or("preferred_username");
        let told = self.fields.iter().map(|(_, claim)| claim.as_str());
        told.chain(groups)
            .chain([user])
            .any(|claim| find(claims, claim).is_none() || claim == EMAIL && !claims.contains_key(EMAIL_VERIFIED))
    }

    /// Whether the person may.
    pub(super) fn allow(&self, person: &Person) -> bool {
        let everybody = self.allow_groups.is_empty() && self.allow_users.is_empty();
        everybody
            || [&person.user, &person.subject].into_iter().any(|name| self.allow_users.contains(name))
            || person.groups.iter().any(|group| self.allow_groups.contains(group))
    }

    /// The fields that the server is told, none for those that nothing is known of.
    pub(super) fn told<'a>(
        &'a self,
        person: &'a Person,
    ) -> impl Iterator<Item = (&'a HeaderName, Option<HeaderValue>)> {
        self.fields.iter().map(|(name, claim)| {
            let value = person.claims.get(claim);
            (name, value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok()))
        })
    }

    /// What decides over what is known of a person: what was noted under other rules is not enough for these.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:?}", (&self.user, &self.groups, &self.allow_groups, &self.fields))
    }
}

const EMAIL: &str = "email";
/// Says whether the address is proved to be theirs.
const EMAIL_VERIFIED: &str = "email_verified";

/// A claim by its name, else by a path such as `realm_access.roles`. An address that nobody has proved to be theirs is none.
fn find<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    if name == EMAIL && claims.get(EMAIL_VERIFIED).is_some_and(|said| !is_true(said)) {
        return None;
    }
    let nested = || {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, part| value.get(part))
    };
    claims.get(name).or_else(nested)
}

/// Some providers say it as text. What is anything else is no yes.
fn is_true(value: &Value) -> bool {
    matches!(value, Value::Bool(true)) || value.as_str() == Some("true")
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty() && !text.chars().any(char::is_control)).map(str::to_owned)
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        one => text(one).into_iter().collect(),
    }
}

/// One value for a field. An item with a comma could pass for two, and is left out.
fn joined(value: &Value) -> Option<String> {
    match value {
        Value::Array(_) => {
            let items: Vec<String> = texts(value).into_iter().filter(|item| !item.contains(',')).collect();
            (!items.is_empty()).then(|| items.join(","))
        }
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::String(_) => text(value),
        Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        value.as_object().expect("an object").clone()
    }

    fn rules() -> Rules {
        Rules { groups: "groups".into(), ..Rules::default() }
    }

    #[test]
    fn a_person_is_named_by_the_claim_that_is_asked_for_or_by_none() {
        let said = claims(json!({"sub": "17", "preferred_username": "alice", "email": "a@example.test"}));
        let user = |user: Option<&str>, said: &Claims| {
            let rules = Rules { user: user.map(Into::into), ..rules() };
            rules.person(said).map(|person| person.user)
        };
        assert_eq!(user(None, &said).as_deref(), Some("alice"));
        assert_eq!(user(Some("email"), &said).as_deref(), Some("a@example.test"));
        assert_eq!(user(Some("nickname"), &said), None);
        assert_eq!(user(None, &claims(json!({"sub": "17"}))).as_deref(), Some("17"));
        assert_eq!(user(None, &claims(json!({"preferred_username": "alice"}))), None, "no subject");
        for bad in [json!(""), json!("a\nb"), json!(7), json!(["a"]), json!(null)] {
            assert_eq!(user(Some("email"), &claims(json!({"sub": "17", "email": bad}))), None, "{bad}");
        }
    }

    #[test]
    fn an_address_that_is_not_proved_is_none() {
        let rules = Rules { user: Some("email".into()), ..rules() };
        let passes = |verified: Value| {
            let said = json!({"sub": "17", "email": "boss@example.test", "email_verified": verified});
            rules.person(&claims(said)).is_some()
        };
        assert!(passes(json!(true)) && passes(json!("true")));
        for unproved in
            [json!(false), json!("false"), json!("TRUE"), json!(""), json!(0), json!(1), json!(null), json!([true])]
        {
            assert!(!passes(unproved.clone()), "{unproved}");
        }
    }

    #[test]
    fn whether_an_address_is_proved_is_said_of_that_address() {
        let added = |signed: Value, more: Value| {
            let mut all = claims(signed);
            add(&mut all, claims(more));
            find(&all, "email").and_then(text)
        };
        let mine = json!({"email": "me@example.test", "email_verified": true});
        let not_mine = json!({"email": "boss@example.test", "email_verified": false});
        assert_eq!(added(json!({"email": "boss@example.test"}), not_mine.clone()), None);
        assert_eq!(added(json!({"email": "boss@example.test"}), mine.clone()).as_deref(), Some("me@example.test"));
        assert_eq!(added(json!({"email_verified": true}), not_mine.clone()), None);
        assert_eq!(added(mine, not_mine).as_deref(), Some("me@example.test"), "what was signed stays");
        assert_eq!(added(json!({"email": "boss@example.test"}), json!({"email_verified": "false"})), None);
    }

    #[test]
    fn groups_decide_wherever_the_provider_puts_them() {
        let allow = |claim: &str, said: Value| {
            let rules = Rules { groups: claim.into(), allow_groups: vec!["ops".into(), "ml".into()], ..rules() };
            rules.allow(&rules.person(&claims(said)).expect("a person"))
        };
        assert!(allow("groups", json!({"sub": "1", "groups": ["x", "ml"]})));
        assert!(allow("groups", json!({"sub": "1", "groups": "ops"})));
        assert!(allow("realm_access.roles", json!({"sub": "1", "realm_access": {"roles": ["ops"]}})));
        assert!(allow("https://x.test/groups", json!({"sub": "1", "https://x.test/groups": ["ops"]})));
        for said in [json!([]), json!(["OPS"]), json!("ops ml"), json!({"ops": true}), json!(null), json!([["ops"]])] {
            assert!(!allow("groups", json!({"sub": "1", "groups": said})), "{said}");
        }
        assert!(!allow("realm_access.roles", json!({"sub": "1", "realm_access": "ops"})));
    }

    #[test]
    fn a_user_of_the_list_may_without_a_group_and_nobody_else() {
        let rules = Rules { allow_users: vec!["alice".into()], ..rules() };
        let may = |said| rules.allow(&rules.person(&claims(said)).expect("a person"));
        assert!(may(json!({"sub": "1", "preferred_username": "alice"})));
        assert!(may(json!({"sub": "alice", "preferred_username": "al"})), "by what never changes");
        assert!(!may(json!({"sub": "1", "preferred_username": "bob", "groups": ["alice"]})));
        assert!(Rules::default().allow(&rules.person(&claims(json!({"sub": "1"}))).expect("a person")));
    }

    #[test]
    fn the_server_is_told_what_a_field_can_carry() {
        let fields = [("x-user", "name"), ("x-groups", "groups"), ("x-age", "age"), ("x-none", "none")];
        let fields = fields.iter().map(|(name, claim)| (HeaderName::from_static(name), (*claim).to_owned())).collect();
        let rules = Rules { fields, ..rules() };
        let said = json!({"sub": "1", "name": "Zoë", "groups": ["a", "b,root", "c\r\nx: y", "d"], "age": 7});
        let person = rules.person(&claims(said)).expect("a person");
        let told: Vec<Option<Vec<u8>>> =
            rules.told(&person).map(|(_, value)| Some(value?.as_bytes().to_vec())).collect();
        assert_eq!(told, [Some("Zoë".as_bytes().to_vec()), Some(b"a,d".to_vec()), Some(b"7".to_vec()), None]);
    }

    #[test]
    fn more_is_asked_for_only_where_something_is_missing() {
        let said = claims(json!({"sub": "1", "preferred_username": "alice"}));
        assert!(!rules().lacks(&said));
        assert!(rules().lacks(&claims(json!({"sub": "1"}))));
        assert!(Rules { allow_groups: vec!["ops".into()], ..rules() }.lacks(&said));
        assert!(Rules { user: Some("email".into()), ..rules() }.lacks(&said));
        let mut addressed = claims(json!({"sub": "1", "preferred_username": "alice", "email": "a@example.test"}));
        let told = Rules { fields: vec![(HeaderName::from_static("x-email"), "email".into())], ..rules() };
        assert!(!rules().lacks(&addressed), "nobody asks for the address");
        for rules in [&Rules { user: Some("email".into()), ..rules() }, &told] {
            assert!(rules.lacks(&addressed), "whether the address is proved");
        }
        addressed.insert("email_verified".into(), json!(true));
        assert!(!told.lacks(&addressed));
    }
}
