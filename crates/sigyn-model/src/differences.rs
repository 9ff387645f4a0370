//! What sets some traces or spans apart from others: the values that one set has more often.
//!
//! Memory is bounded though values may be without number. A value is told only if it is frequent in
//! one of the sets, and the frequent ones are found by counters that are lowered when they become too
//! many (Misra and Gries, 1982). Where that happened, a second look counts them exactly.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{Field, Filter, Selection, Span, Unit};

/// Values that are counted at a time, in each set; twice as many for a moment.
const PAIRS_MAX: usize = 32_768;
/// Less than this share of a set says nothing of it: one in a hundred.
const SHARE_MIN: u64 = 100;
/// Bytes of a key or a value; longer ones are left out.
const TEXT_MAX: usize = 256;

/// A question for differences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DifferencesQuery {
    /// What both sets are taken from.
    pub from: Selection,
    /// Those of them that are in the first set.
    pub selected: Selection,
    /// Those that are in the second one, where it is not simply the rest.
    pub against: Option<Filter>,
    pub of: Unit,
}

/// The answer, as far as traces have been added.
#[derive(Clone, Debug)]
pub struct Differences {
    query: DifferencesQuery,
    selected: Tally,
    others: Tally,
    pairs_max: usize,
    /// In a second look: what is counted.
    only: Option<HashSet<Pair>>,
}

/// A value, and how many in each set have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub field: Field,
    pub value: String,
    pub selected: u64,
    pub others: u64,
}

type Pair = (Field, String);

/// One set's counters.
#[derive(Clone, Debug)]
struct Tally {
    /// Traces or spans of the set.
    units: u64,
    /// Their values, all in all.
    pairs: u64,
    counts: HashMap<Pair, u64>,
    pairs_max: usize,
    /// By how much a counter may be too low.
    lowered: u64,
}

impl Differences {
    pub fn new(query: DifferencesQuery) -> Self {
        Self::within(query, PAIRS_MAX)
    }

    /// The same with room for no more values than this.
    pub fn within(query: DifferencesQuery, pairs_max: usize) -> Self {
        let tally = || Tally::within(pairs_max);
        Self { query, selected: tally(), others: tally(), pairs_max, only: None }
    }

    /// Traces or spans of both sets.
    pub fn units(&self) -> (u64, u64) {
        (self.selected.units, self.others.units)
    }

    /// Adds one whole trace.
    pub fn add(&mut self, trace: &[Span]) {
        let DifferencesQuery { from, selected, against, of } = &self.query;
        match of {
            Unit::Traces => {
                if !from.has_trace(trace) {
                    return;
                }
                let pairs = || trace.iter().flat_map(said).collect();
                if selected.has_trace(trace) {
                    self.selected.add(pairs(), self.only.as_ref());
                } else if against.as_ref().is_none_or(|filter| filter.matches(trace)) {
                    self.others.add(pairs(), self.only.as_ref());
                }
            }
            Unit::Spans => {
                let all = from.spans(trace);
                if all.is_empty() {
                    return;
                }
                let among = |spans: Vec<&Span>| -> HashSet<*const Span> {
                    spans.into_iter().map(std::ptr::from_ref).collect()
                };
                let first = among(selected.spans(trace));
                let second = against.as_ref().map(|filter| among(filter.selected(trace)));
                for span in all {
                    let address = std::ptr::from_ref(span);
                    let pairs = said(span).into_iter().collect();
                    if first.contains(&address) {
                        self.selected.add(pairs, self.only.as_ref());
                    } else if second.as_ref().is_none_or(|set| set.contains(&address)) {
                        self.others.add(pairs, self.only.as_ref());
                    }
                }
            }
        }
    }

    /// Adds what was made of other traces by the same question, at the same look.
    pub fn merge(&mut self, other: Self) {
        self.selected.merge(other.selected);
        self.others.merge(other.others);
    }

    /// What a second look at the same traces would count, if the first does not suffice.
    pub fn again(&self) -> Option<Self> {
        if self.selected.lowered == 0 && self.others.lowered == 0 {
            return None;
        }
        let only = self.selected.counts.keys().chain(self.others.counts.keys()).cloned().collect();
        Some(Self {
            query: self.query.clone(),
            selected: Tally::within(usize::MAX),
            others: Tally::within(usize::MAX),
            pairs_max: self.pairs_max,
            only: Some(only),
        })
    }

