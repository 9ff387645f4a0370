//! What a merge reads, and how far one step of it goes.

use std::cell::Cell;

use fastrand::Rng;
use sigyn_model::{Span, TraceId};

use super::*;
use crate::block::merging::READ;
use crate::block::writer;
use crate::disk::faulty::FaultyDisk;
use crate::head::HeadWriter;
use crate::testing;

/// A block of each of these.
fn blocks(disk: &Disk, all: &[Vec<Span>]) -> Vec<Arc<Block>> {
    disk.create_dir(DIR).unwrap();
    let block = |(seq, spans): (u64, &Vec<Span>)| {
        let mut head = HeadWriter::new();
        head.insert(spans, testing::EPOCH_MS);
        let origin = Origin::sealed(1, seq, seq);
        let entry = writer::write(disk, origin, &head.view(), u64::MAX, || false).unwrap();
        Arc::new(Block::open(disk, &entry, &Arc::default()).unwrap())
    };
    (1..).zip(all).map(block).collect()
}

fn merge<'a>(disk: &'a Disk, blocks: &[Arc<Block>], bytes_max: u64) -> Merging<'a> {
    let (blocks, buried) = (blocks.to_vec(), Arc::default());
    let (instance, number, parting) = (1, 9, Parting::LateAndErrors);
    Merge { disk, instance, number, blocks, buried, parting, bytes_max }.begin().unwrap()
}

/// So many traces, those of a block beside those that all have.
fn traces(block: u128, shared: u128) -> Vec<Span> {
    let own = (0..50).map(|n| (block + 1) * 1_000 + n);
    let ids = (1..=shared).chain(own);
    let spans = ids.flat_map(|id| {
        let mut random = Rng::with_seed(u64::try_from(id).unwrap());
        let id = TraceId::new(id).unwrap();
        (0..4).map(move |_| {
            let mut span = testing::span(&mut random);
            span.trace_id = id;
            span
        })
    });
    spans.collect()
}

#[test]
fn rows_that_all_blocks_have_are_read_once_and_pages_not_much_more_often() {
    for count in [2, 5] {
        let disk = Disk::Faulty(FaultyDisk::default());
        let all: Vec<Vec<Span>> = (0..count).map(|block| traces(block, 400)).collect();
        let blocks = blocks(&disk, &all);
        READ.set(0);
        for block in &blocks {
            let mut bookmark = crate::block::merging::Bookmark::default();
            let rows = 0..block.rows();
            block.read_on(&mut bookmark, &[rows], 0, &mut PieceBuilder::default()).unwrap();
        }
        let pages = READ.replace(0);
        let mut merging = merge(&disk, &blocks, 8 << 20);
        assert_eq!(merging.twice.len(), 400);
        let is_asked = Cell::new(0);
        let stop = || {
            is_asked.set(is_asked.get() + 1);
            false
        };
        let mut steps = 0;
        while !merging.step(&stop).unwrap() {
            assert!(is_asked.replace(0) > 0, "step {steps}");
            steps += 1;
        }
        // Once for what is everywhere, and once for what is not.
        let read = READ.get();
        assert!(read <= 2 * pages + pages / 2, "{read} of {pages} pages");
        assert!(!merging.finish(&stop).unwrap().is_empty());
    }
}

#[test]
fn a_step_ends_after_a_few_spans_however_large_a_trace_is() {
    let disk = Disk::Faulty(FaultyDisk::default());
    let mut random = Rng::with_seed(1);
    let mut spans = || -> Vec<Span> {
        let spans = (0..12_000).map(|_| {
            let mut span = testing::span(&mut random);
            span.trace_id = TraceId::new(7).unwrap();
            span.tags.retain(|(key, _)| key != "error");
            span.status = sigyn_model::Status::default();
            span
        });
        spans.collect()
    };
    for all in [vec![spans()], vec![spans(), spans()]] {
        let blocks = blocks(&disk, &all);
        let rows: u64 = blocks.iter().map(|block| block.rows()).sum();
        let mut merging = merge(&disk, &blocks, 1 << 20);
        let is_asked = Cell::new(0);
        let stop = || {
            is_asked.set(is_asked.get() + 1);
            false
        };
        let mut steps = 0;
        while !merging.step(&stop).unwrap() {
            steps += 1;
        }
        assert!(steps >= rows / (8 * 1_024), "{steps} steps");
        assert!(is_asked.get() > rows, "each span is a chance to end it");
        let made = merging.finish(&stop).unwrap();
        assert!(made.iter().all(|entry| entry.traces == 1));
        discard(&disk, &made);
        // Wherever it is stopped, nothing is left of it.
        for end in [1, 100, rows / 2, rows] {
            let asked = Cell::new(0);
            let stop = || {
                asked.set(asked.get() + 1);
                asked.get() > end
            };
            let mut merging = merge(&disk, &blocks, 1 << 20);
            let error = loop {
                match merging.step(&stop) {
                    Ok(is_done) => assert!(!is_done),
                    Err(error) => break error,
                }
            };
            assert!(error.is_stopped(), "{error}");
            drop(merging);
            assert_eq!(disk.list(DIR).unwrap().len(), all.len());
        }
    }
}
