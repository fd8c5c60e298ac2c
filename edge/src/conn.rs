//! One accepted connection: its facts, the checks on its bytes, and the stream type that the HTTP engine reads from.
//!
//! Nothing here chooses a route or an answer.

pub mod body_watch;
pub mod caps;
pub mod client_key;
pub mod control;
pub mod facts;
pub mod h1_body;
pub mod h1_guard;
pub mod h1_head;
pub mod h2_guard;
mod linger;
pub mod local;
pub mod pace;
pub mod pingora_io;
pub mod prefixed;
pub mod stream;
mod timer;
