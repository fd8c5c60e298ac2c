//! The side of a pool that its health checks see.

use std::sync::{Arc, Weak};

use pingora::upstreams::peer::HttpPeer;

use super::Inner;
use crate::telemetry::events;
use crate::upstream::address::Address;
use crate::upstream::health::{Change, Checks, Patient};

/// Starts a check for each server, if the pool wants them.
pub(super) fn start(pool: &Arc<Inner>, checks: &Checks) {
    let Some(health) = &pool.settings.health else { return };
    let checks = checks.of_pool();
    for (server, member) in pool.members.iter().enumerate() {
        let name = format!("health {} {}", member.metrics.route(), member.metrics.server());
        let watched = Watched { pool: Arc::downgrade(pool), server };
        checks.start(name, health.clone(), watched, pool.checks.clone());
    }
}

/// One server of a pool that may be gone.
struct Watched {
    pool: Weak<Inner>,
    server: usize,
}

impl Patient for Watched {
    fn places(&self) -> Option<(String, Vec<(Address, HttpPeer)>)> {
        let pool = self.pool.upgrade()?;
        let member = &pool.members[self.server];
        let places = member.known().iter().map(|known| (known.address.clone(), known.peer.clone())).collect();
        Some((member.authority.clone(), places))
    }

    fn answered(&self, address: &Address, answer: Result<(), String>) {
        let Some(pool) = self.pool.upgrade() else { return };
        let Some(health) = &pool.settings.health else { return };
        let member = &pool.members[self.server];
        let known = member.known();
        let Some(known) = known.iter().find(|known| known.address == *address) else { return };
        let was_up = member.is_up();
        let change = known.checked(answer.is_ok(), health.up_after, health.down_after);
        let upstream = &member.metrics;
        upstream.checked(answer.is_ok());
        match (change, &answer) {
            (Some(Change::Down), Err(why)) => events::UpstreamDown { upstream, address, why }.emit(),
            (Some(Change::Up), _) => {
                events::UpstreamUp { upstream, address }.emit();
                if !was_up {
                    member.standing.came_up(pool.settings.slow_start, pool.millis());
                }
            }
            _ => {}
        }
        member.metrics.set_up(member.is_up());
        if let Err(why) = answer {
            member.failed(why, std::time::SystemTime::now());
        }
    }

    fn unwatched(&self) {
        let Some(pool) = self.pool.upgrade() else { return };
        pool.members[self.server].known().iter().for_each(|known| known.unwatched());
    }
}