    /// Values that are frequent in one of the sets, the greatest difference of shares first. Of those
    /// that differ alike, what more have goes first, then the order of keys and values.
    ///
    /// Frequent is what more than one in a hundred of a set have; and where its members have
    /// thousands of values each, so that counters would not suffice for that, more than one in
    /// 32,768 of all their values together.
    pub fn ranked(&self, limit: usize) -> Vec<Difference> {
        let (in_a, in_b) = (self.selected.units.max(1), self.others.units.max(1));
        let share = |count: u64, of_other: u64| u128::from(count) * u128::from(of_other);
        let (frequent_a, frequent_b) =
            (self.selected.threshold(self.pairs_max), self.others.threshold(self.pairs_max));
        let is_new = |pair: &&Pair| !self.selected.counts.contains_key(*pair);
        let second = self.others.counts.keys().filter(is_new);
        let mut ranked: Vec<(u128, u64, &Pair, u64, u64)> = Vec::new();
        for pair in self.selected.counts.keys().chain(second) {
            let (a, b) = (self.selected.count(pair), self.others.count(pair));
            if a > frequent_a || b > frequent_b {
                ranked.push((share(a, in_b).abs_diff(share(b, in_a)), a + b, pair, a, b));
            }
        }
        ranked.sort_unstable_by_key(|(apart, both, pair, _, _)| {
            (Reverse(*apart), Reverse(*both), *pair)
        });
        let told =
            ranked.into_iter().take(limit).map(|(_, _, (field, value), selected, others)| {
                Difference { field: field.clone(), value: value.clone(), selected, others }
            });
        told.collect()
    }
}

impl Tally {
    fn within(pairs_max: usize) -> Self {
        Self { units: 0, pairs: 0, counts: HashMap::new(), pairs_max, lowered: 0 }
    }

    fn count(&self, pair: &Pair) -> u64 {
        self.counts.get(pair).copied().unwrap_or(0)
    }

    /// A frequent value is counted more often than this.
    fn threshold(&self, pairs_max: usize) -> u64 {
        (self.units / SHARE_MIN).max(self.pairs / (pairs_max as u64).saturating_add(1))
    }

    /// Adds what one trace or span says.
    fn add(&mut self, said: BTreeSet<Pair>, only: Option<&HashSet<Pair>>) {
        self.units += 1;
        self.pairs += said.len() as u64;
        for pair in said {
            if only.is_none_or(|only| only.contains(&pair)) {
                *self.counts.entry(pair).or_default() += 1;
            }
        }
        self.make_room();
    }

    /// Lowers all counters by what the first one too many counts.
    fn make_room(&mut self) {
        if self.counts.len() <= self.pairs_max.saturating_mul(2) {
            return;
        }
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let (_, by, _) = counts.select_nth_unstable_by_key(self.pairs_max, |n| Reverse(*n));
        let by = *by;
        self.lowered += by;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(by);
            *count > 0
        });
    }

    fn merge(&mut self, other: Self) {
        self.units += other.units;
        self.pairs += other.pairs;
        self.lowered += other.lowered;
        for (pair, count) in other.counts {
            *self.counts.entry(pair).or_default() += count;
        }
        self.make_room();
    }
}

