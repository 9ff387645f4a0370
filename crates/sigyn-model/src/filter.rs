//! The filter language: what one may ask of spans and traces in a line of text.
//!
//! `{ service = frontend and http.status_code >= 500 and duration > 100ms }`: braces hold conditions
//! that one and the same span must meet. Beside each other, braces are met by any spans of a trace.
//! A text without braces is as if it stood in one pair. `docs/guide/asking.md` tells the language.

mod field;
mod lex;
mod literal;
mod parse;
mod sought;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Searched, Timestamp, trace_root};
pub(crate) use field::kind_word;
pub use field::{Field, FieldError, status_word};
pub use literal::Alike;
use literal::{Literal, Number, Pattern};
pub use sought::Sought;

/// A text that was read as a filter. The default is the empty text, which everything matches.
#[derive(Clone, Default)]
pub struct Filter {
    text: String,
    root: Arc<Tree<Outer>>,
}

/// Why a text is no filter, and where: both in characters from 0. `from` is the text's length if
/// something is still to come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {}: {message}", from + 1)]
pub struct FilterError {
    pub from: usize,
    pub to: usize,
    pub message: String,
}

/// A filter that looks at one span at a time: whatever else stands in a trace, it means the same spans.
#[derive(Clone, Debug)]
pub struct SpanFilter {
    root: Arc<Tree<Outer>>,
}

/// Something that some span of every matching trace says: what an index can look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need<'a> {
    Service(&'a str),
    Name(&'a str),
    Remote(&'a str),
    /// See [`crate::Span::is_error`].
    Error,
    /// As shown, so in whole microseconds: at least so many.
    DurationUs(u64),
}

/// Conditions as `and`, `or` and `not` join them.
#[derive(Debug)]
enum Tree<T> {
    All(Vec<Tree<T>>),
    Any(Vec<Tree<T>>),
    Not(Box<Tree<T>>),
    Leaf(T),
}

/// What stands outside of braces.
#[derive(Debug)]
enum Outer {
    /// A pair of braces: some span meets all of it.
    Some(Tree<Test>),
    Trace(TraceTest),
}

/// One condition.
#[derive(Debug)]
enum Test {
    Text(Field, TextTest),
    /// `None`: the span has a duration.
    Duration(Option<(Relation, Duration)>),
    Trace(TraceTest),
}

/// A condition on a text. One that is not there is empty, but has no order.
#[derive(Clone, Debug)]
enum TextTest {
    Exists,
    Equal { not: bool, literal: Literal },
    Like { not: bool, pattern: Pattern },
    Number(Relation, Number),
    Duration(Relation, Duration),
}

/// A condition on the trace as a whole.
#[derive(Debug)]
enum TraceTest {
    Duration(Relation, Duration),
    Spans(Relation, Number),
    Errors(Relation, Number),
    RootService(TextTest),
    RootName(TextTest),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Filter {
    /// The text, without space at its ends.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        matches!(&*self.root, Tree::All(all) if all.is_empty())
    }

    /// Whether this trace, given whole, matches.
    pub fn matches<S: Searched>(&self, trace: &[S]) -> bool {
        self.holds(&Whole::new(trace))
    }

    fn holds<S: Searched>(&self, whole: &Whole<'_, S>) -> bool {
        self.root.holds(&|outer| match outer {
            Outer::Some(inner) => whole.spans.iter().any(|span| whole.meets(span, inner)),
            Outer::Trace(test) => whole.passes(test),
        })
    }

    /// Which spans of a whole trace are meant: none if it does not match, else those that meet the
    /// conditions in any braces that do not stand under `not`; all of them if there are no such braces.
    pub fn selected<'a, S: Searched>(&self, trace: &'a [S]) -> Vec<&'a S> {
        let whole = Whole::new(trace);
        if !self.holds(&whole) {
            return Vec::new();
        }
        let mut braces = Vec::new();
        self.root.each_leaf(true, &mut |outer, is_wanted| match outer {
            Outer::Some(inner) if is_wanted => braces.push(inner),
            _ => {}
        });
        let is_meant =
            |span: &&S| braces.is_empty() || braces.iter().any(|inner| whole.meets(span, inner));
        trace.iter().filter(is_meant).collect()
    }

    /// The same for single spans, if it asks nothing of traces: it is empty, or one pair of braces, or
    /// such pairs with `or` between them.
    pub fn of_spans(&self) -> Option<SpanFilter> {
        let is_one_span = |inner: &Tree<Test>| {
            let mut is_one_span = true;
            inner.each_leaf(true, &mut |test, _| is_one_span &= !matches!(test, Test::Trace(_)));
            is_one_span
        };
        let is_braces = |tree: &Tree<Outer>| match tree {
            Tree::Leaf(Outer::Some(inner)) => is_one_span(inner),
            _ => false,
        };
        let is_of_spans = match &*self.root {
            Tree::All(all) => all.is_empty(),
            Tree::Any(any) => any.iter().all(is_braces),
            one => is_braces(one),
        };
        is_of_spans.then(|| SpanFilter { root: self.root.clone() })
    }

    /// Whether spans that stand in a trace twice, or without their target a second time, make no
    /// trace fail that would match without them.
    pub fn bears_duplicates(&self) -> bool {
        let mut bears = true;
        self.root.each_leaf(true, &mut |outer, is_wanted| match outer {
            Outer::Some(inner) => {
                bears &= is_wanted;
                inner.each_leaf(true, &mut |test, _| match test {
                    Test::Trace(test) => bears &= !test.counts(),
                    Test::Text(..) | Test::Duration(_) => {}
                });
            }
            Outer::Trace(test) => bears &= !test.counts(),
        });
        bears
    }

    /// Calls `each` with values that some span of every matching trace has; there may be more.
    pub fn each_sought(&self, each: &mut impl FnMut(Sought)) {
        self.root.each_condition(&mut |outer| {
            if let Outer::Some(inner) = outer {
                inner.each_condition(&mut |test| {
                    if let Test::Text(field, test) = test {
                        Sought::of_test(field, test).into_iter().for_each(&mut *each);
                    }
                });
            }
        });
    }

    /// Calls `each` with what every matching trace needs; there may be more.
    pub fn each_need<'a>(&'a self, each: &mut impl FnMut(Need<'a>)) {
        self.root.each_condition(&mut |outer| {
            if let Outer::Some(inner) = outer {
                inner.each_condition(&mut |test| {
                    if let Some(need) = test.need() {
                        each(need);
                    }
                });
            }
        });
    }
}

