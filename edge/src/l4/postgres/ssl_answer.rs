//! What a server answers when it is asked for TLS.

/// The packet that asks a server for TLS.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A server's answer to [`SSL_REQUEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslAnswer {
    /// Nothing yet.
    NeedMore,
    /// TLS begins.
    Yes,
    /// It has no TLS.
    No,
    /// An error message: it is too busy or too old. Its text came in clear from anybody and is not believed.
    Error,
    /// Bytes stand behind a yes, and would be read as if TLS had protected them. The connection must be closed.
    BytesBehind,
    /// This is no PostgreSQL.
    Other(u8),
}

/// Reads all bytes that came since the request. The driver takes what is there in one read, not one byte: bytes behind the
/// answer are a fault that must be seen.
pub fn ssl_answer(received: &[u8]) -> SslAnswer {
    match received {
        [] => SslAnswer::NeedMore,
        [b'S'] => SslAnswer::Yes,
        [b'N'] => SslAnswer::No,
        [b'S' | b'N', ..] => SslAnswer::BytesBehind,
        [b'E', ..] => SslAnswer::Error,
        [other, ..] => SslAnswer::Other(*other),
    }
}
