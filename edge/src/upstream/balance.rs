//! Whom a request goes to: by turns, by load, by chance or by a key.
//!
//! It knows positions only: no servers, no health, no clock.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::standing::WHOLE;

/// Chooses among positions `0..n` in proportion to their weights.
#[derive(Debug)]
pub(super) struct Balance {
    way: Way,
    weights: Box<[u16]>,
    /// What stands for each position in hashes, so that a key keeps its server wherever that is written.
    ids: Box<[u64]>,
    /// Smooth weighted round-robin, as a schedule that is made once.
    schedule: Box<[u16]>,
    next: AtomicUsize,
    seed: u64,
}

/// How a position is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By turns; with a key, always the same position for it.
    Turns,
    /// The fewest requests for its weight.
    Least,
    /// The one with fewer of two by chance.
    Two,
}

/// Weights whose sum is above this are scaled down; the shares differ then by less than a per mille.
const LONGEST_SCHEDULE: u64 = 4096;
/// How often chance is asked for somebody else before the next in turn is taken: who is passed over would leave his whole
/// share to his neighbour.
const REDRAWS: u64 = 6;

impl Balance {
    /// Of positions with their weights and ids; one with weight 0 has no turn, and at most 65,536 are used. `seed` is the
    /// caller's chance.
    pub(super) fn new(way: Way, positions: &[(u16, u64)], seed: u64) -> Self {
        let weights: Box<[u16]> = positions.iter().map(|(weight, _)| *weight).collect();
        let ids = positions.iter().map(|(_, id)| *id).collect();
        let schedule = schedule(&scaled(&weights));
        Self { way, weights, ids, schedule, next: AtomicUsize::new(0), seed }
    }

    /// The next turn. Take one for a request, however often it looks: looking twice with two turns
    /// would pass over every second position.
    pub(super) fn draw(&self, key: Option<u64>) -> Draw {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let chance = key.unwrap_or_else(|| mixed(self.seed ^ turn as u64));
        Draw { turn, chance, key }
    }

    /// Who is chosen among the positions that are `eligible`; `busy` tells how many requests each has.
    pub(super) fn pick(
        &self,
        draw: &Draw,
        eligible: impl Fn(usize) -> bool,
        busy: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        match (self.way, draw.key) {
            (Way::Turns, Some(key)) => self.by_key(key, eligible),
            (Way::Turns, None) => self.by_turn(draw, eligible),
            (Way::Least, _) => self.least(draw, eligible, busy),
            (Way::Two, _) => self.less_of_two(draw, eligible, busy),
        }
    }

    fn by_turn(&self, draw: &Draw, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let first = self.schedule.get(draw.turn.checked_rem(self.schedule.len())?).map(|first| usize::from(*first))?;
        if eligible(first) { Some(first) } else { self.by_chance(draw.chance, eligible) }
    }

    /// In proportion to the weights, also when some are passed over.
    fn by_chance(&self, chance: u64, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let drawn = |index| usize::from(self.schedule[place(mixed(chance ^ index), self.schedule.len())]);
        if self.schedule.is_empty() {
            return None;
        }
        if let Some(found) = (1..=REDRAWS).map(drawn).find(|position| eligible(*position)) {
            return Some(found);
        }
        let (before, from) = self.schedule.split_at(place(chance, self.schedule.len()));
        let turns = from.iter().chain(before).map(|&position| usize::from(position));
        turns.into_iter().find(|&position| eligible(position))
    }

    fn least(&self, draw: &Draw, eligible: impl Fn(usize) -> bool, busy: impl Fn(usize) -> usize) -> Option<usize> {
        let count = self.weights.len();
        // Equals take turns.
        let in_turn = (0..count).map(|step| draw.turn.wrapping_add(step) % count);
        let candidates = in_turn.filter(|&position| self.weights[position] > 0 && eligible(position));
        candidates.reduce(|best, other| if self.has_less(other, best, &busy) { other } else { best })
    }

    fn less_of_two(
        &self,
        draw: &Draw,
        eligible: impl Fn(usize) -> bool,
        busy: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        let one = self.by_chance(draw.chance, &eligible)?;
        let other = self.by_chance(mixed(!draw.chance), |position| position != one && eligible(position));
        Some(other.filter(|other| self.has_less(*other, one, &busy)).unwrap_or(one))
    }

    /// Whether `one` would have fewer requests for its weight than `other`, with one more each.
    fn has_less(&self, one: usize, other: usize, busy: &impl Fn(usize) -> usize) -> bool {
        let load = |position: usize, weights_of: usize| {
            (busy(position) as u64).saturating_add(1).saturating_mul(self.weights[weights_of].into())
        };
        load(one, other) < load(other, one)
    }

    /// Weighted rendezvous hashing: who leaves or comes takes only his own share of the keys along.
    fn by_key(&self, key: u64, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let score = |position: usize| {
            let weight = f64::from(self.weights[position]);
            // Within 0..1 and never 0 or 1.
            let uniform = ((mixed(key ^ mixed(self.ids[position])) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
            -weight / uniform.ln()
        };
        let candidates = (0..self.weights.len()).filter(|&position| self.weights[position] > 0 && eligible(position));
        candidates.map(|position| (score(position), position)).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, it)| it)
    }
}

/// What chance and turn say for one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    turn: usize,
    chance: u64,
    key: Option<u64>,
}

impl Draw {
    /// Whether a position that has a `share` of what is its due gets this one.
    pub(super) fn admits(&self, position: usize, share: u64) -> bool {
        share >= WHOLE || mixed(self.chance.rotate_left(17) ^ position as u64) % WHOLE < share
    }
}

/// A number that looks like chance (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A place below `length`, which is not 0.
fn place(chance: u64, length: usize) -> usize {
    ((u128::from(chance) * length as u128) >> 64) as usize
}

fn scaled(weights: &[u16]) -> Vec<u64> {
    let mut scaled: Vec<u64> = weights.iter().copied().map(u64::from).collect();
    let divisor = scaled.iter().copied().fold(0, gcd).max(1);
    scaled.iter_mut().for_each(|weight| *weight /= divisor);
    let sum: u64 = scaled.iter().sum();
    if sum > LONGEST_SCHEDULE {
        // At least 1, or a small share would become none.
        let share = |weight: u64| (weight * LONGEST_SCHEDULE / sum).max(u64::from(weight > 0));
        scaled.iter_mut().for_each(|weight| *weight = share(*weight));
    }
    scaled
}

/// In each turn everybody gains his weight and the richest pays the sum: shares are exact over a
/// round and the turns of one are spread, not in a row.
fn schedule(weights: &[u64]) -> Box<[u16]> {
    let sum: u64 = weights.iter().sum();
    let gain = |weight: u64| i64::try_from(weight).unwrap_or(i64::MAX);
    let mut credit = vec![0_i64; weights.len()];
    let turn = |_| {
        credit.iter_mut().zip(weights).for_each(|(credit, weight)| *credit += gain(*weight));
        let (richest, credit) = credit.iter_mut().enumerate().rev().max_by_key(|(_, credit)| **credit)?;
        *credit -= gain(sum);
        u16::try_from(richest).ok()
    };
    (0..sum).filter_map(turn).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
