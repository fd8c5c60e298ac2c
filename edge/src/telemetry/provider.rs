//! Says that a server which checks logins could not be asked. The refusals that follow are counted as such.

use std::time::Instant;

use super::throttle::Throttle;

/// The provider of one middleware.
#[derive(Debug)]
pub struct Provider {
    route: Box<str>,
    middleware: Box<str>,
    throttle: Throttle,
}

impl Provider {
    pub(super) fn new(route: &str, middleware: &str) -> Self {
        Self { route: route.into(), middleware: middleware.into(), throttle: Throttle::default() }
    }

    /// It gave no answer that could be used. Told a few times a minute: each request may find it so.
    pub fn failed(&self, error: &str) {
        if let Some(suppressed) = self.throttle.admit(Instant::now()) {
            let (route, middleware) = (&*self.route, &*self.middleware);
            tracing::warn!(route, middleware, error, suppressed, "the service that checks logins cannot be asked");
        }
    }
}
