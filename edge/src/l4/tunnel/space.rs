//! The space that bytes are read into, one for each thread. It is lent for a poll and never over one.

use std::cell::Cell;

/// Lends the thread's space to `work`.
pub(super) fn lend<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    // Taken, not borrowed: if a socket's poll came back here, it would find none and make its own.
    let mut space = SPACE.take().unwrap_or_else(|| vec![0; SIZE].into_boxed_slice());
    let done = work(&mut space);
    SPACE.set(Some(space));
    done
}

/// What one read can take.
pub(super) const SIZE: usize = 64 * 1024;

thread_local! {
    static SPACE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}
