//! Real hellos of rustls and hand-made ones, at every prefix and however they are cut.

use std::sync::Arc;

use super::*;

/// What rustls sends first for `name`.
fn real(name: &str, alpn: &[&[u8]], versions: &[&'static rustls::SupportedProtocolVersion]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions of this provider")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = name.to_owned().try_into().expect("a server name");
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("a Vec takes all");
    bytes
}

fn vec8(body: &[u8]) -> Vec<u8> {
    [&[u8::try_from(body.len()).expect("short")], body].concat()
}

fn vec16(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).expect("short").to_be_bytes()[..], body].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), vec16(body)].concat()
}

fn sni(name: &[u8]) -> Vec<u8> {
    extension(SERVER_NAME, &vec16(&[vec![HOST_NAME], vec16(name)].concat()))
}

/// A message with its head, from what stands behind the compression methods.
fn message_of(tail: &[u8]) -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], &vec8(&[9; 32]), &vec16(&[0x13, 1, 0xc0, 0x2f]), &vec8(&[0]), tail].concat();
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&[CLIENT_HELLO], &length[1..], &body].concat()
}

fn with(extensions: &[Vec<u8>]) -> Vec<u8> {
    message_of(&vec16(&extensions.concat()))
}

/// `message` in records of `size` bytes each.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [vec![RECORD_HANDSHAKE, 3, 1], vec16(part)].concat()).collect()
}

fn one(message: &[u8]) -> Read {
    read(&records(message, 16_000))
}

fn said(name: &str, alpn: &[&[u8]]) -> Read {
    let sni = Some(name.to_owned()).filter(|name| !name.is_empty());
    Read::Hello(ClientHello { sni, alpn: alpn.iter().map(|name| name.to_vec()).collect() })
}

/// Every prefix needs more, and all of it, with or without something behind, is `expected`.
fn at_every_prefix(bytes: &[u8], expected: &Read) {
    for cut in 0..bytes.len() {
        assert_eq!(read(&bytes[..cut]), Read::NeedMore, "at {cut} of {}", bytes.len());
    }
    assert_eq!(read(bytes), *expected);
    assert_eq!(read(&[bytes, &[23, 3, 3, 0, 1, 0]].concat()), *expected);
}

#[test]
fn real_hellos_are_read_once_all_of_them_is_there() {
    use rustls::version::{TLS12, TLS13};
    let alpn: &[&[u8]] = &[b"postgresql", b"h2"];
    at_every_prefix(&real("db.example.org", alpn, &[&TLS13]), &said("db.example.org", alpn));
    at_every_prefix(&real("DB.Example.org", &[], &[&TLS12]), &said("db.example.org", &[]));
    at_every_prefix(&real("a.example.org", &alpn[..1], &[&TLS12, &TLS13]), &said("a.example.org", &alpn[..1]));
    at_every_prefix(&real("192.0.2.7", &[], &[&TLS13]), &said("", &[]));
}

#[test]
fn a_hello_spread_over_records_reads_like_whole_at_every_cut() {
    let hello = real("db.example.org", &[b"postgresql"], &[&rustls::version::TLS13]);
    let message = &hello[RECORD_HEAD..];
    for cut in 1..message.len() {
        let two = [records(&message[..cut], 16_000), records(&message[cut..], 16_000)].concat();
        assert_eq!(read(&two), said("db.example.org", &[b"postgresql"]), "two records at {cut}");
        assert_eq!(read(&two[..two.len() - 1]), Read::NeedMore, "two records at {cut} but for a byte");
    }
    at_every_prefix(&records(message, message.len().div_ceil(MAX_RECORDS)), &said("db.example.org", &[b"postgresql"]));
    let small = with(&[sni(b"a.b")]);
    at_every_prefix(&records(&small, 3), &said("a.b", &[]));
}

#[test]
fn hellos_of_old_clients_have_no_extensions() {
    at_every_prefix(&records(&message_of(&[]), 16_000), &said("", &[]));
    assert_eq!(one(&with(&[])), said("", &[]));
    assert_eq!(one(&with(&[extension(10, &[0, 0])])), said("", &[]));
}

#[test]
fn names_are_lower_case_without_a_dot_and_addresses_are_none() {
    for (sent, expected) in [
        (&b"DB.Example.ORG."[..], "db.example.org"),
        (b"my_db", "my_db"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"192.0.2.1", ""),
        (b"192.0.2.1.", ""),
        (b"2001:db8::1", ""),
    ] {
        assert_eq!(one(&with(&[sni(sent)])), said(expected, &[]), "{}", sent.escape_ascii());
    }
}

#[test]
fn what_is_no_host_name_is_refused() {
    let long = [b"a.".repeat(126), b"aa".to_vec()].concat();
    let label = [b'a'; 64];
    for name in
        [&b""[..], b".", b"a..b", b".a", b"*.a", b"a b", b"a/b", "ä.de".as_bytes(), b"a\0", &[0xff], &label, &long]
    {
        assert_eq!(one(&with(&[sni(name)])), Read::Malformed(Malformed::ServerName), "{}", name.escape_ascii());
    }
    assert_eq!(one(&with(&[sni(&long[..253])])), said(&String::from_utf8_lossy(&long[..253]), &[]));
    assert_eq!(one(&with(&[sni(&[b'a'; 300])])), Read::Malformed(Malformed::ServerName));
}

