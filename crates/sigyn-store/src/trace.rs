//! One whole trace from its parts: every span once, in an order that does not depend on where it was.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sigyn_model::{Span, Timestamp};

use crate::wal::record::Encoder;

/// Sorts spans by time (those without last), then id; spans that say the same stand once. Equal
/// neighbours keep the order of their arrival.
pub(crate) fn assemble(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(order);
    if spans.windows(2).all(|pair| order(&pair[0]) != order(&pair[1])) {
        return spans;
    }
    let mut assembled: Vec<Span> = Vec::with_capacity(spans.len());
    // Spans of the current time and id, by what they say. Bytes and not `Span::same_as`, so that a
    // thousand spans of one id cost a thousand comparisons and not a million.
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    for span in spans {
        if assembled.last().is_none_or(|last| order(last) != order(&span)) {
            seen.clear();
        }
        match seen.entry(said(&span)) {
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

/// All that a span says, in bytes, without the target that it came from.
fn said(span: &Span) -> Vec<u8> {
    let mut encoder = Encoder::default();
    match span.target {
        None => encoder.span(span),
        Some(_) => return said(&Span { target: None, ..span.clone() }),
    }
    // What is too large for one frame was never stored.
    encoder.finish().unwrap_or_default()
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
