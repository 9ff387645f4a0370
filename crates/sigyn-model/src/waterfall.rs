//! A trace as the lines of a waterfall, laid out from outlines: the tree that [`crate::SpanTree`] makes of whole
//! spans, in a tenth of the memory.

use std::collections::HashMap;

use crate::merge::{agree, compare_endpoints, fill_endpoint, put_together};
use crate::outline::{Outline, Outlines, at};
use crate::query::shown_us;
use crate::{Endpoint, Kind, Span, SpanId, Timestamp, TraceId};

/// No node.
const NONE: u32 = u32::MAX;

/// The lines of a trace, each before those that hang under it, siblings by time.
#[derive(Debug)]
pub struct Waterfall<'a> {
    outlines: &'a Outlines,
    /// Places of spans: those of one node stand together, the first part first.
    order: Vec<u32>,
    nodes: Vec<Node>,
    /// Those that outlines have, and those that parts of a span made together.
    endpoints: Vec<Endpoint>,
    parents: Vec<u32>,
    parent_missing: Vec<bool>,
    rows: Vec<u32>,
    row_of: Vec<u32>,
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'w> {
    /// The row of the parent; always less than the row's own.
    pub parent: Option<usize>,
    pub parent_missing: bool,
    pub timestamp: Option<Timestamp>,
    pub duration_us: Option<u64>,
    pub service: Option<&'w str>,
    pub name: &'w str,
    pub remote: Option<&'w str>,
    pub kind: Option<Kind>,
    pub shared: bool,
    pub debug: bool,
    pub is_error: bool,
    /// As outlines number it.
    pub target: u32,
}

/// One span of the tree.
#[derive(Clone, Copy, Debug)]
struct Node {
    id: u64,
    parent_id: u64,
    timestamp: u64,
    /// In `order`.
    first: u32,
    parts: u32,
    endpoint: u32,
    kind: Option<Kind>,
    shared: bool,
    has_parent: bool,
    has_timestamp: bool,
}

impl Line<'_> {
    /// When the span ended, in Zipkin's microseconds; when it began, if nobody knows how long it took.
    pub fn end_us(&self) -> Option<u64> {
        Some(self.timestamp?.micros().saturating_add(self.duration_us.unwrap_or(0)))
    }
}

impl<'a> Waterfall<'a> {
    /// About what it takes in memory for each span, beside the outlines.
    pub const SPAN_BYTES: usize =
        size_of::<Node>() + 5 * size_of::<u32>() + 2 * size_of::<u32>() + 2;

    pub fn new(outlines: &'a Outlines) -> Self {
        let order = in_order(outlines);
        let mut waterfall = Self {
            outlines,
            nodes: Vec::with_capacity(order.len()),
            endpoints: outlines.endpoints().to_vec(),
            parents: Vec::new(),
            parent_missing: Vec::new(),
            rows: Vec::new(),
            row_of: Vec::new(),
            order,
        };
        waterfall.merge();
        waterfall.lay_out();
        waterfall
    }

    /// How many lines.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The trace's id: a 128-bit one if there is any, for both spellings may meet in a trace.
    pub fn trace_id(&self) -> Option<TraceId> {
        let id = |place: &u32| self.outlines.trace_id(self.outlines.get(*place as usize).trace);
        let mut ids = self.order.iter().filter_map(id);
        let first = ids.next()?;
        Some(if first.high() != 0 { first } else { ids.find(|id| id.high() != 0).unwrap_or(first) })
    }

    /// The places of the spans that a line is made of.
    pub fn sources(&self, row: usize) -> &[u32] {
        let Node { first, parts, .. } = self.nodes[self.rows[row] as usize];
        &self.order[first as usize..(first + parts) as usize]
    }

