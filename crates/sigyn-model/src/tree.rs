//! A trace as a tree: spans merged and hung under their parents by Zipkin's rules.
//!
//! The client and the server half of one id are two nodes, the server under the client. Spans that
//! name no parent, or one that is not there, hang off the root, which is the first span without a
//! parent; if there is none, they stand side by side.

use std::collections::{HashMap, VecDeque};

use crate::merge::{Merged, MergedSpan};
use crate::{Endpoint, Span, SpanId, Timestamp};

/// The spans of one trace, merged, with each one's place.
#[derive(Clone, Debug, Default)]
pub struct SpanTree {
    /// In breadth-first order; a synthetic root is left out. Spans that are each other's ancestors
    /// come last: the earliest of them is taken for the topmost.
    pub nodes: Vec<SpanNode>,
}

/// One merged span and its place.
#[derive(Clone, Debug)]
pub struct SpanNode {
    pub span: Span,
    /// Index in [`SpanTree::nodes`]; always less than the node's own.
    pub parent: Option<usize>,
    /// Indices, by timestamp.
    pub children: Vec<usize>,
    /// The span names a parent, or shares a client's id, and none such is stored.
    pub parent_missing: bool,
    /// Which of the spans given were merged into this one.
    pub sources: Vec<usize>,
}

/// One line of a waterfall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index in [`SpanTree::nodes`].
    pub node: usize,
    /// The row of the parent; always less than the row's own.
    pub parent: Option<usize>,
    pub depth: usize,
    pub parent_missing: bool,
}

impl SpanTree {
    /// The tree of one whole trace, whatever the order of its spans.
    pub fn build(spans: &[Span]) -> Self {
        let merged = Merged::new(spans);
        let layout = Layout::new(&merged);
        let trace_id = merged.trace_id();
        let mut place = vec![0; layout.order.len()];
        for (i, node) in layout.order.iter().enumerate() {
            place[*node] = i;
        }
        let nodes = layout.order.iter().filter_map(|node| {
            let span = merged.span(*node)?;
            Some(SpanNode {
                span: Span { trace_id: trace_id.unwrap_or(span.trace_id), ..span },
                parent: layout.parents[*node].map(|parent| place[parent]),
                children: layout.children[*node].iter().map(|child| place[*child]).collect(),
                parent_missing: layout.parent_missing[*node],
                sources: merged.sources(*node).to_vec(),
            })
        });
        Self { nodes: nodes.collect() }
    }

    /// The lines of a waterfall: each node before its children, siblings by timestamp.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.nodes.len());
        let tops = (0..self.nodes.len()).filter(|node| self.nodes[*node].parent.is_none());
        let mut next: Vec<(usize, Option<usize>, usize)> =
            tops.rev().map(|node| (node, None, 0)).collect();
        while let Some((node, parent, depth)) = next.pop() {
            let row = rows.len();
            let SpanNode { children, parent_missing, .. } = &self.nodes[node];
            rows.push(Row { node, parent, depth, parent_missing: *parent_missing });
            next.extend(children.iter().rev().map(|child| (*child, Some(row), depth + 1)));
        }
        rows
    }
}

/// Where the nodes of a merged trace stand, by their index there.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Breadth first.
    pub(crate) order: Vec<usize>,
    /// How many of `order` hang together as a tree. The others are each other's ancestors: cycles, cut
    /// at their earliest span so that they can be shown.
    pub(crate) rooted: usize,
    pub(crate) root: Option<usize>,
    pub(crate) parents: Vec<Option<usize>>,
    pub(crate) children: Vec<Vec<usize>>,
    parent_missing: Vec<bool>,
}

impl Layout {
    pub(crate) fn new(merged: &Merged<'_>) -> Self {
        let nodes = &merged.nodes;
        let root = nodes.iter().position(|node| !node.shared && node.parent_id.is_none());
        let ids = Ids::new(nodes);
        let mut layout = Self {
            order: Vec::with_capacity(nodes.len()),
            rooted: 0,
            root,
            parents: vec![None; nodes.len()],
            children: vec![Vec::new(); nodes.len()],
            parent_missing: vec![false; nodes.len()],
        };
        let mut tops = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            if Some(i) == root {
                tops.push(i);
                continue;
            }
            let parent = ids.parent_of(node).filter(|parent| *parent != i);
            layout.parent_missing[i] =
                parent.is_none() && (node.shared || node.parent_id.is_some());
            match parent.or(root) {
                Some(parent) => {
                    layout.parents[i] = Some(parent);
                    layout.children[parent].push(i);
                }
                None => tops.push(i),
            }
        }
        let time =
            |node: &usize| (nodes[*node].timestamp.unwrap_or(Timestamp::from_nanos(0)), *node);
        tops.sort_by_key(time);
        for children in &mut layout.children {
            children.sort_by_key(time);
        }
        let mut seen = vec![false; nodes.len()];
        layout.walk(tops, &mut seen);
        layout.rooted = layout.order.len();
        if layout.rooted < nodes.len() {
            let mut left: Vec<usize> = (0..nodes.len()).filter(|node| !seen[*node]).collect();
            left.sort_by_key(time);
            for node in left {
                if !seen[node] {
                    let top = layout.cut_cycle_above(node, time);
                    layout.walk(vec![top], &mut seen);
                }
            }
        }
        layout
    }

    /// Appends nodes and all that is below them.
    fn walk(&mut self, tops: Vec<usize>, seen: &mut [bool]) {
        let mut next = VecDeque::from(tops);
        while let Some(node) = next.pop_front() {
            seen[node] = true;
            self.order.push(node);
            next.extend(&self.children[node]);
        }
    }

    /// A node without way to the root has a cycle above it. Makes its earliest node the topmost.
    fn cut_cycle_above<T: Ord>(&mut self, node: usize, time: impl Fn(&usize) -> T) -> usize {
        // After as many steps as there are nodes, one is on the cycle: two pointers are quicker.
        let up = |node: usize| self.parents[node].unwrap_or(node);
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
        if let Some(parent) = self.parents[top].take() {
            self.children[parent].retain(|child| *child != top);
        }
        top
    }
}

