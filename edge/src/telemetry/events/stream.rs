//! What happens to connections below HTTP.

use crate::telemetry::access_log::{AccessLog, SessionLine};
use crate::telemetry::metrics::TcpMetrics;
use crate::telemetry::stream_end::StreamEnd;

/// A connection of a `[[tcp]]` route has ended, or was refused.
#[derive(Clone, Debug)]
pub struct StreamEnded<'a> {
    /// How; the line's `result` is made of it.
    pub end: StreamEnd,
    /// All that is known of it.
    pub line: SessionLine<'a>,
}

impl StreamEnded<'_> {
    /// Counts it and writes its line in the access log. Servers that cannot be reached have their own event.
    pub fn emit(self, metrics: &TcpMetrics, log: &AccessLog) {
        let Self { end, line } = self;
        let result = end.label();
        metrics.ended(result);
        let line = SessionLine { result, ..line };
        log.write_session(&line);
        if end.blame().is_some() {
            let (entrypoint, route, client, detail) = (line.entrypoint, line.route, line.client, line.detail);
            tracing::debug!(entrypoint, route, %client, result, detail, "connection refused or broken");
        }
    }
}
