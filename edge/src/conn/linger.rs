//! Says a last answer and closes so that the client can read it.
//!
//! A socket that is closed with bytes unread is reset, and a reset takes the answer with it. So the answer is written,
//! our side is shut, and what the client still sends is thrown away for a short while.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much of what the client still sends is thrown away: most clients read the answer only behind their whole request.
const DISCARD: usize = 2 * 1024 * 1024;

/// One closing connection.
pub(super) struct Linger {
    answer: Bytes,
    step: Step,
    discarded: usize,
    deadline: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy)]
enum Step {
    Write,
    Flush,
    Shut,
    Discard,
}

impl Linger {
    pub(super) fn new(answer: Bytes) -> Self {
        Self { answer, step: Step::Write, discarded: 0, deadline: Box::pin(tokio::time::sleep(PATIENCE)) }
    }

    /// Ready when the connection may be dropped, whether the client read its answer or not.
    pub(super) fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let done = match self.step {
                Step::Write => ready!(self.poll_write(io, context)),
                Step::Flush => ready!(Pin::new(&mut *io).poll_flush(context)).is_err(),
                Step::Shut => ready!(Pin::new(&mut *io).poll_shutdown(context)).is_err(),
                Step::Discard => ready!(self.poll_discard(io, context)),
            };
            if done {
                return Poll::Ready(());
            }
            self.step = match self.step {
                Step::Write if self.answer.has_remaining() => Step::Write,
                Step::Write => Step::Flush,
                Step::Flush => Step::Shut,
                Step::Shut | Step::Discard => Step::Discard,
            };
        }
    }

    fn poll_write<S: AsyncWrite + Unpin>(&mut self, io: &mut S, context: &mut Context<'_>) -> Poll<bool> {
        match ready!(Pin::new(io).poll_write(context, &self.answer)) {
            Ok(count) if count > 0 => {
                self.answer.advance(count);
                Poll::Ready(false)
            }
            Ok(_) | Err(_) => Poll::Ready(true),
        }
    }

    fn poll_discard<S: AsyncRead + Unpin>(&mut self, io: &mut S, context: &mut Context<'_>) -> Poll<bool> {
        let mut space = [std::mem::MaybeUninit::uninit(); 4096];
        let mut read = ReadBuf::uninit(&mut space);
        let failed = ready!(Pin::new(io).poll_read(context, &mut read)).is_err();
        self.discarded += read.filled().len();
        Poll::Ready(failed || read.filled().is_empty() || self.discarded > DISCARD)
    }
}
