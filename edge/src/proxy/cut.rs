//! The end of an HTTP/2 request that is dropped where it stands because its client or its server missed a limit. The engine
//! gets no word then, so what it would have had us tell at the end is told here.

use http::Version;

use super::cx::Cx;
use super::{answer, log};
use crate::conn::control::StreamFault;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::{Metrics, Outcome};

/// Counts the request with its server's try and writes its line.
pub(super) fn tell(cx: &mut Cx, metrics: &Metrics, access_log: &AccessLog, fault: StreamFault) {
    let why = fault.to_string();
    if let Some((pick, _)) = cx.pick.take() {
        let is_silent = fault == StreamFault::NoAnswer;
        pick.done(if is_silent { Outcome::TimedOut } else { Outcome::ClientClosed }, None, Some(&why));
    }
    answer::note(cx, metrics, answer::refusal_of(fault), Some(&why));
    let method = cx.asked.method.as_str();
    let seen =
        log::Seen { method, version: Version::HTTP_2, sent: None, body_bytes: 0, user_agent: None, referer: None };
    log::tell(cx, access_log, &seen);
}
