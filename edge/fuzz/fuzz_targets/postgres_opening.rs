//! No bytes make the reader of a client's opening panic, wait for ever or change its mind.

#![no_main]

use edge_fuzz::l4::postgres::{Fault, MAX_STARTUP, Opening, Step, ssl_answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = ssl_answer(bytes);
    let mut opening = Opening::new();
    let Some((tls, bytes)) = bytes.split_first() else { return };
    if tls % 2 == 1 {
        opening.enter_tls();
    }
    for half in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
        match (opening.clone().feed(&bytes[..half]), opening.clone().feed(bytes)) {
            (Step::NeedMore, _) => {}
            // Only what is glued behind these makes a difference.
            (Step::Ssl | Step::Gss, whole) => assert_eq!(whole, Step::Refuse(Fault::BytesBehind)),
            (decided, whole) => assert_eq!(decided, whole),
        }
    }
    match opening.feed(bytes) {
        Step::NeedMore => assert!(bytes.len() < MAX_STARTUP),
        Step::Startup(startup) => {
            assert!(bytes.starts_with(startup.raw()) && !startup.user.is_empty() && !startup.database.is_empty());
            assert!(startup.param("user").is_some());
            let _ = startup.is_replication();
        }
        Step::Cancel(cancel) => assert!(bytes.starts_with(&cancel.packet())),
        Step::Refuse(fault) => {
            let _ = (fault.label(), fault.response().map(|response| response.encode()));
        }
        Step::Gss | Step::Ssl => assert_eq!(bytes.len(), 8),
        Step::DirectTls => assert_eq!(bytes[0], 22),
    }
});
