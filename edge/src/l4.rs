//! What passes through the edge below HTTP.

pub mod udp;
