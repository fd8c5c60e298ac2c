//! By which entrypoint a request comes in, judged by scheme and port alone: addresses may be mapped on the way.

use routes::world::Protocol;
use serde::Serialize;

use super::url::Url;
use crate::config::Entrypoint;

/// The entrypoint of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Door {
    /// The one that routes are matched on.
    pub(super) entrypoint: String,
    /// Its addresses.
    pub(super) listen: Vec<String>,
    /// Whether it speaks TLS.
    pub(super) tls: bool,
    /// The plain one that redirected the request there, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) redirected_by: Option<String>,
    /// Whether the port of the URL is one that it listens on.
    pub(super) port_matches: bool,
}

/// No entrypoint takes the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoDoor {
    #[error("no entrypoint listens on port {0}")]
    Port(u16),
    #[error("port {port} is the entrypoint `{name}`, which speaks {speaks}")]
    Protocol { port: u16, name: String, speaks: &'static str },
    #[error("no entrypoint speaks {0}")]
    None(&'static str),
}

impl Door {
    /// The entrypoint for a URL: the one on its port, or the first of its kind where the URL has no port.
    pub(super) fn of(url: &Url, entrypoints: &[Entrypoint]) -> Result<Self, NoDoor> {
        let on = |port| entrypoints.iter().filter(move |door| door.listen.iter().any(|address| address.port() == port));
        let port = url.port.unwrap_or(if url.tls { 443 } else { 80 });
        let fits = |entrypoint: &&Entrypoint| entrypoint.protocol == Protocol::Http && entrypoint.tls == url.tls;
        let fitting = on(port).find(fits);
        let found = match (fitting, url.port, on(port).next()) {
            (Some(entrypoint), _, _) => entrypoint,
            (None, Some(_), Some(other)) => {
                let speaks = match other.protocol {
                    Protocol::Http => scheme(other.tls),
                    Protocol::Postgres | Protocol::Tcp => other.protocol.as_str(),
                };
                return Err(NoDoor::Protocol { port, name: other.name.clone(), speaks });
            }
            (None, Some(_), None) => return Err(NoDoor::Port(port)),
            (None, None, _) => {
                let first = entrypoints.iter().find(fits);
                first.ok_or(NoDoor::None(scheme(url.tls)))?
            }
        };
        let target = found.redirect.as_ref();
        let target = target.and_then(|name| entrypoints.iter().find(|entrypoint| entrypoint.name == *name));
        let entrypoint = target.unwrap_or(found);
        Ok(Self {
            entrypoint: entrypoint.name.clone(),
            listen: entrypoint.listen.iter().map(ToString::to_string).collect(),
            tls: entrypoint.tls,
            redirected_by: target.map(|_| found.name.clone()),
            port_matches: fitting.is_some(),
        })
    }
}

fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(url: &str) -> Result<(String, Option<String>, bool), String> {
        let mut entrypoints = Entrypoint::defaults();
        let mut other = entrypoints[1].clone();
        other.name = "other".to_owned();
        other.listen = vec!["127.0.0.1:8443".parse().expect("an address")];
        entrypoints.push(other);
        let url = url.parse().expect("a URL");
        let door = Door::of(&url, &entrypoints).map_err(|error| error.to_string())?;
        Ok((door.entrypoint, door.redirected_by, door.port_matches))
    }

    #[test]
    fn scheme_and_port_choose_and_a_redirect_is_followed() {
        let name = |name: &str| Ok((name.to_owned(), None, true));
        assert_eq!(door("https://a"), name("https"));
        assert_eq!(door("https://a:8443"), name("other"));
        assert_eq!(door("http://a"), Ok(("https".to_owned(), Some("http".to_owned()), true)));
        assert_eq!(door("https://a:444"), Err("no entrypoint listens on port 444".to_owned()));
        let told = "port 8443 is the entrypoint `other`, which speaks https";
        assert_eq!(door("http://a:8443"), Err(told.to_owned()));
    }

    #[test]
    fn an_entrypoint_below_http_takes_no_url() {
        let mut entrypoints = Entrypoint::defaults();
        let listen = vec!["127.0.0.1:5432".parse().expect("an address")];
        let protocol = Protocol::Postgres;
        entrypoints.insert(0, Entrypoint { name: "pg".to_owned(), listen, protocol, ..entrypoints[0].clone() });
        let of = |url: &str| {
            let url = url.parse().expect("a URL");
            Door::of(&url, &entrypoints).map(|door| door.entrypoint).map_err(|error| error.to_string())
        };
        let told = "port 5432 is the entrypoint `pg`, which speaks postgres";
        assert_eq!(of("http://a:5432"), Err(told.to_owned()));
        assert_eq!(of("http://a"), Ok("https".to_owned()), "`pg` has a copy of the redirect and is passed over");
    }

    #[test]
    fn without_a_port_the_first_of_the_kind_is_taken() {
        let mut entrypoints = Entrypoint::defaults();
        entrypoints.iter_mut().for_each(|entrypoint| entrypoint.listen.iter_mut().for_each(|a| a.set_port(0)));
        let url = "https://a".parse().expect("a URL");
        let found = Door::of(&url, &entrypoints).map(|door| (door.entrypoint, door.port_matches));
        assert_eq!(found, Ok(("https".to_owned(), false)));
        let none = Door::of(&url, &entrypoints[..1]).map_err(|error| error.to_string());
        assert_eq!(none, Err("no entrypoint speaks https".to_owned()));
    }
}
