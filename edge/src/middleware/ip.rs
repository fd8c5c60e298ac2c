//! Lets clients in by their address, as far as trusted proxies (`trusted_proxies` of the entrypoint) tell it. Who is on
//! `deny` is refused with 403; with `allow`, so is everybody who is not on it. `deny` wins.
//!
//! ```toml
//! [middleware.office]
//! kind = "ip"
//! allow = ["10.0.0.0/8", "2001:db8::/32", "203.0.113.9"]
//! deny = "10.6.6.0/24"
//! ```

use ipnet::IpNet;
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use super::deny_path::network;
use super::{Ask, BuildError, Building, Flow, Kind, Middleware};
use crate::telemetry::Refusal;

/// The middleware.
#[derive(Debug)]
pub struct Ip {
    allow: Option<Vec<IpNet>>,
    deny: Vec<IpNet>,
}

const NETWORKS: Shape = Shape::OneOrMany(&Shape::Text("a network"));

impl Kind for Ip {
    const NAME: &'static str = "ip";
    const KEYS: &'static [Key] = &[
        Key::new("allow", NETWORKS, "Only these may ask, unless they are denied too.").default("everybody"),
        Key::new("deny", NETWORKS, "These may not ask.").default("[]"),
    ];
    type Settings = (Option<Vec<IpNet>>, Vec<IpNet>);

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Self::Settings> {
        let mut networks = |key| {
            let given = item.get(key)?.one_or_many();
            Some(given.iter().filter_map(|item| network(item, reading)).collect::<Vec<_>>())
        };
        let (allow, deny) = (networks("allow"), networks("deny").unwrap_or_default());
        if allow.as_ref().is_none_or(Vec::is_empty) && deny.is_empty() {
            let fault = item.fault("it names no network, so it would do nothing or let nobody in");
            reading.faults.push(fault.hint("allow = [\"10.0.0.0/8\"]"));
        }
        Some((allow, deny))
    }

    fn build((allow, deny): Self::Settings, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(Self { allow, deny })
    }
}

impl Middleware for Ip {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        let client = ask.from.client.to_canonical();
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        if is_in(&self.deny) || self.allow.as_ref().is_some_and(|allow| !is_in(allow)) {
            return Flow::refuse(Refusal::DeniedClient);
        }
        Flow::Next
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::testing::{ask, get, made, try_made_in};
    use super::*;

    #[test]
    fn who_is_allowed_and_not_denied_may_ask() {
        let both = made("ip", "allow = [\"10.0.0.0/8\", \"2001:db8::/32\"]\ndeny = \"10.6.6.6\"");
        let deny = made("ip", "deny = [\"10.6.6.0/24\", \"::1\"]");
        for (client, by_both, by_deny) in [
            ("10.1.2.3", true, true),
            ("10.6.6.6", false, false),
            ("::ffff:10.6.6.6", false, false),
            ("::ffff:10.1.2.3", true, true),
            ("192.0.2.1", false, true),
            ("2001:db8::1", true, true),
            ("::1", false, false),
        ] {
            let mut request = get("/");
            request.client = client.parse().expect("an address");
            assert_eq!(matches!(ask(&both, &request).0, Flow::Next), by_both, "{client}");
            let (flow, _) = ask(&deny, &request);
            assert_eq!(matches!(flow, Flow::Next), by_deny, "{client}");
            assert!(by_deny || matches!(flow, Flow::Refuse(denial) if denial.reason == Refusal::DeniedClient));
        }
    }

    #[test]
    fn lists_that_say_nothing_or_nonsense_are_faults() {
        for settings in ["", "allow = []", "allow = \"10.0.0.0/33\"", "deny = [\"example.com\"]"] {
            assert!(try_made_in(Path::new("/"), "ip", settings).is_err(), "{settings}");
        }
    }
}
