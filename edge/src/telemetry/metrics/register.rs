//! Makes the vectors of a family and takes series out of them again.
//!
//! The families are constants, so a registration can only fail by a defect that every test that
//! makes a `Metrics` shows at once.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc, MetricVec, MetricVecBuilder};
use prometheus::{CounterVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts};
use prometheus::{GaugeVec, Registry};

use super::families::{Family, Kind};

const VALID: &str = "FAMILIES holds valid, distinct families";

pub(super) fn counter(family: &Family, registry: &Registry) -> IntCounterVec {
    registered(IntCounterVec::new(opts(family), family.labels), registry)
}

pub(super) fn gauge(family: &Family, registry: &Registry) -> IntGaugeVec {
    registered(IntGaugeVec::new(opts(family), family.labels), registry)
}

pub(super) fn histogram(family: &Family, registry: &Registry) -> HistogramVec {
    let Kind::Histogram(bounds) = family.kind else { panic!("{} is not a histogram", family.name) };
    let opts = HistogramOpts::from(opts(family)).buckets(bounds.to_vec());
    registered(HistogramVec::new(opts, family.labels), registry)
}

/// A family of one series whose value was read just now.
pub(super) fn reading(family: &Family, value: f64) -> Vec<prometheus::proto::MetricFamily> {
    if family.kind == Kind::Counter {
        let counter = CounterVec::new(opts(family), &[]).expect(VALID);
        counter.with_label_values::<&str>(&[]).inc_by(value);
        return counter.collect();
    }
    let gauge = GaugeVec::new(opts(family), &[]).expect(VALID);
    gauge.with_label_values::<&str>(&[]).set(value);
    gauge.collect()
}

pub(super) fn desc(family: &Family) -> Desc {
    let (name, help) = (family.name.to_owned(), family.help.to_owned());
    Desc::new(name, help, Vec::new(), HashMap::new()).expect(VALID)
}

/// Removes the series whose label values (in the order of the family) are `gone`.
pub(super) fn forget<T>(vec: &MetricVec<T>, family: &Family, gone: impl Fn(&[&str]) -> bool)
where
    T: MetricVecBuilder,
{
    for found in vec.collect() {
        for metric in found.get_metric() {
            let value = |label: &&str| {
                let pair = metric.get_label().iter().find(|pair| pair.name() == *label);
                pair.map_or("", |pair| pair.value())
            };
            let values: Vec<&str> = family.labels.iter().map(value).collect();
            if gone(&values) {
                // Fails only if somebody else removed it first.
                let _ = vec.remove_label_values(&values);
            }
        }
    }
}

fn opts(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

fn registered<C>(made: prometheus::Result<C>, registry: &Registry) -> C
where
    C: Collector + Clone + 'static,
{
    let vec = made.expect(VALID);
    registry.register(Box::new(vec.clone())).expect(VALID);
    vec
}
