//! A body on its way through a middleware, chunk by chunk. Nothing here holds a whole body.

use bytes::Bytes;

/// Sees every chunk of a body in order and passes on what is to be sent instead.
pub trait BodyFilter: Send + Sync {
    /// One chunk; `end` is set with the last one, which may be empty. What is returned is sent at once; nothing sends
    /// nothing now.
    ///
    /// # Errors
    /// When the body cannot go on: the transfer is cut so that both sides see it.
    fn chunk(&mut self, chunk: Option<Bytes>, end: bool) -> Result<Option<Bytes>, BodyFault>;
}

/// Why a body cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("the body cannot pass a middleware: {why}")]
pub struct BodyFault {
    /// The reason.
    pub why: String,
}

/// Sends one chunk through all filters.
pub(crate) fn through(
    filters: &mut [Box<dyn BodyFilter>],
    mut chunk: Option<Bytes>,
    end: bool,
) -> Result<Option<Bytes>, BodyFault> {
    for filter in filters {
        chunk = filter.chunk(chunk, end)?;
    }
    Ok(chunk)
}
