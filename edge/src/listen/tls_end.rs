//! Why a connection did not come to speak TLS, told to those who count.

use std::net::IpAddr;

use super::tls::TlsFault;
use crate::telemetry::{Metrics, events};

/// Why a connection did not come to speak TLS.
pub(super) enum TlsEnd {
    Timeout,
    NotTls,
    Fault(TlsFault),
}

impl From<TlsFault> for TlsEnd {
    fn from(fault: TlsFault) -> Self {
        Self::Fault(fault)
    }
}

impl TlsEnd {
    /// Counts it, and logs it where it is worth that.
    pub(super) fn tell(&self, entrypoint: &str, client: IpAddr, metrics: &Metrics) {
        let detail = match self {
            Self::Fault(TlsFault::Handshake(error)) => Some(error.to_string()),
            Self::Fault(fault @ TlsFault::Unavailable { .. }) => Some(fault.to_string()),
            Self::Timeout | Self::NotTls | Self::Fault(_) => None,
        };
        let (reason, detail) = (self.reason(), detail.as_deref());
        events::TlsRefused { entrypoint, client, reason, detail }.emit(metrics);
    }

    fn reason(&self) -> events::TlsRefusal<'_> {
        use events::TlsRefusal;
        match self {
            Self::Timeout => TlsRefusal::Timeout,
            Self::NotTls => TlsRefusal::NotTls,
            Self::Fault(TlsFault::UnknownName { sni, nearest }) => {
                TlsRefusal::UnknownName { sni, nearest: nearest.as_deref() }
            }
            Self::Fault(TlsFault::NoName) => TlsRefusal::NoName,
            Self::Fault(TlsFault::Closed) => TlsRefusal::Closed,
            Self::Fault(TlsFault::Unavailable { .. }) => TlsRefusal::Protocol,
            Self::Fault(TlsFault::Handshake(error)) => {
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
                match cause {
                    Some(rustls::Error::AlertReceived(_)) => TlsRefusal::PeerAlert,
                    _ => TlsRefusal::Protocol,
                }
            }
        }
    }
}
