//! One accepted connection: its facts, the checks on its bytes, and the stream type that the HTTP engine reads from.
//!
//! Nothing here chooses a route or an answer.

pub mod h1_body;
pub mod h1_head;
pub mod h2_guard;
pub mod pace;
