//! What became of logins at a provider.

use std::fmt;
use std::sync::Arc;

use prometheus::IntCounterVec;

/// What became of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginResult {
    /// A person was sent to the provider.
    Started,
    /// A person has come back and is in.
    Done,
    /// A person has come back and is not in.
    Failed,
    /// Somebody is known and may not.
    Forbidden,
    /// A session cookie was not one of ours, or its time was over.
    BadSession,
    /// A token was not accepted.
    BadToken,
    /// The provider was needed and could not be asked.
    Unavailable,
    /// The provider was asked again and let the session go on.
    Refreshed,
    /// The provider was asked again and ended the session.
    Ended,
    /// Somebody has logged out.
    LoggedOut,
}

impl LoginResult {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Forbidden => "forbidden",
            Self::BadSession => "bad_session",
            Self::BadToken => "bad_token",
            Self::Unavailable => "unavailable",
            Self::Refreshed => "refreshed",
            Self::Ended => "ended",
            Self::LoggedOut => "logged_out",
        }
    }
}

/// Counts the logins of one route.
#[derive(Clone)]
pub struct LoginMetrics {
    route: Arc<str>,
    logins: IntCounterVec,
}

impl LoginMetrics {
    pub(super) fn new(route: &str, logins: IntCounterVec) -> Self {
        Self { route: route.into(), logins }
    }

    /// Counts one.
    pub fn count(&self, result: LoginResult) {
        let labels = [&*self.route, result.label()];
        self.logins.with_label_values(&labels).inc();
    }
}

impl fmt::Debug for LoginMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginMetrics").field("route", &self.route).finish_non_exhaustive()
    }
}
