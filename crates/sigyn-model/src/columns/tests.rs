//! What goes into columns comes out of them.

use crate::codec::sink::{
    AnnotationRef, BadSpan, Dialect, LinkRef, ResourceRef, ScopeRef, SpanRef, SpanSink, TagRef,
    Text, ValueRef,
};
use crate::codec::{Format, Limits, OverLimit, SpanVec, json_v2, otlp};
use crate::{Tags, Value};
use fastrand::Rng;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::arbitrary;

/// That these spans are in the columns, and no others.
fn check(columns: &Columns, expected: &[Span], seed: u64) {
    assert_eq!(columns.len(), expected.len(), "seed {seed}");
    for (row, expected) in columns.rows().zip(expected) {
        assert_eq!(row.to_span(), *expected, "seed {seed}");
    }
}

/// Spans as a reader knows them, which is not where they were scraped.
fn read(random: &mut Rng) -> Vec<Span> {
    spans(random).into_iter().map(|span| Span { target: None, ..span }).collect()
}

fn spans(random: &mut Rng) -> Vec<Span> {
    let seed: [u8; 32] = std::array::from_fn(|_| random.u8(..));
    let seeded = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), seeded);
    let mut span = || arbitrary::span().new_tree(&mut runner).unwrap().current();
    let mut spans: Vec<Span> = (0..random.usize(1..20)).map(|_| span()).collect();
    for span in &mut spans {
        if random.u8(0..3) == 0 {
            let labels = [("job", "a".to_owned()), ("pod", random.u8(0..3).to_string())];
            let labels = labels.map(|(name, value)| (name.to_owned(), value));
            span.target = Some(Arc::new(labels[..random.usize(0..=2)].to_vec()));
        }
        if random.u8(0..50) == 0 {
            span.timestamp = Some(Timestamp::MAX);
            span.duration = Some(Duration::from_secs(u64::MAX / 1_000));
        }
    }
    spans
}

/// Hands spans over as a reader does, with the bytes that their tags might have had.
fn hand_over(spans: &[Span], sink: &mut impl SpanSink) -> Result<(), OverLimit> {
    // They stand at different places, as in a body.
    let resources: Vec<String> = spans.iter().map(|span| format!("{:?}", span.resource)).collect();
    for (span, wire) in spans.iter().zip(&resources) {
        let wires = |tags: &Tags| -> Vec<Vec<u8>> {
            // A text as its sender wrote it; what is no text does not stand there in one piece.
            let wire = |(key, value): &(String, Value)| match value {
                Value::Str(value) => format!("\"{key}\":\"{value}\"").into_bytes(),
                _ => Vec::new(),
            };
            tags.iter().map(wire).collect()
        };
        let own = wires(&span.tags);
        let resource = span.resource.as_deref();
        let tags = resource.map(|resource| tag_refs(&resource.tags, &[])).unwrap_or_default();
        let resource = resource.map(|resource| ResourceRef {
            wire: wire.as_bytes(),
            tags: &tags,
            dropped_tags: resource.dropped_tags,
            schema_url: resource.schema_url.as_str().into(),
        });
        let scope = span.scope.as_deref();
        let tags = scope.map(|scope| tag_refs(&scope.tags, &[])).unwrap_or_default();
        let scope = scope.map(|scope| ScopeRef {
            name: scope.name.as_str().into(),
            version: scope.version.as_str().into(),
            tags: &tags,
            dropped_tags: scope.dropped_tags,
            schema_url: scope.schema_url.as_str().into(),
        });
        sink.resource(resource.as_ref())?;
        sink.scope(scope.as_ref())?;
        let annotation =
            |annotation: &'_ crate::Annotation| (annotation.clone(), wires(&annotation.tags));
        let annotations: Vec<_> = span.annotations.iter().map(annotation).collect();
        let annotations: Vec<AnnotationRef<'_>> = annotations
            .iter()
            .map(|(annotation, wires)| AnnotationRef {
                timestamp: annotation.timestamp,
                value: Text::Bytes(annotation.value.as_bytes()),
                tags: tag_refs(&annotation.tags, wires),
                dropped_tags: annotation.dropped_tags,
            })
            .collect();
        let links: Vec<LinkRef<'_>> = span
            .links
            .iter()
            .map(|link| LinkRef {
                trace_id: link.trace_id,
                span_id: link.span_id,
                trace_state: link.trace_state.as_str().into(),
                tags: tag_refs(&link.tags, &[]),
                dropped_tags: link.dropped_tags,
                flags: link.flags,
            })
            .collect();
        sink.span(&SpanRef {
            trace_id: span.trace_id,
            parent_id: span.parent_id,
            id: span.id,
            kind: span.kind,
            name: &span.name,
            timestamp: span.timestamp,
            duration: span.duration,
            local_endpoint: span.local_endpoint.as_ref().map(EndpointRef::from),
            remote_endpoint: span.remote_endpoint.as_ref().map(EndpointRef::from),
            annotations: &annotations,
            tags: &tag_refs(&span.tags, &own),
            debug: span.debug,
            shared: span.shared,
            status_code: span.status.code,
            status_message: span.status.message.as_str().into(),
            links: &links,
            trace_state: span.trace_state.as_str().into(),
            dropped_tags: span.dropped_tags,
            dropped_annotations: span.dropped_annotations,
            dropped_links: span.dropped_links,
            flags: span.flags,
        })?;
    }
    Ok(())
}

