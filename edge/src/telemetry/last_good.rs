//! Says that a middleware works with what it had before, because what is there now cannot be used.

use std::sync::{Mutex, PoisonError};

use prometheus::IntGauge;

/// How current the users, tokens or keys of one middleware are. Dropped with it.
#[derive(Debug)]
pub struct LastGood {
    route: Box<str>,
    middleware: Box<str>,
    /// Counts those that stand on something old: steps of one name share it, and so does the one before a reload.
    gauge: IntGauge,
    why: Mutex<Option<String>>,
}

impl LastGood {
    pub(super) fn new(route: &str, middleware: &str, gauge: IntGauge) -> Self {
        Self { route: route.into(), middleware: middleware.into(), gauge, why: Mutex::new(None) }
    }

    /// What is there now cannot be used; the last good one stays. Tells each reason once in a row.
    pub fn kept(&self, why: &str) {
        let before = self.swap(Some(why.to_owned()));
        if before.is_none() {
            self.gauge.inc();
        }
        if before.as_deref() != Some(why) {
            let (route, middleware) = (&*self.route, &*self.middleware);
            tracing::warn!(route, middleware, why, "a middleware keeps what it had: what is there now cannot be used");
        }
    }

    /// What is there now is in use. Told if it was not so before.
    pub fn well(&self) {
        if self.swap(None).is_some() {
            self.gauge.dec();
            let (route, middleware) = (&*self.route, &*self.middleware);
            tracing::info!(route, middleware, "a middleware uses what is there now");
        }
    }

    /// Something new is in use.
    pub fn renewed(&self) {
        self.well();
        let (route, middleware) = (&*self.route, &*self.middleware);
        tracing::info!(route, middleware, "a middleware has new users, tokens or keys");
    }

    fn swap(&self, why: Option<String>) -> Option<String> {
        std::mem::replace(&mut self.why.lock().unwrap_or_else(PoisonError::into_inner), why)
    }
}

impl Drop for LastGood {
    fn drop(&mut self) {
        if self.swap(None).is_some() {
            self.gauge.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::{BuildInfo, Metrics};

    #[test]
    fn the_gauge_says_whether_something_old_is_in_use() {
        let metrics = Metrics::new(BuildInfo { version: "0", commit: "" });
        let says = |value: &str| {
            let series = r#"edge_middleware_last_good{middleware="team",route="app"}"#;
            assert!(metrics.render().contains(&format!("{series} {value}\n")), "{}", metrics.render());
        };
        let last_good = metrics.route("app").last_good("team");
        says("0");
        last_good.kept("line 3 is broken");
        says("1");
        last_good.well();
        says("0");
        last_good.kept("it is gone");
        drop(last_good);
        says("0");
        metrics.retain_routes(|route| route != "app");
        assert!(!metrics.render().contains("edge_middleware_last_good{"));
    }

    #[test]
    fn one_of_a_name_that_is_well_again_does_not_hide_the_other() {
        let metrics = Metrics::new(BuildInfo { version: "0", commit: "" });
        let says = |value: &str| {
            let series = r#"edge_middleware_last_good{middleware="team",route="app"}"#;
            assert!(metrics.render().contains(&format!("{series} {value}\n")), "{}", metrics.render());
        };
        let [one, other] = [(); 2].map(|()| metrics.route("app").last_good("team"));
        one.kept("it is gone");
        other.kept("it is gone");
        other.kept("line 3 is broken");
        says("2");
        one.well();
        one.well();
        says("1");
        let after_a_reload = metrics.route("app").last_good("team");
        says("1");
        drop((one, after_a_reload));
        says("1");
        drop(other);
        says("0");
    }
}
