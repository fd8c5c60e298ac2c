//! Whose turn it is: smooth weighted round-robin, as a schedule that is made once.
//!
//! It knows positions only: no servers, no health, no clock.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Hands out positions `0..n` in proportion to their weights.
#[derive(Debug)]
pub(super) struct Balance {
    schedule: Box<[u16]>,
    next: AtomicUsize,
}

/// Weights whose sum is above this are scaled down; the shares differ then by less than a per mille.
const LONGEST_SCHEDULE: u64 = 4096;

impl Balance {
    /// A position with weight 0 has no turn; at most 65,536 positions are used.
    pub(super) fn new(weights: &[u16]) -> Self {
        let schedule = schedule(&scaled(weights));
        Self { schedule, next: AtomicUsize::new(0) }
    }

    /// The next turn. Take one for a request, however often it looks: looking twice with two turns
    /// would pass over every second position.
    pub(super) fn turn(&self) -> Turn {
        Turn(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Who has that turn among the positions that are `eligible`.
    pub(super) fn pick(&self, turn: Turn, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let start = turn.0.checked_rem(self.schedule.len())?;
        let (before, from) = self.schedule.split_at(start);
        let turns = from.iter().chain(before).map(|&position| usize::from(position));
        turns.into_iter().find(|&position| eligible(position))
    }
}

/// A place in the schedule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn(usize);

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
mod tests {
    use super::*;

    fn picks(balance: &Balance, count: usize) -> Vec<usize> {
        (0..count).filter_map(|_| balance.pick(balance.turn(), |_| true)).collect()
    }

    #[test]
    fn turns_of_a_heavy_server_are_spread() {
        let balance = Balance::new(&[5, 1, 1]);
        assert_eq!(picks(&balance, 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(picks(&balance, 7), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn equal_servers_take_turns_and_common_factors_do_not_matter() {
        assert_eq!(picks(&Balance::new(&[7, 7]), 4), [0, 1, 0, 1]);
        assert_eq!(Balance::new(&[20, 10]).schedule.len(), 3);
    }

    #[test]
    fn shares_are_right_for_large_weights() {
        let balance = Balance::new(&[65535, 32767, 1]);
        let turns = picks(&balance, balance.schedule.len());
        let of = |server| turns.iter().filter(|turn| **turn == server).count();
        assert!(turns.len() <= 4096 + 3);
        assert!((2720..2740).contains(&of(0)), "{}", of(0));
        assert_eq!(of(2), 1);
    }

    #[test]
    fn who_is_not_eligible_is_passed_over_and_weight_0_has_no_turn() {
        let balance = Balance::new(&[1, 0, 1]);
        assert!((0..10).all(|_| balance.pick(balance.turn(), |server| server != 0) == Some(2)));
        assert_eq!(balance.pick(balance.turn(), |server| server == 1), None);
        assert!(picks(&Balance::new(&[0]), 3).is_empty());
        assert!(picks(&Balance::new(&[]), 3).is_empty());
    }

    #[test]
    fn a_second_look_at_the_same_turn_does_not_pass_anybody_over() {
        let balance = Balance::new(&[1, 1]);
        let look_twice = |_| {
            let turn = balance.turn();
            balance.pick(turn, |_| false).or_else(|| balance.pick(turn, |_| true))
        };
        let picked: Vec<_> = (0..4).filter_map(look_twice).collect();
        assert_eq!(picked, [0, 1, 0, 1]);
    }

    #[test]
    fn threads_together_keep_the_shares() {
        let balance = Balance::new(&[3, 1]);
        let count = || picks(&balance, 1000).into_iter().filter(|turn| *turn == 0).count();
        let heavy: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(heavy, 3000);
    }
}
