//! What is written at once of a block that is made: rows of pieces, wherever these come from.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use sigyn_model::codec::sink::EndpointRef;
use sigyn_model::{Labels, Link, Resource, Scope, Span, SpanId, Timestamp, TraceId, Value};

use crate::block::piece::{Counts, Piece};
use crate::block::source::{Source, SourceAnnotation, SourceRow, TagValue};

/// Rows of one trace that stand in a piece one after the other, and the number of their block.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) piece: Arc<Piece>,
    pub(super) rows: Range<u32>,
    pub(super) block: usize,
}

impl Run {
    /// What its rows take.
    pub(super) fn bytes(&self) -> u64 {
        self.rows.clone().map(|row| self.piece.weight(row)).sum()
    }

    pub(super) fn has_error(&self) -> bool {
        self.rows.clone().any(|row| self.piece.has_error(row))
    }
}

/// Rows, trace by trace. Numbers of a piece are those it has itself, behind those of the pieces before it.
#[derive(Debug, Default)]
pub(super) struct Lot {
    pieces: Vec<Arc<Piece>>,
    /// Where the numbers of each piece begin.
    begins: Vec<Counts>,
    /// Where those of the next one would.
    end: Counts,
    rows: Vec<Place>,
    traces: Vec<TraceId>,
    arrivals_ms: Option<(u64, u64)>,
    /// The piece that was looked for last.
    last: Cell<usize>,
}

/// Where a row is.
#[derive(Clone, Copy, Debug)]
struct Place {
    piece: u32,
    row: u32,
    trace: u32,
}

impl Lot {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds a row that came between these times.
    pub(super) fn push(&mut self, piece: &Arc<Piece>, row: u32, (first_ms, last_ms): (u64, u64)) {
        let trace_id = piece.trace_id(row);
        if self.traces.last() != Some(&trace_id) {
            self.traces.push(trace_id);
        }
        let (piece, trace) = (number(self.place(piece)), number(self.traces.len() - 1));
        self.rows.push(Place { piece, row, trace });
        let (first, last) = self.arrivals_ms.unwrap_or((first_ms, last_ms));
        self.arrivals_ms = Some((first.min(first_ms), last.max(last_ms)));
    }

    /// Which of the pieces this one is. Neighbours are often of one, or of one that came not long before.
    fn place(&mut self, piece: &Arc<Piece>) -> usize {
        let is_it = |known: &Arc<Piece>| Arc::ptr_eq(known, piece);
        let last = self.last.get();
        if self.pieces.get(last).is_some_and(is_it) {
            return last;
        }
        let at = self.pieces.iter().rposition(is_it).unwrap_or_else(|| {
            let (begin, counts) = (self.end, piece.counts());
            self.pieces.push(piece.clone());
            self.begins.push(begin);
            self.end = Counts {
                tags: begin.tags + counts.tags,
                keys: begin.keys + counts.keys,
                names: begin.names + counts.names,
                texts: begin.texts + counts.texts,
                endpoints: begin.endpoints + counts.endpoints,
                resources: begin.resources + counts.resources,
                scopes: begin.scopes + counts.scopes,
                targets: begin.targets + counts.targets,
            };
            self.pieces.len() - 1
        });
        self.last.set(at);
        at
    }

    /// The piece that a number is of, and its number there.
    fn find(&self, number: u32, begin: impl Fn(&Counts) -> u32) -> (&Piece, u32) {
        let last = self.last.get();
        let is_in = |at: usize| {
            let end = self.begins.get(at + 1).map_or(u32::MAX, &begin);
            (begin(&self.begins[at])..end).contains(&number)
        };
        let at = if is_in(last) {
            last
        } else {
            self.begins.partition_point(|counts| begin(counts) <= number).saturating_sub(1)
        };
        self.last.set(at);
        (&self.pieces[at], number - begin(&self.begins[at]))
    }

    fn row_of(&self, row: u32) -> (&Piece, u32, &Counts) {
        let Place { piece, row, .. } = self.rows[row as usize];
        (&self.pieces[piece as usize], row, &self.begins[piece as usize])
    }
}

/// A number of a piece as one of the lot; zero stays zero.
fn moved(number: u32, begin: u32) -> u32 {
    if number == 0 { 0 } else { begin + number }
}

impl Source for Lot {
    fn rows(&self) -> u32 {
        number(self.rows.len())
    }

    /// Each piece has numbers of its own.
    fn says_again(&self) -> bool {
        true
    }

    fn arrivals_ms(&self) -> Option<(u64, u64)> {
        self.arrivals_ms
    }

