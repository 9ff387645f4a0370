//! What spans say: keys, and the values of one, each with how often and since when.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::BuildHasher as _;

use crate::{Field, Scope, Searched, Selection, Span, Timestamp};

/// Words of one answer; of more, the first in order are kept.
const WORDS_MAX: usize = 10_000;
/// Bytes of a word that is listed. Longer ones complete nothing that a person types.
const WORD_MAX: usize = 256;

/// A question for words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordsQuery {
    pub selection: Selection,
    pub what: What,
    /// Which words: those that begin so.
    pub prefix: String,
}

/// Which words of a span are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// Keys of its tags, and names of its target's labels, as a filter has them.
    Keys,
    /// Values of this.
    Values(Field),
}

/// The answer, as far as traces have been added. Parts merge to the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    query: WordsQuery,
    words_max: usize,
    words: BTreeMap<String, Seen>,
    is_cut: bool,
}

/// How often a word was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Spans that say it, once or often.
    pub spans: u64,
    /// When the first and the last of them started.
    pub first: Timestamp,
    pub last: Timestamp,
}

/// A span, in whatever form it is kept, whose own tags can be gone through.
pub trait Tagged: Searched {
    /// Calls `each` with the key of each of the span's own tags.
    fn each_tag_key(&self, each: &mut dyn FnMut(&str));

    /// Calls `each` with each of the span's own tags, as Zipkin shows it.
    fn each_tag(&self, each: &mut dyn FnMut(&str, &str));
}

impl Tagged for Span {
    fn each_tag_key(&self, each: &mut dyn FnMut(&str)) {
        self.tags.iter().for_each(|(key, _)| each(key));
    }

    fn each_tag(&self, each: &mut dyn FnMut(&str, &str)) {
        self.tags.iter().for_each(|(key, value)| each(key, &value.text()));
    }
}

impl Words {
    pub fn new(query: WordsQuery) -> Self {
        Self { query, words_max: WORDS_MAX, words: BTreeMap::new(), is_cut: false }
    }

    pub fn query(&self) -> &WordsQuery {
        &self.query
    }

    /// In order.
    pub fn words(&self) -> &BTreeMap<String, Seen> {
        &self.words
    }

    /// There are more, later in order: a longer prefix shows them.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Adds one whole trace.
    pub fn add(&mut self, trace: &[Span]) {
        for span in self.query.selection.spans(trace) {
            let Some(at) = span.timestamp else { continue };
            for word in self.said(span) {
                self.put(&word, Seen::at(at));
            }
        }
    }

    /// Those words of a span that are meant, each once; without those that no answer has any more, as many as
    /// there are before them.
    pub fn said(&mut self, span: &impl Tagged) -> Vec<String> {
        let Self { query: WordsQuery { what, prefix, .. }, words_max, words, is_cut } = self;
        let last = words.last_key_value().map(|(last, _)| last.as_str());
        let last = last.filter(|_| words.len() >= *words_max);
        let mut said: Vec<String> = Vec::new();
        each_word(span, what, &mut |word| {
            if word.is_empty() || word.len() > WORD_MAX || !word.starts_with(&**prefix) {
                return;
            }
            if last.is_some_and(|last| *word > *last) {
                *is_cut = true;
            } else {
                said.push(word.into_owned());
            }
        });
        said.sort_unstable();
        said.dedup();
        said
    }

    /// Adds spans that are meant, and in the window, by a word that [`Words::said`] gives for each of them.
    pub fn put(&mut self, word: &str, seen: Seen) {
        let is_full = self.words.len() >= self.words_max;
        let last = self.words.last_key_value().map(|(last, _)| last.as_str());
        if is_full && last.is_none_or(|last| word > last) {
            self.is_cut = true;
            return;
        }
        if let Some(known) = self.words.get_mut(word) {
            known.merge(seen);
            return;
        }
        if is_full {
            self.is_cut = true;
            self.words.pop_last();
        }
        self.words.insert(word.to_owned(), seen);
    }

    /// Adds what was made of other spans by the same question.
    pub fn merge(&mut self, other: &Self) {
        self.is_cut |= other.is_cut;
        other.words.iter().for_each(|(word, seen)| self.put(word, *seen));
    }
}

impl Seen {
    /// One span.
    pub fn at(at: Timestamp) -> Self {
        Self { spans: 1, first: at, last: at }
    }