fn tag_refs<'a>(tags: &'a Tags, wires: &'a [Vec<u8>]) -> Vec<TagRef<'a>> {
    let tag = |(i, (key, value)): (usize, &'a (String, Value))| TagRef {
        key: Text::Str(key),
        value: match value {
            Value::Str(text) => ValueRef::Text(Text::Bytes(text.as_bytes())),
            Value::Bool(value) => ValueRef::Bool(*value),
            Value::Int(value) => ValueRef::Int(*value),
            Value::Double(value) => ValueRef::Double(*value),
            Value::Bytes(bytes) => ValueRef::Bytes(bytes),
            Value::List(_) | Value::Map(_) => ValueRef::Owned(value.clone()),
            Value::Empty => ValueRef::Empty,
        },
        wire: wires.get(i).map_or(&[][..], Vec::as_slice),
        dialect: Dialect::Json,
    };
    tags.iter().enumerate().map(tag).collect()
}

#[test]
fn spans_come_out_as_they_were_pushed() {
    for seed in 0..150 {
        let mut random = Rng::with_seed(seed);
        let expected = spans(&mut random);
        let mut columns = Columns::default();
        for (row, span) in (0..).zip(&expected) {
            assert_eq!(columns.push(span), row);
        }
        check(&columns, &expected, seed);
        let last = u32::try_from(expected.len()).unwrap() - 1;
        assert_eq!(columns.get(last).map(Span::from).as_ref(), expected.last());
        assert!(columns.get(last + 1).is_none());
    }
}

#[test]
fn spans_that_are_read_come_out_as_those_of_the_other_sink() {
    for seed in 0..150 {
        let mut random = Rng::with_seed(seed);
        let read = read(&mut random);
        let mut columns = Columns::default();
        let mut expected = SpanVec::within(Limits::default(), 0).unwrap();
        // What is read twice is known the second time.
        for _ in 0..2 {
            hand_over(&read, &mut columns).unwrap();
            hand_over(&read, &mut expected).unwrap();
        }
        check(&columns, &expected.into_decoded().spans, seed);
    }
}

#[test]
fn bodies_become_the_same_spans_in_both_sinks() {
    for seed in 0..150 {
        let mut random = Rng::with_seed(seed);
        let mut spans = spans(&mut random);
        // Zipkin refuses a message with an id of zero.
        spans.iter_mut().for_each(|span| span.id = SpanId::from_raw(span.id.as_u64().max(1)));
        let (mut columns, mut all) = (Columns::default(), Vec::new());
        for (format, body) in [
            (Format::OtlpProto, otlp::encode(&spans)),
            (Format::ZipkinJsonV2, json_v2::encode_list(&spans).into_bytes()),
        ] {
            let mut expected = SpanVec::within(Limits::default(), body.len()).unwrap();
            for _ in 0..2 {
                columns.read(format, &body).unwrap();
                codec::read(format, &body, &mut expected).unwrap();
            }
            all.extend(expected.into_decoded().spans);
            check(&columns, &all, seed);
            // Half a message leaves nothing behind.
            assert!(columns.read(format, &body[..body.len() - 1]).is_err());
            check(&columns, &all, seed);
        }
    }
}