impl SpanFilter {
    /// Whether this span is meant.
    pub fn means(&self, span: &impl Searched) -> bool {
        self.root.holds(&|outer| match outer {
            Outer::Some(inner) => inner.holds(&|test| test.holds(span)),
            Outer::Trace(_) => false,
        })
    }

    /// Whether it looks at labels of the target that a span came from.
    pub fn asks_target(&self) -> bool {
        let mut asks = false;
        self.root.each_leaf(true, &mut |outer, _| {
            let Outer::Some(inner) = outer else { return };
            inner.each_leaf(true, &mut |test, _| {
                asks |= matches!(test, Test::Text(Field::Label(_), _));
            });
        });
        asks
    }

    /// Whether it looks at nothing but these fields, and at whether a span failed.
    pub fn asks_only(&self, fields: &[Field]) -> bool {
        let mut asks_only = true;
        self.root.each_leaf(true, &mut |outer, _| {
            let Outer::Some(inner) = outer else { return };
            inner.each_leaf(true, &mut |test, _| {
                asks_only &= match test {
                    Test::Text(Field::Tag(key), TextTest::Exists) if key == "error" => true,
                    Test::Text(field, _) => fields.contains(field),
                    Test::Duration(_) | Test::Trace(_) => false,
                };
            });
        });
        asks_only
    }
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl<T> Tree<T> {
    fn holds(&self, leaf: &impl Fn(&T) -> bool) -> bool {
        match self {
            Self::All(all) => all.iter().all(|tree| tree.holds(leaf)),
            Self::Any(any) => any.iter().any(|tree| tree.holds(leaf)),
            Self::Not(tree) => !tree.holds(leaf),
            Self::Leaf(one) => leaf(one),
        }
    }

    /// Calls `each` with every condition, and whether it stands under an even number of `not`.
    fn each_leaf<'a>(&'a self, is_wanted: bool, each: &mut dyn FnMut(&'a T, bool)) {
        match self {
            Self::All(trees) | Self::Any(trees) => {
                trees.iter().for_each(|tree| tree.each_leaf(is_wanted, each));
            }
            Self::Not(tree) => tree.each_leaf(!is_wanted, each),
            Self::Leaf(one) => each(one, is_wanted),
        }
    }

    /// Calls `each` with those conditions that must all hold.
    fn each_condition<'a>(&'a self, each: &mut dyn FnMut(&'a T)) {
        match self {
            Self::All(all) => all.iter().for_each(|tree| tree.each_condition(each)),
            Self::Leaf(one) => each(one),
            Self::Any(_) | Self::Not(_) => {}
        }
    }
}

/// A trace with what its tests ask again and again.
struct Whole<'a, S> {
    spans: &'a [S],
    root: OnceCell<Option<&'a S>>,
    errors: OnceCell<u64>,
    duration: OnceCell<Option<Duration>>,
}

impl<'a, S: Searched> Whole<'a, S> {
    fn new(spans: &'a [S]) -> Self {
        Self { spans, root: OnceCell::new(), errors: OnceCell::new(), duration: OnceCell::new() }
    }

    fn meets(&self, span: &S, tree: &Tree<Test>) -> bool {
        tree.holds(&|test| match test {
            Test::Trace(test) => self.passes(test),
            test => test.holds(span),
        })
    }