    /// A line; what its first part says goes before what others say.
    pub fn line(&self, row: usize) -> Line<'_> {
        let number = self.rows[row] as usize;
        let node = &self.nodes[number];
        let mut parts = self.sources(row).iter().map(|place| self.outlines.get(*place as usize));
        let first = parts.next().unwrap_or_else(|| self.outlines.get(0));
        let all = parts.fold(first, |all, part| Outline {
            duration: all.duration.or(part.duration),
            debug: all.debug | part.debug,
            is_error: all.is_error | part.is_error,
            name: if all.name == 0 { part.name } else { all.name },
            remote: if all.remote == 0 { part.remote } else { all.remote },
            target: if all.target == 0 { part.target } else { all.target },
            ..all
        });
        let service = at(&self.endpoints, node.endpoint).map(|endpoint| &*endpoint.service_name);
        let parent = self.parents[number];
        Line {
            parent: (parent != NONE).then(|| self.row_of[parent as usize] as usize),
            parent_missing: self.parent_missing[number],
            timestamp: node.timestamp(),
            duration_us: all.duration.map(shown_us),
            service: service.filter(|name| !name.is_empty()),
            name: self.outlines.name_of(all.name).unwrap_or(""),
            remote: self.outlines.name_of(all.remote),
            kind: node.kind,
            shared: node.shared,
            debug: all.debug,
            is_error: all.is_error,
            target: all.target,
        }
    }

    /// The span of a line, of those that it is made of.
    pub fn span(&self, row: usize, parts: &[Span]) -> Option<Span> {
        let node = &self.nodes[self.rows[row] as usize];
        let span = put_together(parts)?;
        let trace_id = self.trace_id().unwrap_or(span.trace_id);
        Some(Span { trace_id, parent_id: node.parent_id(), shared: node.shared, ..span })
    }

    /// By row, when something was noted; no more than so many of the first.
    pub fn ticks(&self, max: usize) -> Vec<(usize, Timestamp)> {
        let mut node_of = Vec::new();
        let ticks = self.outlines.ticks();
        if ticks.is_empty() {
            return Vec::new();
        }
        node_of.resize(self.order.len(), NONE);
        for (number, node) in self.nodes.iter().enumerate() {
            for place in &self.order[node.first as usize..(node.first + node.parts) as usize] {
                node_of[*place as usize] = u32::try_from(number).unwrap_or(NONE);
            }
        }
        let row = |place: u32| {
            let node = *node_of.get(place as usize)?;
            Some((self.row_of.get(node as usize)?, self.nodes.get(node as usize)?))
        };
        let mut by_row: Vec<(usize, Timestamp, bool)> = Vec::with_capacity(ticks.len());
        for (place, at) in ticks {
            if let Some((row, node)) = row(*place) {
                by_row.push((*row as usize, *at, node.parts > 1));
            }
        }
        by_row.sort_unstable();
        // What came twice was noted once.
        by_row.dedup_by(|next, first| next.2 && next == first);
        by_row.into_iter().take(max).map(|(row, at, _)| (row, at)).collect()
    }

    /// Makes nodes of spans that are parts of one.
    fn merge(&mut self) {
        let mut made: HashMap<Endpoint, u32> = HashMap::new();
        for at in 0..self.order.len() {
            let span = self.outlines.get(self.order[at] as usize);
            if !self.try_add(&span, &mut made) {
                self.nodes.push(Node::new(at, &span));
            }
        }
        for number in 1..self.nodes.len() {
            let (before, after) = self.nodes.split_at_mut(number);
            if let ([.., client], [server, ..]) = (before, after) {
                server.learn_from(client);
            }
        }
    }

    /// Adds a span to the last node if it is a part of it: of the same side, and of no other endpoint.
    fn try_add(&mut self, span: &Outline, made: &mut HashMap<Endpoint, u32>) -> bool {
        let endpoints = &mut self.endpoints;
        let Some(node) = self.nodes.last_mut() else { return false };
        if node.id != span.id.as_u64() || node.shared != span.shared {
            return false;
        }
        match (at(endpoints, node.endpoint), at(endpoints, span.local)) {
            (_, None) => {}
            (None, Some(_)) => node.endpoint = span.local,
            (Some(_), Some(_)) if node.endpoint == span.local => {}
            (Some(ours), Some(theirs)) if agree(ours, theirs) => {
                let mut filled = ours.clone();
                fill_endpoint(&mut filled, theirs);
                let known = self.outlines.endpoint_number(&filled);
                node.endpoint = known.unwrap_or_else(|| {
                    *made.entry(filled).or_insert_with_key(|filled| {
                        endpoints.push(filled.clone());
                        number_of(endpoints.len())
                    })
                });
            }
            _ => return false,
        }
        node.parts += 1;
        if !node.has_parent
            && let Some(parent) = span.parent_id
        {
            (node.has_parent, node.parent_id) = (true, parent.as_u64());
        }
        node.kind = node.kind.or(span.kind);
        if !node.has_timestamp
            && let Some(at) = span.timestamp
        {
            (node.has_timestamp, node.timestamp) = (true, at.nanos());
        }
        true
    }

    fn lay_out(&mut self) {
        let nodes = &self.nodes;
        let root = nodes.iter().position(|node| !node.shared && !node.has_parent);
        let ids = Ids::new(nodes);
        let count = nodes.len();
        self.parents = vec![NONE; count];
        self.parent_missing = vec![false; count];
        let mut tops: Vec<u32> = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            let own = number_of(number);
            if Some(number) == root {
                tops.push(own);
                continue;
            }
            let parent = ids.parent_of(node).filter(|parent| *parent != own);
            self.parent_missing[number] = parent.is_none() && (node.shared || node.has_parent);
            match parent.or(root.map(number_of)) {
                Some(parent) => self.parents[number] = parent,
                None => tops.push(own),
            }
        }
        drop(ids);
        let time = |node: &u32| {
            let at = nodes[*node as usize].timestamp().unwrap_or(Timestamp::from_nanos(0));
            (at, *node)
        };
        tops.sort_unstable_by_key(time);
        let children = Children::of(&self.parents, time);
        let mut walk =
            Walk { rows: Vec::with_capacity(count), row_of: vec![NONE; count], next: Vec::new() };
        walk.below(tops, &children, &self.parents);
        if walk.rows.len() < count {
            let unseen = |node: &u32| walk.row_of[*node as usize] == NONE;
            let mut left: Vec<u32> = (0..number_of(count)).filter(unseen).collect();
            left.sort_unstable_by_key(time);
            for node in left {
                if walk.row_of[node as usize] == NONE {
                    let top = cycle_above(&self.parents, node, time);
                    self.parents[top as usize] = NONE;
                    walk.below(vec![top], &children, &self.parents);
                }
            }
        }
        (self.rows, self.row_of) = (walk.rows, walk.row_of);
    }
}

