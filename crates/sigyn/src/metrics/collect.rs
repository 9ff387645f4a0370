//! Figures of pushed spans, by the door that they came through.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Family, LabelPairs, Series};
use crate::collect::{Cause, Counters, Door, Loss, Transport};

pub(crate) fn families(counters: &Counters) -> Vec<Family> {
    vec![
        by_door(
            counters,
            "sigyn_collect_messages_total",
            "Messages of spans that arrived by push",
            |door| &door.messages,
        ),
        by_door(
            counters,
            "sigyn_collect_bytes_total",
            "Bytes of their bodies, decompressed",
            |door| &door.bytes,
        ),
        by_door(counters, "sigyn_collect_spans_total", "Spans that they held", |door| &door.spans),
        by_reason(
            counters,
            "sigyn_collect_spans_dropped_total",
            "Spans that were decoded and not kept, by reason",
            |door| Loss::ALL.iter().map(|loss| loss.as_str()).zip(&door.spans_dropped).collect(),
        ),
        by_reason(
            counters,
            "sigyn_collect_messages_refused_total",
            "Messages that were not taken, by reason; their senders were told",
            |door| {
                Cause::ALL.iter().map(|cause| cause.as_str()).zip(&door.messages_dropped).collect()
            },
        ),
    ]
}

fn load(n: &AtomicU64) -> u64 {
    n.load(Ordering::Relaxed)
}

fn by_door(
    counters: &Counters,
    name: &'static str,
    help: &'static str,
    figure: impl Fn(&Door) -> &AtomicU64,
) -> Family {
    let series = Transport::ALL.iter().map(|transport| {
        (
            vec![("transport", transport.as_str().to_owned())],
            load(figure(counters.door(*transport))),
        )
    });
    Family { name, help, series: Series::Counter(series.collect()) }
}

fn by_reason(
    counters: &Counters,
    name: &'static str,
    help: &'static str,
    figures: impl Fn(&Door) -> Vec<(&'static str, &AtomicU64)>,
) -> Family {
    let mut series: Vec<(LabelPairs, u64)> = Vec::new();
    for transport in Transport::ALL {
        for (reason, n) in figures(counters.door(transport)) {
            let labels = [("transport", transport.as_str()), ("reason", reason)];
            series.push((labels.map(|(k, v)| (k, v.to_owned())).to_vec(), load(n)));
        }
    }
    Family { name, help, series: Series::Counter(series) }
}