/// The nodes of a trace by what others call them.
struct Ids<'a> {
    /// Spans that own their id. Two of one id should not be; the first is taken for the parent.
    own: HashMap<SpanId, usize>,
    /// Server halves, which several servers may have of one client.
    shared: HashMap<(SpanId, Option<&'a Endpoint>), usize>,
    /// The first server half of an id, whatever its endpoint.
    any_shared: HashMap<SpanId, usize>,
}

impl<'a> Ids<'a> {
    fn new(nodes: &'a [MergedSpan<'_>]) -> Self {
        let mut ids = Self {
            own: HashMap::with_capacity(nodes.len()),
            shared: HashMap::new(),
            any_shared: HashMap::new(),
        };
        for (i, node) in nodes.iter().enumerate() {
            if node.shared {
                ids.shared.entry((node.id, node.local_endpoint.as_deref())).or_insert(i);
                ids.any_shared.entry(node.id).or_insert(i);
            } else {
                ids.own.entry(node.id).or_insert(i);
            }
        }
        ids
    }

    /// A server half hangs under its client. Any other span hangs under the server half of its
    /// parent's id if that is of its own endpoint, else under the client.
    ///
    /// Where the client half is not stored, Zipkin hangs both off the root. We know better: the
    /// server half stands for its call.
    fn parent_of(&self, node: &MergedSpan<'_>) -> Option<usize> {
        let own = |id: SpanId| self.own.get(&id).copied();
        let any = |id: SpanId| own(id).or_else(|| self.any_shared.get(&id).copied());
        if node.shared {
            return own(node.id).or_else(|| any(node.parent_id?));
        }
        let parent_id = node.parent_id?;
        let server = self.shared.get(&(parent_id, node.local_endpoint.as_deref())).copied();
        server.or_else(|| any(parent_id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{plain_span, sketch};
    use crate::{Annotation, Kind};

    /// The rows, each as `id` with a dot before it for each level, `s` after it for a server half and
    /// `?` for a parent that is missing.
    fn check(trace: &str, expected: &str) {
        assert_eq!(rows(&sketch(trace)), expected, "{trace}");
    }

    fn rows(spans: &[Span]) -> String {
        let tree = SpanTree::build(spans);
        let rows = tree.rows().into_iter().map(|row| {
            let span = &tree.nodes[row.node].span;
            let shared = if span.shared { "s" } else { "" };
            let missing = if row.parent_missing { "?" } else { "" };
            format!("{}{:x}{shared}{missing}", ".".repeat(row.depth), span.id.as_u64())
        });
        rows.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn spans_stand_below_their_parents_by_time() {
        check("", "");
        check("1 -", "1");
        check("1 -; 2 1 @9; 3 1 @5; 4 2; 5 2 @1; 6 3", "1 .3 ..6 .2 ..4 ..5");
        // No time counts as zero.
        check("1 -; 2 1 @9; 3 1", "1 .3 .2");
    }

    #[test]
    fn what_has_no_parent_hangs_off_the_first_root() {
        check("1 -; 2 -; 3 2; 4 9", "1 .2 ..3 .4?");
        check("2 9 @2; 3 2; 4 8 @1", "4? 2? .3");
    }

    #[test]
    fn a_server_half_hangs_under_its_client() {
        check("1 - C a; 1 - S b shared", "1 .1s");
        // The flag and the parent that a server forgot.
        check("1 -; 2 1 C a; 2 - S b; 3 2 C b", "1 .2 ..2s ...3");
        // A child of the server half is told by its endpoint.
        check("1 - C a; 1 - S b shared; 2 1 - b; 3 1 - a", "1 .1s ..2 .3");
        // Several servers of one client.
        check(
            "1 - C a; 1 - S b shared @1; 1 - S c shared @2; 2 1 - c; 3 1 - b",
            "1 .1s ..3 .1s ..2",
        );
        // The client is not stored: the server half stands for the call.
        check("1 - S a; 2 1 S b shared; 3 2 C x", "1 .2s ..3");
        check("2 - S b shared; 3 2 C b", "2s? .3");
    }

    #[test]
    fn cycles_are_cut_at_their_earliest_span() {
        check("1 2 @5; 2 1 @3; 3 2", "2 .3 .1");
        check("1 -; 2 3 @1; 3 4 @2; 4 2 @0; 5 4", "1 4 .5 .3 ..2");
        check("3 1; 1 2 @2; 2 1 @1; 7 8; 8 7", "2 .1 ..3 7 .8");
    }

    #[test]
    fn parts_of_a_span_become_one_node() {
        let tree = |trace: &str| SpanTree::build(&sketch(trace));
        let late = tree("1 - C a @5; 1 - - a +7; 1 - - ->b error");
        assert_eq!(late.nodes.len(), 1);
        let SpanNode { span, sources, .. } = &late.nodes[0];
        assert_eq!(sources.len(), 3);
        assert_eq!(span.kind, Some(Kind::Client));
        assert_eq!((span.service_name(), span.remote_service_name()), (Some("a"), Some("b")));
        assert_eq!(span.timestamp, Timestamp::from_micros(5));
        assert_eq!(span.duration_us(), Some(7));
        assert!(span.is_error());
        // Two endpoints are two spans, unless one of them says nothing that contradicts.
        assert_eq!(tree("1 - - a; 1 - - b").nodes.len(), 2);
        assert_eq!(tree("1 - - a; 1 - - b; 1 - -").nodes.len(), 2);
    }

    #[test]
    fn the_later_tag_and_every_annotation_are_kept() {
        let mut spans = sketch("1 - @1; 1 - @2");
        let annotation = |nanos| Annotation {
            timestamp: Timestamp::from_nanos(nanos),
            value: String::new(),
            tags: Vec::new(),
            dropped_tags: 0,
        };
        spans[0].annotations = vec![annotation(1), annotation(3)];
        spans[1].annotations = vec![annotation(1), annotation(2)];
        spans[0].set_tag("a", "1");
        spans[1].set_tag("a", "2");
        spans.reverse();
        let span = &SpanTree::build(&spans).nodes[0].span;
        assert_eq!(span.annotations, [1, 2, 3].map(annotation));
        assert_eq!(span.zipkin_tag("a").unwrap(), "2");
    }

    #[test]
    fn the_wider_trace_id_wins() {
        let mut spans = sketch("1 -; 2 1");
        spans[1].trace_id = crate::TraceId::new(1 << 64 | 1).unwrap();
        let ids = |node: &SpanNode| node.span.trace_id.high();
        assert_eq!(SpanTree::build(&spans).nodes.iter().map(ids).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn a_chain_as_deep_as_a_trace_is_long_is_walked_without_recursion() {
        let chain: Vec<Span> = (1..=20_000u64)
            .map(|id| {
                let mut span = Span::new(crate::TraceId::new(1).unwrap(), SpanId::from_raw(id));
                span.parent_id = SpanId::new(id - 1);
                span
            })
            .collect();
        let rows = SpanTree::build(&chain).rows();
        assert_eq!(rows.last().map(|row| row.depth), Some(19_999));
    }

    proptest! {
        #[test]
        fn every_span_has_exactly_one_place(
            mut spans in prop::collection::vec(plain_span(), 0..20),
            seed in any::<u64>(),
        ) {
            let tree = SpanTree::build(&spans);
            let mut sources: Vec<usize> =
                tree.nodes.iter().flat_map(|node| node.sources.clone()).collect();
            sources.sort_unstable();
            prop_assert_eq!(sources, (0..spans.len()).collect::<Vec<_>>());
            for (i, node) in tree.nodes.iter().enumerate() {
                prop_assert!(node.parent.is_none_or(|parent| parent < i));
                prop_assert!(node.children.iter().all(|child| tree.nodes[*child].parent == Some(i)));
            }
            let rows_of_tree = tree.rows();
            let mut shown: Vec<usize> = rows_of_tree.iter().map(|row| row.node).collect();
            shown.sort_unstable();
            prop_assert_eq!(shown, (0..tree.nodes.len()).collect::<Vec<_>>());
            for (i, row) in rows_of_tree.iter().enumerate() {
                prop_assert!(row.parent.is_none_or(|parent| parent < i));
                let parent = row.parent.map(|parent| rows_of_tree[parent].node);
                prop_assert_eq!(parent, tree.nodes[row.node].parent);
            }
            // Another order of arrival makes the same tree.
            let drawn = rows(&spans);
            let (len, turn) = (spans.len().max(1) as u64, seed);
            spans.rotate_left(usize::try_from(turn % len).unwrap());
            spans.reverse();
            prop_assert_eq!(rows(&spans), drawn);
        }
    }
}
