//! How the copies of requests end, as labels.

/// What became of the copy of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrored {
    /// It was sent, whatever was answered.
    Sent,
    /// It could not be sent.
    Failed,
    /// Too many were under way.
    Busy,
    /// Its body was too large to be kept.
    TooLarge,
}

impl Mirrored {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Busy => "busy",
            Self::TooLarge => "too_large",
        }
    }
}
