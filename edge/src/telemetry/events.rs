//! Things that happen: one struct each, whose `emit` makes the log line and the counter.
//!
//! Levels: what a client did is debug, what the operator should know is info, what needs an
//! operator is warn, a defect is error. Each thing is logged once, here.

mod connection;
mod operation;
mod request;
mod upstream;

pub use connection::{
    CapReason, ConnectionOpened, ConnectionRefused, OpenConnection, TlsHandshakeDone, TlsRefusal, TlsRefused,
};
pub use operation::{
    AccessLogDropped, AccessLogFailed, CertificateFailed, CertificateInstalled, CertificateObtained, ConfigRejected,
    ConfigReloaded, DrainCutShort, DrainDone, Draining,
};
pub use request::{RequestRefused, UpstreamConnectFailed, UpstreamResolved, UpstreamUnresolved};
pub use upstream::{UpstreamDown, UpstreamEjected, UpstreamUp};

#[cfg(test)]
mod tests;
