//! Binds the addresses of the entrypoints, and says in a sentence why one cannot be bound.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("entrypoint {entrypoint} cannot listen on {address}: {}", .why.words(*.address))]
pub struct BindError {
    /// Name of the entrypoint.
    pub entrypoint: String,
    /// The address.
    pub address: SocketAddr,
    /// The reason.
    pub why: BindFault,
}

/// The reason why an address cannot be bound.
#[derive(Debug)]
pub enum BindFault {
    /// Something else listens there.
    Taken,
    /// A port below 1024 without the right to it.
    Permission,
    /// No interface has the address.
    NotOurs,
    /// Anything else.
    Other(io::Error),
}

impl BindFault {
    fn words(&self, address: SocketAddr) -> String {
        let port = address.port();
        match self {
            Self::Taken => {
                format!(
                    "port {port} is taken; see who has it with `ss -ltnp 'sport = :{port}'`, stop that, or change `listen`"
                )
            }
            Self::Permission => format!(
                "port {port} needs root or CAP_NET_BIND_SERVICE; run `setcap cap_net_bind_service=+ep` on the edge binary, \
                 set AmbientCapabilities in its systemd unit, or use a port from 1024 on"
            ),
            Self::NotOurs => format!("this machine has no interface with {}; change `listen`", address.ip()),
            Self::Other(error) => error.to_string(),
        }
    }
}

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Binds one address. Must be called inside the runtime that will accept.
///
/// # Errors
/// See [`BindError`].
pub(super) fn bind(entrypoint: &str, address: SocketAddr) -> Result<TcpListener, BindError> {
    try_bind(address).map_err(|error| BindError {
        entrypoint: entrypoint.to_owned(),
        address,
        why: match error.kind() {
            io::ErrorKind::AddrInUse => BindFault::Taken,
            io::ErrorKind::PermissionDenied => BindFault::Permission,
            io::ErrorKind::AddrNotAvailable => BindFault::NotOurs,
            _ => BindFault::Other(error),
        },
    })
}

fn try_bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // IPv4 is bound by an address of its own; without this, [::]:443 would take it too.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether the machine has no IPv6 at all: then the default `[::]` addresses are left out with a warning.
pub(super) fn is_ipv6_missing(error: &BindError) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    let unsupported = matches!(&error.why, BindFault::Other(error) if error.raw_os_error() == Some(EAFNOSUPPORT));
    error.address.is_ipv6()
        && error.address.ip().is_unspecified()
        && (unsupported || matches!(error.why, BindFault::NotOurs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_said_with_what_to_do() {
        let first = bind("https", ([127, 0, 0, 1], 0).into()).expect("free");
        let address = first.local_addr().expect("bound");
        let error = bind("https", address).expect_err("taken");
        let text = error.to_string();
        assert!(text.contains("entrypoint https") && text.contains("is taken") && text.contains("ss -ltnp"), "{text}");
    }

    #[tokio::test]
    async fn an_address_of_nobody_is_said() {
        let error = bind("https", ([192, 0, 2, 1], 443).into()).expect_err("not ours");
        assert!(matches!(error.why, BindFault::NotOurs | BindFault::Permission), "{error}");
    }
}
