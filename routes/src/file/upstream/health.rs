//! How it is written when a server is taken for well: `health`, `eject`, and what the reader makes of them.

use std::time::Duration;

use super::Reader;
use crate::document::{Item, Kind};
use crate::shape::{Key, Shape};
use crate::target::{Eject, Health, Probe, Statuses};

pub(super) const HEALTH: Shape = Shape::Either(&[
    Shape::Table(&[
        Key::new(
            "path",
            Shape::Text("a path"),
            "What is asked for, with GET. Without it, a connection is all that is asked.",
        ),
        Key::new("every", Shape::Duration, "How often; a tenth more or less by chance.").default("\"5s\""),
        Key::new("timeout", Shape::Duration, "How long an answer may take.").default("\"2s\""),
        Key::new("status", Shape::Text("statuses"), "Good answers, such as `200-299,401`.").default("\"200-399\""),
        Key::new("up_after", COUNT, "Good answers in a row after which a server is up again.").default("2"),
        Key::new("down_after", COUNT, "Failures in a row after which it is down.").default("3"),
    ]),
    Shape::Bool,
]);
pub(super) const HEALTH_DOC: &str = "Asks every server again and again whether it is well, over the same TLS and with the \
    same Host as requests. One that is down gets no request. When all are down, the edge answers 503 (`no_upstream`) without \
    trying. `true`: with the defaults below; `false`: servers are judged by requests alone.";
pub(in crate::file) const SLOW_START_DOC: &str = "How long the share of a server grows after a health check found it up again; `\"0\"` \
    is at once.";

pub(in crate::file) const EJECT: Shape = Shape::Either(&[
    Shape::Table(&[
        Key::new("after", COUNT, "Failures in a row after which it is.").default("5"),
        Key::new("time", Shape::Duration, "For how long; each time in a row it is twice as long.").default("\"10s\""),
        Key::new("max", Shape::Duration, "For how long at most.").default("\"300s\""),
    ]),
    Shape::Bool,
]);
pub(in crate::file) const EJECT_DOC: &str = "A server on which requests fail one after the other (no connection, broken off, no answer \
    in time) is left alone for a while, never more than half of the servers, and then comes back with a share that grows. \
    `false`: never.";

pub(in crate::file) const COUNT: Shape = Shape::Integer { min: 1, max: 100 };
/// The shortest time between two checks of a server.
const OFTEN: Duration = Duration::from_millis(100);

impl Reader<'_> {
    pub(super) fn http_health(&mut self, upstream: &Item<'_>) -> Option<Health> {
        self.health(upstream, Probe::Connect, Self::probe)
    }

    /// `usual` is asked where the file only says that something is; `read` is what its table says.
    pub(in crate::file) fn health(
        &mut self,
        upstream: &Item<'_>,
        usual: Probe,
        read: impl FnOnce(&mut Self, &Item<'_>) -> Probe,
    ) -> Option<Health> {
        let item = upstream.get("health").filter(|item| item.as_bool() != Some(false))?;
        let default = Health { probe: usual, ..Health::default() };
        if item.kind() != Kind::Table {
            return Some(default);
        }
        let every = time(&item, "every", default.every);
        let timeout = time(&item, "timeout", default.timeout);
        for (key, given) in [("every", every), ("timeout", timeout)] {
            if let Some(item) = item.get(key).filter(|_| given < OFTEN) {
                self.faults.push(item.fault(format!("`{key}` of a health check is at least 100ms")));
            }
        }
        Some(Health {
            probe: read(self, &item),
            every,
            timeout,
            up_after: count(&item, "up_after", default.up_after),
            down_after: count(&item, "down_after", default.down_after),
        })
    }

    fn probe(&mut self, item: &Item<'_>) -> Probe {
        let status = item.get("status");
        let read = status.as_ref().and_then(Item::as_str).map(Statuses::parse);
        if let (Some(status), Some(None)) = (&status, &read) {
            let fault = status.fault("`status` cannot be read: it is a list of statuses and ranges");
            self.faults.push(fault.hint("write it like \"200-399\" or \"200,204,401\""));
        }
        let path = item.get("path");
        let Some((path, text)) = path.as_ref().and_then(|path| Some((path, path.as_str()?))) else {
            if let Some(status) = status {
                self.faults.push(status.warning("`status` is not used: without `path` nothing is asked for"));
            }
            return Probe::Connect;
        };
        if !text.starts_with('/') || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            self.faults.push(path.fault(format!("`{text}` is no path")).hint("write it like \"/healthz\""));
        }
        Probe::Get { path: text.to_owned(), status: read.flatten().unwrap_or_default() }
    }

    pub(in crate::file) fn eject(&mut self, upstream: &Item<'_>) -> Option<Eject> {
        let default = Eject::default();
        let Some(item) = upstream.get("eject") else { return Some(default) };
        if item.as_bool() == Some(false) {
            return None;
        }
        let eject = Eject {
            after: count(&item, "after", default.after),
            time: time(&item, "time", default.time),
            max: time(&item, "max", default.max),
        };
        if eject.time.is_zero() || eject.max < eject.time {
            let fault = item.fault("`eject` needs a `time` above 0 and a `max` that is not shorter");
            self.faults.push(fault.hint("write eject = false if no server is ever to be left alone"));
        }
        Some(eject)
    }
}

impl Reader<'_> {
    /// `example` is a check that makes sense of it.
    pub(in crate::file) fn slow_start(&mut self, upstream: &Item<'_>, is_checked: bool, example: &str) -> Duration {
        let slow_start = time(upstream, "slow_start", Duration::ZERO);
        if let Some(given) = upstream.get("slow_start").filter(|_| !is_checked && !slow_start.is_zero()) {
            let fault =
                given.warning("`slow_start` is not used: without health checks no server is found to be up again");
            self.faults.push(fault.hint(format!("add `health`, such as {example}")));
        }
        slow_start
    }
}

fn time(item: &Item<'_>, key: &str, default: Duration) -> Duration {
    item.get(key).and_then(|item| item.as_duration()).unwrap_or(default)
}

fn count(item: &Item<'_>, key: &str, default: u32) -> u32 {
    let given = item.get(key).and_then(|item| item.as_integer());
    given.and_then(|count| u32::try_from(count).ok()).unwrap_or(default)
}
