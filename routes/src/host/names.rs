//! The host that was most likely meant. With a hundred thousand hosts not all can be compared for each wrong name that
//! a scanner tries: only the neighbours in alphabetical order are, and those in the order of the names read backwards.

use crate::fault;

/// How many neighbours are compared on each side, in each of the two orders.
const NEIGHBOURS: usize = 32;
/// Longer names are no typing mistakes.
const LONGEST: usize = 253;

/// Names of hosts, to be searched for the one nearest to a wrong one.
#[derive(Debug, Default)]
pub(crate) struct Names {
    sorted: Vec<String>,
    /// The names read backwards, each with its index in `sorted`.
    backwards: Vec<(String, u32)>,
}

impl Names {
    /// Exact names, and wildcards without their `*.`.
    pub(crate) fn new<'a>(exact: impl Iterator<Item = String>, wildcard: impl Iterator<Item = &'a Box<str>>) -> Self {
        let mut sorted: Vec<String> = exact.chain(wildcard.map(|suffix| format!("*.{suffix}"))).collect();
        sorted.sort();
        let reversed = sorted.iter().zip(0..).map(|(name, index)| (backwards(name), index));
        let mut backwards: Vec<(String, u32)> = reversed.collect();
        backwards.sort();
        Self { sorted, backwards }
    }

    /// The name that was most likely meant, if one is near.
    pub(crate) fn nearest(&self, host: &str) -> Option<&str> {
        if host.len() > LONGEST {
            return None;
        }
        let at = self.sorted.partition_point(|name| name.as_str() < host);
        let turned = backwards(host);
        let back = self.backwards.partition_point(|(name, _)| *name < turned);
        let forward = around(&self.sorted, at).iter();
        let backward = around(&self.backwards, back).iter().filter_map(|(_, index)| self.sorted.get(*index as usize));
        fault::nearest(host, forward.chain(backward).map(String::as_str))
    }
}

fn around<T>(all: &[T], at: usize) -> &[T] {
    &all[at.saturating_sub(NEIGHBOURS)..all.len().min(at + NEIGHBOURS)]
}

fn backwards(name: &str) -> String {
    name.chars().rev().collect()
}
