//! One direction of a tunnel.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::space;

/// The bytes from one side to the other.
#[derive(Default)]
pub(super) struct Way {
    /// What was read and not taken yet, from `taken` on. Nothing more is read before it is gone.
    left: Vec<u8>,
    taken: usize,
    /// Written, and perhaps still in a buffer of the writer's.
    unflushed: bool,
    moved: bool,
    step: Step,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Copy,
    Flush,
    Shut,
    Done,
    Cut,
}

/// How far a turn came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Everything that was there has passed.
    Waiting,
    /// The other side does not take more now, or it is the others' turn.
    Blocked,
    /// It ended, and the other side was told.
    Closed,
    /// The other side takes no more.
    Cut,
    /// This side gives no more.
    Lost,
}

/// Which half failed.
#[derive(Debug)]
pub(super) enum Fault {
    Read(io::Error),
    Write(io::Error),
}

/// Reads in one poll. Behind them the task goes to the end of the queue, so that a fast tunnel does not starve the others
/// of its thread. (Sockets have a budget of their own, but not all that implements AsyncRead does.)
const TURNS: usize = 16;

impl Way {
    /// Passes on what there is. Whatever it says, the task is woken when there is more to do.
    pub(super) fn turn<R, W>(
        &mut self,
        context: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<Turn, Fault>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        for _ in 0..TURNS {
            let step = match self.step {
                Step::Copy => match self.copy(context, from, to, &mut seen) {
                    Poll::Ready(step) => step,
                    Poll::Pending => return self.rest(context, to),
                },
                Step::Flush => match Pin::new(&mut *to).poll_flush(context) {
                    Poll::Ready(Ok(())) => Ok(Step::Shut),
                    Poll::Ready(Err(error)) => Err(Fault::Write(error)),
                    Poll::Pending => return Ok(Turn::Blocked),
                },
                // An error says that the other side is gone already, which is what it was to be told.
                Step::Shut => match Pin::new(&mut *to).poll_shutdown(context) {
                    Poll::Ready(_) => Ok(Step::Done),
                    Poll::Pending => return Ok(Turn::Blocked),
                },
                Step::Done => return Ok(Turn::Closed),
                Step::Cut => return Ok(Turn::Cut),
            };
            self.step = step.inspect_err(|_| self.cut())?;
        }
        context.waker().wake_by_ref();
        Ok(Turn::Blocked)
    }

    /// Whether bytes have passed since this was asked.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Whether the side that gives has closed.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.step, Step::Flush | Step::Shut | Step::Done)
    }

    /// Whether the side that takes has failed.
    pub(super) fn is_cut(&self) -> bool {
        self.step == Step::Cut
    }

    fn cut(&mut self) {
        *self = Self { moved: self.moved, step: Step::Cut, ..Self::default() };
    }

    /// One read with the writes that belong to it; pending if either has to wait.
    fn copy<R, W>(
        &mut self,
        context: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        seen: &mut impl FnMut(&[u8]),
    ) -> Poll<Result<Step, Fault>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while self.taken < self.left.len() {
            let count = ready!(write(context, to, &self.left[self.taken..])).map_err(Fault::Write)?;
            self.taken += count;
            self.moved = true;
        }
        // The room is kept for the next time that the other side is slow, as long as there is more to read.
        self.left.clear();
        self.taken = 0;
        space::lend(|space| {
            let mut read = ReadBuf::new(space);
            match ready!(Pin::new(from).poll_read(context, &mut read)) {
                Ok(()) if read.filled().is_empty() => return Poll::Ready(Ok(Step::Flush)),
                Ok(()) => {}
                // TLS without a close_notify. Many clients just close, and it is for the protocol inside to know its end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(Step::Flush)),
                Err(error) => return Poll::Ready(Err(Fault::Read(error))),
            }
            let mut bytes: &[u8] = read.filled();
            seen(bytes);
            (self.moved, self.unflushed) = (true, true);
            while !bytes.is_empty() {
                match write(context, to, bytes) {
                    Poll::Ready(Ok(count)) => bytes = &bytes[count..],
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::Write(error))),
                    Poll::Pending => {
                        self.left.extend_from_slice(bytes);
                        return Poll::Pending;
                    }
                }
            }
            Poll::Ready(Ok(Step::Copy))
        })
    }

    /// Either half has to wait. If it is the reading one, nothing is held back or held on to meanwhile.
    fn rest<W: AsyncWrite + Unpin>(&mut self, context: &mut Context<'_>, to: &mut W) -> Result<Turn, Fault> {
        if !self.left.is_empty() {
            return Ok(Turn::Blocked);
        }
        self.left = Vec::new();
        if self.unflushed {
            match Pin::new(to).poll_flush(context) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => {
                    self.cut();
                    return Err(Fault::Write(error));
                }
                Poll::Pending => return Ok(Turn::Blocked),
            }
        }
        Ok(Turn::Waiting)
    }
}

fn write<W: AsyncWrite + Unpin>(context: &mut Context<'_>, to: &mut W, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(to).poll_write(context, bytes)) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        done => Poll::Ready(done),
    }
}

#[cfg(test)]
impl Way {
    /// Bytes of memory that are held for what was not taken.
    pub(super) fn held(&self) -> usize {
        self.left.capacity()
    }
}
