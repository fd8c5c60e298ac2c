//! Packets as clients and servers send them, at every prefix and however they are cut.

use super::*;

mod answers {
    use super::*;

    /// The fields of an ErrorResponse.
    fn fields(bytes: &[u8]) -> Vec<(u8, String)> {
        assert_eq!(bytes[0], b'E');
        let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        assert_eq!(usize::try_from(length).expect("short") + 1, bytes.len());
        let (last, fields) = bytes[5..].split_last().expect("a terminator");
        assert_eq!(*last, 0);
        let fields = fields.split_inclusive(|byte| *byte == 0);
        fields.map(|field| (field[0], String::from_utf8_lossy(&field[1..field.len() - 1]).into_owned())).collect()
    }

    fn pair(kind: u8, text: &str) -> (u8, String) {
        (kind, text.to_owned())
    }

    #[test]
    fn an_error_has_the_fields_that_clients_look_for() {
        let error = ErrorResponse { sqlstate: "28000", message: "no".into(), hint: Some("yes") };
        let expected =
            [pair(b'S', "FATAL"), pair(b'V', "FATAL"), pair(b'C', "28000"), pair(b'M', "no"), pair(b'H', "yes")];
        assert_eq!(fields(&error.encode()), expected);
        assert_eq!(fields(&ErrorResponse { hint: None, ..error }.encode()), expected[..4]);
    }

    #[test]
    fn what_a_stranger_sent_cannot_end_a_field() {
        let database = "a\0Mforged\u{1b}[2J".to_owned();
        let refusal = Refusal::UnknownDatabase { database, user: "x".repeat(5000) };
        let message = &fields(&refusal.response().encode())[3].1;
        assert!(message.starts_with("no route for database \"a?Mforged?[2J\" and user \"xxx"), "{message}");
        assert!(message.len() <= 400);
    }

    #[test]
    fn every_fault_and_refusal_has_its_own_label_and_a_sqlstate() {
        let faults = [
            Fault::Length,
            Fault::BytesBehind,
            Fault::EncryptionAgain,
            Fault::Protocol { major: 2, minor: 0 },
            Fault::Layout,
            Fault::Twice("user"),
            Fault::NoUser,
        ];
        let refusals = [
            Refusal::Plaintext,
            Refusal::NoAlpn,
            Refusal::UnknownName,
            Refusal::UnknownDatabase { database: "d".into(), user: "u".into() },
            Refusal::Address,
            Refusal::Connections,
            Refusal::ClientConnections,
            Refusal::ClientRate,
            Refusal::StartupTimeout(std::time::Duration::from_secs(10)),
            Refusal::Unreachable,
            Refusal::UpstreamTimeout,
            Refusal::UpstreamNoTls,
            Refusal::UpstreamCertificate,
            Refusal::UpstreamProtocol,
            Refusal::Stopping,
        ];
        let labels: Vec<_> = faults.iter().map(Fault::label).chain(refusals.iter().map(Refusal::label)).collect();
        let different: std::collections::BTreeSet<_> = labels.iter().collect();
        assert_eq!(different.len(), labels.len());
        let said = faults.iter().filter_map(Fault::response).chain(refusals.iter().map(Refusal::response));
        for response in said {
            assert_eq!(response.sqlstate.len(), 5, "{response:?}");
            assert!(!response.message.is_empty() && !response.message.ends_with('.'), "{response:?}");
        }
        assert_eq!(Fault::NoUser.response().map(|said| said.sqlstate), Some("28000"));
        assert_eq!(Fault::Protocol { major: 2, minor: 0 }.response().map(|said| said.sqlstate), Some("0A000"));
    }
}
