//! `edge demo`.

pub mod samples;
mod vars;
