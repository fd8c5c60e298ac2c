//! However a server's words are cut, the watch sees the same in them.

#![no_main]

use edge_fuzz::l4::postgres::{BackendWatch, Watched};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let whole = BackendWatch::new().feed(bytes);
    let mut watch = BackendWatch::new();
    let pieces = bytes.chunks(usize::from(*size).max(1)).map(|piece| watch.feed(piece));
    let cut = pieces.fold(Watched::More, |seen, next| if seen == Watched::More { next } else { seen });
    assert_eq!(cut, whole);
});