#[test]
fn columns_that_are_cleared_are_filled_again_and_know_what_was_said() {
    for seed in 0..150 {
        let mut random = Rng::with_seed(seed);
        let (read, pushed) = (read(&mut random), spans(&mut random));
        let mut columns = Columns::default();
        let words = columns.codes().words();
        let mut sizes = Vec::new();
        for _ in 0..3 {
            hand_over(&read, &mut columns).unwrap();
            pushed.iter().for_each(|span| _ = columns.push(span));
            let mark = columns.mark();
            hand_over(&read, &mut columns).unwrap();
            columns.truncate(mark);
            check(&columns, &[&read[..], &pushed].concat(), seed);
            sizes.push(format!("{:?}", columns.mark()));
            columns.clear();
            check(&columns, &[], seed);
            assert_eq!(columns.codes().words(), words);
        }
        assert_eq!(sizes[1], sizes[2]);
        let target: Arc<Labels> = Arc::new(vec![("job".to_owned(), "a".to_owned())]);
        columns.set_target(Some(&target));
        columns.clear();
        hand_over(&read, &mut columns).unwrap();
        check(&columns, &read, seed);
    }
}

#[test]
fn columns_that_were_filled_before_count_what_is_new() {
    let mut columns = Columns::default();
    let spans: Vec<Span> = (0..2_000).map(tagged).collect();
    let fill = |columns: &mut Columns, spans: &[Span]| {
        spans.iter().for_each(|span| _ = columns.push(span));
        columns.bytes()
    };
    let first = fill(&mut columns, &spans);
    columns.clear();
    let empty = columns.bytes();
    assert!(empty < 4_096, "{empty}");
    let one = fill(&mut columns, &spans[..1]);
    assert!(one < empty + 4_096, "{one}");
    let again = fill(&mut columns, &spans[1..]);
    assert!(first / 4 < again && again < first, "{again} after {first}");
    // What has grown too large is not kept.
    let words = columns.codes().words();
    (0..200_000).for_each(|n| _ = columns.push(&tagged(n)));
    columns.clear();
    assert_ne!(columns.codes().words(), words);
    assert!(columns.bytes() < 32_768);
}

#[test]
fn what_is_taken_back_leaves_nothing_behind() {
    for seed in 0..150 {
        let mut random = Rng::with_seed(seed);
        let (first, failed, second) = (read(&mut random), spans(&mut random), read(&mut random));
        let mut columns = Columns::default();
        hand_over(&first, &mut columns).unwrap();
        let mark = columns.mark();
        hand_over(&failed, &mut columns).unwrap();
        failed.iter().for_each(|span| _ = columns.push(span));
        columns.problem(BadSpan { index: 0, reason: "no".to_owned() }).unwrap();
        columns.truncate(mark);
        assert!(columns.problems().is_empty());
        check(&columns, &first, seed);
        let sizes = |columns: &Columns| format!("{:?}", columns.mark());
        assert_eq!(sizes(&columns), format!("{mark:?}"));
        hand_over(&second, &mut columns).unwrap();
        failed.iter().for_each(|span| _ = columns.push(span));
        check(&columns, &[first, second, failed].concat(), seed);
    }
}

fn tagged(value: impl Into<Value>) -> Span {
    let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::from_raw(1));
    span.set_tag("k", value);
    span
}

#[test]
fn values_that_hardly_come_again_are_known_for_spans_nearby() {
    let mut columns = Columns::default();
    let mut numbers = |n: u32| {
        let value = format!("{n}");
        let wire = format!("k={n}");
        let text = ValueRef::Text(Text::Str(&value));
        let tag = TagRef { wire: wire.as_bytes(), ..TagRef::new(Text::Str("k"), text) };
        let numbers = [(); 2].map(|()| columns.dictionary.tag(&tag));
        assert_eq!(columns.dictionary.text(numbers[1]), Some(value.as_str()));
        (numbers[0] == numbers[1], Codes::passes(numbers[0]))
    };
    assert!((0..1_024).all(|n| numbers(n) == (true, false)));
    assert!((1_024..3_000).all(|n| numbers(n) == (true, true)));
    assert_eq!(numbers(7), (true, false));
}

#[test]
fn values_are_equal_to_the_last_bit_and_types_differ() {
    let values = [
        Value::Int(0),
        Value::Double(0.0),
        Value::Double(-0.0),
        Value::Double(f64::NAN),
        Value::Str(String::new()),
        Value::Bytes(Vec::new()),
        Value::Empty,
        Value::Bool(false),
        Value::Bool(true),
        Value::List(Vec::new()),
        Value::Map(Vec::new()),
    ];
    let mut columns = Columns::default();
    for value in values.iter().chain(&values) {
        columns.push(&tagged(value.clone()));
    }
    // Once each, and the one that stands for none.
    assert_eq!(columns.mark().dictionary.tags(), values.len() + 1);
    let bits = |span: Span| format!("{:?}", span.tags);
    for (row, value) in columns.rows().zip(values.iter().chain(&values)) {
        assert_eq!(bits(row.to_span()), bits(tagged(value.clone())));
    }
}

