//! What happens to the edge as a whole: certificates, configuration, log, stop.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::telemetry::metrics::Metrics;

/// A certificate authority issued a certificate.
#[derive(Clone, Copy, Debug)]
pub struct CertificateObtained<'a> {
    /// The name it is for.
    pub name: &'a str,
    /// The authority, as configured.
    pub ca: &'a str,
    /// End of its validity.
    pub not_after: SystemTime,
}

impl CertificateObtained<'_> {
    /// Counts the order and clears the last error of the name.
    pub fn emit(self, metrics: &Metrics) {
        let orders = &metrics.other().acme_orders;
        orders.with_label_values(&[self.ca, "ok"]).inc();
        metrics.forget_acme_error(self.name);
        let (name, ca, not_after) = (self.name, self.ca, unix(self.not_after));
        tracing::info!(name, ca, not_after, "certificate obtained");
    }
}

/// An order at a certificate authority failed.
#[derive(Clone, Copy, Debug)]
pub struct CertificateFailed<'a> {
    /// The name it was for.
    pub name: &'a str,
    /// The authority, as configured.
    pub ca: &'a str,
    /// Which kind of failure: a label from a closed set.
    pub kind: &'static str,
    /// What went wrong, in words.
    pub error: &'a str,
    /// When it will be tried again.
    pub retry_in: Duration,
    /// When this happened.
    pub at: SystemTime,
}

impl CertificateFailed<'_> {
    /// Counts the order and notes the error.
    pub fn emit(self, metrics: &Metrics) {
        let (name, ca, kind) = (self.name, self.ca, self.kind);
        let other = metrics.other();
        other.acme_orders.with_label_values(&[ca, "failed"]).inc();
        // An earlier error of another kind is no longer the last one.
        metrics.forget_acme_error(name);
        let last = other.acme_last_error.with_label_values(&[name, kind]);
        last.set(unix(self.at));
        let retry_in_seconds = self.retry_in.as_secs();
        let error = self.error;
        tracing::warn!(name, ca, kind, error, retry_in_seconds, "no certificate obtained");
    }
}

/// A certificate is served from now on.
#[derive(Clone, Copy, Debug)]
pub struct CertificateInstalled<'a> {
    /// The name it is served for.
    pub name: &'a str,
    /// `acme`, `internal` or `files`.
    pub issuer: &'static str,
    /// End of its validity.
    pub not_after: SystemTime,
    /// When it is due to be renewed, if the edge renews it.
    pub renew_at: Option<SystemTime>,
}

impl CertificateInstalled<'_> {
    /// Notes its dates.
    pub fn emit(self, metrics: &Metrics) {
        let (name, issuer, not_after) = (self.name, self.issuer, unix(self.not_after));
        let other = metrics.other();
        metrics.forget_other_issuers(name, issuer);
        let ends = other.not_after.with_label_values(&[name, issuer]);
        ends.set(not_after);
        let renew_at = self.renew_at.map(unix);
        if let Some(renew_at) = renew_at {
            other.renew_at.with_label_values(&[name]).set(renew_at);
        }
        tracing::info!(name, issuer, not_after, renew_at, "certificate in use");
    }
}

/// A configuration was put in use.
#[derive(Clone, Copy, Debug)]
pub struct ConfigReloaded {
    /// Its number.
    pub generation: u64,
    /// Routes that are new.
    pub added: usize,
    /// Routes that differ from before.
    pub changed: usize,
    /// Routes that are no more.
    pub removed: usize,
    /// Routes that serve as written.
    pub live: usize,
    /// Routes whose new version has a fault and whose older one serves.
    pub kept: usize,
    /// Routes that have a fault and no older version.
    pub rejected: usize,
    /// When it was put in use.
    pub at: SystemTime,
}