    fn row(&self, row: u32) -> SourceRow {
        let (piece, at, begin) = self.row_of(row);
        let row = piece.row(at);
        SourceRow {
            name: moved(row.name, begin.names),
            local_endpoint: moved(row.local_endpoint, begin.endpoints),
            remote_endpoint: moved(row.remote_endpoint, begin.endpoints),
            resource: moved(row.resource, begin.resources),
            scope: moved(row.scope, begin.scopes),
            target: moved(row.target, begin.targets),
            status_message: moved(row.status_message, begin.texts),
            trace_state: moved(row.trace_state, begin.texts),
            ..*row
        }
    }

    fn rows_into(&self, rows: &[u32], out: &mut Vec<SourceRow>) {
        out.clear();
        out.extend(rows.iter().map(|row| self.row(*row)));
    }

    fn trace(&self, row: u32) -> u32 {
        self.rows[row as usize].trace
    }

    fn trace_count(&self) -> u32 {
        number(self.traces.len())
    }

    fn trace_id(&self, trace: u32) -> TraceId {
        self.traces[trace as usize]
    }

    fn place(&self, row: u32) -> (Timestamp, SpanId, bool) {
        let (piece, row, _) = self.row_of(row);
        piece.place(row)
    }

    fn is_root(&self, row: u32) -> bool {
        let (piece, row, _) = self.row_of(row);
        piece.row(row).parent_id.is_none()
    }

    fn names_of(&self, row: u32) -> (u32, u32) {
        let (piece, at, begin) = self.row_of(row);
        let row = piece.row(at);
        (moved(row.local_endpoint, begin.endpoints), moved(row.name, begin.names))
    }

    fn tags_into(&self, rows: &[u32], out: &mut Vec<u32>, ends: &mut Vec<usize>) {
        out.clear();
        ends.clear();
        for row in rows {
            let (piece, row, begin) = self.row_of(*row);
            out.extend(piece.tags(row).iter().map(|tag| begin.tags + tag));
            ends.push(out.len());
        }
    }

    fn each_tags(&self, each: &mut dyn FnMut(&[u32])) {
        let (mut tags, mut ends) = (Vec::new(), Vec::new());
        for row in 0..Source::rows(self) {
            self.tags_into(&[row], &mut tags, &mut ends);
            each(&tags);
        }
    }

    fn annotations(&self, row: u32, each: &mut dyn FnMut(SourceAnnotation<'_>)) {
        let (piece, row, begin) = self.row_of(row);
        piece.annotations(row, &mut |annotation| {
            each(SourceAnnotation { value: moved(annotation.value, begin.texts), ..annotation });
        });
    }

    fn links(&self, row: u32) -> Vec<Link> {
        let (piece, row, _) = self.row_of(row);
        piece.links(row)
    }

    fn span(&self, row: u32) -> Span {
        let (piece, row, _) = self.row_of(row);
        piece.span(row)
    }

    fn tag(&self, tag: u32) -> (u32, TagValue<'_>) {
        let (piece, tag) = self.find(tag, |counts| counts.tags);
        let (key, value) = piece.tag(tag);
        (self.begins[self.last.get()].keys + key, value)
    }

    fn tag_value(&self, tag: u32) -> Value {
        let (piece, tag) = self.find(tag, |counts| counts.tags);
        piece.tag_value(tag)
    }

    fn tag_bytes(&self, tag: u32) -> usize {
        let (piece, tag) = self.find(tag, |counts| counts.tags);
        piece.tag_bytes(tag)
    }

    fn key(&self, key: u32) -> &str {
        let (piece, key) = self.find(key, |counts| counts.keys);
        piece.key(key)
    }

    fn name(&self, name: u32) -> &str {
        let (piece, name) = self.find(name, |counts| counts.names);
        piece.name(name)
    }

    fn text(&self, text: u32) -> &str {
        let (piece, text) = self.find(text, |counts| counts.texts);
        piece.text(text)
    }

    fn endpoint(&self, endpoint: u32) -> Option<EndpointRef<'_>> {
        let (piece, endpoint) = self.find(endpoint, |counts| counts.endpoints);
        piece.endpoint(endpoint)
    }

    fn resource(&self, resource: u32) -> Option<&Arc<Resource>> {
        let (piece, resource) = self.find(resource, |counts| counts.resources);
        piece.resource(resource)
    }

    fn scope(&self, scope: u32) -> Option<&Arc<Scope>> {
        let (piece, scope) = self.find(scope, |counts| counts.scopes);
        piece.scope(scope)
    }

    fn target(&self, target: u32) -> Option<&Arc<Labels>> {
        let (piece, target) = self.find(target, |counts| counts.targets);
        piece.target(target)
    }
}

/// A lot has far fewer of anything than there are numbers.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
