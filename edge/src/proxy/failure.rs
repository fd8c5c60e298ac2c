//! Reads the engine's errors: the one place where they become a reason, and where a second try is allowed.

use pingora::{Error, ErrorSource, ErrorType};

use super::answer::refusal_of;
use crate::conn::control::StreamFault;
use crate::telemetry::{Outcome, Refusal};

/// Why a request failed. What the stream says of itself is the cause; the engine's error is only its echo.
pub(super) fn refusal(error: &Error, fault: Option<StreamFault>) -> Refusal {
    if let Some(fault) = fault {
        return refusal_of(fault);
    }
    match error.etype() {
        ErrorType::HTTPStatus(413) => return Refusal::BodyTooLarge,
        ErrorType::HTTPStatus(503) => return Refusal::NoUpstream,
        _ => {}
    }
    match error.esource() {
        ErrorSource::Upstream => match outcome(error, None) {
            Outcome::ConnectFailed => Refusal::ConnectFailed,
            Outcome::TlsFailed => Refusal::UpstreamTls,
            Outcome::TimedOut => Refusal::UpstreamTimeout,
            Outcome::Answered | Outcome::Broken | Outcome::ClientClosed | Outcome::GivenUp => Refusal::UpstreamBroken,
        },
        ErrorSource::Downstream => match error.etype() {
            ErrorType::WriteTimedout | ErrorType::ReadTimedout => Refusal::ClientTooSlow,
            ErrorType::InvalidHTTPHeader => Refusal::BadHeader,
            _ => Refusal::ClientClosed,
        },
        ErrorSource::Internal | ErrorSource::Unset => Refusal::Internal,
    }
}

/// How the try of a server ended that failed with `error`.
pub(super) fn outcome(error: &Error, fault: Option<StreamFault>) -> Outcome {
    use ErrorType as E;
    if fault == Some(StreamFault::NoAnswer) {
        return Outcome::TimedOut;
    }
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, _) => Outcome::ClientClosed,
        // Our own word against the request: it says nothing about the server, whatever a client does.
        (ErrorSource::Internal, _) | (_, E::HTTPStatus(_) | E::InternalError) => Outcome::GivenUp,
        (
            _,
            E::ConnectTimedout
            | E::ConnectRefused
            | E::ConnectNoRoute
            | E::ConnectError
            | E::SocketError
            | E::BindError,
        ) => Outcome::ConnectFailed,
        (
            _,
            E::TLSWantX509Lookup
            | E::TLSHandshakeFailure
            | E::TLSHandshakeTimedout
            | E::InvalidCert
            | E::HandshakeError,
        ) => Outcome::TlsFailed,
        (_, E::ReadTimedout | E::WriteTimedout) => Outcome::TimedOut,
        _ => Outcome::Broken,
    }
}
