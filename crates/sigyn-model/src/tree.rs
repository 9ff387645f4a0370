//! A trace as a tree: spans merged and hung under their parents by Zipkin's rules.

use crate::Span;

/// The spans of one trace, merged, with each one's place.
#[derive(Clone, Debug, Default)]
pub struct SpanTree {
    /// In breadth-first order; a synthetic root is left out.
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
}
