//! One whole trace from its parts: every span once, in an order that does not depend on where it was.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use sigyn_model::{Resource, Scope, Span, Timestamp};

use crate::codec::Encoder;

/// Sorts spans by time (those without last), then id; spans that say the same stand once. Equal
/// neighbours keep the order of their arrival.
pub(crate) fn assemble(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(order);
    if spans.windows(2).all(|pair| order(&pair[0]) != order(&pair[1])) {
        return spans;
    }
    let mut assembled: Vec<Span> = Vec::with_capacity(spans.len());
    let mut said = Said::default();
    // Spans of the current time and id, by what they say. Bytes and not `Span::same_as`, so that a
    // thousand spans of one id cost a thousand comparisons and not a million.
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut spans = spans.into_iter().peekable();
    while let Some(span) = spans.next() {
        let is_first = assembled.last().is_none_or(|last| order(last) != order(&span));
        if is_first {
            seen.clear();
        }
        if is_first && spans.peek().is_none_or(|next| order(next) != order(&span)) {
            assembled.push(span);
            continue;
        }
        match seen.entry(said.by(&span)) {
            Entry::Vacant(entry) => {
                entry.insert(assembled.len());
                assembled.push(span);
            }
            Entry::Occupied(entry) => {
                // Pushed and scraped: the copy that knows its target is worth more.
                let first = &mut assembled[*entry.get()];
                if first.target.is_none() {
                    first.target = span.target;
                }
            }
        }
    }
    assembled
}

fn order(span: &Span) -> (Timestamp, u64, bool, u128) {
    let at = span.timestamp.unwrap_or(Timestamp::MAX);
    (at, span.id.as_u64(), span.shared, span.trace_id.as_u128())
}

/// What spans say, in bytes.
#[derive(Default)]
pub(crate) struct Said {
    /// Resources and scopes by number, equal ones by the same: a large one that many spans share
    /// is looked at once.
    resources: Numbers<Resource>,
    scopes: Numbers<Scope>,
}

/// Numbers shared values, by content. Those that were seen are held, so their addresses stay theirs.
struct Numbers<T> {
    by_address: HashMap<*const T, (Arc<T>, u64)>,
    by_content: HashMap<Vec<u8>, u64>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self { by_address: HashMap::new(), by_content: HashMap::new() }
    }
}

impl<T> Numbers<T> {
    /// From 1; zero for none.
    fn of(&mut self, value: Option<&Arc<T>>, encode: impl FnOnce(&T) -> Vec<u8>) -> u64 {
        let Some(value) = value else { return 0 };
        let by_content = &mut self.by_content;
        let known = self.by_address.entry(Arc::as_ptr(value)).or_insert_with(|| {
            let next = by_content.len() as u64 + 1;
            (value.clone(), *by_content.entry(encode(value)).or_insert(next))
        });
        known.1
    }
}

impl Said {
    /// All that a span says, without the target that it came from.
    pub(crate) fn by(&mut self, span: &Span) -> Vec<u8> {
        let resource = self.resources.of(span.resource.as_ref(), |resource| {
            encoded(|encoder| encoder.resource_content(resource))
        });
        let scope = self
            .scopes
            .of(span.scope.as_ref(), |scope| encoded(|encoder| encoder.scope_content(scope)));
        encoded(|encoder| {
            encoder.own(span);
            encoder.uint(resource);
            encoder.uint(scope);
        })
    }
}

fn encoded<'a>(put: impl FnOnce(&mut Encoder<'a>)) -> Vec<u8> {
    let mut encoder = Encoder::default();
    put(&mut encoder);
    encoder.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn duplicates_stand_once_and_order_does_not_matter() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut spans: Vec<Span> = (0..8).map(|_| testing::span(&mut random)).collect();
            spans.extend(
                spans.clone().into_iter().take(4).map(|span| Span { target: None, ..span }),
            );
            let expected = assemble(spans.clone());
            for (i, a) in expected.iter().enumerate() {
                assert!(expected[i + 1..].iter().all(|b| !a.same_as(b)));
            }
            assert!(spans.iter().all(|a| expected.iter().any(|b| a.same_as(b))));
            random.shuffle(&mut spans);
            assert_eq!(assemble(spans).len(), expected.len());
        }
    }
}
