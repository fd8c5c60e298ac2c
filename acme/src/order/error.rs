//! Every way an order can fail, each with one sentence for the operator, a word for metrics and a time to wait.
//! Which answer of an authority falls where is decided by the one who speaks to it.

use std::path::PathBuf;
use std::time::Duration;

use certs::pem::PemError;
use certs::{DiskError, EntryError};

use crate::backoff::Failure;
use crate::challenges::PresentError;

/// What is wrong with a certificate that an authority sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadCertificate {
    /// It is none, or not for our key.
    #[error(transparent)]
    Entry(EntryError),
    /// A name is missing.
    #[error("it is not for {0}")]
    Name(String),
    /// It is over, or not good yet.
    #[error("it is not good now by our clock; check the clock of this machine")]
    Dates,
}

/// Why an authority cannot be spoken to from here. Found without the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The file of roots cannot be read.
    #[error("[acme] ca_file: {0}; put the roots there, or change or remove [acme] ca_file")]
    Read(#[from] DiskError),
    /// It holds no roots.
    #[error("[acme] ca_file {path}: {why}; put the roots there as PEM", path = .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: PemError,
    },
    /// A root in it cannot be used.
    #[error("[acme] ca_file {path}: a root cannot be used: {why}; put another one there", path = .path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: rustls::Error,
    },
    /// The system has no roots.
    #[error(
        "the system has no roots to check the ACME server with; install the package ca-certificates, or set [acme] ca_file"
    )]
    NoRoots,
    /// TLS cannot be set up.
    #[error("TLS to the ACME server cannot be set up: {0}; please report it")]
    Tls(rustls::Error),
}

/// Where in an order something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reading the directory, restoring or making the account.
    Account,
    /// Asking for the order.
    NewOrder,
    /// Reading or answering the challenges.
    Challenge,
    /// Waiting for the authority to look at them.
    Validation,
    /// Sending the request.
    Finalize,
    /// Fetching the certificate.
    Certificate,
    /// Somewhere in it: the order as a whole was given up.
    Whole,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Account => "opening the account",
            Self::NewOrder => "placing the order",
            Self::Challenge => "answering the challenge",
            Self::Validation => "waiting for the validation",
            Self::Finalize => "sending the request",
            Self::Certificate => "fetching the certificate",
            Self::Whole => "running the order",
        })
    }
}

