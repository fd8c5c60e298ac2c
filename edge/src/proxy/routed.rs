//! How far a request came without a server.

use crate::telemetry::Refusal;

/// What became of a request before any server was asked.
pub(super) enum Routed {
    /// A server is to be asked.
    Upstream,
    /// It has been answered.
    Answered,
    /// It is refused, with what the configuration has to say to that.
    Refused(Refusal, Option<String>),
}

impl From<Refusal> for Routed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal, None)
    }
}
