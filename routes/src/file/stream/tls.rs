//! What becomes of TLS in a `[[tcp]]`: its mode, the issuer of its certificates, and what fits neither.

use crate::document::{Item, Kind};
use crate::file::Reader;
use crate::file::options::{ISSUER, issuer};
use crate::host::Host;
use crate::route::{Issuer, RouteTls};
use crate::shape::{Key, Shape};
use crate::stream::Mode;
use crate::world::Protocol;

const MODE: Shape = Shape::one_of(&["none", "terminate", "reencrypt", "passthrough"]);
const MODE_DEFAULT: &str = "`terminate` for PostgreSQL and for a TCP route with a host, `none` without one, `passthrough` \
    beside HTTPS";
const MODE_DOC: &str = "`none`: there is no TLS. `terminate`: it ends at edge, and the servers are spoken to in clear. \
    `reencrypt`: it ends at edge, and the servers are spoken to over TLS again. `passthrough`: it passes untouched, and \
    edge reads no more than the name in its first message.";
pub(super) const TLS: Shape =
    Shape::Either(&[MODE, Shape::Table(&[Key::new("mode", MODE, "As above.").default(MODE_DEFAULT), ISSUER])]);
pub(super) const TLS_DOC: &str = MODE_DOC;
pub(super) const TLS_DEFAULT: &str = MODE_DEFAULT;
pub(super) const PLAINTEXT_DOC: &str = "For PostgreSQL: whether clients without TLS may come in too. With `tls = \"none\"` \
    they always may.";

/// What a stream does about TLS.
pub(super) struct StreamTls {
    pub(super) mode: Mode,
    pub(super) certificates: RouteTls,
    pub(super) plaintext: bool,
}

impl Reader<'_> {
    /// Without a protocol, which is a fault of its own, nothing is said about what fits it.
    pub(super) fn stream_tls(&mut self, item: &Item<'_>, hosts: &[Host], protocol: Option<Protocol>) -> StreamTls {
        let given = item.get("tls");
        let word =
            given.as_ref().and_then(|tls| if tls.kind() == Kind::Table { tls.get("mode") } else { given.clone() });
        let has_host = !hosts.is_empty() || item.get("host").is_some();
        let chosen = word.as_ref().and_then(|word| Mode::parse(word.as_str()?));
        let mode = chosen.unwrap_or(match protocol {
            Some(Protocol::Tcp) if !has_host => Mode::None,
            Some(Protocol::Http) | None => Mode::Passthrough,
            Some(Protocol::Postgres | Protocol::Tcp) => Mode::Terminate,
        });
        let at = word.or_else(|| given.clone()).unwrap_or_else(|| item.clone());
        self.check_mode(item, &at, (mode, has_host), protocol);
        let certificates = self.stream_certificates(item, mode, hosts);
        if (mode, protocol) == (Mode::Reencrypt, Some(Protocol::Postgres)) {
            self.warn_of_channel_binding(item, &at);
        }
        StreamTls { mode, certificates, plaintext: self.plaintext(item, mode, protocol) }
    }

    fn check_mode(
        &mut self,
        item: &Item<'_>,
        at: &Item<'_>,
        (mode, has_host): (Mode, bool),
        protocol: Option<Protocol>,
    ) {
        match (protocol, mode) {
            (Some(Protocol::Http), Mode::None) => {
                let fault = at.fault("on an entrypoint of HTTPS every connection begins with TLS");
                self.faults.push(fault.hint("write \"passthrough\", \"terminate\" or \"reencrypt\""));
            }
            (_, Mode::None) if has_host => {
                let fault = at.fault("without TLS no client says which host it wants");
                self.faults.push(fault.hint("remove `host`, or write another `tls`"));
            }
            (Some(Protocol::Http), _) if !has_host => {
                let fault = item.fault("on an entrypoint of HTTPS a TCP route needs a `host`");
                self.faults.push(fault.hint("connections for all other names are those of requests"));
            }
            _ => {}
        }
    }

    fn stream_certificates(&mut self, item: &Item<'_>, mode: Mode, hosts: &[Host]) -> RouteTls {
        let given = item.get("tls").and_then(|tls| tls.get("issuer"));
        if !mode.ends_tls() {
            if let Some(given) = given {
                let why = format!("`issuer` is not used: with `{}` edge shows no certificate", mode.as_str());
                self.faults.push(given.warning(why).hint("remove it"));
            }
            return RouteTls { issuer: None, chosen: false };
        }
        let chosen = given.as_ref().and_then(|item| issuer(item.as_str()?));
        if hosts.is_empty() {
            return RouteTls { issuer: None, chosen: chosen.is_some() };
        }
        let default = if self.world.acme { Issuer::Acme } else { Issuer::Internal };
        let issuer = chosen.unwrap_or(default);
        let at = given.or_else(|| item.get("host")).unwrap_or_else(|| item.clone());
        self.check_issuer(&at, issuer, hosts);
        RouteTls { issuer: Some(issuer), chosen: chosen.is_some() }
    }

    fn plaintext(&mut self, item: &Item<'_>, mode: Mode, protocol: Option<Protocol>) -> bool {
        let is_clear = mode == Mode::None && protocol == Some(Protocol::Postgres);
        let Some((given, allowed)) = item.get("plaintext").and_then(|item| item.as_bool().map(|value| (item, value)))
        else {
            return is_clear;
        };
        match (protocol, mode) {
            (None, _) => {}
            (Some(Protocol::Http | Protocol::Tcp), _) => {
                let fault = given.key_fault("`plaintext` is for entrypoints with protocol = \"postgres\"");
                self.faults.push(fault.hint("remove it"));
            }
            (Some(Protocol::Postgres), Mode::Passthrough) if allowed => {
                let fault = given.fault("with `passthrough` a client without TLS names no host, and is for no server");
                self.faults.push(fault.hint("remove `plaintext`, or write tls = \"terminate\" or \"reencrypt\""));
            }
            (Some(Protocol::Postgres), Mode::None) if !allowed => {
                let fault = given.fault("nobody could connect: neither with TLS nor without");
                self.faults.push(fault.hint("remove `plaintext`, or write another `tls`"));
            }
            (Some(Protocol::Postgres), _) => {}
        }
        allowed
    }

    /// A client that binds its login to the connection sends a hash of the certificate that it saw, and the server compares
    /// that with its own (RFC 5929 section 4, tls-server-end-point).
    fn warn_of_channel_binding(&mut self, item: &Item<'_>, at: &Item<'_>) {
        let given = item.get("tls").and_then(|tls| tls.get("issuer"));
        if given.as_ref().and_then(|item| issuer(item.as_str()?)) == Some(Issuer::Files) {
            return;
        }
        let fault = at.warning(
            "logins with SCRAM passwords fail for psql as it is (channel_binding=prefer) and with `require`: the \
             certificate that a client sees is not the server's own",
        );
        self.faults.push(fault.hint(
            "use tls = \"passthrough\"; or give edge the server's own certificate and key as a [[certificate]] and write \
             tls = { mode = \"reencrypt\", issuer = \"files\" }; or tls = \"terminate\" with a server on this machine; or \
             have clients set channel_binding=disable",
        ));
    }
}
