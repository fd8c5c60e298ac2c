//! Sets the least speed at which a client has to send and to read, instead of the route's `limits.min_rate`: a client that
//! stays below it over 30 seconds while there is something to move is refused with 408, or cut.
//!
//! ```toml
//! [[route]]
//! host = "uploads.example.com"
//! upstream = "http://127.0.0.1:8081"
//! use = [{ kind = "min-rate", rate = "10KiB/s" }]
//! ```
//!
//! Over HTTP/2, where requests share a connection, only the body of the request is held to it. `rate = "none"` lets
//! clients be as slow as they like: each of them then holds a connection for as long as it likes.

use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::units;
use routes::world::Reading;

use super::{Ask, BuildError, Building, Flow, Kind, Middleware};

/// The middleware.
#[derive(Debug)]
pub struct MinRate {
    rate: Option<u64>,
}

impl Kind for MinRate {
    const NAME: &'static str = "min-rate";
    const KEYS: &'static [Key] = &[Key::new("rate", Shape::Rate, "The least bytes in a second, or `none`.").required()];
    type Settings = Option<u64>;

    fn read(item: &Item<'_>, _: &mut Reading<'_>) -> Option<Option<u64>> {
        units::rate(item.get("rate")?.as_str()?).ok()
    }

    fn build(rate: Option<u64>, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(Self { rate })
    }
}

impl Middleware for MinRate {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        ask.done.min_rate = Some(self.rate);
        Flow::Next
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, get, made};

    #[test]
    fn the_last_one_that_sees_a_request_holds() {
        for (rate, wanted) in [("10KiB/s", Some(10 * 1024)), ("none", None)] {
            let (_, done) = ask(&made("min-rate", &format!("rate = \"{rate}\"")), &get("/"));
            assert_eq!(done.min_rate, Some(wanted));
        }
    }
}
