//! `edge demo`.
pub mod folder;
pub mod samples;
mod vars;
mod words;
