//! What sets some traces or spans apart from others: the values that one set has more often.
//!
//! Memory is bounded though values may be without number. A value is told only if it is frequent in
//! one of the sets, and the frequent ones are found by counters that are lowered when they become too
//! many (Misra and Gries, 1982). Where that happened, a second look counts them exactly. What is counted
//! is known by a hash of 64 bits, and by its words only once it is frequent: most values never are.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;

use crate::filter::kind_word;
use crate::vocabulary::{Tagged, each_shown_tag};
use crate::{Field, Filter, Selection, StatusCode, Unit};

/// Values that are counted at a time, in each set; nearly twice as many for a moment.
const PAIRS_MAX: usize = 32_768;
/// Less than this share of a set says nothing of it: one in a hundred.
const SHARE_MIN: u64 = 100;
/// Bytes of a key or a value; longer ones are left out.
const TEXT_MAX: usize = 256;
/// Hashes of one trace whose memory is kept for the next.
const HASHES_KEPT: usize = 16 << 10;

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

/// The answer, as far as traces have been added. Parts that are made of clones of one, before anything was
/// added to it, merge.
#[derive(Clone, Debug)]
pub struct Differences {
    query: DifferencesQuery,
    selected: Tally,
    others: Tally,
    /// In a second look: what is counted.
    only: Option<HashSet<u64, foldhash::fast::RandomState>>,
    hasher: foldhash::quality::RandomState,
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
    counts: HashMap<u64, Counter, foldhash::fast::RandomState>,
    pairs_max: usize,
    /// Whether there may be more of them, for it is known which they are.
    is_second: bool,
    /// By how much a counter may be too low.
    lowered: u64,
    /// What words of values take.
    text_bytes: u64,
    /// Of the trace or span that is added.
    hashes: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
struct Counter {
    count: u64,
    /// Once it is frequent.
    pair: Option<Box<Pair>>,
}

impl Differences {
    pub fn new(query: DifferencesQuery) -> Self {
        Self::within(query, PAIRS_MAX)
    }

    /// The same with room for no more values than this.
    pub fn within(query: DifferencesQuery, pairs_max: usize) -> Self {
        let tally = || Tally::within(pairs_max, false);
        let hasher = foldhash::quality::RandomState::default();
        Self { query, selected: tally(), others: tally(), only: None, hasher }
    }

    /// Traces or spans of both sets.
    pub fn units(&self) -> (u64, u64) {
        (self.selected.units, self.others.units)
    }

    /// About what it takes in memory.
    pub fn bytes(&self) -> u64 {
        let only = self.only.as_ref().map_or(0, |only| only.capacity() * (size_of::<u64>() + 1));
        self.selected.bytes() + self.others.bytes() + only as u64
    }