    fn passes(&self, test: &TraceTest) -> bool {
        let root = || *self.root.get_or_init(|| trace_root(self.spans));
        match test {
            TraceTest::Duration(relation, bound) => {
                let duration = self.duration.get_or_init(|| trace_duration(self.spans));
                relation.holds(duration.map(|duration| duration.cmp(bound)))
            }
            TraceTest::Spans(relation, bound) => {
                relation.holds(Number::of(self.spans.len() as u64).compare(*bound))
            }
            TraceTest::Errors(relation, bound) => {
                let count = || self.spans.iter().filter(|span| span.is_error()).count() as u64;
                let errors = *self.errors.get_or_init(count);
                relation.holds(Number::of(errors).compare(*bound))
            }
            TraceTest::RootService(test) => test.holds(root().and_then(Searched::service_name)),
            TraceTest::RootName(test) => test.holds(root().map(Searched::name)),
        }
    }
}

/// From the start of the first span to the end of the last one.
pub fn trace_duration<S: Searched>(trace: &[S]) -> Option<Duration> {
    let start = trace.iter().filter_map(Searched::timestamp).min()?;
    let end = |span: &S| {
        let took = span.duration().map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        Some(span.timestamp()?.nanos().saturating_add(took))
    };
    let end = trace.iter().filter_map(end).max()?;
    Some(Duration::from_nanos(end - Timestamp::nanos(start)))
}

impl TextTest {
    fn holds(&self, text: Option<&str>) -> bool {
        match (self, text.unwrap_or("")) {
            (Self::Exists, _) => text.is_some(),
            (Self::Equal { not, literal }, text) => literal.equals(text) != *not,
            (Self::Like { not, pattern }, text) => pattern.matches(text) != *not,
            (Self::Number(relation, bound), text) => {
                relation.holds(Number::read(text).and_then(|number| number.compare(*bound)))
            }
            (Self::Duration(relation, bound), text) => {
                relation.holds(literal::duration(text).map(|duration| duration.cmp(bound)))
            }
        }
    }

    /// The same for annotations: one of them must pass, or none where it says `not`.
    fn any(&self, span: &impl Searched) -> bool {
        match self {
            Self::Exists => span.any_annotation(&mut |_| true),
            Self::Equal { not, literal } => {
                span.any_annotation(&mut |text| literal.equals(text)) != *not
            }
            Self::Like { not, pattern } => {
                span.any_annotation(&mut |text| pattern.matches(text)) != *not
            }
            Self::Number(..) | Self::Duration(..) => {
                span.any_annotation(&mut |text| self.holds(Some(text)))
            }
        }
    }

    /// Whether a span without annotations passes.
    fn passes_without(&self) -> bool {
        matches!(self, Self::Equal { not: true, .. } | Self::Like { not: true, .. })
    }

    /// A text that must be there as it is.
    fn exact(&self) -> Option<&str> {
        match self {
            Self::Equal { not: false, literal } if !literal.text().is_empty() => {
                Some(literal.text())
            }
            _ => None,
        }
    }
}

impl Test {
    /// Whether a span alone passes; what asks for its trace it does not.
    fn holds(&self, span: &impl Searched) -> bool {
        match self {
            Self::Text(Field::Annotation, test) => test.any(span),
            Self::Text(field, test) => test.holds(field.of(span).as_deref()),
            Self::Duration(None) => span.duration().is_some(),
            Self::Duration(Some((relation, bound))) => {
                relation.holds(span.duration().map(|duration| duration.cmp(bound)))
            }
            Self::Trace(_) => false,
        }
    }

    fn need(&self) -> Option<Need<'_>> {
        match self {
            Self::Text(Field::Service, test) => test.exact().map(Need::Service),
            Self::Text(Field::Name, test) => test.exact().map(Need::Name),
            Self::Text(Field::Remote, test) => test.exact().map(Need::Remote),
            Self::Text(Field::Status, test) => {
                test.exact().filter(|text| *text == "error").map(|_| Need::Error)
            }
            Self::Text(Field::Tag(key), test) if key == "error" => {
                let is_there = matches!(test, TextTest::Exists) || test.exact().is_some();
                is_there.then_some(Need::Error)
            }
            Self::Duration(Some((
                Relation::Greater | Relation::GreaterOrEqual | Relation::Equal,
                bound,
            ))) => {
                let us = u64::try_from(bound.as_micros()).ok()?;
                // As far as durations are shown.
                Some(Need::DurationUs(us.min(u64::MAX / 1_000)))
            }
            _ => None,
        }
    }
}

impl TraceTest {
    /// How often a span stands in a trace makes a difference.
    fn counts(&self) -> bool {
        matches!(self, Self::Spans(..) | Self::Errors(..))
    }
}

impl Relation {
    /// What is not there, or cannot be compared, is different.
    fn holds(self, ordering: Option<Ordering>) -> bool {
        let Some(ordering) = ordering else { return self == Self::NotEqual };
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.text).finish()
    }
}

/// Two filters are the same if their texts are.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Filter {}