#[test]
fn two_names_or_two_lists_are_refused_rather_than_chosen_from() {
    let alpn = extension(ALPN, &vec16(&vec8(b"h2")));
    assert_eq!(one(&with(&[sni(b"a"), sni(b"a")])), Read::Malformed(Malformed::Twice(SERVER_NAME)));
    assert_eq!(one(&with(&[alpn.clone(), alpn])), Read::Malformed(Malformed::Twice(ALPN)));
    let entry = [vec![HOST_NAME], vec16(b"a")].concat();
    let two = extension(SERVER_NAME, &vec16(&[entry.clone(), entry.clone()].concat()));
    assert_eq!(one(&with(&[two])), Read::Malformed(Malformed::ServerName));
    let behind = extension(SERVER_NAME, &[vec16(&entry), vec![0]].concat());
    assert_eq!(one(&with(&[behind])), Read::Malformed(Malformed::ServerName));
    let other = extension(SERVER_NAME, &vec16(&[vec![1], vec16(b"a")].concat()));
    assert_eq!(one(&with(&[other])), Read::Malformed(Malformed::ServerName));
}

#[test]
fn protocols_have_names() {
    for body in [vec16(&[]), vec16(&vec8(b"")), [vec16(&vec8(b"h2")), vec![0]].concat()] {
        assert_eq!(one(&with(&[extension(ALPN, &body)])), Read::Malformed(Malformed::Alpn), "{body:?}");
    }
}

#[test]
fn a_length_that_does_not_fit_is_refused_wherever_it_stands() {
    let lengths = Read::Malformed(Malformed::Lengths);
    let whole = with(&[sni(b"a.b"), extension(ALPN, &vec16(&vec8(b"h2")))]);
    // The message is as long as it says, but what is inside ends early: every length inside is cut once.
    for cut in HANDSHAKE_HEAD..whole.len() {
        let mut short = whole[..cut].to_vec();
        let length = u32::try_from(cut - HANDSHAKE_HEAD).expect("short").to_be_bytes();
        short[1..HANDSHAKE_HEAD].copy_from_slice(&length[1..]);
        let ends_before_extensions = HANDSHAKE_HEAD + VERSION_AND_RANDOM + 33 + 6 + 2;
        let expected = if cut == ends_before_extensions { said("", &[]) } else { lengths.clone() };
        assert_eq!(one(&short), expected, "cut at {cut}");
    }
    assert_eq!(one(&message_of(&[vec16(&sni(b"a")), vec![0]].concat())), lengths);
    assert_eq!(one(&with(&[extension(SERVER_NAME, &[])])), lengths);
    assert_eq!(one(&with(&[extension(SERVER_NAME, &[0, 9, 0])])), lengths);
    assert_eq!(one(&with(&[extension(ALPN, &vec16(&[9, b'a']))])), lengths);
    assert_eq!(one(&[CLIENT_HELLO, 0, 0, 0]), lengths);
}

#[test]
fn records_that_cannot_become_a_hello_are_refused_at_the_first_byte_that_tells() {
    use Malformed as M;
    for (bytes, expected) in [
        (&[22, 2][..], M::RecordVersion(2)),
        (&[22, 3, 1, 0, 0], M::RecordLength(0)),
        (&[22, 3, 1, 0x40, 1], M::RecordLength(16_385)),
        (&[22, 3, 1, 0, 4, 2], M::NotHello(2)),
        (&[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff], M::TooLong(0x00ff_ffff)),
        (&[22, 3, 1, 0, 4, 1, 0, 0x3f, 0xfd], M::TooLong(16_381)),
        (&[22, 3, 1, 0, 1, 1, 21], M::RecordType(21)),
        (&[22, 3, 1, 0, 1, 1, 22, 4], M::RecordVersion(4)),
    ] {
        assert_eq!(read(bytes), Read::Malformed(expected), "{bytes:?}");
        for cut in 0..bytes.len() - 1 {
            assert_eq!(read(&bytes[..cut]), Read::NeedMore, "{bytes:?} at {cut}");
        }
    }
    let dust = records(&with(&[sni(b"a.b")]), 1);
    assert_eq!(read(&dust[..MAX_RECORDS * 6]), Read::NeedMore);
    assert_eq!(read(&dust[..=MAX_RECORDS * 6]), Read::Malformed(M::TooManyRecords));
}

#[test]
fn the_longest_hello_passes() {
    let padding = vec![0; MAX_MESSAGE - with(&[sni(b"a.b")]).len() - 4];
    let message = with(&[sni(b"a.b"), extension(21, &padding)]);
    assert_eq!(message.len(), MAX_MESSAGE);
    let bytes = records(&message, MAX_MESSAGE / MAX_RECORDS);
    assert_eq!(bytes.len(), MAX_BYTES);
    assert_eq!(read(&bytes), said("a.b", &[]));
    assert_eq!(read(&bytes[..MAX_BYTES - 1]), Read::NeedMore);
}

#[test]
fn other_protocols_are_told_by_their_first_byte() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x", &[0, 0, 0, 8], &[0x80, 0x2e, 1]] {
        assert_eq!(read(bytes), Read::NotTls(bytes[0]));
    }
    assert_eq!(read(&[]), Read::NeedMore);
}

#[test]
fn a_changed_byte_never_panics() {
    let hello = real("db.example.org", &[b"postgresql"], &[&rustls::version::TLS12]);
    for at in 0..hello.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut changed = hello.clone();
            changed[at] = value;
            let _ = read(&changed);
        }
    }
}