    /// Adds one whole trace.
    pub fn add<S: Tagged>(&mut self, trace: &[S]) {
        let Self { query, selected, others, only, hasher } = self;
        let only = only.as_ref();
        match query.of {
            Unit::Traces => {
                if !query.from.has_trace(trace) {
                    return;
                }
                if query.selected.has_trace(trace) {
                    selected.add(hasher, trace.iter(), only);
                } else if query.against.as_ref().is_none_or(|filter| filter.matches(trace)) {
                    others.add(hasher, trace.iter(), only);
                }
            }
            Unit::Spans => {
                let all = query.from.spans(trace);
                if all.is_empty() {
                    return;
                }
                let among = |spans: Vec<&S>| -> HashSet<*const S> {
                    spans.into_iter().map(std::ptr::from_ref).collect()
                };
                let first = among(query.selected.spans(trace));
                let second = query.against.as_ref().map(|filter| among(filter.selected(trace)));
                for span in all {
                    let address = std::ptr::from_ref(span);
                    if first.contains(&address) {
                        selected.add(hasher, std::iter::once(span), only);
                    } else if second.as_ref().is_none_or(|set| set.contains(&address)) {
                        others.add(hasher, std::iter::once(span), only);
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
        if self.selected.is_exact() && self.others.is_exact() {
            return None;
        }
        let pairs_max = self.selected.pairs_max;
        let frequent = self.selected.perhaps_frequent().chain(self.others.perhaps_frequent());
        Some(Self {
            query: self.query.clone(),
            selected: Tally::within(pairs_max, true),
            others: Tally::within(pairs_max, true),
            only: Some(frequent.collect()),
            hasher: self.hasher.clone(),
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
        let (of_a, of_b) = (self.selected.frequent(), self.others.frequent());
        let second = of_b.filter(|(hash, _)| !self.selected.is_frequent(**hash));
        let mut ranked: Vec<(u128, u64, &Pair, u64, u64)> = Vec::new();
        for (hash, pair) in of_a.chain(second) {
            let (a, b) = (self.selected.count(*hash), self.others.count(*hash));
            ranked.push((share(a, in_b).abs_diff(share(b, in_a)), a + b, pair, a, b));
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
    fn within(pairs_max: usize, is_second: bool) -> Self {
        Self {
            units: 0,
            pairs: 0,
            counts: HashMap::default(),
            pairs_max,
            is_second,
            lowered: 0,
            text_bytes: 0,
            hashes: Vec::new(),
        }
    }

    fn count(&self, hash: u64) -> u64 {
        self.counts.get(&hash).map_or(0, |counter| counter.count)
    }

    fn bytes(&self) -> u64 {
        let places = self.counts.capacity() * (size_of::<(u64, Counter)>() + 1);
        let hashes = self.hashes.capacity() * size_of::<u64>();
        (places + hashes) as u64 + self.text_bytes
    }

    /// A frequent value is counted more often than this.
    fn threshold(&self) -> u64 {
        (self.units / SHARE_MIN).max(self.pairs / (self.pairs_max as u64).saturating_add(1))
    }

    fn is_frequent(&self, hash: u64) -> bool {
        self.count(hash) > self.threshold()
    }

    /// Values that are frequent, with their words.
    fn frequent(&self) -> impl Iterator<Item = (&u64, &Pair)> {
        let threshold = self.threshold();
        let frequent = self.counts.iter().filter(move |(_, counter)| counter.count > threshold);
        frequent.filter_map(|(hash, counter)| Some((hash, &**counter.pair.as_ref()?)))
    }

    /// Values that may be frequent, for all that is known.
    fn perhaps_frequent(&self) -> impl Iterator<Item = u64> {
        let (threshold, lowered) = (self.threshold(), self.lowered);
        let perhaps = self.counts.iter();
        perhaps.filter(move |(_, one)| one.count + lowered > threshold).map(|(hash, _)| *hash)
    }

    /// Whether nothing was lowered, and the words of all that is frequent are known.
    fn is_exact(&self) -> bool {
        let threshold = self.threshold();
        let is_named = |counter: &Counter| counter.count <= threshold || counter.pair.is_some();
        self.lowered == 0 && self.counts.values().all(is_named)
    }

    /// Adds what the spans of one trace say, or one span.
    fn add<'a, S: Tagged + 'a>(
        &mut self,
        hasher: &foldhash::quality::RandomState,
        spans: impl Iterator<Item = &'a S> + Clone,
        only: Option<&HashSet<u64, foldhash::fast::RandomState>>,
    ) {
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.clear();
        spans.clone().for_each(|span| {
            each_said(span, &mut |said| hashes.push(hasher.hash_one(said)));
        });
        hashes.sort_unstable();
        hashes.dedup();
        self.units += 1;
        self.pairs += hashes.len() as u64;
        let threshold = self.threshold();
        let mut has_unnamed = false;
        for hash in &hashes {
            if only.is_none_or(|only| only.contains(hash)) {
                let counter = self.counts.entry(*hash).or_default();
                counter.count += 1;
                // Where anything was lowered a second look is due, and tells words.
                has_unnamed |=
                    self.lowered == 0 && counter.count > threshold && counter.pair.is_none();
                self.make_room();
            }
        }
        if has_unnamed {
            spans.for_each(|span| {
                each_said(span, &mut |said| self.name(hasher.hash_one(said), said, threshold));
            });
        }
        hashes.shrink_to(HASHES_KEPT);
        self.hashes = hashes;
    }

    /// Keeps the words of a value, if it is frequent and they are not known.
    fn name(&mut self, hash: u64, said: Said<'_>, threshold: u64) {
        let Some(counter) = self.counts.get_mut(&hash) else { return };
        if counter.count > threshold && counter.pair.is_none() {
            let pair = Box::new(said.to_pair());
            self.text_bytes += pair_bytes(&pair);
            counter.pair = Some(pair);
        }
    }

    /// Lowers all counters by what the first one too many counts.
    fn make_room(&mut self) {
        // As many as a table of this size holds before it grows.
        let max = self.pairs_max.saturating_mul(2) / 8 * 7;
        if self.is_second || self.counts.len() <= max.max(self.pairs_max.saturating_add(1)) {
            return;
        }
        let mut counts: Vec<u64> = self.counts.values().map(|counter| counter.count).collect();
        let (_, by, _) = counts.select_nth_unstable_by_key(self.pairs_max, |n| Reverse(*n));
        let by = *by;
        self.lowered += by;
        self.counts.retain(|_, counter| {
            counter.count = counter.count.saturating_sub(by);
            counter.count > 0
        });
        // A second look tells them.
        self.counts.values_mut().for_each(|counter| counter.pair = None);
        self.text_bytes = 0;
    }

    fn merge(&mut self, other: Self) {
        self.units += other.units;
        self.pairs += other.pairs;
        self.lowered += other.lowered;
        for (hash, Counter { count, pair }) in other.counts {
            let counter = self.counts.entry(hash).or_default();
            counter.count += count;
            if let (None, Some(pair)) = (&counter.pair, pair) {
                self.text_bytes += pair_bytes(&pair);
                counter.pair = Some(pair);
            }
            self.make_room();
        }
    }
}

/// What the words of a value take, about.
fn pair_bytes((field, value): &Pair) -> u64 {
    let key = match field {
        Field::Tag(key) | Field::Label(key) => key.len(),
        _ => 0,
    };
    (size_of::<Pair>() + key + value.len() + 48) as u64
}

/// A value of a span, as a filter asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Said<'a> {
    Service(&'a str),
    Name(&'a str),
    Remote(&'a str),
    Kind(&'a str),
    Status(&'a str),
    Tag(&'a str, &'a str),
    Label(&'a str, &'a str),
}

impl Said<'_> {
    fn to_pair(self) -> Pair {
        let (field, value) = match self {
            Self::Service(value) => (Field::Service, value),
            Self::Name(value) => (Field::Name, value),
            Self::Remote(value) => (Field::Remote, value),
            Self::Kind(value) => (Field::Kind, value),
            Self::Status(value) => (Field::Status, value),
            Self::Tag(key, value) => (Field::Tag(key.to_owned()), value),
            Self::Label(key, value) => (Field::Label(key.to_owned()), value),
        };
        (field, value.to_owned())
    }
}

/// Calls `each` with all that one span says, but for what is long.
fn each_said(span: &impl Tagged, each: &mut dyn FnMut(Said<'_>)) {
    let is_short = |text: &str| text.len() <= TEXT_MAX;
    let names = [
        span.service_name().map(Said::Service),
        Some(span.name()).filter(|name| !name.is_empty()).map(Said::Name),
        span.remote_service_name().map(Said::Remote),
        span.kind().map(|kind| Said::Kind(kind_word(kind))),
    ];
    for said in names.into_iter().flatten() {
        if let Said::Service(value) | Said::Name(value) | Said::Remote(value) | Said::Kind(value) =
            said
            && is_short(value)
        {
            each(said);
        }
    }
    let mut has_error = false;
    each_shown_tag(span, &mut |key, value| {
        has_error |= key == "error";
        if is_short(key) && is_short(value) {
            each(Said::Tag(key, value));
        }
    });
    each(Said::Status(match span.status_code() {
        _ if has_error => "error",
        StatusCode::Ok => "ok",
        StatusCode::Unset | StatusCode::Error => "unset",
    }));
    for (name, value) in span.target().into_iter().flatten() {
        if is_short(name) && is_short(value) {
            each(Said::Label(name, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Endpoint, Span, SpanId, Timestamp, TraceId};

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

    #[test]
    fn values_without_number_are_not_kept_in_words() {
        let mut differences = Differences::new(query("service = a", None, Unit::Spans));
        let value = |id: u64| format!("{id:0>200}");
        let of = |id: u64| trace(id, "a", &[("id", &value(id)), ("one", "x")]);
        (1..=200_000).for_each(|id| differences.add(&of(id)));
        // A few bytes for each, where words would take some hundreds.
        assert!(differences.bytes() < 6 << 20, "{}", differences.bytes());
        let mut second = differences.again().unwrap();
        (1..=200_000).for_each(|id| second.add(&of(id)));
        assert!(second.bytes() < 1 << 20, "{}", second.bytes());
        assert_eq!(
            told(&second.ranked(9)),
            ["service=a 200000/0", "status=unset 200000/0", "one=x 200000/0"]
        );
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
            let threshold = |tally: &Tally| Tally { pairs_max, ..tally.clone() }.threshold();
            let frequent = |d: &Difference| {
                d.selected > threshold(&exact.selected) || d.others > threshold(&exact.others)
            };
            let expected: Vec<Difference> =
                exact.ranked(usize::MAX).into_iter().filter(frequent).collect();
            // In two pieces, too.
            let (first, second) = traces.split_at(traces.len() / 2);
            let empty = Differences::within(query, pairs_max);
            let mut merged = look(empty.clone(), first);
            merged.merge(look(empty.clone(), second));
            for bounded in [look(empty, &traces), merged] {
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
