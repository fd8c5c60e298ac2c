//! What a pool tells of its servers to people.

use std::time::Duration;

use super::server::{LastError, Member};
use crate::upstream::address::Address;
use crate::upstream::standing::WHOLE;

/// One server as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// As written: `scheme://host:port`, or `unix:` and a path.
    pub server: String,
    /// Its share of the requests; 0 is none.
    pub weight: u16,
    /// Whether it is asked only when no other can be used.
    pub backup: bool,
    /// Whether it is used.
    pub state: ServerState,
    /// Where it can be reached; empty while its name is not known.
    pub addresses: Vec<AddressStatus>,
    /// Tries since the pool was made.
    pub requests: u64,
    /// Requests under way.
    pub active: u64,
    /// The last try or check that failed.
    pub last_error: Option<LastError>,
    /// Why the last look-up of its name failed.
    pub dns_error: Option<String>,
}

/// Whether a server is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// As any other.
    Up,
    /// Not at all: its checks fail.
    Down,
    /// Not for so long: its requests failed.
    Ejected(Duration),
    /// With a share of so many hundredths that grows.
    Returning(u64),
}

/// One address as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressStatus {
    /// Address and port, or socket.
    pub address: Address,
    /// Whether it could not be reached a moment ago, or its checks fail.
    pub failing: bool,
}

/// The server as it is at `now`; `checked` tells whether checks have a say.
pub(super) fn of(member: &Member, now: u64, checked: bool) -> ServerStatus {
    let share = member.standing.share(now);
    let state = match member.standing.left_alone(now) {
        _ if checked && !member.is_up() => ServerState::Down,
        Some(left) => ServerState::Ejected(left),
        None if share < WHOLE => ServerState::Returning(share / 10),
        None => ServerState::Up,
    };
    let known = member.known();
    let address = |known: &std::sync::Arc<super::Known>| AddressStatus {
        address: known.address.clone(),
        failing: !known.is_fresh(now),
    };
    ServerStatus {
        server: member.metrics.server().to_owned(),
        weight: member.weight,
        backup: member.backup,
        state,
        addresses: known.iter().map(address).collect(),
        requests: member.requests(),
        active: member.active() as u64,
        last_error: member.last_error(),
        dns_error: member.dns_error(),
    }
}
