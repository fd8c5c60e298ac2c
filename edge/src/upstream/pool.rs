//! The servers of one upstream, ready to be picked from for each request.
//!
//! It remembers which addresses could not be reached a moment ago and which servers fail requests, hears what checks say of
//! them, and prefers the others. It does not connect and does not retry.

mod checked;
mod pick;
mod server;
mod status;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::{HeaderMap, HeaderValue};
use tokio_util::sync::CancellationToken;

use super::balance::{Balance, Draw, Way};
use super::dns::Dns;
use super::health::Checks;
use super::peer::Template;
use super::settings::{Choice, Scheme, Settings};
use super::tls::{BuildError, Profile, SystemRoots};
use super::wish::{self, StickyKey, Wish, Wishes};
use crate::telemetry::{RouteMetrics, events};
use server::{Known, Member};

pub use pick::{Active, Pick, Tried};
pub use server::LastError;
pub use status::{AddressStatus, ServerState, ServerStatus};

/// What pools are built with.
#[derive(Clone, Debug)]
pub struct Means {
    /// Looks names up.
    pub dns: Dns,
    /// What certificates of servers are checked against.
    pub roots: SystemRoots,
    /// Asks servers whether they are well.
    pub checks: Checks,
    /// Makes cookies.
    pub sticky: StickyKey,
}

/// One upstream of one route. Clones are the same upstream.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    wishes: Wishes,
    /// Chooses among the servers that are no backup.
    first: Balance,
    /// Chooses among the backups.
    backup: Balance,
    members: Vec<Member>,
    since: Instant,
    /// Held while it is decided whether one more server may be left alone.
    ejecting: Mutex<()>,
    /// Ends the checks, with the pool at the latest.
    checks: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.checks.cancel();
    }
}

impl Pool {
    /// Reads the files that `settings` name, starts to look up its names and to check its servers. Blocks for the files,
    /// not for the names. What the pool `before` knows of a server that stays is not forgotten.
    ///
    /// # Errors
    /// What makes the upstream unusable. A route with such an upstream stays closed.
    pub fn build(
        settings: Settings,
        means: &Means,
        route: &RouteMetrics,
        before: Option<&Self>,
    ) -> Result<Self, BuildError> {
        let shares = |backup: bool| -> Vec<(u16, u64)> {
            let share = |server: &super::Server| if server.backup == backup { server.weight } else { 0 };
            settings.servers.iter().map(|server| (share(server), wish::hashed(&server.to_string()))).collect()
        };
        if shares(false).iter().all(|(weight, _)| *weight == 0) {
            return Err(BuildError::NoServer);
        }
        let way = match settings.choice {
            Choice::LeastRequests => Way::Least,
            Choice::RandomTwo => Way::Two,
            Choice::Turns | Choice::HashClient | Choice::HashHeader(_) | Choice::Sticky(_) => Way::Turns,
        };
        let balance = |backup| Balance::new(way, &shares(backup), RandomState::new().hash_one(backup));
        let inner = Inner {
            wishes: Wishes::new(&settings.choice, &settings.servers, &means.sticky),
            first: balance(false),
            backup: balance(true),
            members: members(&settings, means, route)?,
            // One clock, so that the times of the pool before mean the same here.
            since: before.map_or_else(Instant::now, |before| before.inner.since),
            ejecting: Mutex::default(),
            checks: CancellationToken::new(),
            settings,
        };
        let pool = Self { inner: Arc::new(inner) };
        if let Some(before) = before {
            pool.inner.learn(&before.inner);
        }
        checked::start(&pool.inner, &means.checks);
        Ok(pool)
    }

    /// What it was built from.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Ends the checks: another pool has its place, and only requests under way still use this one.
    pub fn retire(&self) {
        self.inner.checks.cancel();
    }

    /// Whether both are the same upstream.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// What a request wishes for.
    pub fn wish(&self, headers: &HeaderMap<HeaderValue>, client: Option<IpAddr>) -> Wish {
        self.inner.wishes.read(headers, client)
    }

