//! How many files the process may have open: raised as far as the system lets us, and what follows from it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are never spent on clients: listeners, logs, the state folder, the admin side, ACME.
const RESERVE: u64 = 256;
/// Fewer than this is worth a warning: a default left as it was.
const LOW: u64 = 4096;

/// Raises the soft limit to the hard one; says what the limit is now.
pub(super) fn raise() -> u64 {
    let before = getrlimit(Resource::Nofile);
    if before.current < before.maximum {
        let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::debug!(%error, "the limit of open files could not be raised");
        }
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if limit < LOW {
        tracing::warn!(limit, "few files may be open; set LimitNOFILE or ulimit -n to 65536 or more");
    }
    limit
}

/// How many client connections fit below `limit`: each may need another one to a server.
pub(super) fn connections(limit: u64) -> usize {
    usize::try_from((limit.saturating_sub(RESERVE) / 2).max(16)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_and_admin_keep_their_share() {
        assert_eq!(connections(1024), 384);
        assert_eq!(connections(65_536), 32_640);
        assert_eq!(connections(10), 16);
    }
}
