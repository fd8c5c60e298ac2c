//! Why a request was not served: every reason with its status, label and words, in one table.
//!
//! The table is all there is: who refuses decides on a reason here and nowhere else on a status.

use http::StatusCode;

/// Who has to do something about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request itself: nobody is woken for it.
    Client,
    /// The configuration or the state of the edge.
    Operator,
    /// The server behind the route.
    Upstream,
}

struct Terms {
    status: u16,
    label: &'static str,
    blame: Blame,
    words: &'static str,
}

/// Makes the enum, its list and its terms from one table, so that none can lack an entry.
macro_rules! refusals {
    ($($variant:ident = $status:literal $label:literal $blame:ident $words:literal)*) => {
        /// A reason for which a request is refused or cut.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $(#[doc = $words] $variant),*
        }

        impl Refusal {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            const fn terms(self) -> Terms {
                match self {
                    $(Self::$variant => Terms {
                        status: $status,
                        label: $label,
                        blame: Blame::$blame,
                        words: $words,
                    }),*
                }
            }
        }
    };
}

refusals! {
    // What the request says
    BadRequestLine = 400 "bad_request_line" Client "The request line is malformed."
    BadHeader = 400 "bad_header" Client "A header field is malformed."
    BadFraming = 400 "bad_framing" Client "The length of the body is not stated clearly."
    BadHost = 400 "bad_host" Client "The Host is missing, doubled or malformed."
    AmbiguousPath = 400 "ambiguous_path" Client "The path can be read in more than one way."
    ProtectedHeader = 400 "protected_header" Client "Connection names a header that must not be removed."
    BadUpgrade = 400 "bad_upgrade" Client "The upgrade request is malformed or not supported."
    VersionNotSupported = 505 "version_not_supported" Client "This version of HTTP is not supported."
    UnsupportedCoding = 501 "unsupported_coding" Client "This transfer coding is not supported."
    MethodNotAllowed = 405 "method_not_allowed" Client "This method is not allowed here."
    ExpectationFailed = 417 "expectation_failed" Client "This expectation cannot be met."
    // How much and how fast
    UriTooLong = 414 "uri_too_long" Client "The request line is too long."
    HeaderTooLarge = 431 "header_too_large" Client "The request header is too large."
    TooManyFields = 431 "too_many_fields" Client "The request has too many header fields."
    BodyTooLarge = 413 "body_too_large" Client "The request body is larger than this route allows."
    HeaderTimeout = 408 "header_timeout" Client "The request header did not arrive in time."
    ClientTooSlow = 408 "client_too_slow" Client "The client sends or reads too slowly."
    RateLimited = 429 "rate_limited" Client "Too many requests; try again later."
    TooManyStreams = 503 "too_many_streams" Client "Too many requests at once on this connection."
    ClientClosed = 499 "client_closed" Client "The client went away before the answer was complete."
    // Where it may go
    UnknownHost = 404 "unknown_host" Client "No route serves this host."
    NoRoute = 404 "no_route" Client "No route of this host serves this path."
    Misdirected = 421 "misdirected" Client "The certificate of this connection is not for this host."
    Unauthorized = 401 "unauthorized" Client "A valid login is needed."
    BadLogin = 401 "bad_login" Client "The login is wrong, has expired or is not for this place."
    LoginThrottled = 429 "login_throttled" Client "Too many wrong logins; try again later."
    Forbidden = 403 "forbidden" Client "This is not allowed."
    DeniedPath = 403 "denied_path" Client "This path is not open to this client."
    DeniedClient = 403 "denied_client" Client "This address is not allowed here."
    DeniedOrigin = 403 "denied_origin" Client "This origin is not allowed here."
    RejectedRoute = 503 "rejected_route" Operator "The route of this host has a fault in its configuration."
    ClosedRoute = 503 "closed_route" Operator "This route is closed because a file that protects it is missing."
    QueueFull = 503 "queue_full" Operator "Too many requests are waiting for this route; try again later."
    AuthUnavailable = 503 "auth_unavailable" Operator "The service that checks logins cannot be asked now."
    Overloaded = 503 "overloaded" Operator "The server is at its limit; try again later."
    Draining = 503 "draining" Operator "The server is stopping; try again."
    Internal = 500 "internal" Operator "Something went wrong inside the edge."
    // What came of it upstream
    NoUpstream = 503 "no_upstream" Upstream "No server of this route can be used now."
    ConnectFailed = 502 "connect_failed" Upstream "The server behind this route cannot be reached."
    UpstreamTls = 502 "upstream_tls" Upstream "The certificate of the server behind this route was not accepted."
    UpstreamBroken = 502 "upstream_broken" Upstream "The server behind this route broke the protocol or off."
    UpstreamTimeout = 504 "upstream_timeout" Upstream "The server behind this route did not answer in time."
}

impl Refusal {
    /// The status of the answer, where one can still be sent.
    ///
    /// [`Refusal::ClientClosed`] has 499, which no client sees: it is nginx's word for it in logs.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.terms().status).expect("the table has three-digit codes only")
    }

    /// The metric label and log field: short, stable, `snake_case`.
    pub const fn label(self) -> &'static str {
        self.terms().label
    }

    /// One sentence for the body of the answer. It carries nothing of the request.
    pub const fn words(self) -> &'static str {
        self.terms().words
    }

    /// Whether the connection ends with the answer: its client reads HTTP otherwise than the edge does, so nobody knows
    /// where its next request begins.
    pub const fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::BadRequestLine | Self::BadHeader | Self::BadFraming | Self::BadHost | Self::ProtectedHeader
        )
    }

    /// Who has to act.
    pub const fn blame(self) -> Blame {
        self.terms().blame
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_its_own_label_and_a_sentence() {
        let labels: HashSet<_> = Refusal::ALL.iter().map(|r| r.label()).collect();
        assert_eq!(labels.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            let snake = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(refusal.label().chars().all(snake), "{refusal:?}");
            assert!(refusal.words().ends_with('.'), "{refusal:?}");
        }
    }

    #[test]
    fn blame_and_status_agree() {
        for refusal in Refusal::ALL {
            let status = refusal.status();
            match refusal.blame() {
                Blame::Client => {
                    assert!(status.is_client_error() || matches!(status.as_u16(), 501 | 503 | 505), "{refusal:?}")
                }
                Blame::Operator | Blame::Upstream => {
                    assert!(status.is_server_error(), "{refusal:?}");
                }
            }
        }
    }
}
