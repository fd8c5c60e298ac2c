//! How streams are written: the keys of `[[tcp]]` and `[[udp]]`, and the step from a table to a checked stream.

use super::{Draft, Made, Reader, walk};
use crate::document::Item;
use crate::fault::Faults;
use crate::host::Host;
use crate::route::RouteKind;
use crate::shape::{Key, Shape};
use crate::stream::{IpRule, Stream};
use crate::world::World;

mod entrypoints;
mod tcp;
mod tls;
mod udp;
mod upstream;

pub(super) use tcp::TCP;
pub(super) use udp::UDP;

const NETWORKS: Shape = Shape::OneOrMany(&Shape::Text("a network"));
const IP: Shape = Shape::Table(&[
    Key::new("allow", NETWORKS, "Networks whose clients may come in.").default("everyone"),
    Key::new("deny", NETWORKS, "Networks whose clients may not, whatever `allow` says.").default("[]"),
]);
const IP_DOC: &str = "Which clients may come in, by address.";
const LIMITS_DOC: &str = "How many may come in; `0` is no limit. A client is an IPv4 address or an IPv6 /64.";
const COUNT: Shape = Shape::Integer { min: 0, max: 100_000_000 };

/// What could be read of one stream.
#[derive(Default)]
struct Read {
    name: Option<String>,
    hosts: Vec<Host>,
    stream: Option<Stream>,
}

/// Reads one stream and notes everything that is wrong with it.
pub(crate) fn read<'d>(item: &Item<'d>, kind: RouteKind, world: &World<'_>) -> Draft<'d> {
    let mut faults = Faults::new();
    let shape = if kind == RouteKind::Udp { &UDP } else { &TCP };
    walk(item, shape, &mut faults);
    let mut reader = Reader { world, faults };
    let Read { name, hosts, stream } = if kind == RouteKind::Udp { reader.udp(item) } else { reader.tcp(item) };
    let mut faults = reader.faults;
    let name = name.unwrap_or_else(|| item.key().to_owned());
    faults.name_route(&name);
    let made = stream.filter(|_| !faults.has_errors()).map(Made::Stream);
    Draft { item: item.clone(), kind, name, hosts, rule: None, made, faults, name_taken: false }
}

/// The stream alone.
fn text(item: &Item<'_>, kind: RouteKind) -> String {
    format!("[[{}]]\n{}", kind.key(), item.to_toml_lines(&[]))
}

fn count(item: Option<&Item<'_>>, key: &str, default: u32) -> u32 {
    let given = item.and_then(|item| item.get(key)).and_then(|item| item.as_integer());
    given.and_then(|count| u32::try_from(count).ok()).unwrap_or(default)
}

impl Reader<'_> {
    fn ip(&mut self, item: &Item<'_>) -> IpRule {
        let Some(item) = item.get("ip") else { return IpRule::default() };
        let mut networks = |key| {
            let list = item.get(key).map(|list| list.one_or_many()).unwrap_or_default();
            let texts = list.into_iter().filter_map(|item| item.as_str().map(|text| (item, text)));
            self.read_networks(texts.collect())
        };
        IpRule { allow: networks("allow"), deny: networks("deny") }
    }
}

#[cfg(test)]
mod tests;
