//! The ports of the demo: taken before anything is written, so that a refusal can name the flag to give, and held until
//! the edge itself takes them. Nothing is served here.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

/// A port that the demo cannot have.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Something else listens there.
    #[error(
        "port {port} is taken (`ss -ltnp 'sport = :{port}'` shows by what); stop that, or choose another port with {flag}"
    )]
    Taken {
        /// The port.
        port: u16,
        /// The flag that chooses it.
        flag: &'static str,
    },
    /// The system does not let us.
    #[error("port {port} cannot be listened on; choose another, from 1024 on, with {flag}")]
    Refused {
        /// The port.
        port: u16,
        /// The flag that chooses it.
        flag: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A port that nobody else can have until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    port: u16,
    _sockets: Vec<TcpListener>,
}

impl Held {
    /// Takes `port` on 127.0.0.1, and on `[::1]` where there is one. Port 0 is any that is free on both.
    ///
    /// # Errors
    /// See [`PortError`].
    pub(super) fn take(flag: &'static str, port: u16) -> Result<Self, PortError> {
        // A free port of IPv4 may be taken on IPv6; then another is drawn.
        let mut draws = if port == 0 { 16 } else { 1 };
        loop {
            draws -= 1;
            match bind(port) {
                Ok(held) => return Ok(held),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && draws > 0 => {}
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(PortError::Taken { port, flag }),
                Err(source) => return Err(PortError::Refused { port, flag, source }),
            }
        }
    }

    /// Which one it is.
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

fn bind(port: u16) -> io::Result<Held> {
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let port = v4.local_addr()?.port();
    let mut sockets = vec![v4];
    if has_ipv6() {
        sockets.push(TcpListener::bind((Ipv6Addr::LOCALHOST, port))?);
    }
    Ok(Held { port, _sockets: sockets })
}

/// Whether this machine has `[::1]`.
pub(super) fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_the_flag_that_chooses_another() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let port = taken.local_addr().expect("it is bound").port();
        let said = Held::take("--https-port", port).expect_err("it is taken").to_string();
        assert!(said.starts_with(&format!("port {port} is taken")) && said.ends_with("with --https-port"), "{said}");
    }

    #[test]
    fn a_port_that_is_taken_on_ipv6_alone_is_taken() {
        // A machine without IPv6 has nothing to take.
        let Ok(taken) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
        let port = taken.local_addr().expect("it is bound").port();
        assert!(matches!(Held::take("--http-port", port), Err(PortError::Taken { .. })));
    }

    #[test]
    fn any_free_port_is_a_real_one_and_free_again_when_let_go() {
        let held = Held::take("--admin-port", 0).expect("loopback has free ports");
        let port = held.port();
        assert!(port != 0 && matches!(Held::take("--admin-port", port), Err(PortError::Taken { .. })));
        drop(held);
        assert_eq!(Held::take("--admin-port", port).map(|held| held.port()).ok(), Some(port));
    }
}