impl Node {
    fn new(at: usize, span: &Outline) -> Self {
        Self {
            id: span.id.as_u64(),
            parent_id: span.parent_id.map_or(0, SpanId::as_u64),
            timestamp: span.timestamp.map_or(0, Timestamp::nanos),
            first: number_of(at),
            parts: 1,
            endpoint: span.local,
            kind: span.kind,
            shared: span.shared,
            has_parent: span.parent_id.is_some(),
            has_timestamp: span.timestamp.is_some(),
        }
    }

    fn parent_id(&self) -> Option<SpanId> {
        self.has_parent.then(|| SpanId::from_raw(self.parent_id))
    }

    fn timestamp(&self) -> Option<Timestamp> {
        self.has_timestamp.then(|| Timestamp::from_nanos(self.timestamp))
    }

    /// Adds what a server half may have left out. Spans of one id come client first.
    fn learn_from(&mut self, before: &Self) {
        if self.id != before.id {
            return;
        }
        self.shared |= before.kind == Some(Kind::Client) && self.kind == Some(Kind::Server);
        if self.shared && !self.has_parent {
            (self.has_parent, self.parent_id) = (before.has_parent, before.parent_id);
        }
    }
}

/// Places of spans as parts are put together: by id, side and endpoint, and then by whatever tells them apart.
fn in_order(outlines: &Outlines) -> Vec<u32> {
    let endpoints = ranks(outlines.endpoints(), |a, b| compare_endpoints(Some(a), Some(b)));
    let names = ranks(outlines.names(), Ord::cmp);
    let rank = |ranks: &[u32], number: u32| at(ranks, number).map_or(0, |rank| rank + 1);
    let key = |place: &u32| {
        let span = outlines.get(*place as usize);
        let side = (span.shared, !span.shared && span.kind != Some(Kind::Client));
        let rest =
            (span.timestamp.is_none(), span.timestamp, span.duration, span.kind, span.parent_id);
        (span.id, side, rank(&endpoints, span.local), rest, rank(&names, span.name), *place)
    };
    let mut order: Vec<u32> = (0..number_of(outlines.len())).collect();
    order.sort_unstable_by_key(key);
    order
}

