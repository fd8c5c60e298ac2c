//! The public front door of a self-hosted ML platform: terminates TLS with certificates that it gets itself, routes by name, and says what it does.
//!
//! A library only for its own tests and binary; users run `edge`.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod conn;
pub mod demo;
pub mod l4;
pub mod listen;
pub mod middleware;
pub mod proxy;
pub mod reload;
pub mod snapshot;
pub mod tasks;
pub mod telemetry;
pub mod upstream;
