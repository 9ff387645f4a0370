//! Traces of any size, of which an answer gathers what it needs row by row: none of them is held.

use std::collections::HashMap;

use sigyn_model::Gathered;

use crate::alike::Asked;
use crate::block::QueryFailed;
use crate::block::entry::{Entry, Place};
use crate::facts::{Strictness, TraceKey};
use crate::query::{Bounds, HEAD_TRACES, READ_ROWS_MAX};
use crate::sweep::{Answer, Swept};
use crate::until::Until;
use crate::view::Parts;

/// Rows of a trace that are looked at together.
const ROWS_AT_ONCE: u32 = if cfg!(test) { 3 } else { 4 << 10 };

/// What is gathered of each group, and of how many rows.
type Groups = HashMap<TraceKey, (Gathered, u64)>;

impl Parts {
    /// Shows an answer all rows of these groups of traces, as far as there is time.
    pub(crate) fn gather(
        &self,
        groups: &[TraceKey],
        strictness: Strictness,
        bounds: Bounds<'_>,
        until: Until,
        swept: &mut Swept,
        answer: &mut impl Answer,
    ) -> Result<(), QueryFailed> {
        let (Some(empty), Some(asked)) = (answer.gathering(), answer.asked()) else {
            return Ok(());
        };
        let mut left = groups;
        while !left.is_empty() {
            // What is not done when the time is over is lost, so that should not be much.
            let (mut count, mut rows) = (0, 0);
            for group in left {
                rows += self.count_rows(&[*group], strictness, bounds.stop)?;
                if rows > READ_ROWS_MAX && count > 0 {
                    break;
                }
                count += 1;
            }
            let (now, later) = left.split_at(count);
            left = later;
            let _opened = bounds.stop.open(now.len() * size_of::<(TraceKey, Gathered, u64)>())?;
            let mut groups: Groups = now.iter().map(|group| (*group, (empty.clone(), 0))).collect();
            let shown = self.show(&mut groups, strictness, bounds, &asked, answer, &mut || {
                swept.is_partial |= until.is_over(swept);
                if swept.is_partial { Err(QueryFailed::Stopped) } else { Ok(()) }
            });
            answer.forget_numbers();
            match shown {
                Err(QueryFailed::Stopped) if swept.is_partial => return Ok(()),
                shown => shown?,
            }
            for (trace, rows) in groups.values().filter(|(_, rows)| *rows > 0) {
                swept.traces += 1;
                swept.spans += rows;
                swept.scanned += rows;
                answer.add_gathered(trace);
            }
            bounds.check(answer.bytes())?;
        }
        Ok(())
    }

    /// Shows all rows of these groups, part by part; `go_on` is asked now and then.
    fn show(
        &self,
        groups: &mut Groups,
        strictness: Strictness,
        bounds: Bounds<'_>,
        asked: &Asked,
        answer: &mut impl Answer,
        go_on: &mut dyn FnMut() -> Result<(), QueryFailed>,
    ) -> Result<(), QueryFailed> {
        let stop = bounds.stop;
        for block in self.blocks.iter() {
            go_on()?;
            let mut pieces: Vec<Place> = Vec::new();
            for group in groups.keys() {
                let entries = self.entries_in(block, *group, strictness)?;
                pieces.extend(entries.iter().flat_map(pieces_of));
            }
            if pieces.is_empty() {
                continue;
            }
            let _opened = stop.open(size_of_val(&pieces[..]))?;
            pieces.sort_unstable_by_key(|piece| piece.first_row);
            let (columns, mut numbers_of) = (block.deciding(asked), None);
            answer.forget_numbers();
            block.each_trace(&pieces, stop, &mut |piece, rows| {
                go_on()?;
                let Some((trace, count)) = groups.get_mut(&strictness.group(piece.key)) else {
                    return Ok(());
                };
                *count += rows.len() as u64;
                for row in rows {
                    if numbers_of.replace(row.group()) != Some(row.group()) {
                        answer.forget_numbers();
                    }
                    answer.show(row, &columns, trace);
                }
                Ok(())
            })?;
        }
        for head in &self.heads {
            answer.forget_numbers();
            for (group, (trace, count)) in groups.iter_mut() {
                for (_, of_head) in head.group(*group, strictness) {
                    for (n, row) in of_head.rows().enumerate() {
                        if n % HEAD_TRACES == 0 {
                            stop.check()?;
                            go_on()?;
                        }
                        *count += 1;
                        answer.show(&row, asked, trace);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The rows of a trace, some at a time.
fn pieces_of(entry: &Entry) -> impl Iterator<Item = Place> {
    let Entry { key, first_row, rows, .. } = *entry;
    (0..rows).step_by(ROWS_AT_ONCE as usize).map(move |before| {
        let rows = (rows - before).min(ROWS_AT_ONCE);
        Place { key, first_row: first_row + before, rows }
    })
}
