//! What goes into a head comes out of it, also while it is written.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use sigyn_model::{Span, SpanId, Timestamp, TraceId, Value};

use super::*;
use crate::testing::{self, OwnedBatch};
use sigyn_model::columns::Columns;

impl HeadWriter {
    /// Spans of a batch that arrived then: there at once.
    pub(crate) fn insert(&mut self, spans: &[Span], arrival_ms: u64) {
        self.stage_spans(spans);
        self.publish(arrival_ms, arrival_ms);
    }

    fn stage_spans(&mut self, spans: &[Span]) -> std::ops::Range<u32> {
        self.stage_in(&mut Columns::default(), spans)
    }

    /// By way of columns that may know words already.
    fn stage_in(&mut self, batch: &mut Columns, spans: &[Span]) -> std::ops::Range<u32> {
        batch.clear();
        spans.iter().for_each(|span| _ = batch.push(span));
        self.bring(batch)
    }
}

fn spans(random: &mut Rng, max: usize) -> Vec<Span> {
    (0..random.usize(0..max)).map(|_| testing::span(random)).collect()
}

/// That a view has these spans and no others, by row and by trace.
fn check(view: &HeadView, expected: &[Span], seed: u64) {
    assert_eq!(view.span_count(), expected.len() as u64, "seed {seed}");
    assert!(view.rows().map(Span::from).eq(expected.iter().cloned()), "seed {seed}");
    let mut traces: BTreeMap<TraceId, Vec<&Span>> = BTreeMap::new();
    expected.iter().for_each(|span| traces.entry(span.trace_id).or_default().push(span));
    assert_eq!(view.traces().count(), traces.len(), "seed {seed}");
    for (id, expected) in &traces {
        let key = TraceKey::from(*id);
        let trace = view.trace(key).unwrap();
        assert!(trace.spans().eq(expected.iter().map(|span| (*span).clone())), "seed {seed}");
        assert!(view.group(key, Strictness::Strict).map(|(key, _)| key).eq([key]));
        let group = Strictness::Lenient.group(key);
        let parts = traces.keys().filter(|other| other.low() == id.low()).count();
        assert_eq!(view.group(group, Strictness::Lenient).count(), parts, "seed {seed}");
    }
    assert!(view.trace(TraceKey { low: 1 << 40, high: 0 }).is_none());
}

/// That what is known of each trace is what its spans say.
fn check_facts(view: &HeadView, seed: u64) {
    for (_, trace) in view.traces() {
        let spans: Vec<Span> = trace.spans().collect();
        assert_eq!(trace.facts(), Facts::of(&spans), "seed {seed}");
        assert_eq!(trace.len() as usize, spans.len());
        for span in &spans {
            for word in Word::of(span, |resource| crate::wanted::has_error(resource)) {
                assert!(trace.may_say(&word), "{word:?} seed {seed}");
            }
        }
        let is_error = spans.iter().any(|span| {
            let resource_says = |one: &Arc<sigyn_model::Resource>| crate::wanted::has_error(one);
            Word::of(span, resource_says).any(|word| word == Word::Error)
        });
        assert_eq!(trace.may_say(&Word::Error), is_error, "seed {seed}");
        assert!((0..100).any(|n| !trace.may_say(&Word::Service(n.to_string()))));
    }
}

#[test]
fn spans_come_out_as_they_went_in_and_what_is_discarded_leaves_nothing_behind() {
    for seed in 0..300 {
        let mut random = Rng::with_seed(seed);
        let mut writer = HeadWriter::new();
        let mut expected = Vec::new();
        let mut columns: Vec<Columns> = (0..3).map(|_| Columns::default()).collect();
        for round in 0..random.u64(1..8) {
            let before = writer.view();
            let groups: Vec<Vec<Span>> = (0..3).map(|_| spans(&mut random, 20)).collect();
            for spans in &groups {
                writer.stage_in(&mut columns[random.usize(0..3)], spans);
            }
            check(&writer.view(), &expected, seed);
            if random.bool() {
                writer.discard();
            } else {
                writer.publish(round, round);
                check(&before, &expected, seed);
                expected.extend(groups.concat());
            }
            check(&writer.view(), &expected, seed);
        }
        check_facts(&writer.view(), seed);
    }
}

#[test]
fn an_empty_head_takes_nothing_and_arrivals_are_those_of_what_is_published() {
    let mut writer = HeadWriter::new();
    assert_eq!((writer.head().bytes(), writer.head().arrivals_ms()), (0, None));
    let span = testing::span(&mut Rng::with_seed(1));
    writer.stage_spans(std::slice::from_ref(&span));
    writer.discard();
    assert_eq!((writer.head().bytes(), writer.head().arrivals_ms()), (0, None));
    writer.insert(&[span], 7);
    writer.insert(&[], 9);
    assert!(writer.head().bytes() > 0);
    assert_eq!(writer.head().arrivals_ms(), Some((7, 9)));
}