#[test]
fn broken_text_reads_as_it_does_elsewhere() {
    let bytes = b"\xff\xfe".as_slice();
    let tag = TagRef {
        wire: b"wire",
        ..TagRef::new(Text::Bytes(bytes), ValueRef::Text(Text::Bytes(bytes)))
    };
    let mut columns = Columns::default();
    let numbers = [columns.dictionary.tag(&tag), columns.dictionary.tag(&tag)];
    assert_eq!(numbers[0], numbers[1]);
    assert_eq!(
        (columns.dictionary.key(1), columns.dictionary.text(1)),
        ("\u{fffd}\u{fffd}", Some("\u{fffd}\u{fffd}"))
    );
}

#[test]
fn values_that_do_not_come_again_cost_their_bytes() {
    let mut columns = Columns::default();
    let push = |columns: &mut Columns, from: u32, to: u32| {
        let before = columns.bytes();
        for n in from..to {
            let span = tagged(format!("{n:030}"));
            let row = columns.push(&span);
            assert_eq!(columns.get(row).unwrap().to_span(), span);
        }
        (columns.bytes() - before) / (to - from) as usize
    };
    push(&mut columns, 0, 10_000);
    // About 90 for the row, 35 and a place for the tag, and room for a quarter more.
    let each = push(&mut columns, 10_000, 200_000);
    assert!(each < 200, "{each}");
    // Those that came first are still known.
    let tags = columns.mark().dictionary.tags();
    push(&mut columns, 0, 1_000);
    assert_eq!(columns.mark().dictionary.tags(), tags);
}

#[test]
fn limits_are_those_of_all_that_is_read() {
    let spans: Vec<Span> = (0..2_000).map(|n| tagged(n.to_string())).collect();
    let within = |bytes_max| hand_over(&spans, &mut Columns::within(Limits { bytes_max }));
    assert_eq!(within(2_000_000), Ok(()));
    assert_eq!(within(100_000), Err(OverLimit { bytes_max: 100_000 }));
    let mut columns = Columns::default();
    let problem = || BadSpan { index: 0, reason: String::new() };
    assert!((0..10_001).all(|_| columns.problem(problem()).is_ok()));
    assert_eq!((columns.problems().len(), columns.rejected()), (10_000, 10_001));
}

/// The ten real traces of the conformance suite, so many times, each time with other ids and times.
fn real_traces(times: u64) -> Vec<Span> {
    let dir = "../../conformance/zipkin-traces";
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let read = |path| json_v2::decode_list(&std::fs::read(path).unwrap()).unwrap();
    let traces: Vec<Span> = files.iter().flat_map(read).collect();
    let again = |n: u64| {
        let (id, time) = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n * 1_000_003);
        traces.clone().into_iter().map(move |mut span| {
            let low = span.trace_id.as_u128() ^ u128::from(id);
            span.trace_id = TraceId::new(low).unwrap_or(span.trace_id);
            span.id = SpanId::from_raw(span.id.as_u64() ^ id);
            span.parent_id = span.parent_id.map(|parent| SpanId::from_raw(parent.as_u64() ^ id));
            span.timestamp = span.timestamp.map(|at| Timestamp::from_nanos(at.nanos() + time));
            for annotation in &mut span.annotations {
                annotation.timestamp = Timestamp::from_nanos(annotation.timestamp.nanos() + time);
            }
            span
        })
    };
    (0..times).flat_map(again).collect()
}

#[test]
fn real_spans_take_little_memory() {
    let spans = real_traces(100);
    let mut columns = Columns::default();
    spans.iter().for_each(|span| _ = columns.push(span));
    check(&columns, &spans, 0);
    let each = columns.bytes() / spans.len();
    assert!(each < 150, "{each} bytes a span");
}

#[test]
fn values_that_are_taken_back_take_no_room_from_others() {
    let mut columns = Columns::default();
    columns.push(&tagged("first"));
    for taken_back in 0..3 {
        let mark = columns.mark();
        (0..2_000).for_each(|n| _ = columns.push(&tagged(format!("{taken_back}-{n}"))));
        columns.truncate(mark);
    }
    let tags = columns.mark().dictionary.tags();
    (0..10).for_each(|_| _ = columns.push(&tagged("again")));
    assert_eq!(columns.mark().dictionary.tags(), tags + 1);
}