    /// Adds other spans.
    pub fn merge(&mut self, other: Self) {
        self.spans += other.spans;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// Calls `each` with the words of one span, some of them maybe more than once, or empty.
fn each_word(span: &impl Tagged, what: &What, each: &mut dyn FnMut(Cow<'_, str>)) {
    match what {
        What::Keys => {
            each_shown_key(span, &mut |key| each(Field::write_tag(key)));
            for (name, _) in span.target().into_iter().flatten() {
                each(format!("target.{name}").into());
            }
        }
        What::Values(Field::Annotation) => {
            span.any_annotation(&mut |value| {
                each(value.into());
                false
            });
        }
        What::Values(field) => field.of(span).into_iter().for_each(each),
    }
}

/// Keys of the tags that Zipkin shows, some of them maybe more than once.
fn each_shown_key(span: &impl Tagged, each: &mut dyn FnMut(&str)) {
    span.each_tag_key(each);
    let derived = ["otel.status_code", "error", "otel.scope.name", "otel.scope.version"];
    derived.into_iter().filter(|key| span.zipkin_tag(key).is_some()).for_each(&mut *each);
    let resource = span.resource().into_iter().flat_map(|resource| resource.tags.iter());
    resource.map(|(key, _)| key.as_str()).filter(|key| *key != "service.name").for_each(each);
}

/// Calls `each` with the tags that Zipkin shows: the span's own, whatever they are, then what follows from its
/// status and its scope, then its resource's, as far as no other has their key.
pub(crate) fn each_shown_tag(span: &impl Tagged, each: &mut dyn FnMut(&str, &str)) {
    let hasher = foldhash::fast::FixedState::default();
    let mut keys: Vec<u64> = Vec::new();
    span.each_tag(&mut |key, value| {
        keys.push(hasher.hash_one(key));
        each(key, value);
    });
    let scope = |text: fn(&Scope) -> &String| {
        span.scope().map(text).filter(|text| !text.is_empty()).map(String::as_str)
    };
    let derived = [
        ("otel.status_code", span.status_code().as_tag()),
        ("error", span.status_code().as_error(span.status_message())),
        ("otel.scope.name", scope(|scope| &scope.name)),
        ("otel.scope.version", scope(|scope| &scope.version)),
    ];
    for (key, value) in derived {
        let hash = hasher.hash_one(key);
        if let Some(value) = value
            && !keys.contains(&hash)
        {
            keys.push(hash);
            each(key, value);
        }
    }
    for (key, value) in span.resource().into_iter().flat_map(|resource| &resource.tags) {
        if key != "service.name" && !keys.contains(&hasher.hash_one(key.as_str())) {
            each(key, &value.text());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{Filter, SpanId, TraceId, arbitrary};

    fn query(filter: &str, what: What, prefix: &str) -> WordsQuery {
        let filter: Filter = filter.parse().unwrap();
        let selection = Selection { filter, start_us: 0, end_us: 60 };
        WordsQuery { selection, what, prefix: prefix.to_owned() }
    }

    #[test]
    fn keys_are_what_a_filter_calls_them() {
        let mut span = Span::new(TraceId::new(1).unwrap(), SpanId::new(1).unwrap());
        span.timestamp = Timestamp::from_micros(7);
        for key in ["http.method", "name", "two words", &"x".repeat(300)] {
            span.set_tag(key, "1");
        }
        span.target = Some(Arc::new(vec![("zone".to_owned(), "a".to_owned())]));
        let check = |prefix: &str, expected: &[&str]| {
            let mut words = Words::new(query("", What::Keys, prefix));
            words.add(&[span.clone()]);
            assert_eq!(words.words().keys().collect::<Vec<_>>(), expected);
            for word in words.words().keys() {
                let filter: Filter = word.parse().unwrap();
                assert!(filter.matches(&[span.clone()]), "{word}");
            }
        };
        check("", &["\"name\"", "\"two words\"", "http.method", "target.zone"]);
        check("t", &["target.zone"]);
    }

    fn any_traces() -> impl Strategy<Value = Vec<Vec<Span>>> {
        let span = prop_oneof![arbitrary::plain_span(), arbitrary::span()];
        prop::collection::vec(prop::collection::vec(span, 0..6), 0..8)
    }

    proptest! {
        #[test]
        fn shown_tags_are_those_of_the_view(span in arbitrary::span()) {
            let mut tags = Vec::new();
            each_shown_tag(&span, &mut |key, value| tags.push((key.to_owned(), value.to_owned())));
            let view = span.zipkin_tags();
            for (key, value) in &view {
                prop_assert!(tags.contains(&((*key).to_owned(), value.clone().into_owned())));
            }
            prop_assert!(tags.iter().all(|(key, _)| view.contains_key(key.as_str())));
        }

        #[test]
        fn shown_keys_are_those_of_the_view(span in arbitrary::span()) {
            let mut keys = Vec::new();
            each_shown_key(&span, &mut |key| keys.push(key.to_owned()));
            keys.sort_unstable();
            keys.dedup();
            prop_assert!(keys.into_iter().eq(span.zipkin_tags().into_keys()));
        }

        #[test]
        fn every_span_counts_once_for_every_word(
            traces in any_traces(),
            what in prop::sample::select(vec![
                What::Keys,
                What::Values(Field::Name),
                What::Values(Field::Annotation),
                What::Values(Field::Status),
            ]),
            prefix in prop::sample::select(vec!["", "a", "e"]),
            words_max in 1..6usize,
        ) {
            let query = query("not error", what, prefix);
            let of = |traces: &[Vec<Span>]| {
                let mut words = Words { words_max, ..Words::new(query.clone()) };
                traces.iter().for_each(|trace| words.add(trace));
                words
            };
            let words = of(&traces);
            let spans: Vec<&Span> = traces.iter().flat_map(|t| query.selection.spans(t)).collect();
            let said = |span: &Span| -> Vec<String> {
                let mut words = Vec::new();
                each_word(span, &query.what, &mut |word| words.push(word.into_owned()));
                words.retain(|word| !word.is_empty());
                words
            };
            let says = |span: &Span, word: &str| said(span).iter().any(|w| w == word);
            let all: BTreeSet<String> = spans
                .iter()
                .flat_map(|span| said(span))
                .filter(|word| word.starts_with(prefix) && word.len() <= WORD_MAX)
                .collect();
            prop_assert!(words.words.keys().eq(all.iter().take(words_max)));
            prop_assert_eq!(words.is_cut, all.len() > words_max);
            for (word, seen) in &words.words {
                let times = spans.iter().filter(|span| says(span, word)).filter_map(|s| s.timestamp);
                prop_assert_eq!(seen.spans, times.clone().count() as u64);
                prop_assert_eq!(Some(seen.first), times.clone().min());
                prop_assert_eq!(Some(seen.last), times.max());
            }
            let (first, second) = traces.split_at(traces.len() / 2);
            let mut merged = of(second);
            merged.merge(&of(first));
            prop_assert_eq!(merged, words);
        }
    }
}
