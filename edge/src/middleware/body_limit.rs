//! Refuses request bodies that are larger than `max` with 413: before a byte of them is read when the request tells their
//! length, else as soon as they grow past it. So parts of a host can have less than the route's `limits.body` allows;
//! more than that it cannot give.
//!
//! ```toml
//! [middleware.small]
//! kind = "body-limit"
//! max = "64KiB"
//! ```
//!
//! A body without a stated length is passed on while it is read: when it grows past `max`, the request to the server is
//! broken off, so that the server sees that it is not whole.

use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::units;
use routes::world::Reading;

use super::{Ask, BuildError, Building, Flow, Kind, Middleware};

/// The middleware.
#[derive(Debug)]
pub struct BodyLimit {
    max: u64,
}

impl Kind for BodyLimit {
    const NAME: &'static str = "body-limit";
    const KEYS: &'static [Key] = &[Key::new("max", Shape::Bytes, "The most bytes of a request body.").required()];
    type Settings = u64;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<u64> {
        size(&item.get("max")?, reading)
    }

    fn build(max: u64, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(Self { max })
    }
}

/// A size that is a limit.
pub(super) fn size(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<u64> {
    let size = units::bytes(item.as_str()?).ok()?;
    if size.is_none() {
        let fault = item.fault(format!("`{}` must be a size here", item.name()));
        reading.faults.push(fault.hint("no limit at all is `limits = { body = \"none\" }` of the route"));
    }
    size
}

impl Middleware for BodyLimit {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        ask.limit_body(self.max).err().unwrap_or(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, get, made};
    use super::*;
    use crate::telemetry::Refusal;

    #[test]
    fn a_body_that_says_its_length_is_refused_before_it_is_read() {
        let middleware = made("body-limit", "max = \"1KiB\"");
        for (length, passes) in [("0", true), ("1024", true), ("1025", false), ("18446744073709551615", false)] {
            let (flow, done) = ask(&middleware, &get("/").header("content-length", length));
            match flow {
                Flow::Next => assert!(passes && done.body_limit == Some(1024), "{length}"),
                Flow::Refuse(denial) => assert!(!passes && denial.reason == Refusal::BodyTooLarge, "{length}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_least_of_several_limits_holds() {
        let request = get("/");
        let mut done = super::super::Done::default();
        for (max, limit) in [("2KiB", 2048), ("1KiB", 1024), ("4KiB", 1024)] {
            let middleware = made("body-limit", &format!("max = \"{max}\""));
            middleware.request(&mut Ask { from: request.asker(), done: &mut done });
            assert_eq!(done.body_limit, Some(limit));
        }
    }
}