fn tagged(n: u64, value: impl Into<Value>) -> Span {
    let mut span = Span::new(TraceId::new(u128::from(n) + 1).unwrap(), SpanId::from_raw(n));
    span.set_tag("k", value);
    span
}

#[test]
fn values_that_do_not_come_again_cost_their_bytes_and_are_counted() {
    let mut writer = HeadWriter::new();
    let mut insert = |from: u64, to: u64| {
        let before = writer.head().bytes();
        for from in (from..to).step_by(500) {
            let spans: Vec<Span> =
                (from..from + 500).map(|n| tagged(n, format!("{n:030}"))).collect();
            writer.insert(&spans, 1);
        }
        ((writer.head().bytes() - before) / (to - from), writer.take_unique_tags())
    };
    let (_, unique) = insert(0, 10_000);
    assert_eq!(unique, 10_000 - 4_096);
    // About 70 for the row, 100 for a trace of its own and 45 for the tag, and a third more.
    let (each, _) = insert(10_000, 200_000);
    assert!(each < 300, "{each}");
    // Those that came first are still known, as soon as they are looked for again.
    let unique = insert(0, 4_000).1;
    assert!(unique <= 1_024, "{unique}");
}

#[test]
fn a_value_nested_too_deep_is_kept_as_text() {
    let mut value = Value::Int(1);
    for _ in 0..crate::codec::VALUE_DEPTH_MAX + 10 {
        value = Value::List(vec![value]);
    }
    let mut writer = HeadWriter::new();
    writer.insert(&[tagged(1, value.clone())], 1);
    let read: Vec<Span> = writer.view().rows().map(Span::from).collect();
    assert_eq!(read[0].tags[0].1.text().replace(['"', '\\'], ""), value.text());
    assert_ne!(read[0].tags[0].1, value);
}

/// Readers beside a writer see whole batches: as many of the spans as were published at some time, each
/// trace as it was then, and all that they say.
#[test]
fn readers_beside_a_writer_see_whole_groups() {
    const BATCHES: u64 = 400;
    const TRACES: u64 = 50;
    let batch = |n: u64| -> Vec<Span> {
        let span = |i: u64| {
            let id = TraceId::new(u128::from((n * 7 + i) % TRACES) + 1).unwrap();
            let mut span = Span::new(id, SpanId::from_raw(n));
            span.name = format!("batch {n}");
            span.timestamp = Some(Timestamp::from_nanos(n + 1));
            span.set_tag("unique", format!("{n} {i}"));
            span.set_tag("few", (n % 5).to_string());
            span
        };
        (0..TRACES / 2).map(span).collect()
    };
    let mut writer = HeadWriter::new();
    let head = writer.head().clone();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (head, is_done) = (head.clone(), &is_done);
                scope.spawn(move || {
                    let (mut rounds, mut before) = (0u64, 0);
                    while !is_done.load(Ordering::Relaxed) || rounds < 10 {
                        let view = head.view();
                        let batches = view.span_count() / (TRACES / 2);
                        assert_eq!(view.span_count() % TRACES, 0, "half a group");
                        assert!(batches >= before);
                        before = batches;
                        let low = rounds * 13 % TRACES + 1;
                        let read: Vec<Span> = view
                            .trace(TraceKey { low, high: 0 })
                            .map_or_else(Vec::new, |trace| trace.spans().collect());
                        let written = (0..batches).flat_map(&batch);
                        let expected = written.filter(|span| span.trace_id.low() == low);
                        if rounds % 8 == reader {
                            assert!(read.iter().cloned().eq(expected));
                        } else {
                            assert!(read.iter().all(|span| span.id.as_u64() < batches));
                        }
                        assert!(view.traces().count() as u64 <= TRACES);
                        rounds += 1;
                    }
                    rounds
                })
            })
            .collect();
        for n in 0..BATCHES {
            writer.stage_spans(&batch(n));
            if n % 2 == 1 {
                writer.publish(n, n);
            }
        }
        is_done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| assert!(reader.join().unwrap() >= 10));
    });
    let all: Vec<Span> = (0..BATCHES).flat_map(batch).collect();
    check(&writer.view(), &all, 0);
}

