//! Why requests are tried again.

/// Why a request was tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The server before could not be reached.
    ConnectFailed,
    /// A connection that was kept open turned out to be closed.
    StaleConnection,
    /// The connection broke before there was an answer.
    Broken,
    /// The answer was 502, 503 or 504.
    Unavailable,
}

impl Retry {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ConnectFailed => "connect_failed",
            Self::StaleConnection => "stale_connection",
            Self::Broken => "broken",
            Self::Unavailable => "unavailable",
        }
    }
}
