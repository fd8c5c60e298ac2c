//! What a client may not say about itself, and what the edge says instead: the forwarding headers.
//!
//! Backends believe these headers, so a stranger's are dropped before ours are set (RFC 7239; the names below are those
//! that real backends read). Values that the edge sets come from the connection alone.

use std::net::IpAddr;

use http::HeaderName;
use pingora::http::RequestHeader;

/// Dropped unless the TCP peer is a trusted proxy.
const FROM_PROXIES: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    // Proxies that ask whether a request may pass describe it by these.
    "x-forwarded-method",
    "x-forwarded-uri",
    "x-real-ip",
    "forwarded",
];

/// Dropped from everybody: headers by which a backend takes a login, a mount point or a certificate for granted.
const NEVER: &[&str] = &[
    "proxy",
    "x-script-name",
    "x-scheme",
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "client-ip",
    "x-auth-user",
    "x-user-email",
    "x-user-name",
    "front-end-https",
];

/// Prefixes of headers that are dropped from everybody, where [`FROM_PROXIES`] says nothing else. They are those of proxies
/// that log in, and nothing that a client sends begins so.
const NEVER_PREFIXES: &[&str] = &[
    "remote-",
    "x-remote-",
    "x-forwarded-",
    "x-webauth-",
    "x-auth-request-",
    "x-ssl-",
    "ssl-client-",
    "x-client-cert",
    "x-authentik-",
    "x-openwebui-user-",
    "cf-access-",
    "tailscale-user-",
];

/// Names that a client may not nominate in `Connection`: to remove them would change what others believe of the request.
const NOT_NOMINABLE: &[&str] =
    &["host", "authorization", "cookie", "content-length", "transfer-encoding", "x-request-id", "traceparent"];

/// What the forwarding headers of one request say.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The other end of this connection.
    pub peer: IpAddr,
    /// Who asked: the peer, or whom trusted proxies name.
    pub client: IpAddr,
    /// Whether what the TCP peer says of earlier hops is believed.
    pub trusted_peer: bool,
    /// `http` or `https`, as the client spoke it.
    pub scheme: &'static str,
    /// The authority that the client asked for, as it wrote it.
    pub host: &'a str,
    /// The port that it named, or that the scheme stands for.
    pub port: u16,
    /// Whether the server is to learn the address of the client.
    pub names_client: bool,
}