/// Why there is no certificate. Each says what to do next; the manager tries again by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// Not asked for, as it could not succeed.
    #[error("no certificate can be ordered for {name}: {why}")]
    NotOrderable {
        /// The name.
        name: String,
        /// The reason and the way out.
        why: &'static str,
    },
    /// Our side has nothing to check the authority's own HTTPS with. Read again with the next order.
    #[error("no certificate can be ordered from {ca}: {why}")]
    Setup {
        /// Label of the authority.
        ca: String,
        /// The reason and the way out.
        why: SetupError,
    },
    /// No answer at all.
    #[error("the ACME server {ca} cannot be reached while {step}: {why}; check the network, DNS and [acme] directory")]
    Unreachable {
        /// Label of the authority.
        ca: String,
        /// Where.
        step: Step,
        /// The cause chain in one line.
        why: String,
    },
    /// It answers, but not now.
    #[error(
        "the ACME server {ca} is out of order while {step} (status {status}): {detail}; nothing to do here but wait"
    )]
    Unavailable {
        /// Label of the authority.
        ca: String,
        /// Where.
        step: Step,
        /// HTTP status.
        status: u16,
        /// What it says.
        detail: String,
        /// What it asks for.
        retry_after: Option<Duration>,
    },
    /// Too many orders, certificates or failures.
    #[error("the ACME server {ca} limits us: {detail}; wait, or order fewer certificates at once")]
    RateLimited {
        /// Label of the authority.
        ca: String,
        /// What it says.
        detail: String,
        /// What it asks for.
        retry_after: Option<Duration>,
    },
    /// It says no, with a reason.
    #[error("the ACME server {ca} refuses while {step}: {detail} ({kind}); {hint}", hint = refusal_hint(.kind))]
    Refused {
        /// Label of the authority.
        ca: String,
        /// Where.
        step: Step,
        /// The problem's type without its prefix (RFC 8555, 6.7).
        kind: String,
        /// What it says.
        detail: String,
    },
    /// The authority looked and did not find our answer.
    #[error(
        "{name} could not be validated: {detail} ({kind}); make sure that its DNS points here, IPv6 too, and that port 80 reaches this edge from the internet"
    )]
    ChallengeFailed {
        /// The name.
        name: String,
        /// The problem's type without its prefix.
        kind: String,
        /// What the authority saw.
        detail: String,
    },
    /// The authority does not offer the challenge that we can answer.
    #[error("the ACME server {ca} offers no http-01 challenge for {name}; use another directory for it")]
    NoChallenge {
        /// Label of the authority.
        ca: String,
        /// The name.
        name: String,
    },
    /// Our side cannot answer it.
    #[error("the challenge for {name} cannot be answered: {why}")]
    Present {
        /// The name.
        name: String,
        /// The reason.
        why: PresentError,
    },
    /// The profile of the settings does not exist there.
    #[error("the ACME server {ca} has no profile {wanted:?}; it offers: {offered}; change or remove [acme] profile")]
    Profile {
        /// Label of the authority.
        ca: String,
        /// What the settings ask for.
        wanted: String,
        /// What there is.
        offered: String,
    },
    /// The account file cannot be read, or is not one.
    #[error("the ACME account in {path} cannot be used: {why}; restore the file, or remove it to make a new account", path = .path.display())]
    AccountFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The authority does not know the account any more.
    #[error("the ACME server {ca} does not know the account in {path}: {detail}; remove the file to make a new account", path = .path.display())]
    AccountUnknown {
        /// Label of the authority.
        ca: String,
        /// The file.
        path: PathBuf,
        /// What it says.
        detail: String,
    },
    /// It takes longer than an order may.
    #[error("the ACME server {ca} was not done in time while {step}; it is asked again later")]
    TimedOut {
        /// Label of the authority.
        ca: String,
        /// Where.
        step: Step,
        /// What it asks for.
        retry_after: Option<Duration>,
    },
    /// The answer is not ACME.
    #[error("the ACME server {ca} answers in a way that is not ACME while {step}: {why}; check [acme] directory")]
    Protocol {
        /// Label of the authority.
        ca: String,
        /// Where.
        step: Step,
        /// What does not fit.
        why: String,
    },
    /// The request could not be made.
    #[error("no request can be made for {names}: {why}")]
    Request {
        /// The names.
        names: String,
        /// What the encoder says.
        why: rcgen::Error,
    },
    /// What came is not what was ordered. It is not installed.
    #[error("the certificate that came cannot be used: {0}")]
    BadCertificate(#[from] BadCertificate),
    /// A fault in this program.
    #[error("the order ended in a panic, which is a fault in edge; please report it with the log around this line")]
    Panicked,
}

impl OrderError {
    /// The word for metrics: a closed set.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotOrderable { .. } => "not_orderable",
            Self::Setup { .. } => "setup",
            Self::Unreachable { .. } => "unreachable",
            Self::Unavailable { .. } => "unavailable",
            Self::RateLimited { .. } => "rate_limited",
            Self::Refused { .. } => "refused",
            Self::ChallengeFailed { .. } => "challenge_failed",
            Self::NoChallenge { .. } => "no_challenge",
            Self::Present { .. } => "present",
            Self::Profile { .. } => "profile",
            Self::AccountFile { .. } => "account_file",
            Self::AccountUnknown { .. } => "account_unknown",
            Self::TimedOut { .. } => "timed_out",
            Self::Protocol { .. } => "protocol",
            Self::Request { .. } => "request",
            Self::BadCertificate(_) => "bad_certificate",
            Self::Panicked => "panicked",
        }
    }

    /// How long to wait, where that does not depend on how often it failed: mostly what the authority asks for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            // Nothing but another configuration changes that: once a day is a reminder.
            Self::NotOrderable { .. } => Some(Duration::from_secs(24 * 60 * 60)),
            Self::Unavailable { retry_after, .. }
            | Self::RateLimited { retry_after, .. }
            | Self::TimedOut { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What is remembered of it.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure { kind: self.kind(), sentence: self.to_string(), retry_after: self.retry_after() }
    }
}

fn refusal_hint(kind: &str) -> &'static str {
    match kind {
        "rejectedIdentifier" => "this authority signs no certificate for that name: use another issuer for its route",
        "externalAccountRequired" => "set [acme] eab to the key that the authority shows for your account",
        "unauthorized" => "check [acme] eab and that the account is still good",
        "caa" => "let the CAA record of the domain allow this authority",
        "invalidContact" | "unsupportedContact" => "correct [acme] email",
        "userActionRequired" => "agree to the new terms at the authority",
        _ => "see what it says",
    }
}