impl ConfigReloaded {
    /// Notes it; a warning if any route has a fault.
    pub fn emit(self, metrics: &Metrics) {
        let other = metrics.other();
        let states = [("live", self.live), ("kept", self.kept), ("rejected", self.rejected)];
        for (state, count) in states {
            let routes = other.routes.with_label_values(&[state]);
            routes.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let whole = self.kept == 0 && self.rejected == 0;
        let result = if whole { "ok" } else { "partial" };
        other.reloads.with_label_values(&[result]).inc();
        let generation = i64::try_from(self.generation).unwrap_or(i64::MAX);
        other.generation.set(generation);
        other.last_success.set(unix(self.at));
        let Self { added, changed, removed, live, kept, rejected, .. } = self;
        if whole {
            tracing::info!(generation, added, changed, removed, live, "configuration in use");
        } else {
            tracing::warn!(
                generation,
                added,
                changed,
                removed,
                live,
                kept,
                rejected,
                "configuration in use, but some routes have faults; `edge check` shows them"
            );
        }
    }
}

/// A configuration was not put in use; the one before stays.
#[derive(Clone, Copy, Debug)]
pub struct ConfigRejected<'a> {
    /// How many faults it has.
    pub faults: usize,
    /// The first of them: file, line, what.
    pub first: &'a str,
}

impl ConfigRejected<'_> {
    /// Counts it.
    pub fn emit(self, metrics: &Metrics) {
        let reloads = &metrics.other().reloads;
        reloads.with_label_values(&["rejected"]).inc();
        let (faults, first) = (self.faults, self.first);
        tracing::error!(faults, first, "configuration rejected; the one before stays in use");
    }
}

/// The edge no longer accepts connections and waits for those it has.
#[derive(Clone, Copy, Debug)]
pub struct Draining {
    /// What is still open.
    pub open: usize,
    /// How long it waits at most.
    pub grace: Duration,
}

impl Draining {
    /// Says it.
    pub fn emit(self) {
        let (open, grace_seconds) = (self.open, self.grace.as_secs());
        tracing::info!(open, grace_seconds, "stopping: no new connections, waiting for open ones");
    }
}

/// All work ended within the grace.
#[derive(Clone, Copy, Debug)]
pub struct DrainDone {
    /// How long it took.
    pub after: Duration,
}

impl DrainDone {
    /// Says it.
    pub fn emit(self) {
        let seconds = self.after.as_secs_f64();
        tracing::info!(seconds, "stopped: everything had ended");
    }
}

/// The grace was over before all work had ended.
#[derive(Clone, Copy, Debug)]
pub struct DrainCutShort<'a> {
    /// Names of the tasks that were cut.
    pub left: &'a [String],
}

impl DrainCutShort<'_> {
    /// Says it.
    pub fn emit(self) {
        let left = self.left;
        tracing::warn!(?left, "stopped: the grace was over, what was left was cut");
    }
}

/// Access log lines were lost.
#[derive(Clone, Copy, Debug)]
pub struct AccessLogDropped {
    /// How many.
    pub lines: u64,
}

impl AccessLogDropped {
    /// Counts them and says so, a few times a minute.
    pub fn emit(self, metrics: &Metrics) {
        metrics.other().access_log_dropped.inc_by(self.lines);
        if let Some(suppressed) = metrics.throttles().access_log.admit(Instant::now()) {
            tracing::warn!(
                lines = self.lines,
                suppressed,
                "access log lines were lost: they cannot be written fast enough"
            );
        }
    }
}

/// The access log cannot be opened or written.
#[derive(Clone, Copy, Debug)]
pub struct AccessLogFailed<'a> {
    /// The file; `None` for standard output.
    pub path: Option<&'a Path>,
    /// What went wrong.
    pub error: &'a std::io::Error,
    /// How many lines were lost by it.
    pub lines: u64,
}

impl AccessLogFailed<'_> {
    /// Counts the lost lines and says so, a few times a minute.
    pub fn emit(self, metrics: &Metrics) {
        metrics.other().access_log_dropped.inc_by(self.lines);
        if let Some(suppressed) = metrics.throttles().access_log.admit(Instant::now()) {
            let path = self.path.unwrap_or(Path::new("standard output")).display();
            let (error, lines) = (self.error, self.lines);
            tracing::error!(%path, %error, lines, suppressed, "the access log cannot be written");
        }
    }
}

/// Whole seconds since 1970; negative before.
fn unix(time: SystemTime) -> i64 {
    let seconds = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => seconds(after),
        Err(before) => -seconds(before.duration()),
    }
}
