//! No bytes make the reader of ClientHellos panic, and what it said of some of them more bytes do not change.

#![no_main]

use edge_fuzz::l4::client_hello::{self, MAX_BYTES, Read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = client_hello::read(bytes);
    assert!(whole != Read::NeedMore || bytes.len() < MAX_BYTES);
    let cuts = [bytes.len() / 4, bytes.len() / 2, bytes.len().saturating_sub(1)];
    for cut in cuts {
        match client_hello::read(&bytes[..cut]) {
            Read::NeedMore => {}
            decided => assert_eq!(decided, whole),
        }
    }
    if let Read::Hello(hello) = whole {
        let name = hello.sni.unwrap_or_else(|| "none".to_owned());
        assert!(name.len() <= 253 && !name.ends_with('.') && name == name.to_ascii_lowercase());
    }
});
