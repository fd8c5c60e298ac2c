//! The outside of a running manager: its board of names, and a way to hurry one. It does no work itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::slot::Status;

/// The status of every wanted name.
pub(super) type Board = BTreeMap<String, Status>;

/// To look at a running manager and to hurry it.
#[derive(Clone)]
pub struct Handle {
    pub(super) asked: mpsc::UnboundedSender<String>,
    pub(super) board: Arc<Mutex<Board>>,
}

impl Handle {
    /// All wanted names, in order, as they were at the last thing that happened to each.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        lock(&self.board).values().cloned().collect()
    }

    /// Orders now, whatever the schedule and the last failure say. False if the name is not wanted, or the manager has
    /// stopped.
    #[must_use]
    pub fn renew_now(&self, name: &str) -> bool {
        lock(&self.board).contains_key(name) && self.asked.send(name.to_owned()).is_ok()
    }
}

pub(super) fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    // Every change of the board is one insertion or removal.
    board.lock().unwrap_or_else(PoisonError::into_inner)
}