/// Batches as frames of the log, with the number of each.
fn frames(random: &mut Rng, count: u64) -> Vec<(u64, OwnedBatch, Vec<u8>)> {
    let (mut writer, mut chapter) = (HeadWriter::new(), Chapter::default());
    let mut seq = 10;
    let mut frames = Vec::new();
    while frames.len() < usize::try_from(count).unwrap() {
        let batch = testing::batch(random, 12);
        let rows = writer.stage_spans(&batch.spans);
        let mut payload = Vec::new();
        chapter.put(&mut payload, seq, &writer, rows, seq, batch.progress.as_ref());
        if random.u8(0..5) == 0 {
            // It did not get into the log, and the next one gets its number.
            writer.discard();
            chapter.end();
            continue;
        }
        if random.bool() {
            writer.publish(seq, seq);
        }
        frames.push((seq, batch, payload));
        seq += 1;
        if random.u8(0..10) == 0 {
            chapter.end();
        }
    }
    frames
}

fn replayed(batches: &[(u64, OwnedBatch, Vec<u8>)]) -> (HeadWriter, Vec<u64>) {
    let (mut writer, mut replay) = (HeadWriter::new(), Replay::default());
    let mut unread = Vec::new();
    for (seq, batch, payload) in batches {
        match replay.read(*seq, payload, &mut writer) {
            Ok(read) => {
                assert_eq!((read.arrival_ms, read.progress), (*seq, batch.progress.clone()));
            }
            Err(_) => unread.push(*seq),
        }
    }
    (writer, unread)
}

fn spans_of(batches: &[(u64, OwnedBatch, Vec<u8>)]) -> Vec<Span> {
    batches.iter().flat_map(|(_, batch, _)| batch.spans.clone()).collect()
}

#[test]
fn frames_of_the_log_become_the_same_head_again() {
    for seed in 0..300 {
        let mut random = Rng::with_seed(seed);
        let frames = frames(&mut random, 20);
        let (writer, unread) = replayed(&frames);
        assert!(unread.is_empty(), "seed {seed}");
        check(&writer.view(), &spans_of(&frames), seed);
        check_facts(&writer.view(), seed);
        assert_eq!(writer.head().arrivals_ms(), Some((10, 29)));
    }
}

#[test]
fn whichever_frame_is_lost_no_other_is_lost_with_it() {
    for seed in 0..40 {
        let mut random = Rng::with_seed(seed);
        let frames = frames(&mut random, 12);
        for lost in 0..frames.len() {
            let mut left = frames.clone();
            left.remove(lost);
            let (writer, unread) = replayed(&left);
            assert!(unread.is_empty(), "seed {seed} lost {lost}: {unread:?}");
            check(&writer.view(), &spans_of(&left), seed);
        }
        // Of two, words may be missing. Then frames are, and not words of others in their place.
        let mut left = frames.clone();
        left.remove(random.usize(0..left.len()));
        left.remove(random.usize(0..left.len()));
        let (writer, unread) = replayed(&left);
        left.retain(|(seq, _, _)| !unread.contains(seq));
        check(&writer.view(), &spans_of(&left), seed);
    }
}

#[test]
fn a_frame_of_garbage_is_refused_and_never_panics() {
    for seed in 0..2_000 {
        let mut random = Rng::with_seed(seed);
        let mut frames = frames(&mut random, 3);
        let whole = frames.len() - 1;
        for (_, _, payload) in &mut frames[..whole] {
            for _ in 0..random.usize(1..4) {
                let at = random.usize(0..payload.len());
                payload[at] = random.u8(..);
            }
            payload.truncate(random.usize(0..=payload.len()));
        }
        let (mut writer, mut replay) = (HeadWriter::new(), Replay::default());
        for (seq, _, payload) in &frames {
            let before = writer.view().span_count();
            if replay.read(*seq, payload, &mut writer).is_err() {
                assert_eq!(writer.view().span_count(), before);
            }
            writer.view().rows().map(Span::from).for_each(drop);
        }
    }
    let mut writer = HeadWriter::new();
    let huge_count = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert!(Replay::default().read(1, &huge_count, &mut writer).is_err());
}

#[test]
fn what_is_told_twice_is_told_no_more() {
    let span = |n: u64| {
        let mut span = tagged(n, "x".repeat(300));
        span.name = "y".repeat(300);
        span
    };
    let (mut writer, mut chapter) = (HeadWriter::new(), Chapter::default());
    let mut put = |seq: u64| {
        let rows = writer.stage_spans(&[span(seq), span(seq)]);
        let mut payload = Vec::new();
        chapter.put(&mut payload, seq, &writer, rows, 0, None);
        payload.len()
    };
    let lengths: Vec<usize> = (1..6).map(&mut put).collect();
    assert!(lengths[..2].iter().all(|length| (600..800).contains(length)), "{lengths:?}");
    assert!(lengths[2..].iter().all(|length| *length < 100), "{lengths:?}");
}
