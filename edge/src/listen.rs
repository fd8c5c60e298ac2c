//! From a bound address to requests: the front door, and the request loops behind it.

mod cancelling;
pub mod certificates;
pub mod front_door;
pub mod open;
mod postgres;
pub mod proxy_header;
pub mod serve;
pub mod shared;
mod streams;
pub mod tls;
mod tls_end;
mod visit;
