//! `edge demo`.
pub mod samples;
