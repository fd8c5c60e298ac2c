//! How conditions are written: `path`, `method`, `header`, `query`, `client_ip`, and all of them under `except`.

use ipnet::IpNet;

use super::Reader;
use crate::document::{Item, Kind};
use crate::path::PathPattern;
use crate::rule::{Conditions, Except, Wanted};
use crate::shape::{Key, Shape};
use crate::{target, units};

pub(super) const PATHS: Shape = Shape::OneOrMany(&Shape::Text("a path"));
pub(super) const PATHS_DOC: &str = "One of these paths. `/api` is that path and all below it, `/api/` only what is below it, \
    `=/api` that path alone, `~^/v[0-9]+/` a regular expression. Compared with the canonical path: unreserved \
    characters decoded once, dot segments and `;parameters` removed, `//` merged.";
pub(super) const METHODS: Shape = Shape::OneOrMany(&Shape::Text("a method"));
pub(super) const VALUES: Shape = Shape::Map(&Shape::OneOrMany(&Shape::Text("a value")));
pub(super) const HEADERS_DOC: &str =
    "Headers and their exact values; a list is any of them, `\"*\"` is any value. All of them must be there.";
pub(super) const NETWORKS: Shape = Shape::OneOrMany(&Shape::Text("a network"));
pub(super) const EXCEPT: Shape = Shape::Table(&[
    Key::new("host", super::HOSTS, "As in the route."),
    Key::new("path", PATHS, "As in the route."),
    Key::new("method", METHODS, "As in the route."),
    Key::new("header", VALUES, "As in the route."),
    Key::new("query", VALUES, "As in the route."),
    Key::new("client_ip", NETWORKS, "As in the route."),
]);

impl Reader<'_> {
    pub(super) fn except(&mut self, item: &Item<'_>) -> Option<Except> {
        let item = item.get("except").filter(|item| item.kind() == Kind::Table)?;
        let except = Except { hosts: self.hosts(&item), conditions: self.conditions(&item) };
        if item.entries().next().is_none() {
            self.faults.push(item.fault("`except` is empty: it would leave every request to others"));
        }
        (!except.is_empty()).then_some(except)
    }

    pub(super) fn conditions(&mut self, item: &Item<'_>) -> Conditions {
        Conditions {
            paths: self.paths(item),
            methods: self.methods(item),
            headers: self.headers(item),
            query: self.values(item, "query"),
            client_ip: self.networks(item),
        }
    }

    /// The strings of a key that may be a string or a list, each with its place.
    pub(super) fn strings<'d>(&mut self, item: &Item<'d>, key: &str) -> Vec<(Item<'d>, &'d str)> {
        let Some(list) = item.get(key) else { return Vec::new() };
        self.refuse_empty(&list);
        list.one_or_many().into_iter().filter_map(|item| item.as_str().map(|text| (item, text))).collect()
    }

    fn paths(&mut self, item: &Item<'_>) -> Vec<PathPattern> {
        let mut paths = Vec::new();
        for (item, text) in self.strings(item, "path") {
            match PathPattern::parse(text) {
                Ok(path) if paths.contains(&path) => {
                    self.faults.push(item.fault(format!("the path `{path}` is named twice")))
                }
                Ok(path) => {
                    if path.is_unanchored() {
                        let why = format!("the regular expression `{text}` may match in the middle of a path");
                        self.faults.push(item.warning(why).hint("begin it with `^`"));
                    }
                    paths.push(path);
                }
                Err(error) => self.faults.push(item.fault(format!("`{text}`: {error}"))),
            }
        }
        paths
    }

    fn methods(&mut self, item: &Item<'_>) -> Vec<String> {
        let mut methods = Vec::new();
        for (item, text) in self.strings(item, "method") {
            let upper = text.to_ascii_uppercase();
            if !target::is_token(text) {
                self.faults.push(item.fault(format!("`{text}` is not a method")));
            } else if upper != text {
                let fault = item.fault(format!("`{text}`: methods are case-sensitive"));
                self.faults.push(fault.hint(format!("write \"{upper}\"")));
            } else {
                methods.push(upper);
            }
        }
        methods.sort();
        methods.dedup();
        methods
    }

    fn headers(&mut self, item: &Item<'_>) -> Vec<(String, Wanted)> {
        for (name, value) in item.get("header").iter().flat_map(Item::entries) {
            if !target::is_token(name) {
                self.faults.push(value.key_fault(format!("`{name}` is not a header name")));
            } else if name.eq_ignore_ascii_case("host") {
                self.faults.push(value.key_fault("a condition on the Host header").hint("use `host = ..`"));
            }
        }
        let mut headers = self.values(item, "header");
        headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
        headers.sort();
        if headers.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            self.faults.extend(item.get("header").map(|item| item.fault("a header is named twice in different case")));
        }
        headers
    }

    fn values(&mut self, item: &Item<'_>, key: &str) -> Vec<(String, Wanted)> {
        let Some(table) = item.get(key) else { return Vec::new() };
        let mut values = Vec::new();
        for (name, value) in table.entries() {
            self.refuse_empty(&value);
            let mut texts: Vec<String> =
                value.one_or_many().iter().filter_map(|item| item.as_str().map(Into::into)).collect();
            texts.sort();
            texts.dedup();
            let present = texts.iter().any(|text| text == "*");
            values.push((name.to_owned(), if present { Wanted::Present } else { Wanted::AnyOf(texts) }));
        }
        values.sort();
        values
    }

    fn networks(&mut self, item: &Item<'_>) -> Vec<IpNet> {
        let texts = self.strings(item, "client_ip");
        self.read_networks(texts)
    }

    pub(super) fn read_networks(&mut self, texts: Vec<(Item<'_>, &str)>) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for (item, text) in texts {
            match units::network(text) {
                Ok(network) => networks.push(network),
                Err(error) => self.faults.push(item.fault(format!("`{text}` {error}")).hint(error.hint())),
            }
        }
        networks.sort();
        networks.dedup();
        networks
    }
}
