//! The binary: everything is in the library.

use std::process::ExitCode;

/// glibc keeps the memory of connections that are closed; this gives it back, and its threads do so in the background.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    edge::cli::main()
}
