//! No bytes make the reader of PROXY headers panic, and it never takes more of them than a header may have.

#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use edge_fuzz::listen::proxy_header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut stream = bytes;
    let read = pin!(proxy_header::read(&mut stream)).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(read, Poll::Ready(_)), "bytes that are there are not waited for");
    assert!(bytes.len() - stream.len() <= 536);
});
