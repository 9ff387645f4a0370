//! Outlines of rows of a head.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use sigyn_model::{Outline, Outlines, Searched};

use super::row::Row;
use crate::alike::{Asked, ByNumbers, Stored};
use crate::outlined::TICKS_MAX;

/// What is known of the rows of one head by their numbers.
#[derive(Debug, Default)]
pub(crate) struct OutlinedRows {
    names: HashMap<u32, u32, RandomState>,
    locals: HashMap<u32, u32, RandomState>,
    remotes: HashMap<u32, u32, RandomState>,
    targets: HashMap<u32, u32, RandomState>,
    are_errors: ByNumbers<bool>,
    numbers: Vec<u32>,
}

impl OutlinedRows {
    pub(crate) fn add(&mut self, row: &Row<'_>, out: &mut Outlines) {
        let Self { names, locals, remotes, targets, are_errors, numbers } = self;
        if are_errors.is_full() {
            are_errors.drain();
        }
        numbers.clear();
        let is_error = match row.numbers(&Asked::errors(), numbers) {
            true => *are_errors.get_or_insert_with(numbers, || (row.is_error(), 0)),
            false => row.is_error(),
        };
        let [local, remote] = row.endpoint_numbers();
        let outline = Outline {
            id: row.id(),
            parent_id: row.parent_id(),
            timestamp: row.timestamp(),
            duration: row.duration(),
            kind: row.kind(),
            shared: row.shared(),
            debug: row.debug(),
            is_error,
            trace: out.trace(row.trace_id()),
            name: *names.entry(row.name_number()).or_insert_with(|| out.name(Searched::name(row))),
            local: *locals.entry(local).or_insert_with(|| {
                out.endpoint(row.endpoint(local).map(|endpoint| endpoint.to_owned()))
            }),
            remote: *remotes
                .entry(remote)
                .or_insert_with(|| out.name(row.remote_service_name().unwrap_or(""))),
            target: *targets.entry(row.origin()).or_insert_with(|| out.target(row.shared_target())),
        };
        row.each_annotation_time(&mut |at| {
            if out.ticks().len() < TICKS_MAX {
                out.tick(at);
            }
        });
        out.push(&outline);
    }
}
