//! Who the client is behind proxies that are believed: the first address from the right that is not one of theirs.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use crate::conn::facts::ConnFacts;

/// The client of a request that came from `peer`. `forwarded_for` are the values of X-Forwarded-For in their order; they are
/// read only as far as proxies in `trusted` wrote them. Bytes that a client put in front harm nothing that a proxy wrote.
pub(super) fn of<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.to_canonical();
    for entry in forwarded_for.rev().flat_map(|value| value.rsplit(|byte| *byte == b',')) {
        if !is_trusted(&client) {
            break;
        }
        // What is no address ends the chain: the last one that is known is the best that there is.
        let Some(address) = std::str::from_utf8(entry.trim_ascii()).ok().and_then(address) else { break };
        client = address;
    }
    client
}

/// `http` or `https`, as the client spoke it: as the trusted proxy that is the other end says, else as this connection is.
pub(super) fn scheme(headers: &HeaderMap, conn: Option<&ConnFacts>) -> &'static str {
    let Some(conn) = conn else { return "https" };
    let said = headers.get_all("x-forwarded-proto").iter().next_back().filter(|_| conn.trusted_peer);
    // The last proxy of several writes last.
    let last = said.and_then(|value| value.as_bytes().rsplit(|byte| *byte == b',').next());
    match last.map(<[u8]>::trim_ascii) {
        Some(word) if word.eq_ignore_ascii_case(b"https") => "https",
        Some(word) if word.eq_ignore_ascii_case(b"http") => "http",
        Some(_) | None => conn.scheme(),
    }
}

/// An address, as proxies write it: alone, in brackets, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let socket = || text.parse().ok().map(|socket: std::net::SocketAddr| socket.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(socket).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, values: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().expect("a net"), "2001:db8::/32".parse().expect("a net")];
        of(peer.parse().expect("an address"), values.iter().map(|value| value.as_bytes()), &trusted).to_string()
    }

    #[test]
    fn the_chain_is_read_from_the_right_as_far_as_it_is_trusted() {
        assert_eq!(client("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "203.0.113.9", "10.0.0.2"]), "203.0.113.9");
        assert_eq!(client("203.0.113.7", &["1.1.1.1"]), "203.0.113.7", "a stranger is not believed");
        assert_eq!(client("2001:db8::1", &["[2001:4860::8]:443"]), "2001:4860::8");
        assert_eq!(client("10.0.0.1", &["nonsense", "10.0.0.3"]), "10.0.0.3");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.9:5"]), "203.0.113.9");
    }

    #[test]
    fn bytes_of_a_stranger_do_not_hide_what_a_proxy_wrote() {
        let trusted = ["10.0.0.0/8".parse().expect("a net")];
        let peer = "10.0.0.1".parse().expect("an address");
        let client = of(peer, [b"\xe9, 203.0.113.9".as_slice()].into_iter(), &trusted);
        assert_eq!(client.to_string(), "203.0.113.9");
    }
}
