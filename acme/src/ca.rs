//! An authority as the manager sees it: an order goes in, a certificate comes out. What protocol is spoken behind it
//! is the matter of its modules.

use async_trait::async_trait;

use crate::challenges::Challenges;
use crate::order::{Issued, OrderError, OrderRequest};

pub mod instant;

/// An authority.
#[async_trait]
pub trait Ca: Send + Sync {
    /// Its name in folders, logs and metrics.
    fn label(&self) -> &str;

    /// Runs one order to its end. Challenges are presented while it runs and gone when it ends, also when the future
    /// is dropped. Never called twice at once for one name; called at once for different names.
    ///
    /// # Errors
    /// [`OrderError`]; the certificate that came is checked, so a bad one is an error too.
    async fn issue(&self, order: &OrderRequest, challenges: &Challenges) -> Result<Issued, OrderError>;
}
