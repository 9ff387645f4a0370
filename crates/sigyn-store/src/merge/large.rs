//! A trace that does not fit in memory: it is read span by span, and stands alone in each source that it is
//! written from.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use sigyn_model::Span;

use super::cursor::{Cursor, Place};
use super::{MergeError, Merging, Part, Parting, go_on};
use crate::trace::Said;

/// Spans that are looked at in one step.
const STEP_ROWS: u64 = 8 * 1_024;
/// So many spans that stand at one place are remembered in what they may take together, each.
const SAID_BYTES: u64 = 64;

/// Such a trace, on its way.
pub(super) struct Large {
    parts: Vec<(usize, Range<u64>)>,
    cursor_bytes: u64,
    cursors: Vec<Cursor>,
    /// Whether errors are still looked for.
    is_looking: bool,
    has_errors: bool,
    last: Option<Place>,
    said: SaidHere,
}

/// What was said at one place: who says the same again is passed over where the source has ended in which he
/// would have been left out.
#[derive(Default)]
struct SaidHere {
    said: Said,
    states: [RandomState; 2],
    /// In this source, and in those before it.
    here: HashSet<(Part, [u64; 2])>,
    before: HashSet<(Part, [u64; 2])>,
}

impl SaidHere {
    fn begin_place(&mut self) {
        self.here.clear();
        self.before.clear();
        self.said = Said::default();
    }

    fn begin_source(&mut self) {
        self.before.extend(self.here.drain());
    }

    /// Whether a source before this one has it.
    fn was_said(&mut self, part: Part, span: &Span, count_max: u64) -> bool {
        let bytes = self.said.by(span);
        let hash = (part, self.states.each_ref().map(|state| state.hash_one(&bytes)));
        let is_known = self.before.contains(&hash);
        if !is_known && ((self.here.len() + self.before.len()) as u64) < count_max {
            self.here.insert(hash);
        }
        is_known
    }
}

impl Large {
    /// Of rows of these blocks.
    pub(super) fn new(
        parts: Vec<(usize, Range<u64>)>,
        parting: Parting,
        cursor_bytes: u64,
    ) -> Self {
        let mut large = Self {
            parts,
            cursor_bytes,
            cursors: Vec::new(),
            is_looking: parting == Parting::LateAndErrors,
            has_errors: false,
            last: None,
            said: SaidHere::default(),
        };
        large.begin();
        large
    }

    /// From the first row.
    fn begin(&mut self) {
        let cursor = |(number, rows): &(usize, Range<u64>)| {
            Cursor::new(*number, [rows.clone()], self.cursor_bytes)
        };
        self.cursors = self.parts.iter().map(cursor).collect();
    }
}

impl Merging<'_> {
    /// Does some more of it; what is left of it, if anything.
    pub(super) fn step_large(
        &mut self,
        mut large: Large,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Large>, MergeError> {
        for _ in 0..STEP_ROWS {
            go_on(stop)?;
            let is_over = match large.is_looking {
                true => {
                    self.look_for_errors(&mut large)?;
                    false
                }
                false => !self.put_next(&mut large, stop)?,
            };
            if is_over {
                self.outputs.write(stop)?;
                return Ok(None);
            }
        }
        Ok(Some(large))
    }

    fn look_for_errors(&mut self, large: &mut Large) -> Result<(), MergeError> {
        let mut next = None;
        if let Some(cursor) = large.cursors.last_mut() {
            next = cursor.next(&mut self.readings[cursor.number])?;
            if next.is_none() {
                large.cursors.pop();
            }
        }
        large.has_errors |= next.is_some_and(|(piece, row)| piece.has_error(row));
        if large.has_errors || large.cursors.is_empty() {
            large.is_looking = false;
            large.begin();
        }
        Ok(())
    }

    /// Puts the next span; whether there was one.
    fn put_next(&mut self, large: &mut Large, stop: &dyn Fn() -> bool) -> Result<bool, MergeError> {
        let mut places = Vec::with_capacity(large.cursors.len());
        for (at, cursor) in large.cursors.iter_mut().enumerate() {
            let next = cursor.peek(&mut self.readings[cursor.number])?;
            places.extend(next.map(|(piece, row)| (piece.place(row), at)));
        }
        let Some((place, at)) = places.iter().min().copied() else { return Ok(false) };
        let number = large.cursors[at].number;
        let Some((piece, row)) = large.cursors[at].next(&mut self.readings[number])? else {
            return Ok(false);
        };
        let is_same = large.last.replace(place) == Some(place);
        if !is_same {
            large.said.begin_place();
        }
        // What says the same goes to the same source, where all but one of it is left out; as long as that
        // does not take too much.
        let is_much = self.outputs.bytes() > self.batch_bytes || self.outputs.are_many();
        let is_full = is_much && !is_same;
        if is_full || self.outputs.bytes() > 2 * self.batch_bytes {
            large.said.begin_source();
            self.outputs.write(stop)?;
        }
        let is_alone = !is_same && !self.has_more_at(place, large)?;
        let part = self.part_of(&piece, row, number, large.has_errors);
        let count_max = self.batch_bytes / SAID_BYTES;
        if is_alone || !large.said.was_said(part, &piece.span(row), count_max) {
            self.put(&piece, row, number, large.has_errors)?;
        }
        Ok(true)
    }

    /// Whether any other span stands at a place. Each block has those of a trace in order.
    fn has_more_at(&mut self, here: Place, large: &mut Large) -> Result<bool, MergeError> {
        for cursor in &mut large.cursors {
            let next = cursor.peek(&mut self.readings[cursor.number])?;
            if next.is_some_and(|(piece, row)| piece.place(row) == here) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
