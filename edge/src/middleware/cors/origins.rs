//! Which origins (RFC 6454) may read answers.

/// A set of origins, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origins {
    /// Every one.
    Any,
    /// These.
    Some(Vec<Origin>),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This one: `https://app.example.com:8443`, or `null`.
    Exact(String),
    /// Every name below a domain: `https://*.example.com`.
    Below {
        /// `https://`.
        scheme: String,
        /// `.example.com`, with a port if there is one.
        end: String,
    },
}

impl Origin {
    /// Reads an origin: scheme, host and perhaps a port, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        if text == "null" {
            return Some(Self::Exact(text));
        }
        let (scheme, host) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        let default_port = matches!((scheme, port), ("https", Some("443")) | ("http", Some("80")));
        if !is_scheme || port.is_some_and(|port| port.parse::<u16>().is_err()) || default_port {
            return None;
        }
        let scheme = format!("{scheme}://");
        match name.strip_prefix('*') {
            Some(end) => {
                let is_domain = end.strip_prefix('.').is_some_and(|domain| is_name(domain) && domain.contains('.'));
                let end = host[1..].to_owned();
                is_domain.then_some(Self::Below { scheme, end })
            }
            None => (is_name(name) || is_v6(name)).then_some(Self::Exact(text)),
        }
    }

    fn covers(&self, origin: &str) -> bool {
        match self {
            Self::Exact(own) => own == origin,
            Self::Below { scheme, end } => {
                let name = origin.strip_prefix(scheme.as_str()).and_then(|host| host.strip_suffix(end.as_str()));
                name.is_some_and(is_name)
            }
        }
    }
}

impl Origins {
    /// Whether an origin as browsers write it, in lower case, is among them.
    pub(super) fn cover(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Some(list) => list.iter().any(|entry| entry.covers(origin)),
        }
    }
}

/// Labels of a name: nothing that could end a host or begin a port, a path or a user.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
}

fn is_v6(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        for text in [
            "https://a.example",
            "HTTP://LOCALHOST:3000",
            "https://*.a.example",
            "https://*.a.example:8443",
            "null",
            "http://[::1]:3000",
            "http://[::1]",
            "app://x",
        ] {
            assert!(Origin::parse(text).is_some(), "{text}");
        }
        for text in [
            "a.example",
            "https://",
            "https://a.example/",
            "https://a.example/x",
            "https://u@a.example",
            "https://*",
            "https://*.example",
            "https://*example.com",
            "https://a.*.example",
            "https://a..example",
            "*.a.example",
            "https://a.example:443",
            "http://a.example:80",
            "https://a.example:x",
            "https://a.example:99999",
            "",
            "://a",
            "https://a example",
            "https://[::1",
            "https://a.example?x",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_wildcard_covers_names_below_its_domain_and_nothing_else() {
        let origins = Origins::Some(vec![
            Origin::parse("https://*.a.example").unwrap(),
            Origin::parse("http://localhost:3000").unwrap(),
        ]);
        for covered in ["https://x.a.example", "https://x.y.a.example", "http://localhost:3000"] {
            assert!(origins.cover(covered), "{covered}");
        }
        for other in [
            "https://a.example",
            "http://x.a.example",
            "https://x.a.example:8443",
            "https://xa.example",
            "https://evil.com/.a.example",
            "https://evil.com#.a.example",
            "https://evil.com:1.a.example",
            "https://u@x.a.example",
            "https://.a.example",
            "https://x.a.example.evil.com",
            "null",
            "",
            "http://localhost",
        ] {
            assert!(!origins.cover(other), "{other}");
        }
        assert!(Origins::Any.cover("https://anybody.example"));
    }
}
