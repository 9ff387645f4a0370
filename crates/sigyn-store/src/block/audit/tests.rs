//! Blocks that tell what is so, and blocks that do not.

use std::sync::Arc;

use sigyn_model::{Annotation, Endpoint, Span, Timestamp, TraceId};

use super::*;
use crate::block::block_file::{WRONG, Wrong};
use crate::block::entry::{self, Entry};
use crate::block::root::Root;
use crate::block::section::Section;
use crate::block::tests::{open, sealed};
use crate::block::writer::{BlockWriter, Origin};
use crate::block::{index::PageTimes, links, plan::Plan, rollup, values};
use crate::catalog::BlockEntry;
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::head::HeadWriter;
use crate::testing;

fn audit(block: &Block) -> Result<(), String> {
    block.audit().map_err(|error| error.to_string())
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
        // Made of a few sources, between which there may be too little room. No trace is parted.
        spans.sort_by_key(|span| span.trace_id);
        let mut sources: Vec<Vec<Span>> = vec![Vec::new()];
        for trace in spans.chunk_by(|one, other| one.trace_id == other.trace_id) {
            if sources.last().is_some_and(|source| source.len() > 90) {
                sources.push(Vec::new());
            }
            sources.last_mut().unwrap().extend_from_slice(trace);
        }
        let mut all = HeadWriter::new();
        all.insert(&spans, 1);
        let disk = Disk::Faulty(disk);
        let plan = Plan::of(&all.view());
        let mut writer = BlockWriter::create(&disk, Origin::sealed(1, 1, 2), plan).unwrap();
        for spans in sources {
            let mut head = HeadWriter::new();
            head.insert(&spans, 1);
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

/// Traces of two spans, whose services, names, values and times differ.
fn told_of() -> Vec<Span> {
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
    spans
}

#[test]
fn what_a_wrong_encoder_tells_of_rows_is_found_though_its_checksums_are_right() {
    let spans = told_of();
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
    let places = &block.root.places;
    let filter_bytes = usize::try_from(places.filter.raw_bytes).unwrap();
    let sections = [
        // The last minute, and how many durations there are where buckets tell: nothing is answered by them.
        ("rates", extra(rollup::KIND), 8),
        ("calls", extra(links::KIND), 0),
        ("names", places.names, 0),
        ("tags", block.root.tags, 0),
        ("values of few", of_key("few").unwrap(), 0),
        ("annotations", of_key("").unwrap(), 0),
        ("hashes", directory.shards.sections()[0], 0),
        // Whether it is complete, which it need not say; and sizes that only bound what is unpacked.
        ("directory", extra(values::KIND), 3),
        ("words", places.words, 0),
        // How far nothing is shifted, where no span says how long it took.
        ("first entries", places.entries[0].section, 1),
        ("last entries", places.entries.last().unwrap().section, 0),
        ("first ids", places.ids[0].section, 0),
        ("last ids", places.ids.last().unwrap().section, 0),
        // No id has its bytes in all places of it.
        ("filter", places.filter, filter_bytes / 2),
    ];
    let (mut wrongly, mut told) = (Vec::new(), String::new());
    for (what, section, may_pass) in sections {
        let bytes = usize::try_from(section.raw_bytes).unwrap();
        let mut passed = Vec::new();
        for byte in 0..bytes {
            let (disk, entry) = wrong(&spans, section.offset, byte);
            match open(&disk, &entry)
                .map_err(|error| error.to_string())
                .and_then(|block| audit(&block))
            {
                Ok(()) => passed.push(byte),
                Err(error) => told.push_str(&(error + "\n")),
            }
        }
        if bytes == 0 || passed.len() > may_pass {
            wrongly.push((what, passed, bytes));
        }
    }
    assert_eq!(wrongly, []);
    for expected in [
        "of page 0 of its index it tells times Some(",
        "tells of the latest start, in milliseconds after the earliest, 100",
        "tells of the longest span, in microseconds, ",
        "tells of a number of rows, 3, and its rows of 2",
        "does not say Some(Service(\"",
        "its words have no service \"shop\", and its rows have",
        "its words have no remote service \"",
        "has a set of words that is nowhere",
        "is not found by its id",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn what_the_root_and_the_catalog_tell_wrongly_is_found_too() {
    let (disk, entry) = sealed(told_of());
    let path = format!("{}/{}", crate::block::DIR, entry.name);
    let from = usize::try_from(entry.bytes - entry.tail_bytes).unwrap();
    let right = Root::decode(&disk.read(&path).unwrap()[from..]).unwrap();
    // The same block with another root, and a section before that.
    let told = |root: &Root, section: &[u8]| {
        let (disk, tail) = (disk.copy(), root.to_bytes().unwrap());
        disk.corrupt(&path, |bytes| {
            bytes.truncate(from);
            bytes.extend_from_slice(section);
            bytes.extend_from_slice(&tail);
        });
        let (tail_bytes, tail_crc) = (tail.len() as u64, crc32c::crc32c(&tail));
        let bytes = (from + section.len()) as u64 + tail_bytes;
        let entry = BlockEntry { bytes, tail_bytes, tail_crc, ..entry.clone() };
        audit(&open(&disk, &entry).unwrap()).err().unwrap_or_default()
    };
    let check = |change: &dyn Fn(&mut Root), expected: &str| {
        let mut root = right.clone();
        change(&mut root);
        let told = told(&root, &[]);
        assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{told}");
    };
    let block = open(&disk, &entry).unwrap();
    let entries = block.read_entries(&right.places.entries[1]).unwrap();
    let check_entry = |change: &dyn Fn(&mut Entry), expected: &str| {
        let mut entries = entries.clone();
        change(&mut entries[3]);
        let (section, packed) = Section::pack(&entry::encode(&entries), from as u64).unwrap();
        let mut root = right.clone();
        root.places.entries[1].section = section;
        let told = told(&root, &packed);
        assert!(told.contains(expected), "{told}");
    };
    let earlier = |at: Option<Timestamp>| at.map(|at| Timestamp::from_nanos(at.nanos() - 1));
    check_entry(&|entry| entry.start = earlier(entry.start), "tells of the earliest start Some(");
    check_entry(&|entry| entry.root_start = None, "tells of the earliest start of a root None");
    check_entry(&|entry| entry.latest_after_ms -= 1, "tells of the latest start, in milli");
    check_entry(&|entry| entry.longest_us = 0, "tells of the longest span, in microseconds, 0");
    check_entry(&|entry| entry.rows += 1, "tells of a number of rows, 3");
    check_entry(&|entry| entry.first_row += 1, "is of another trace than its index says");
    check_entry(&|entry| entry.shape = 999, "has a set of words that is nowhere");
    check_entry(&|entry| entry.key.high = 1, "is of another trace than its index says");
    check_entry(&|entry| entry.key.low += 1_000, "is not found by its id");
    check_entry(&|entry| *entry = entries[4], "is not the only one of it");
    check(&|_| (), "");
    let times = |root: &mut Root, change: &dyn Fn(&mut PageTimes)| {
        root.places.entries[1].times.iter_mut().for_each(change);
    };
    check(&|root| times(root, &|times| times.oldest += 1), "of page 1 of its index it tells times");
    check(&|root| times(root, &|times| times.newest += 1), "of page 1 of its index it tells times");
    check(
        &|root| times(root, &|times| times.latest_ms -= 1),
        "of page 1 of its index it tells times",
    );
    check(
        &|root| root.places.entries[0].times = None,
        "of page 0 of its index it tells times None",
    );
    check(&|root| root.places.entries.swap(0, 1), "is before a newer one");
    check(&|root| root.places.entries.truncate(2), "its ids tell of entry ");
    check(&|root| root.places.ids.truncate(2), "is not found by its id");
    check(&|root| root.places.ids.push(root.places.ids[0]), "is not found by its id");
    check(&|root| root.places.ids[1].first += 1, "is not found by its id");
    for (change, expected) in [
        (
            BlockEntry { spans: 41, ..entry.clone() },
            "it has 40 spans of 20 traces, and the catalog says 41 of 20",
        ),
        (
            BlockEntry { traces: 19, ..entry.clone() },
            "it has 40 spans of 20 traces, and the catalog says 40 of 19",
        ),
        (BlockEntry { starts_ns: Some((1, 2)), ..entry.clone() }, "its spans start from "),
    ] {
        let told = audit(&open(&disk, &change).unwrap()).unwrap_err();
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn what_is_told_wrongly_of_rows_that_are_alike_is_found_too() {
    let mut spans = Vec::new();
    for n in 0..60u64 {
        let trace_id = TraceId::new(u128::from(n / 6) + 1).unwrap();
        let mut span = Span::new(trace_id, sigyn_model::SpanId::from_raw(n + 1));
        span.parent_id = (n % 6 > 0).then(|| sigyn_model::SpanId::from_raw(n));
        span.timestamp = Timestamp::from_micros(testing::EPOCH_MS * 1_000 + n * 1_000_000);
        span.local_endpoint = Some(Endpoint::named(["shop", "bank"][(n % 2) as usize]));
        span.kind = Some(sigyn_model::Kind::Server);
        span.set_tag("few", (n % 3).to_string());
        span.set_tag("many", n.to_string());
        span.set_tag("is_odd", n % 2 == 1);
        spans.push(span);
    }
    let (disk, entry) = sealed(spans.clone());
    let block = open(&disk, &entry).unwrap();
    assert_eq!(audit(&block), Ok(()));
    let directory = block.directory().unwrap().unwrap();
    let extra = |kind| block.root.extras.iter().find(|extra| extra.kind == kind).unwrap().section;
    let few = directory.keys.iter().find(|key| key.key == "few").unwrap().section.unwrap();
    for (what, section, may_pass) in [
        ("rates", extra(rollup::KIND), 8),
        ("calls", extra(links::KIND), 0),
        ("names", block.root.places.names, 0),
        ("tags", block.root.tags, 0),
        ("values of few", few, 0),
        ("hashes", directory.shards.sections()[0], 0),
        ("words", block.root.places.words, 0),
        ("entries", block.root.places.entries[0].section, 8),
    ] {
        let mut passed = Vec::new();
        for byte in 0..usize::try_from(section.raw_bytes).unwrap() {
            let (disk, entry) = wrong(&spans, section.offset, byte);
            if open(&disk, &entry).is_ok_and(|block| audit(&block).is_ok()) {
                passed.push(byte);
            }
        }
        assert!(passed.len() <= may_pass, "{what}: {passed:?}");
    }
}
