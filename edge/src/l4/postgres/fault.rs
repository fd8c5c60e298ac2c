//! What a client may do wrong before its session begins.

use super::error_response::ErrorResponse;

/// Why the opening of a client is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first bytes are the length of no startup packet: another protocol, or nonsense.
    #[error("invalid length of startup packet")]
    Length,
    /// Bytes stand behind an SSLRequest or a GSSENCRequest. Whoever put them there wants them to be read as encrypted.
    #[error("bytes behind a request for encryption")]
    BytesBehind,
    /// A second request of the same kind, or one inside of TLS.
    #[error("encryption was asked for again")]
    EncryptionAgain,
    /// Not version 3.
    #[error("unsupported frontend protocol {major}.{minor}: edge speaks 3.0 and later")]
    Protocol {
        /// The client's major version.
        major: u16,
        /// The client's minor version.
        minor: u16,
    },
    /// The parameters are no pairs that end with the packet.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
    /// The user or the database stands twice: the edge and the server might choose different ones.
    #[error("the startup packet names {0} twice")]
    Twice(&'static str),
    /// Nobody wants to log in.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
}

impl Fault {
    /// What the client is told; none if the connection is to be closed without a word.
    pub fn response(&self) -> Option<ErrorResponse> {
        let (sqlstate, _) = self.decided()?;
        Some(ErrorResponse { sqlstate, message: self.to_string().into(), hint: None })
    }

    /// The reason as a label.
    pub fn label(&self) -> &'static str {
        self.decided().map_or("bytes_behind", |(_, label)| label)
    }

    fn decided(&self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::BytesBehind => return None,
            Self::Length => ("08P01", "length"),
            Self::EncryptionAgain => ("08P01", "encryption_again"),
            Self::Protocol { .. } => ("0A000", "protocol"),
            Self::Layout => ("08P01", "layout"),
            Self::Twice(_) => ("08P01", "twice"),
            Self::NoUser => ("28000", "no_user"),
        })
    }
}