/// The place of each in the order of all.
fn ranks<T>(list: &[T], compare: impl Fn(&T, &T) -> std::cmp::Ordering) -> Vec<u32> {
    let mut order: Vec<usize> = (0..list.len()).collect();
    order.sort_by(|a, b| compare(&list[*a], &list[*b]));
    let mut ranks = vec![0; list.len()];
    for (rank, place) in order.into_iter().enumerate() {
        ranks[place] = number_of(rank);
    }
    ranks
}

/// The nodes of a trace by what others call them. They stand in the order of their ids.
struct Ids<'n> {
    nodes: &'n [Node],
    /// The first server half of an id, of each endpoint and of any.
    shared: HashMap<(u64, u32), u32>,
    any_shared: HashMap<u64, u32>,
}

impl<'n> Ids<'n> {
    fn new(nodes: &'n [Node]) -> Self {
        let (mut shared, mut any_shared) = (HashMap::new(), HashMap::new());
        for (number, node) in nodes.iter().enumerate().filter(|(_, node)| node.shared) {
            shared.entry((node.id, node.endpoint)).or_insert(number_of(number));
            any_shared.entry(node.id).or_insert(number_of(number));
        }
        Self { nodes, shared, any_shared }
    }

    /// The first span that owns its id. Where the first of an id is a server half, all of them are.
    fn own(&self, id: u64) -> Option<u32> {
        let place = self.nodes.partition_point(|node| node.id < id);
        let first = self.nodes.get(place)?;
        (first.id == id && !first.shared).then(|| number_of(place))
    }

    /// As in [`crate::SpanTree`].
    fn parent_of(&self, node: &Node) -> Option<u32> {
        let any = |id: u64| self.own(id).or_else(|| self.any_shared.get(&id).copied());
        let parent_id = node.has_parent.then_some(node.parent_id);
        if node.shared {
            return self.own(node.id).or_else(|| any(parent_id?));
        }
        let server = self.shared.get(&(parent_id?, node.endpoint)).copied();
        server.or_else(|| any(parent_id?))
    }
}

/// Who hangs under whom, one list for all.
struct Children {
    ends: Vec<u32>,
    all: Vec<u32>,
}

impl Children {
    fn of<T: Ord>(parents: &[u32], time: impl Fn(&u32) -> T) -> Self {
        let mut ends = vec![0u32; parents.len()];
        for parent in parents.iter().filter(|parent| **parent != NONE) {
            ends[*parent as usize] += 1;
        }
        let mut all = 0;
        for end in &mut ends {
            (*end, all) = (all, all + *end);
        }
        // Each is where its next child goes, and so ends where its children do.
        let mut list = vec![0; all as usize];
        for (number, parent) in parents.iter().enumerate().filter(|(_, parent)| **parent != NONE) {
            let next = &mut ends[*parent as usize];
            list[*next as usize] = number_of(number);
            *next += 1;
        }
        let mut children = Self { ends, all: list };
        for node in 0..parents.len() {
            let range = children.range(node);
            children.all[range].sort_unstable_by_key(&time);
        }
        children
    }

    fn range(&self, node: usize) -> std::ops::Range<usize> {
        let begin = node.checked_sub(1).map_or(0, |before| self.ends[before]);
        begin as usize..self.ends[node] as usize
    }
}

/// Rows as they come.
struct Walk {
    rows: Vec<u32>,
    row_of: Vec<u32>,
    next: Vec<u32>,
}

impl Walk {
    /// Adds nodes and all that hangs under them.
    fn below(&mut self, tops: Vec<u32>, children: &Children, parents: &[u32]) {
        self.next.extend(tops.into_iter().rev());
        while let Some(node) = self.next.pop() {
            self.row_of[node as usize] = number_of(self.rows.len());
            self.rows.push(node);
            // Where a cycle was cut, the topmost hangs nowhere any more.
            let below = children.all[children.range(node as usize)].iter().rev();
            self.next.extend(below.filter(|child| parents[**child as usize] == node));
        }
    }
}

