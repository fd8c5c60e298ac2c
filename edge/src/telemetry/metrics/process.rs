//! The process as the kernel sees it, read from `/proc` when somebody looks.
//!
//! Where `/proc` is missing or reads otherwise than expected, the series is missing: no number is
//! better than a wrong one.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::families::{self as f, Family};
use super::register::{desc, reading};

const FAMILIES: [&Family; 6] = [
    &f::PROCESS_RSS,
    &f::PROCESS_OPEN_FDS,
    &f::PROCESS_MAX_FDS,
    &f::PROCESS_CPU,
    &f::PROCESS_START,
    &f::PROCESS_THREADS,
];

/// Unit of the times in `/proc/self/stat`: fixed by Linux towards programs, whatever the kernel uses.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) struct Process {
    descs: Vec<Desc>,
}

impl Process {
    pub(super) fn new() -> Self {
        let descs = FAMILIES.into_iter().map(desc).collect();
        Self { descs }
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
        let values = [
            field(&status, "VmRSS:").map(|kib| kib * 1024.0),
            open_fds(),
            field(&limits, "Max open files"),
            cpu_seconds(&stat),
            start_seconds(&stat, &machine),
            field(&status, "Threads:"),
        ];
        let known = FAMILIES.into_iter().zip(values);
        known.filter_map(|(family, value)| Some(reading(family, value?))).flatten().collect()
    }
}

/// The first number after `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Field `number` of `/proc/self/stat`, as numbered in proc(5).
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    // Field 2 is the name in parentheses, which may hold spaces and parentheses itself.
    let (_, after_name) = stat.rsplit_once(')')?;
    let word = after_name.split_whitespace().nth(number.checked_sub(3)?)?;
    word.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

fn start_seconds(stat: &str, machine: &str) -> Option<f64> {
    Some(field(machine, "btime")? + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

fn open_fds() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // Reading the folder opens one more.
    u32::try_from(count.checked_sub(1)?).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 1000 1 2";

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        assert_eq!(cpu_seconds(STAT), Some(3.0));
        assert_eq!(start_seconds(STAT, "cpu 1\nbtime 5\n"), Some(15.0));
    }

    #[test]
    fn no_cut_of_the_files_panics() {
        for end in 0..STAT.len() {
            let _ = (cpu_seconds(&STAT[..end]), start_seconds(&STAT[..end], ""));
        }
        assert_eq!(field("VmRSS:\t 12 kB\n", "VmRSS:"), Some(12.0));
        assert_eq!(field("VmRSS:", "VmRSS:"), None);
        assert_eq!(field("Max open files  unlimited", "Max open files"), None);
    }

    #[test]
    fn every_reading_is_there_on_linux() {
        assert_eq!(Process::new().collect().len(), FAMILIES.len());
    }
}