    /// A server and address for a request that has already tried `tried`, or `None` if there is no other.
    ///
    /// First come the servers in good standing, by their shares; then backups; then those that failed a moment ago.
    /// Whoever is down by its checks is not picked at all.
    pub fn pick(&self, tried: &Tried, wish: Wish) -> Option<Pick> {
        let inner = &self.inner;
        let now = inner.millis();
        let fresh = |known: &Known| known.is_fresh(now) && !tried.holds(&known.address);
        let share = |position: usize| inner.members[position].standing.share(now);
        let wished = |backup: bool| {
            let Wish::Server(position) = wish else { return None };
            let member = inner.members.get(position).filter(|member| member.backup == backup)?;
            let known = if share(position) > 0 { member.next(fresh) } else { None };
            known.map(|known| self.picked(position, known))
        };
        if let Some(pick) = wished(false) {
            return Some(pick);
        }
        let (first, backup) = (&inner.first, &inner.backup);
        let draw = first.draw(wish.key());
        let untried = |known: &Known| !known.is_down() && !tried.holds(&known.address);
        self.pick_where(first, &draw, |position| draw.admits(position, share(position)), fresh)
            .or_else(|| self.pick_where(first, &draw, |position| share(position) > 0, fresh))
            .or_else(|| wished(true))
            .or_else(|| self.pick_where(backup, &backup.draw(wish.key()), |position| share(position) > 0, fresh))
            .or_else(|| self.pick_where(first, &draw, |_| true, untried))
            .or_else(|| self.pick_where(backup, &backup.draw(wish.key()), |_| true, untried))
    }

    /// Whether there is a server that was not tried yet.
    pub fn has_other(&self, tried: &Tried) -> bool {
        let has_share = |member: &&Member| member.weight > 0;
        let untried = |known: &Known| !known.is_down() && !tried.holds(&known.address);
        self.inner.members.iter().filter(has_share).any(|member| member.has(untried))
    }

    /// Returns once every name of the upstream was looked up, with success or not.
    pub async fn resolved(&self) {
        for member in &self.inner.members {
            member.resolved().await;
        }
    }

    /// Each server as it is now, in the order written.
    pub fn status(&self) -> Vec<ServerStatus> {
        let now = self.inner.millis();
        let checked = self.inner.settings.health.is_some();
        self.inner.members.iter().map(|member| status::of(member, now, checked)).collect()
    }

    fn pick_where(
        &self,
        balance: &Balance,
        draw: &Draw,
        trusted: impl Fn(usize) -> bool,
        usable: impl Fn(&Known) -> bool,
    ) -> Option<Pick> {
        let members = &self.inner.members;
        let eligible = |position: usize| trusted(position) && members[position].has(&usable);
        let server = balance.pick(draw, eligible, |position| members[position].active())?;
        let known = members[server].next(&usable)?;
        Some(self.picked(server, known))
    }

    fn picked(&self, server: usize, known: Arc<Known>) -> Pick {
        Pick { pool: Arc::clone(&self.inner), server, known }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pool").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl Inner {
    /// Since the pool was made: small numbers that fit an atomic.
    fn millis(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn learn(&self, before: &Self) {
        let checked = self.settings.health.is_some() && self.settings.health == before.settings.health;
        let no_more = self.settings.health.is_none() && before.settings.health.is_some();
        for member in &self.members {
            let same = |other: &&Member| other.metrics.server() == member.metrics.server();
            if let Some(earlier) = before.members.iter().find(same) {
                member.learn(earlier, checked);
                if no_more {
                    // What checks said last would stand until a request is answered.
                    member.metrics.set_up(true);
                }
            }
        }
    }

    /// A request on this server ended well or badly, as far as that is known.
    fn judge(&self, server: usize, well: bool, why: &str) {
        let (member, now) = (&self.members[server], self.millis());
        let Some(eject) = &self.settings.eject else { return };
        if well {
            return member.standing.succeeded(now);
        }
        if !member.standing.failed(eject, now) {
            return;
        }
        let _one = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = self.members.iter().filter(|member| member.standing.left_alone(now).is_some()).count();
        if member.standing.left_alone(now).is_none() && (alone + 1) * 2 <= self.members.len() {
            let time = member.standing.eject(eject, self.settings.slow_start, now);
            events::UpstreamEjected { upstream: &member.metrics, time, why }.emit();
        }
    }
}

fn members(settings: &Settings, means: &Means, route: &RouteMetrics) -> Result<Vec<Member>, BuildError> {
    let first_tls = settings.servers.iter().find(|server| server.scheme == Scheme::Https);
    let profile = match first_tls {
        // The files of a TLS section that nothing uses are not worth a fault.
        None => None,
        Some(server) if means.roots.is_empty() && settings.tls.verify && settings.tls.ca_file.is_none() => {
            return Err(BuildError::NoRoots { server: server.to_string() });
        }
        Some(_) => Some(Profile::load(&settings.tls)?),
    };
    let member = |server| {
        let template = Template::new(server, settings.http, settings.timeouts, profile.as_ref())?;
        Ok(Member::new(server, template, &means.dns, route))
    };
    settings.servers.iter().map(member).collect()
}

#[cfg(test)]
mod tests;
