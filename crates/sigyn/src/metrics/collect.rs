//! Figures of pushed spans.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Family, Series, counter};
use crate::collect::zipkin::{Counters, Refusal};

pub(crate) fn families(counters: &Counters) -> Vec<Family> {
    let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let refused = Refusal::ALL.iter().zip(&counters.refused);
    vec![
        counter(
            "sigyn_collect_messages_total",
            "Messages of spans that arrived by push",
            load(&counters.messages),
        ),
        counter(
            "sigyn_collect_bytes_total",
            "Bytes of their bodies, decompressed",
            load(&counters.bytes),
        ),
        counter("sigyn_collect_spans_total", "Spans that they held", load(&counters.spans)),
        counter(
            "sigyn_collect_spans_dropped_total",
            "Spans that could not be stored; their senders were told",
            load(&counters.spans_dropped),
        ),
        Family {
            name: "sigyn_collect_messages_refused_total",
            help: "Messages that were not taken, by reason; their senders were told",
            series: Series::Counter(
                refused
                    .map(|(reason, n)| (vec![("reason", reason.as_str().to_owned())], load(n)))
                    .collect(),
            ),
        },
    ]
}
