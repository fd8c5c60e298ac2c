//! Packets as clients and servers send them, at every prefix and however they are cut.

use super::*;

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + body.len()).expect("short");
    [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

fn startup(pairs: &[(&str, &str)]) -> Vec<u8> {
    let text = pairs.iter().map(|(name, value)| format!("{name}\0{value}\0")).collect::<String>();
    packet(V3, &[text.as_bytes(), &[0]].concat())
}

const V3: u32 = 3 << 16;
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

fn refused(bytes: &[u8]) -> Fault {
    match Opening::new().feed(bytes) {
        Step::Refuse(fault) => fault,
        step => panic!("{} gives {step:?}", bytes.escape_ascii()),
    }
}

fn begun(bytes: &[u8]) -> Startup {
    match Opening::new().feed(bytes) {
        Step::Startup(startup) => startup,
        step => panic!("{} gives {step:?}", bytes.escape_ascii()),
    }
}

/// Every prefix but the whole needs more, from the same opening.
fn at_every_prefix(opening: &Opening, bytes: &[u8]) -> Step {
    let mut opening = opening.clone();
    for cut in 0..bytes.len() {
        assert_eq!(opening.feed(&bytes[..cut]), Step::NeedMore, "{} at {cut}", bytes.escape_ascii());
    }
    opening.feed(bytes)
}

mod opening {
    use super::*;

    #[test]
    fn a_startup_packet_says_who_wants_what() {
        let bytes =
            startup(&[("user", "ada"), ("database", "app"), ("application_name", "psql"), ("options", "-c a=b")]);
        let Step::Startup(startup) = at_every_prefix(&Opening::new(), &bytes) else { panic!("a startup") };
        assert_eq!((startup.user.as_str(), startup.database.as_str(), startup.minor), ("ada", "app", 0));
        assert_eq!(startup.raw(), bytes);
        assert_eq!(startup.param("application_name"), Some(&b"psql"[..]));
        assert_eq!(startup.param("nothing"), None);
        assert!(!startup.is_replication());
    }

    #[test]
    fn bytes_behind_a_startup_packet_are_left_to_the_server() {
        let bytes = startup(&[("user", "ada")]);
        assert_eq!(begun(&[&bytes[..], b"Q..."].concat()).raw(), bytes);
    }

    #[test]
    fn the_database_is_named_like_the_user_unless_said_otherwise() {
        assert_eq!(begun(&startup(&[("user", "ada")])).database, "ada");
        assert_eq!(begun(&startup(&[("database", ""), ("user", "ada")])).database, "ada");
    }

    #[test]
    fn replicas_are_known() {
        for (value, expected) in
            [("true", true), ("database", true), ("1", true), ("ON", true), ("off", false), ("F", false)]
        {
            let startup = begun(&startup(&[("user", "r"), ("replication", value)]));
            assert_eq!(startup.is_replication(), expected, "{value}");
        }
    }

    #[test]
    fn later_minor_versions_pass_and_other_major_ones_do_not() {
        let body = b"user\0ada\0\0";
        assert_eq!(begun(&packet(V3 + 2, body)).minor, 2);
        assert_eq!(begun(&packet(V3 + 9999, body)).minor, 9999);
        for (code, major, minor) in [(2 << 16, 2, 0), ((4 << 16) + 1, 4, 1), (80_877_105, 1234, 5681), (0, 0, 0)] {
            assert_eq!(refused(&packet(code, body)), Fault::Protocol { major, minor });
            assert_eq!(refused(&packet(code, body)[..8]), Fault::Protocol { major, minor }, "as soon as it is said");
        }
    }

    #[test]
    fn encryption_is_asked_for_once_of_each_kind_in_either_order() {
        let bytes = startup(&[("user", "ada")]);
        for (first, second) in [(GSS_REQUEST, SSL_REQUEST), (SSL_REQUEST, GSS_REQUEST)] {
            let mut opening = Opening::new();
            for request in [first, second] {
                let expected = if request == SSL_REQUEST { Step::Ssl } else { Step::Gss };
                assert_eq!(at_every_prefix(&opening, &request), expected);
                assert_eq!(opening.feed(&request), expected);
            }
            for again in [first, second] {
                assert_eq!(opening.clone().feed(&again), Step::Refuse(Fault::EncryptionAgain));
            }
            assert!(matches!(at_every_prefix(&opening, &bytes), Step::Startup(_)));
        }
    }

    #[test]
    fn inside_of_tls_there_is_only_a_startup_or_a_cancel() {
        let mut opening = Opening::new();
        opening.enter_tls();
        for request in [SSL_REQUEST, GSS_REQUEST] {
            assert_eq!(at_every_prefix(&opening, &request), Step::Refuse(Fault::EncryptionAgain));
        }
        assert_eq!(opening.feed(&[22]), Step::Refuse(Fault::Length));
        assert!(matches!(at_every_prefix(&opening, &startup(&[("user", "ada")])), Step::Startup(_)));
        assert!(matches!(at_every_prefix(&opening, &packet(80_877_102, &[1; 8])), Step::Cancel(_)));
    }

    #[test]
    fn bytes_behind_a_request_for_encryption_are_refused_without_a_word() {
        for request in [SSL_REQUEST, GSS_REQUEST] {
            for behind in [&[0][..], &[22, 3, 1], &startup(&[("user", "ada")])] {
                let fault = refused(&[&request, behind].concat());
                assert_eq!(fault, Fault::BytesBehind);
                assert_eq!(fault.response(), None);
            }
        }
    }

    #[test]
    fn direct_tls_is_told_by_the_first_byte_of_all() {
        assert_eq!(Opening::new().feed(&[22]), Step::DirectTls);
        let mut opening = Opening::new();
        assert_eq!(opening.feed(&GSS_REQUEST), Step::Gss);
        assert_eq!(opening.feed(&[22]), Step::Refuse(Fault::Length));
    }

    #[test]
    fn cancel_requests_carry_short_and_long_keys() {
        for length in [4, 32, 256] {
            let cancel = Cancel { pid: 0xdead_beef, key: vec![7; length] };
            assert_eq!(at_every_prefix(&Opening::new(), &cancel.packet()), Step::Cancel(cancel));
        }
        for length in [0, 3, 257, 1000] {
            let cancel = Cancel { pid: 1, key: vec![7; length] };
            assert_eq!(refused(&cancel.packet()[..8]), Fault::Length, "{length}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_at_the_first_byte_that_tells() {
        for bytes in [
            &b"G"[..],
            b"S",
            &[0x80],
            &[0xff],
            &[1],
            &[0, 1],
            &[0, 0, 0x28],
            &[0, 0, 0x27, 0x11],
            &[0, 0, 0, 7],
            &[0, 0, 0, 0],
        ] {
            assert_eq!(refused(bytes), Fault::Length, "{bytes:?}");
            for cut in 0..bytes.len() - 1 {
                assert_eq!(Opening::new().feed(&bytes[..cut]), Step::NeedMore, "{bytes:?} at {cut}");
            }
        }
        assert_eq!(Opening::new().feed(&[0, 0, 0x27, 0x10]), Step::NeedMore);
        let mut long = SSL_REQUEST;
        long[3] = 9;
        assert_eq!(refused(&long), Fault::Length);
    }

    #[test]
    fn the_longest_startup_packet_passes() {
        let name = "x".repeat(MAX_STARTUP - startup(&[("user", "")]).len());
        let bytes = startup(&[("user", &name)]);
        assert_eq!(bytes.len(), MAX_STARTUP);
        assert_eq!(begun(&bytes).user, name);
        assert_eq!(refused(&startup(&[("user", &format!("{name}x"))])), Fault::Length);
    }

    #[test]
    fn a_startup_packet_without_a_user_is_refused() {
        for pairs in [&[][..], &[("database", "app")], &[("user", "")], &[("User", "ada")]] {
            assert_eq!(refused(&startup(pairs)), Fault::NoUser, "{pairs:?}");
        }
    }

    #[test]
    fn parameters_are_pairs_that_end_with_the_packet() {
        for body in [
            &b""[..],
            b"user\0ada\0",
            b"user\0ada",
            b"user\0\0",
            b"user",
            b"user\0ada\0\0x",
            b"\0\0",
            b"user\0ada\0\0\0",
        ] {
            assert_eq!(refused(&packet(V3, body)), Fault::Layout, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn a_user_or_database_named_twice_is_refused_rather_than_chosen_from() {
        assert_eq!(refused(&startup(&[("user", "a"), ("user", "a")])), Fault::Twice("user"));
        let databases = startup(&[("user", "a"), ("database", "b"), ("database", "c")]);
        assert_eq!(refused(&databases), Fault::Twice("database"));
        assert_eq!(
            begun(&startup(&[("user", "a"), ("options", "b"), ("options", "c")])).param("options"),
            Some(&b"c"[..])
        );
    }

    #[test]
    fn names_that_are_no_text_equal_no_configured_one() {
        let startup = begun(&packet(V3, b"user\0\xff\0\0"));
        assert_eq!(startup.user, "\u{fffd}");
        assert_eq!(startup.param("user"), Some(&b"\xff"[..]));
    }

    #[test]
    fn a_changed_byte_never_panics() {
        let bytes = startup(&[("user", "ada"), ("database", "app"), ("replication", "true")]);
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let mut changed = bytes.clone();
                changed[at] = value;
                for cut in [changed.len(), at + 1] {
                    if let Step::Startup(startup) = Opening::new().feed(&changed[..cut]) {
                        let _ = startup.is_replication();
                    }
                }
            }
        }
    }
}

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

    #[test]
    fn a_server_says_in_one_byte_what_it_thinks_of_tls() {
        assert_eq!(ssl_answer(b""), SslAnswer::NeedMore);
        assert_eq!(ssl_answer(b"S"), SslAnswer::Yes);
        assert_eq!(ssl_answer(b"N"), SslAnswer::No);
        assert_eq!(ssl_answer(b"S\x16"), SslAnswer::BytesBehind);
        assert_eq!(ssl_answer(b"NE"), SslAnswer::BytesBehind);
        assert_eq!(ssl_answer(b"E\0\0\0\x08"), SslAnswer::Error);
        assert_eq!(ssl_answer(b"HTTP/1.1"), SslAnswer::Other(b'H'));
        assert_eq!(Opening::new().feed(&SSL_REQUEST), Step::Ssl);
    }
}

mod watch {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(4 + body.len()).expect("short");
        [&[kind], &length.to_be_bytes()[..], body].concat()
    }

    fn key_data(pid: u32, key: &[u8]) -> Vec<u8> {
        message(b'K', &[&pid.to_be_bytes(), key].concat())
    }

    /// What a server says up to its first ReadyForQuery.
    fn greeting(key: &[u8]) -> Vec<u8> {
        [
            message(b'R', &[0, 0, 0, 10, b'S', 0, 0]),
            message(b'R', &[0; 4]),
            message(b'S', b"server_version\x0015.8\0"),
            message(b'N', b""),
            message(b'v', &[0; 300]),
            key_data(77, key),
            message(b'Z', b"I"),
        ]
        .concat()
    }

    fn expected(key: &[u8]) -> Watched {
        Watched::Key(BackendKey { pid: 77, key: key.to_vec() })
    }

    /// The first thing that is seen, with the bytes in pieces of `size`, and how many bytes it took.
    fn in_pieces(bytes: &[u8], size: usize) -> (Watched, usize) {
        let mut watch = BackendWatch::new();
        let mut fed = 0;
        for piece in bytes.chunks(size) {
            fed += piece.len();
            match watch.feed(piece) {
                Watched::More => {}
                seen => {
                    assert_eq!(watch.feed(b"Z"), Watched::Done);
                    return (seen, fed);
                }
            }
        }
        (Watched::More, fed)
    }

    #[test]
    fn the_key_is_found_however_the_bytes_are_cut() {
        for key in [&[1, 2, 3, 4][..], &[9; 32], &[9; 256]] {
            let bytes = greeting(key);
            let end = bytes.len() - 6;
            for size in 1..=bytes.len() {
                let (seen, fed) = in_pieces(&bytes, size);
                assert_eq!(seen, expected(key), "in pieces of {size}");
                assert!(fed < end + size);
            }
            for cut in 0..end {
                let mut watch = BackendWatch::new();
                assert_eq!(watch.feed(&bytes[..cut]), Watched::More, "at {cut}");
                assert_eq!(watch.feed(&bytes[cut..]), expected(key), "two pieces at {cut}");
            }
        }
    }

    #[test]
    fn it_ends_where_there_will_be_no_key() {
        let ready = [message(b'R', &[0; 4]), message(b'Z', b"I"), key_data(1, &[1; 4])].concat();
        let error = [message(b'E', b"SFATAL\0\0"), key_data(1, &[1; 4])].concat();
        let negative = [&[b'S', 0xff, 0xff, 0xff, 0xff][..], &key_data(1, &[1; 4])].concat();
        let short = [&[b'S', 0, 0, 0, 3][..], &key_data(1, &[1; 4])].concat();
        for bytes in [ready, error, negative, short, key_data(1, &[1; 3]), key_data(1, &[1; 257])] {
            for size in 1..=bytes.len() {
                assert_eq!(in_pieces(&bytes, size).0, Watched::Done, "{} in {size}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn long_messages_are_passed_over_without_being_kept() {
        let mut watch = BackendWatch::new();
        assert_eq!(watch.feed(&[b'S', 0x7f, 0xff, 0xff, 0xff]), Watched::More);
        let chunk = vec![b'Z'; 1 << 20];
        for _ in 0..2047 {
            assert_eq!(watch.feed(&chunk), Watched::More);
        }
        assert_eq!(watch.feed(&chunk[..(1 << 20) - 5]), Watched::More);
        assert_eq!(watch.feed(&key_data(77, &[5; 4])), expected(&[5; 4]));
    }
}
