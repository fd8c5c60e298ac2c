//! How far a request came without a server.

use crate::middleware::{Answer, Denial};
use crate::telemetry::Refusal;

/// What became of a request before any server was asked.
pub(super) enum Routed {
    /// A server is to be asked.
    Upstream,
    /// It has been answered.
    Answered,
    /// A middleware answers it.
    ByStep(Box<Answer>),
    /// It is refused.
    Refused(Box<Denial>),
}

impl From<Refusal> for Routed {
    fn from(refusal: Refusal) -> Self {
        Denial::new(refusal).into()
    }
}

impl From<Denial> for Routed {
    fn from(denial: Denial) -> Self {
        Self::Refused(Box::new(denial))
    }
}