/// A node without way to the root has a cycle above it: the earliest node of that.
fn cycle_above<T: Ord>(parents: &[u32], node: u32, time: impl Fn(&u32) -> T) -> u32 {
    let up = |node: u32| parents[node as usize];
    let (mut slow, mut fast) = (up(node), up(up(node)));
    while slow != fast {
        (slow, fast) = (up(slow), up(up(fast)));
    }
    let mut top = slow;
    let mut at = up(slow);
    while at != slow {
        if time(&at) < time(&top) {
            top = at;
        }
        at = up(at);
    }
    top
}

fn number_of(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SpanTree;
    use crate::arbitrary::{plain_span, sketch};

    /// Lays out a trace in both ways.
    fn check(spans: &[Span]) {
        let tree = SpanTree::build(spans);
        let rows = tree.rows();
        let outlines = Outlines::of(spans);
        let waterfall = Waterfall::new(&outlines);
        assert_eq!(waterfall.len(), rows.len());
        for (number, row) in rows.iter().enumerate() {
            let line = waterfall.line(number);
            let node = &tree.nodes[row.node];
            let span = &node.span;
            assert_eq!((line.parent, line.parent_missing), (row.parent, row.parent_missing));
            assert_eq!((line.timestamp, line.duration_us), (span.timestamp, span.duration_us()));
            assert_eq!((line.service, line.name), (span.service_name(), &*span.name));
            assert_eq!((line.remote, line.kind), (span.remote_service_name(), span.kind));
            assert_eq!((line.shared, line.debug), (span.shared, span.debug));
            assert_eq!(line.end_us(), span.end_us());
            let sources: Vec<usize> =
                waterfall.sources(number).iter().map(|at| *at as usize).collect();
            assert_eq!(sources, node.sources);
            assert_eq!(line.is_error, sources.iter().any(|at| spans[*at].is_error()));
            let parts: Vec<Span> = sources.iter().map(|at| spans[*at].clone()).collect();
            assert_eq!(waterfall.span(number, &parts).as_ref(), Some(span));
        }
    }

    #[test]
    fn lines_are_those_of_the_tree() {
        for trace in [
            "",
            "1 -",
            "1 -; 2 1 @9; 3 1 @5; 4 2; 5 2 @1; 6 3",
            "2 9 @2; 3 2; 4 8 @1",
            "1 - C a>b; 2 1 C a; 2 - S b; 3 2 C b; 1 - S b shared @1; 1 - S c shared @2; 2 1 - c",
            "1 2 @5; 2 1 @3; 3 2",
            "1 -; 2 3 @1; 3 4 @2; 4 2 @0; 5 4",
            "3 1; 1 2 @2; 2 1 @1; 7 8; 8 7",
            "1 - C a @5; 1 - - a +7; 1 - - ->b error; 1 - - b; 1 - -",
        ] {
            check(&sketch(trace));
        }
    }

    #[test]
    fn what_was_noted_stands_in_its_row() {
        let mut spans = sketch("1 -; 2 1 @9; 3 1 @5; 3 1 @5");
        let note = |nanos| crate::Annotation {
            timestamp: Timestamp::from_nanos(nanos),
            value: String::new(),
            tags: Vec::new(),
            dropped_tags: 0,
        };
        spans[1].annotations = vec![note(7), note(7)];
        spans[2].annotations = vec![note(8), note(6)];
        spans[3].annotations = vec![note(6), note(8)];
        let outlines = Outlines::of(&spans);
        let waterfall = Waterfall::new(&outlines);
        let ticks = |max: usize| -> Vec<(usize, u64)> {
            waterfall.ticks(max).into_iter().map(|(row, at)| (row, at.nanos())).collect()
        };
        assert_eq!(ticks(9), [(1, 6), (1, 8), (2, 7), (2, 7)]);
        assert_eq!(ticks(1), [(1, 6)]);
    }

    #[test]
    fn a_revision_changes_with_what_is_new_alone() {
        let mut spans = sketch("1 -; 2 1 @9; 3 1 @5");
        let of = |spans: &[Span]| Outlines::of(spans).revision();
        let before = of(&spans);
        spans.reverse();
        spans.push(spans[1].clone());
        assert_eq!(of(&spans), before);
        spans.push(Span { shared: true, ..spans[1].clone() });
        assert_ne!(of(&spans), before);
    }

    proptest! {
        #[test]
        fn lines_of_any_trace_are_those_of_its_tree(
            spans in prop::collection::vec(plain_span(), 0..20),
        ) {
            check(&spans);
        }
    }
}
