//! Names in, certificates out: orders certificates with ACME (RFC 8555), keeps them renewed and remembers failures.
//! It serves nothing itself: it fills a [`certs::Store`] and says what to answer to HTTP-01.

pub mod backoff;
pub mod ca;
pub mod challenges;
pub mod clock;
pub mod manager;
pub mod order;
pub mod schedule;
pub mod settings;

pub use ca::Ca;
pub use ca::instant::InstantCa;
pub use challenges::Challenges;
pub use clock::{Clock, SystemClock};
pub use manager::{Event, Handle, Manager, Parts, Report, Status};
pub use order::{Issued, OrderError, OrderRequest};
pub use settings::{Directory, Eab, Settings, SettingsError};
