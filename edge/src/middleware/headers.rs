//! Sets, adds and removes header fields: of the request before the server sees it, and of the answer before the client
//! does. `remove` comes first, then `set`, then `add`.
//!
//! ```toml
//! [middleware.hardened]
//! kind = "headers"
//! request = { remove = ["x-debug"], set = { x-tenant = "blue" } }
//! response = { set = { strict-transport-security = "max-age=31536000" }, remove = ["server"] }
//! ```
//!
//! Fields that frame a message (`Content-Length`, `Transfer-Encoding`, `Connection` and the like) and `Host` (see
//! `host_header` of the route) cannot be changed here.

use http::{HeaderName, HeaderValue};
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use super::fields::OF_THE_EDGE;
use super::{Ask, BuildError, Building, Fields, Flow, Kind, Middleware, Reply};

/// The middleware.
#[derive(Debug)]
pub struct Headers {
    request: Changes,
    response: Changes,
}

/// Changes of one head.
#[derive(Debug, Default)]
pub struct Changes {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

const CHANGES: Shape = Shape::Table(&[
    Key::new("set", Shape::Map(&Shape::TEXT), "Fields that have this one value afterwards."),
    Key::new("add", Shape::Map(&Shape::TEXT), "Fields that have one more value afterwards."),
    Key::new("remove", Shape::OneOrMany(&Shape::Text("a field's name")), "Fields that are gone afterwards."),
]);

impl Kind for Headers {
    const NAME: &'static str = "headers";
    const KEYS: &'static [Key] = &[
        Key::new("request", CHANGES, "Changes of the request."),
        Key::new("response", CHANGES, "Changes of the answer."),
    ];
    type Settings = (Changes, Changes);

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<(Changes, Changes)> {
        let mut changes = |key| item.get(key).map(|item| Changes::read(&item, reading)).unwrap_or_default();
        Some((changes("request"), changes("response")))
    }

    fn build((request, response): (Changes, Changes), _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(Self { request, response })
    }
}

impl Middleware for Headers {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        self.request.apply(&mut ask.headers());
        Flow::Next
    }

    fn reply(&self, reply: &mut Reply<'_>) {
        self.response.apply(&mut reply.headers());
    }
}

impl Changes {
    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Self {
        let names = item.get("remove").map(|list| list.one_or_many()).unwrap_or_default();
        let remove = names.iter().filter_map(|item| name(item, item.as_str()?, reading)).collect();
        let mut fields = |key: &str| {
            let entries = item.get(key);
            let entries = entries.iter().flat_map(Item::entries);
            entries.filter_map(|(field, item)| Some((name(&item, field, reading)?, value(&item, reading)?))).collect()
        };
        Self { remove, set: fields("set"), add: fields("add") }
    }

    fn apply(&self, fields: &mut Fields<'_>) {
        self.remove.iter().for_each(|name| fields.remove(name.clone()));
        self.set.iter().for_each(|(name, value)| fields.set(name.clone(), value.clone()));
        self.add.iter().for_each(|(name, value)| fields.append(name.clone(), value.clone()));
    }
}

/// The name of a field that may be changed.
fn name(item: &Item<'_>, text: &str, reading: &mut Reading<'_>) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        reading.faults.push(item.fault(format!("`{text}` is not the name of a header field")));
        return None;
    };
    if OF_THE_EDGE.contains(&name.as_str()) {
        let hint = if name == "host" { "see `host_header` of the route" } else { "remove it here" };
        reading.faults.push(item.fault(format!("`{text}` is set by the edge itself")).hint(hint));
        return None;
    }
    Some(name)
}

/// The value of a field.
fn value(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<HeaderValue> {
    let value = HeaderValue::from_str(item.as_str()?);
    if value.is_err() {
        reading.faults.push(item.fault(format!("the value of `{}` cannot be sent as a header field", item.name())));
    }
    value.ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{apply, ask, get, made, reply};

    #[test]
    fn both_heads_are_changed_in_the_order_remove_set_add() {
        let middleware = made(
            "headers",
            "request = { remove = [\"x-a\", \"x-b\"], set = { X-B = \"2\", x-c = \"3\" }, add = { x-c = \"4\" } }\n\
             response = { set = { x-frame-options = \"DENY\" }, remove = \"server\" }",
        );
        let request = get("/").header("X-A", "1").header("x-b", "1").header("x-b", "9");
        let (_, mut done) = ask(&middleware, &request);
        let seen = apply(request.headers.clone(), std::mem::take(&mut done.edits));
        assert!(seen.get("x-a").is_none());
        assert_eq!(seen.get_all("x-b").iter().collect::<Vec<_>>(), ["2"]);
        assert_eq!(seen.get_all("x-c").iter().collect::<Vec<_>>(), ["3", "4"]);
        let (_, answer) = reply(&middleware, &request, &mut done, 200, &[("server", "x"), ("etag", "1")]);
        assert_eq!(answer.len(), 2);
        assert_eq!(answer["x-frame-options"], "DENY");
    }
}
