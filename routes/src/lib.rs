//! Route files in, checked routes and a match table out. Pure: no async, no TLS, no sockets, no clock, no files:
//! texts, variables and the disk come in as arguments.

pub mod check;
pub mod document;
pub mod explain;
pub mod fault;
pub mod file;
pub mod host;
pub mod path;
pub mod route;
pub mod rule;
pub mod shape;
pub mod table;
pub mod target;
pub mod units;
pub mod world;

#[cfg(test)]
mod fixture;
