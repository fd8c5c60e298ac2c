//! The PROXY header, version 1 or 2, that tells a server who its client is (HAProxy's `proxy-protocol.txt`).
//!
//! The grammar is the `ppp` crate's; that of clients is read by `listen::proxy_header`.

use std::net::SocketAddr;

use ppp::{v1, v2};
use routes::stream::ProxyVersion;

/// The two ends of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who connected.
    pub client: SocketAddr,
    /// Our own address, to which.
    pub local: SocketAddr,
}

/// The header as bytes.
pub fn header(version: ProxyVersion, ends: Ends) -> Vec<u8> {
    let (client, local) = same_family(ends);
    match version {
        ProxyVersion::V1 => v1::Addresses::from((client, local)).to_string().into_bytes(),
        ProxyVersion::V2 => {
            let addresses = v2::Addresses::from((client, local));
            let head = v2::Version::Two | v2::Command::Proxy;
            let built = v2::Builder::with_addresses(head, v2::Protocol::Stream, addresses).build();
            built.expect("two addresses fit into a header")
        }
    }
}

/// A header has one family: a mapped IPv4 address is IPv4, and if the ends still differ both are written as IPv6.
fn same_family(ends: Ends) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (client, local) = (canonical(ends.client), canonical(ends.local));
    if client.is_ipv4() == local.is_ipv4() {
        return (client, local);
    }
    let as_v6 = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        SocketAddr::V6(_) => address,
    };
    (as_v6(client), as_v6(local))
}

#[cfg(test)]
mod tests {
    use ppp::HeaderResult;

    use super::*;

    fn ends(client: &str, local: &str) -> Ends {
        Ends { client: client.parse().expect("an address"), local: local.parse().expect("an address") }
    }

    #[test]
    fn version_1_is_a_line() {
        let text = |ends| String::from_utf8(header(ProxyVersion::V1, ends)).expect("text");
        assert_eq!(text(ends("203.0.113.7:5000", "192.0.2.1:443")), "PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\r\n");
        assert_eq!(text(ends("[2001:db8::7]:1", "[2001:db8::1]:2")), "PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n");
        assert_eq!(text(ends("[::ffff:203.0.113.7]:1", "192.0.2.1:2")), "PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n");
    }

    #[test]
    fn version_2_is_read_back_as_it_was_meant() {
        for (client, local) in [("203.0.113.7:5000", "192.0.2.1:443"), ("[2001:db8::7]:1", "192.0.2.1:2")] {
            let bytes = header(ProxyVersion::V2, ends(client, local));
            let HeaderResult::V2(Ok(read)) = HeaderResult::parse(&bytes) else { panic!("{client} {local}") };
            assert_eq!(read.len(), bytes.len());
            let port = match read.addresses {
                v2::Addresses::IPv4(pair) => pair.source_port,
                v2::Addresses::IPv6(pair) => pair.source_port,
                other => panic!("{other:?}"),
            };
            assert_eq!(port, ends(client, local).client.port());
        }
    }
}
