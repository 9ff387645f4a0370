//! Blocks that tell what is so, and blocks that do not.

use std::sync::Arc;

use sigyn_model::{Annotation, Endpoint, Span, Timestamp, TraceId};

use super::*;
use crate::block::block_file::{WRONG, Wrong};
use crate::block::tests::{open, sealed};
use crate::block::writer::{BlockWriter, Origin};
use crate::block::{links, plan::Plan, rollup, values};
use crate::catalog::BlockEntry;
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::head::HeadWriter;
use crate::testing;

fn audit(block: &Block) -> Result<(), String> {
    block.audit(&mut |_| {}).map_err(|error| error.to_string())
}

fn spans(random: &mut fastrand::Rng, max: usize) -> Vec<Span> {
    let mut spans: Vec<Span> = (0..random.usize(1..max)).map(|_| testing::span(random)).collect();
    for span in &mut spans {
        span.trace_id = TraceId::new(u128::from(random.u64(1..60))).unwrap();
        span.set_tag("n", random.i64(-5..40));
        span.set_tag("text", random.u8(0..20).to_string());
        if random.bool() {
            span.set_tag("long", format!("{}{:0>20}", random.u8(0..9), ""));
        }
    }
    spans
}

#[test]
fn what_is_told_of_rows_is_what_they_say_whatever_there_was_room_for() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut spans = spans(&mut random, 400);
        let (disk, entry) = sealed(spans.clone());
        assert_eq!(audit(&open(&disk, &entry).unwrap()), Ok(()), "seed {seed}");
        // Made of a few sources, between which there may be too little room.
        spans.sort_by_key(|span| span.trace_id);
        let mut all = HeadWriter::new();
        all.insert(&spans, 1);
        let disk = Disk::Faulty(disk);
        let plan = Plan::of(&all.view());
        let mut writer = BlockWriter::create(&disk, Origin::sealed(1, 1, 2), plan).unwrap();
        for spans in spans.chunks(90) {
            let mut head = HeadWriter::new();
            head.insert(spans, 1);
            writer.add(&head.view(), &|| false).unwrap();
            if random.u8(0..3) == 0 {
                writer.make_room();
            }
        }
        let entry = writer.finish(&|| false).unwrap();
        let block = Block::open(&disk, &entry, &Arc::default()).unwrap();
        assert_eq!(audit(&block), Ok(()), "seed {seed}");
    }
}

/// A block of these in which one byte of what stands at a place was wrong when the checksums were made.
fn wrong(spans: &[Span], offset: u64, byte: usize) -> (FaultyDisk, BlockEntry) {
    WRONG.set(Some(Wrong { offset, byte }));
    let made = sealed(spans.to_vec());
    assert_eq!(WRONG.take(), None, "nothing stands there");
    made
}

#[test]
fn what_a_wrong_encoder_tells_of_rows_is_found_though_its_checksums_are_right() {
    let mut random = fastrand::Rng::with_seed(9);
    let at = |n: u64| Timestamp::from_micros(testing::EPOCH_MS * 1_000 + n * 1_000_000);
    let mut spans = Vec::new();
    for n in 0..40u64 {
        let mut span = testing::span(&mut random);
        span.trace_id = TraceId::new(u128::from(n / 2) + 1).unwrap();
        span.parent_id = (n % 2 == 1).then(|| sigyn_model::SpanId::from_raw(n));
        span.id = sigyn_model::SpanId::from_raw(n + 1);
        (span.shared, span.timestamp) = (false, at(n));
        span.local_endpoint = Some(Endpoint::named(["shop", "bank"][(n % 2) as usize]));
        span.set_tag("few", (n % 3).to_string());
        span.set_tag("many", n.to_string());
        span.annotations = vec![Annotation {
            timestamp: at(n).unwrap(),
            value: ["a", "b"][(n % 2) as usize].to_owned(),
            tags: sigyn_model::Tags::new(),
            dropped_tags: 0,
        }];
        spans.push(span);
    }
    let (disk, entry) = sealed(spans.clone());
    let block = open(&disk, &entry).unwrap();
    assert_eq!(audit(&block), Ok(()));
    let directory = block.directory().unwrap().unwrap();
    let extra = |kind| {
        let found = block.root.extras.iter().find(|extra| extra.kind == kind).unwrap();
        found.section
    };
    let of_key = |name: &str| {
        // Annotations come last.
        let key = directory.keys.iter().rfind(|key| key.key == name).unwrap();
        key.section
    };
    assert_eq!((of_key("few").is_some(), of_key("many")), (true, None));
    let sections = [
        // The last minute, and how many durations there are where buckets tell: nothing is answered by them.
        ("rates", extra(rollup::KIND), 8),
        ("calls", extra(links::KIND), 0),
        ("names", block.root.places.names, 0),
        ("tags", block.root.tags, 0),
        ("values of few", of_key("few").unwrap(), 0),
        ("annotations", of_key("").unwrap(), 0),
        ("hashes", directory.shards.sections()[0], 0),
        // Whether it is complete, which it need not say; and sizes that only bound what is unpacked.
        ("directory", extra(values::KIND), 3),
    ];
    let mut wrongly = Vec::new();
    for (what, section, may_pass) in sections {
        let bytes = usize::try_from(section.raw_bytes).unwrap();
        let mut passed = Vec::new();
        for byte in 0..bytes {
            let (disk, entry) = wrong(&spans, section.offset, byte);
            let is_told = open(&disk, &entry).map_or(true, |block| audit(&block).is_err());
            if !is_told {
                passed.push(byte);
            }
        }
        if bytes == 0 || passed.len() > may_pass {
            wrongly.push((what, passed, bytes));
        }
    }
    assert_eq!(wrongly, []);
}
