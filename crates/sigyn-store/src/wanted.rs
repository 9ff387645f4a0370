//! What a query needs of a trace, as far as an index can tell: enough to leave most traces unread.

use sigyn_model::{Filter, Labels, Need, Resource, Searched, Sought, Timestamp, TraceQuery};

use crate::facts::TraceKey;
use crate::head::HeadTrace;

/// Something that a span says, and that indexes list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Word {
    Service(String),
    SpanName(String),
    RemoteService(String),
    /// A tag, an annotation or a label `error`.
    Error,
}

/// Conditions that each must be met by some span of a trace. They are necessary, not sufficient.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) words: Vec<Word>,
    pub(crate) min_duration_us: Option<u64>,
    /// Values that some span has.
    pub(crate) sought: Vec<Sought>,
}

/// There is a bit for each word and each value, and one for the duration.
const WORDS_MAX: usize = 31;

/// Which conditions are met, a bit each: the words in their order, then the duration, then the values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Met(u32);

impl Met {
    pub(crate) fn set(&mut self, condition: usize, is_met: bool) {
        self.0 |= u32::from(is_met) << condition;
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A trace that may match. There may be very many of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) key: TraceKey,
    /// The trace starts no later, if it starts in the window at all.
    pub(crate) start_max: Timestamp,
    /// Conditions that one of its parts meets.
    pub(crate) met: Met,
    /// Spans of the parts that were looked at so far.
    pub(crate) rows: u32,
    /// The block that these are in, if they are in one alone.
    pub(crate) block: Option<usize>,
}

impl Wanted {
    pub(crate) fn of(query: &TraceQuery) -> Self {
        let word = |text: Option<&str>, word: fn(String) -> Word| text.map(|t| word(t.to_owned()));
        let error = query.terms().iter().any(|term| term.key == "error").then_some(Word::Error);
        let words = [
            word(query.service_name(), Word::Service),
            word(query.span_name(), Word::SpanName),
            word(query.remote_service_name(), Word::RemoteService),
            error,
        ];
        let mut wanted = Self {
            words: words.into_iter().flatten().collect(),
            min_duration_us: query.min_duration_us(),
            sought: query.terms().iter().filter_map(Sought::of_term).collect(),
        };
        query.filter().each_need(&mut |need| wanted.add(need));
        query.filter().each_sought(&mut |sought| wanted.sought.push(sought));
        wanted.bounded()
    }

    /// What whatever matches a filter needs.
    pub(crate) fn of_filter(filter: &Filter) -> Self {
        let mut wanted = Self::default();
        filter.each_need(&mut |need| wanted.add(need));
        filter.each_sought(&mut |sought| wanted.sought.push(sought));
        wanted.bounded()
    }

    /// As much of it as there are bits for.
    fn bounded(mut self) -> Self {
        self.sought.truncate(WORDS_MAX - self.words.len());
        self
    }

    /// Adds what a filter needs, as far as there is room.
    fn add(&mut self, need: Need<'_>) {
        let word = match need {
            Need::Service(name) => Word::Service(name.to_owned()),
            Need::Name(name) => Word::SpanName(name.to_owned()),
            Need::Remote(name) => Word::RemoteService(name.to_owned()),
            Need::Error => Word::Error,
            Need::DurationUs(us) => {
                self.min_duration_us = self.min_duration_us.max(Some(us));
                return;
            }
        };
        if self.words.len() < WORDS_MAX && !self.words.contains(&word) {
            self.words.push(word);
        }
    }

    /// Nothing is missing.
    pub(crate) fn all(&self) -> Met {
        let mut met = Met::default();
        (0..self.words.len()).for_each(|condition| met.set(condition, true));
        met.set(self.words.len(), self.min_duration_us.is_some());
        (0..self.sought.len()).for_each(|sought| met.set(self.words.len() + 1 + sought, true));
        met
    }

    /// Which conditions a trace of a head meets.
    pub(crate) fn met_by(&self, trace: HeadTrace<'_>) -> Met {
        let mut met = Met::default();
        for (condition, word) in self.words.iter().enumerate() {
            let is_met = trace.may_say(word) && trace.rows().any(|row| word.is_in(&row));
            met.set(condition, is_met);
        }
        met.set(self.words.len(), self.is_long_enough(trace.facts().longest_us));
        for (at, sought) in self.sought.iter().enumerate() {
            met.set(self.words.len() + 1 + at, trace.rows().any(|row| sought.is_in(&row)));
        }
        met
    }

    pub(crate) fn is_long_enough(&self, longest_us: u64) -> bool {
        self.min_duration_us.is_some_and(|min| longest_us >= min)
    }
}

impl Word {
    pub(crate) fn is_in(&self, span: &impl Searched) -> bool {
        match self {
            Self::Service(name) => span.service_name() == Some(name),
            Self::SpanName(name) => span.name() == *name,
            Self::RemoteService(name) => span.remote_service_name() == Some(name),
            Self::Error => says_error(span) || span.resource().is_some_and(has_error),
        }
    }

    /// The name; empty for the word that has none.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Service(name) | Self::SpanName(name) | Self::RemoteService(name) => name,
            Self::Error => "",
        }
    }

    /// All that a span says.
    #[cfg(test)]
    pub(crate) fn of(
        span: &sigyn_model::Span,
        resource_says_error: impl FnOnce(&std::sync::Arc<Resource>) -> bool,
    ) -> impl Iterator<Item = Self> {
        let says_error =
            || says_error(span) || span.resource.as_ref().is_some_and(resource_says_error);
        let word = |text: Option<&str>, word: fn(String) -> Self| text.map(|t| word(t.to_owned()));
        let name = Some(span.name.as_str()).filter(|name| !name.is_empty());
        let words = [
            word(span.service_name(), Self::Service),
            word(name, Self::SpanName),
            word(span.remote_service_name(), Self::RemoteService),
            says_error().then_some(Self::Error),
        ];
        words.into_iter().flatten()
    }
}

/// As a tag, as Zipkin shows them, as an annotation, or as a label of its target.
fn says_error(span: &impl Searched) -> bool {
    span.is_error() || span.has_annotation("error") || span.target().is_some_and(has_label_error)
}

pub(crate) fn has_label_error(labels: &Labels) -> bool {
    labels.iter().any(|(name, _)| name == "error")
}

pub(crate) fn has_error(resource: &Resource) -> bool {
    resource.tags.iter().any(|(key, _)| key == "error")
}
