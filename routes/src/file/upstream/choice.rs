//! How the way to choose a server is written.

use super::Reader;
use crate::document::Item;
use crate::target::Balance;

pub(super) const BALANCE_DOC: &str = "How a server is chosen. `round-robin`: one after the other, by weight. \
    `least-requests`: the one with the fewest requests under way for its weight. `random-two`: of two by chance, the one with \
    fewer. `hash:client-ip`, `hash:header:NAME`: the same server for the same client or value, as long as it can be used; \
    without the header, the next one. `sticky:COOKIE`: the edge sets a cookie of that name, and its bearer comes back to the \
    same server.";

impl Reader<'_> {
    pub(super) fn balance(&mut self, upstream: &Item<'_>) -> Balance {
        let Some(item) = upstream.get("balance") else { return Balance::default() };
        let Some(text) = item.as_str() else { return Balance::default() };
        Balance::parse(text).unwrap_or_else(|| {
            let hint = match text.split_once(':').map_or(text, |(way, _)| way) {
                "hash" => "write \"hash:client-ip\", or \"hash:header:\" and the name of a header",
                "sticky" => "write \"sticky:\" and the name of the cookie, such as \"sticky:EDGE_SERVER\"",
                _ => {
                    "use \"round-robin\", \"least-requests\", \"random-two\", \"hash:client-ip\", \"hash:header:NAME\" or \"sticky:COOKIE\""
                }
            };
            self.faults.push(item.fault(format!("\"{text}\" is no way to choose a server")).hint(hint));
            Balance::default()
        })
    }
}
