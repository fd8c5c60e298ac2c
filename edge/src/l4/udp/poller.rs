//! Which sessions have something from their server: one wait for all of them, so that a session needs no task.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::table::Key;

/// A set of sockets; one that is closed leaves it by itself.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: AsyncFd<OwnedFd>,
}

/// Sessions of one look. More than that come with the next one.
const EVENTS: usize = 64;

impl Poller {
    /// An empty set. Needs a runtime.
    #[expect(
        deprecated,
        reason = "unsound for what may close its descriptor while it is registered; an OwnedFd does not"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll: AsyncFd::with_interest(epoll, Interest::READABLE)? })
    }

    /// Adds the socket of a session. It is told of once when something comes, so it must be read until it is empty.
    pub(super) fn add(&self, socket: impl AsFd, key: Key) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        Ok(epoll::add(self.epoll.get_ref(), socket, epoll::EventData::new_u64(key.number()), flags)?)
    }

    /// Puts the sessions to which something came into `ready`. Unless `waits`, there may be none.
    pub(super) async fn wait(&self, ready: &mut Vec<Key>, waits: bool) -> io::Result<()> {
        ready.clear();
        if !waits {
            return look(self.epoll.get_ref(), ready).map(drop);
        }
        while ready.is_empty() {
            let mut guard = self.epoll.readable().await?;
            let looked = guard.try_io(|epoll| match look(epoll.get_ref(), ready)? {
                EVENTS => Ok(()),
                // There are no more, so the runtime need not find out by one more call.
                _ => Err(io::ErrorKind::WouldBlock.into()),
            });
            if let Ok(looked) = looked {
                looked?;
            }
        }
        Ok(())
    }
}

/// How many it found.
fn look(epoll: &OwnedFd, ready: &mut Vec<Key>) -> io::Result<usize> {
    let mut events = Vec::with_capacity(EVENTS);
    epoll::wait(epoll, spare_capacity(&mut events), Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    ready.extend(events.iter().map(|event: &epoll::Event| Key::from_number(event.data.u64())));
    Ok(events.len())
}
