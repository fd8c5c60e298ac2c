//! From a bound address to requests: the front door, the caps in front of it, and the request loops behind it.

pub mod caps;
pub mod certificates;
pub mod front_door;
pub mod open;
pub mod proxy_header;
pub mod serve;
pub mod tls;