/// Whether `Connection` of this request names a header that must not be removed (answered with 400).
pub fn nominates_protected(head: &RequestHeader) -> bool {
    head.headers
        .get_all(http::header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .any(|name| {
            let mut space = [0; LONGEST];
            let name = spelling(name.as_str(), &mut space);
            NOT_NOMINABLE.contains(&name) || is_from_proxies(name) || is_never(name)
        })
}

/// Drops what the client may not say and sets what the edge says.
pub fn rewrite(head: &mut RequestHeader, origin: &Origin<'_>) -> pingora::Result<()> {
    strip(head, origin.trusted_peer);
    if origin.names_client {
        name_client(head, origin)?;
    } else {
        NAME_CLIENT.iter().for_each(|name| drop(head.remove_header(*name)));
    }
    if !head.headers.contains_key("x-forwarded-proto") {
        head.insert_header("X-Forwarded-Proto", origin.scheme)?;
    }
    if !head.headers.contains_key("x-forwarded-host") {
        head.insert_header("X-Forwarded-Host", origin.host)?;
    }
    if !head.headers.contains_key("x-forwarded-port") {
        head.insert_header("X-Forwarded-Port", origin.port.to_string())?;
    }
    Ok(())
}

/// The headers by which a server learns the address of the client.
const NAME_CLIENT: [&str; 3] = ["x-forwarded-for", "x-real-ip", "forwarded"];

fn name_client(head: &mut RequestHeader, origin: &Origin<'_>) -> pingora::Result<()> {
    let (peer, client) = (origin.peer.to_canonical(), origin.client.to_canonical());
    let mut chain = Vec::new();
    for earlier in head.headers.get_all("x-forwarded-for") {
        chain.extend_from_slice(earlier.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(peer.to_string().as_bytes());
    head.insert_header("X-Forwarded-For", chain)?;
    if !head.headers.contains_key("x-real-ip") {
        head.insert_header("X-Real-IP", client.to_string())?;
    }
    head.append_header("Forwarded", forwarded(peer, origin))?;
    Ok(())
}

/// One element of RFC 7239. The host is quoted: it may hold a colon, and it cannot hold a quote.
fn forwarded(peer: IpAddr, origin: &Origin<'_>) -> String {
    match peer {
        IpAddr::V4(client) => format!("for={client};host=\"{}\";proto={}", origin.host, origin.scheme),
        IpAddr::V6(client) => format!("for=\"[{client}]\";host=\"{}\";proto={}", origin.host, origin.scheme),
    }
}

fn strip(head: &mut RequestHeader, trusted_peer: bool) {
    let doomed: Vec<HeaderName> =
        head.headers.keys().filter(|name| is_stripped(name.as_str(), trusted_peer)).cloned().collect();
    for name in doomed {
        head.remove_header(&name);
    }
}

fn is_stripped(name: &str, trusted_peer: bool) -> bool {
    let mut space = [0; LONGEST];
    let plain = spelling(name, &mut space);
    // A real proxy writes its own names.
    let disguised = plain != name;
    is_never(plain) || (is_from_proxies(plain) && (!trusted_peer || disguised))
}

fn is_from_proxies(name: &str) -> bool {
    FROM_PROXIES.contains(&name)
}

fn is_never(name: &str) -> bool {
    let is_among = NEVER_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    NEVER.contains(&name) || (is_among && !is_from_proxies(name))
}

/// Longer than any name in the lists; longer names are compared as they are, and match none.
const LONGEST: usize = 48;

/// `name` with `-` for all that is neither letter nor digit: backends that turn headers into environment variables make
/// `_` of `-`, and some of every such character. Header names are in lower case already.
fn spelling<'a>(name: &'a str, space: &'a mut [u8; LONGEST]) -> &'a str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.bytes().all(is_plain) {
        return name;
    }
    let count = name.len().min(LONGEST);
    for (to, from) in space.iter_mut().zip(name.bytes()) {
        *to = if is_plain(from) { from } else { b'-' };
    }
    std::str::from_utf8(&space[..count]).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", b"/", None).expect("valid");
        for (name, value) in fields {
            head.append_header(HeaderName::from_bytes(name.as_bytes()).expect("a name"), *value).expect("a value");
        }
        head
    }

    const ORIGIN: Origin<'static> = Origin {
        peer: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
        client: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
        trusted_peer: false,
        scheme: "https",
        host: "app.example:8443",
        port: 8443,
        names_client: true,
    };

    fn get(head: &RequestHeader, name: &str) -> Vec<String> {
        head.headers.get_all(name).iter().map(|value| value.to_str().expect("text").to_owned()).collect()
    }

    #[test]
    fn a_strangers_forwarding_headers_are_replaced() {
        let mut head = head(&[
            ("X-Forwarded-For", "1.1.1.1"),
            ("X-Forwarded-For", "2.2.2.2"),
            ("x-forwarded-proto", "http"),
            ("X-Real-IP", "1.1.1.1"),
            ("Forwarded", "for=1.1.1.1"),
            ("X-Forwarded-Prefix", "/evil"),
        ]);
        rewrite(&mut head, &ORIGIN).expect("valid");
        assert_eq!(get(&head, "x-forwarded-for"), ["192.0.2.7"]);
        assert_eq!(get(&head, "x-forwarded-proto"), ["https"]);
        assert_eq!(get(&head, "x-forwarded-host"), ["app.example:8443"]);
        assert_eq!(get(&head, "x-forwarded-port"), ["8443"]);
        assert_eq!(get(&head, "x-real-ip"), ["192.0.2.7"]);
        assert_eq!(get(&head, "forwarded"), ["for=192.0.2.7;host=\"app.example:8443\";proto=https"]);
        assert!(get(&head, "x-forwarded-prefix").is_empty());
    }

    #[test]
    fn a_server_that_is_not_to_know_the_client_learns_the_rest() {
        for trusted_peer in [false, true] {
            let given = [("X-Forwarded-For", "1.1.1.1"), ("X-Real-IP", "1.1.1.1"), ("Forwarded", "for=1.1.1.1")];
            let mut head = head(&given);
            rewrite(&mut head, &Origin { names_client: false, trusted_peer, ..ORIGIN }).expect("valid");
            assert!(NAME_CLIENT.iter().all(|name| get(&head, name).is_empty()), "{head:?}");
            assert_eq!(get(&head, "x-forwarded-proto"), ["https"]);
            assert_eq!(get(&head, "x-forwarded-host"), ["app.example:8443"]);
        }
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_its_chain_goes_on() {
        let mut head = head(&[
            ("X-Forwarded-For", "203.0.113.9"),
            ("X-Forwarded-For", "198.51.100.2"),
            ("X-Forwarded-Proto", "http"),
        ]);
        let client = "203.0.113.9".parse().expect("an address");
        rewrite(&mut head, &Origin { client, trusted_peer: true, ..ORIGIN }).expect("valid");
        assert_eq!(get(&head, "x-real-ip"), ["203.0.113.9"]);
        assert_eq!(get(&head, "x-forwarded-for"), ["203.0.113.9, 198.51.100.2, 192.0.2.7"]);
        assert_eq!(get(&head, "x-forwarded-proto"), ["http"]);
    }

    #[test]
    fn headers_that_backends_believe_blindly_never_pass_in_any_spelling() {
        for name in [
            "X-Script-Name",
            "X_Script_Name",
            "X-WEBAUTH-USER",
            "x_webauth_user",
            "Remote-User",
            "REMOTE_USER",
            "Proxy",
            "X-SSL-Client-Verify",
            "X-Forwarded-Client-Cert",
            "X-Original-URL",
            "X.Forwarded.User",
            "x~forwarded!email",
            "X-Forwarded-Whatever",
            "Remote.User",
            "Remote-Roles",
            "X-Remote-Groups",
            "X-Auth-User",
            "X*Auth*User",
            "Cf-Access-Authenticated-User-Email",
            "Tailscale-User-Login",
            "tailscale_user_name",
        ] {
            for trusted_peer in [false, true] {
                let mut head = head(&[(name, "evil")]);
                rewrite(&mut head, &Origin { trusted_peer, ..ORIGIN }).expect("valid");
                assert!(get(&head, name).is_empty(), "{name}");
            }
        }
        let mut disguised =
            head(&[("X_Forwarded_For", "1.1.1.1"), ("X.Real.IP", "1.1.1.1"), ("x_api_key", "mine"), ("x.y", "mine")]);
        rewrite(&mut disguised, &Origin { trusted_peer: true, ..ORIGIN }).expect("valid");
        assert!(get(&disguised, "x_forwarded_for").is_empty() && get(&disguised, "x.real.ip").is_empty());
        assert_eq!((get(&disguised, "x_api_key"), get(&disguised, "x.y")), (vec!["mine".into()], vec!["mine".into()]));
    }

    #[test]
    fn what_a_proxy_asks_about_is_believed_of_a_trusted_one_alone() {
        for (trusted_peer, passes) in [(false, false), (true, true)] {
            for name in ["X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Prefix"] {
                let mut head = head(&[(name, "/a")]);
                rewrite(&mut head, &Origin { trusted_peer, ..ORIGIN }).expect("valid");
                assert_eq!(!get(&head, name).is_empty(), passes, "{name}");
            }
        }
    }

    #[test]
    fn other_headers_stay_with_their_order_and_repeats() {
        let mut head = head(&[("Accept", "a"), ("X-Thing", "1"), ("Accept", "b")]);
        rewrite(&mut head, &ORIGIN).expect("valid");
        assert_eq!(get(&head, "accept"), ["a", "b"]);
    }

    #[test]
    fn connection_may_not_remove_what_others_believe() {
        for token in
            ["Host", "authorization", "close, X-Forwarded-For", "x-real-ip", "X_Real_IP", "x.real.ip", "Cookie"]
        {
            assert!(nominates_protected(&head(&[("Connection", token)])), "{token}");
        }
        for token in ["close", "keep-alive, Upgrade", "x-private"] {
            assert!(!nominates_protected(&head(&[("Connection", token)])), "{token}");
        }
    }

    #[test]
    fn an_ipv6_client_is_quoted() {
        let client = "2001:db8::1".parse().expect("an address");
        let mut head = head(&[]);
        rewrite(&mut head, &Origin { client, peer: client, ..ORIGIN }).expect("valid");
        assert!(get(&head, "forwarded")[0].starts_with("for=\"[2001:db8::1]\";"));
        assert_eq!(get(&head, "x-forwarded-for"), ["2001:db8::1"]);
    }
}