/// All that one span says, as a filter asks for it.
fn said(span: &Span) -> Vec<Pair> {
    let names = [Field::Service, Field::Name, Field::Remote, Field::Kind, Field::Status];
    let names = names.into_iter().filter_map(|field| {
        let value = field.of(span)?.into_owned();
        Some((field, value))
    });
    let tags = span.zipkin_tags().into_iter();
    let tags = tags.map(|(key, value)| (Field::Tag(key.to_owned()), value.into_owned()));
    let labels = span.target.iter().flat_map(|labels| labels.iter());
    let labels = labels.map(|(name, value)| (Field::Label(name.clone()), value.clone()));
    let is_short = |(field, value): &Pair| {
        let key = match field {
            Field::Tag(key) | Field::Label(key) => key.len(),
            _ => 0,
        };
        key <= TEXT_MAX && value.len() <= TEXT_MAX
    };
    names.chain(tags).chain(labels).filter(is_short).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Endpoint, SpanId, Timestamp, TraceId};

    fn query(selected: &str, against: Option<&str>, of: Unit) -> DifferencesQuery {
        let window = |filter: &str| Selection {
            filter: filter.parse().unwrap(),
            start_us: 0,
            end_us: 1_000,
        };
        let against = against.map(|text| text.parse().unwrap());
        DifferencesQuery { from: window(""), selected: window(selected), against, of }
    }

    /// A trace of one span of a service with these tags.
    fn trace(id: u64, service: &str, tags: &[(&str, &str)]) -> Vec<Span> {
        let mut span = Span::new(TraceId::new(u128::from(id)).unwrap(), SpanId::new(id).unwrap());
        span.timestamp = Timestamp::from_micros(1);
        span.local_endpoint = Endpoint::named(service).into_option();
        tags.iter().for_each(|(key, value)| span.set_tag(*key, *value));
        vec![span]
    }

    fn told(differences: &[Difference]) -> Vec<String> {
        let tell = |d: &Difference| format!("{}={} {}/{}", d.field, d.value, d.selected, d.others);
        differences.iter().map(tell).collect()
    }

    #[test]
    fn the_greatest_difference_is_told_first() {
        let mut differences = Differences::new(query("error", None, Unit::Traces));
        for id in 1..=10 {
            let node = if id <= 4 { "b2" } else { "a1" };
            let zone = if id % 2 == 0 { "north" } else { "south" };
            let mut tags = vec![("node", node), ("zone", zone)];
            if id <= 3 {
                tags.push(("error", "declined"));
            }
            differences.add(&trace(id, "shop", &tags));
        }
        assert_eq!(differences.units(), (3, 7));
        assert!(differences.again().is_none());
        assert_eq!(
            told(&differences.ranked(7)),
            [
                "status=unset 0/7",
                "status=error 3/0",
                "error=declined 3/0",
                "node=a1 0/6",
                "node=b2 3/1",
                "zone=north 1/4",
                "zone=south 2/3",
            ]
        );
        assert_eq!(differences.ranked(2).len(), 2);
    }

    #[test]
    fn two_filters_make_two_sets() {
        let mut differences =
            Differences::new(query("service = a", Some("service = b"), Unit::Spans));
        for (id, service) in ["a", "b", "b", "c", "c", "c"].iter().enumerate() {
            differences.add(&trace(id as u64 + 1, service, &[]));
        }
        assert_eq!(differences.units(), (1, 2));
        assert_eq!(
            told(&differences.ranked(9)),
            ["service=b 0/2", "service=a 1/0", "status=unset 1/2"]
        );
    }

    #[test]
    fn values_without_number_take_no_more_room_and_hide_nothing_frequent() {
        let of = |mut differences: Differences| {
            for id in 1..=1_000 {
                let tags =
                    [("id", &*id.to_string()), ("half", if id % 2 == 0 { "x" } else { "y" })];
                differences.add(&trace(id, if id % 3 == 0 { "a" } else { "b" }, &tags));
                for tally in [&differences.selected, &differences.others] {
                    assert!(differences.only.is_some() || tally.counts.len() <= 64 + 4);
                }
            }
            differences
        };
        let first = of(Differences::within(query("service = a", None, Unit::Spans), 32));
        let second = of(first.again().unwrap());
        assert!(second.again().is_none());
        assert_eq!(
            told(&second.ranked(9)),
            [
                "service=b 0/667",
                "service=a 333/0",
                "half=x 166/334",
                "half=y 167/333",
                "status=unset 333/667",
            ]
        );
    }

    /// A service, tags, and when it started.
    type Words = (String, Vec<(String, String)>, u64);

    fn spans_of(trace_number: usize, words: Vec<Words>) -> Vec<Span> {
        let make = |(number, (service, tags, at)): (usize, Words)| {
            let tags: Vec<(&str, &str)> =
                tags.iter().map(|(key, value)| (&**key, &**value)).collect();
            let mut span = trace(trace_number as u64 + 1, &service, &tags).remove(0);
            span.id = SpanId::new(number as u64 + 1).unwrap();
            span.timestamp = Timestamp::from_micros(at);
            span
        };
        words.into_iter().enumerate().map(make).collect()
    }

    /// Spans of few words.
    fn any_traces() -> impl Strategy<Value = Vec<Vec<Span>>> {
        let words = ("[ab]", prop::collection::vec(("[kl]", "[a-f]"), 0..3), 0..1_200u64);
        let traces = prop::collection::vec(prop::collection::vec(words, 1..4), 0..40);
        traces.prop_map(|traces| {
            traces.into_iter().enumerate().map(|(n, words)| spans_of(n, words)).collect()
        })
    }

    proptest! {
        #[test]
        fn little_room_gives_the_answer_of_enough_room(
            traces in any_traces(),
            selected in prop::sample::select(vec!["service = a", "k = a", "{ k } and { l }"]),
            against in prop::sample::select(vec![None, Some("l = b"), Some("")]),
            is_traces in any::<bool>(),
            pairs_max in 3..40usize,
        ) {
            let of = if is_traces { Unit::Traces } else { Unit::Spans };
            let query = query(selected, against, of);
            let look = |mut differences: Differences, traces: &[Vec<Span>]| {
                traces.iter().for_each(|trace| differences.add(trace));
                differences
            };
            let exact = look(Differences::within(query.clone(), usize::MAX), &traces);
            let threshold = |tally: &Tally| tally.threshold(pairs_max);
            let frequent = |d: &Difference| {
                d.selected > threshold(&exact.selected) || d.others > threshold(&exact.others)
            };
            let expected: Vec<Difference> =
                exact.ranked(usize::MAX).into_iter().filter(frequent).collect();
            // In two pieces, too.
            let (first, second) = traces.split_at(traces.len() / 2);
            let mut merged = look(Differences::within(query.clone(), pairs_max), first);
            merged.merge(look(Differences::within(query, pairs_max), second));
            for bounded in [look(Differences::within(merged.query.clone(), pairs_max), &traces), merged] {
                let last = match bounded.again() {
                    Some(again) => look(again, &traces),
                    None => bounded,
                };
                prop_assert_eq!(last.units(), exact.units());
                prop_assert_eq!(last.ranked(usize::MAX), expected.clone());
            }
        }
    }
}
