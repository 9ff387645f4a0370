//! Zipkin's own figures of what was collected: as JSON at `/metrics`, and beside ours for Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Family, LabelPairs, Series};
use crate::collect::{self, Cause, Counters, Door, Loss};

/// What came in through one door, in Zipkin's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transport {
    pub(crate) name: &'static str,
    pub(crate) messages: u64,
    /// Those that could not be read. One that its sender was told to send again is not dropped, nor is
    /// one whose sender did not wait.
    pub(crate) messages_dropped: u64,
    pub(crate) bytes: u64,
    pub(crate) spans: u64,
    pub(crate) spans_dropped: u64,
    /// Of the last message.
    pub(crate) message_spans: u64,
    /// Of the last message.
    pub(crate) message_bytes: u64,
}

/// Zipkin's transports, which are always listed, and those of ours that were used.
pub(crate) fn transports(counters: &Counters) -> Vec<Transport> {
    let all = collect::Transport::ALL.into_iter().map(|transport| {
        let zipkins = matches!(transport, collect::Transport::Http | collect::Transport::Grpc);
        (of(transport.as_str(), counters.door(transport)), zipkins)
    });
    all.filter(|(t, zipkins)| *zipkins || t.messages > 0).map(|(t, _)| t).collect()
}

fn of(name: &'static str, door: &Door) -> Transport {
    let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let dropped = Cause::ALL.iter().zip(&door.messages_dropped);
    let unread = dropped.filter(|(cause, _)| {
        !cause.is_overload()
            && !matches!(cause, Cause::Storage | Cause::Internal | Cause::Cancelled)
    });
    // What is malformed is not among the spans: of those that are dropped, none was not counted.
    let lost = Loss::ALL.iter().zip(&door.spans_dropped);
    let unkept = lost.filter(|(loss, _)| **loss != Loss::Malformed);
    Transport {
        name,
        messages: load(&door.messages),
        messages_dropped: unread.map(|(_, n)| load(n)).sum(),
        bytes: load(&door.bytes),
        spans: load(&door.spans),
        spans_dropped: unkept.map(|(_, n)| load(n)).sum(),
        message_spans: load(&door.message_spans),
        message_bytes: load(&door.message_bytes),
    }
}

/// One figure of all transports: its name, what it means, and where it stands.
type Figure = (&'static str, &'static str, fn(&Transport) -> u64);

const COUNTERS: [Figure; 5] = [
    ("messages", "Messages that arrived", |t| t.messages),
    ("messages_dropped", "Messages that could not be read", |t| t.messages_dropped),
    ("bytes", "Bytes of messages, unpacked", |t| t.bytes),
    ("spans", "Spans that were read", |t| t.spans),
    ("spans_dropped", "Spans that were not kept", |t| t.spans_dropped),
];
const GAUGES: [Figure; 2] = [
    ("message_spans", "Spans of the last message", |t| t.message_spans),
    ("message_bytes", "Bytes of the last message", |t| t.message_bytes),
];

/// For Prometheus: `zipkin_collector_messages_total{transport="http"}` and its like.
pub(crate) fn families(transports: &[Transport]) -> Vec<Family> {
    /// As long as they live: names of families are static.
    const NAMES: [&str; 7] = [
        "zipkin_collector_messages_total",
        "zipkin_collector_messages_dropped_total",
        "zipkin_collector_bytes_total",
        "zipkin_collector_spans_total",
        "zipkin_collector_spans_dropped_total",
        "zipkin_collector_message_spans",
        "zipkin_collector_message_bytes",
    ];
    let label = |t: &Transport| -> LabelPairs { vec![("transport", t.name.to_owned())] };
    let counters = COUNTERS.iter().map(|(_, help, read)| {
        (*help, Series::Counter(transports.iter().map(|t| (label(t), read(t))).collect()))
    });
    let gauges = GAUGES.iter().map(|(_, help, read)| {
        (*help, Series::Gauge(transports.iter().map(|t| (label(t), read(t) as f64)).collect()))
    });
    let series = counters.chain(gauges);
    NAMES
        .into_iter()
        .zip(series)
        .map(|(name, (help, series))| Family { name, help, series })
        .collect()
}

/// Zipkin's `/metrics`: one flat object of numbers with a decimal point.
pub(crate) fn json(transports: &[Transport]) -> String {
    let line = |kind: &str, (name, _, read): &Figure, t: &Transport| {
        format!("  \"{kind}.zipkin_collector.{name}.{}\" : {}.0", t.name, read(t))
    };
    let lines: Vec<String> = transports
        .iter()
        .flat_map(|t| {
            let counters = COUNTERS.iter().map(move |figure| line("counter", figure, t));
            counters.chain(GAUGES.iter().map(move |figure| line("gauge", figure, t)))
        })
        .collect();
    format!("{{\n{}\n}}", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_spans_are_dropped_than_there_were() {
        let counters = Counters::default();
        let door = counters.door(collect::Transport::OtlpHttp);
        door.messages.store(1, Ordering::Relaxed);
        door.spans.store(2, Ordering::Relaxed);
        for (loss, n) in [(Loss::Malformed, 5), (Loss::Unsampled, 1), (Loss::Storage, 1)] {
            door.spans_dropped[loss as usize].store(n, Ordering::Relaxed);
        }
        let transports = transports(&counters);
        let otlp = transports.iter().find(|t| t.name == "otlp_http").unwrap();
        assert_eq!((otlp.spans, otlp.spans_dropped), (2, 2));
    }

    #[test]
    fn the_json_has_exactly_zipkins_keys() {
        let http =
            Transport { name: "http", messages: 3, message_bytes: 7, ..Transport::default() };
        let grpc = Transport { name: "grpc", ..Transport::default() };
        let page: serde_json::Value = serde_json::from_str(&json(&[http, grpc])).unwrap();
        let page = page.as_object().unwrap();
        assert_eq!(page.len(), 14);
        assert_eq!(page["counter.zipkin_collector.messages.http"], 3.0);
        assert_eq!(page["gauge.zipkin_collector.message_bytes.http"], 7.0);
        assert_eq!(page["counter.zipkin_collector.spans_dropped.grpc"], 0.0);
    }
}
