//! Which rows a block has, and in which order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sigyn_model::Timestamp;

use super::source::Source;
use crate::facts::TraceKey;
use crate::trace::Said;

/// Rows of a source as a block has them.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Trace by trace, each in order of time.
    pub(super) rows: Vec<u32>,
    /// Traces by the name of their root's service, then that of their root, then their start.
    pub(super) traces: Vec<Trace>,
}

/// A trace's rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    pub(super) key: TraceKey,
    /// The first of them, among those that are in order.
    pub(super) first: u32,
    pub(super) rows: u32,
}

impl Order {
    /// Every span stands once, however often it came.
    pub(super) fn of(source: &dyn Source, go_on: &impl Fn() -> bool) -> Option<Self> {
        let (ends, mut rows) = by_trace(source);
        let mut first = 0;
        let mut traces: Vec<(Trace, Root)> = Vec::with_capacity(ends.len());
        let mut kept = 0;
        for (number, end) in (0..).zip(ends) {
            if number % 1_024 == 0 && !go_on() {
                return None;
            }
            if first == end || source.leaves_out(number) {
                first = end;
                continue;
            }
            let of_trace = &mut rows[first..end];
            let count = sort(source, of_trace);
            let root = root(source, &of_trace[..count]);
            rows.copy_within(first..first + count, kept);
            let key = source.trace_id(number).into();
            let trace = Trace { key, first: number_of(kept), rows: number_of(count) };
            traces.push((trace, root));
            kept += count;
            first = end;
        }
        rows.truncate(kept);
        rank(source, &mut traces);
        traces
            .sort_unstable_by_key(|(trace, root)| (root.service, root.name, root.start, trace.key));
        let mut ordered = Vec::with_capacity(rows.len());
        let mut traces: Vec<Trace> = traces.into_iter().map(|(trace, _)| trace).collect();
        for trace in &mut traces {
            let first = trace.first as usize;
            trace.first = number_of(ordered.len());
            ordered.extend_from_slice(&rows[first..first + trace.rows as usize]);
        }
        Some(Self { rows: ordered, traces })
    }
}

/// What a trace is sorted by: first numbers of an endpoint and of a name, then what they are worth.
#[derive(Clone, Copy, Debug)]
struct Root {
    service: u32,
    name: u32,
    start: Timestamp,
}

/// All rows, trace by trace, and where those of each trace end.
fn by_trace(source: &dyn Source) -> (Vec<usize>, Vec<u32>) {
    let mut counts = vec![0; source.trace_count() as usize];
    for row in 0..source.rows() {
        counts[source.trace(row) as usize] += 1;
    }
    let mut ends = Vec::with_capacity(counts.len());
    let mut total = 0usize;
    for count in counts {
        ends.push(total);
        total += count;
    }
    let mut rows = vec![0; total];
    for row in 0..source.rows() {
        let place = &mut ends[source.trace(row) as usize];
        rows[*place] = row;
        // In the end it has moved from where they begin to where they end.
        *place += 1;
    }
    (ends, rows)
}

/// Sorts the rows of a trace, and leaves those out that say what another one says. Returns how many
/// are left; they stand first.
fn sort(source: &dyn Source, rows: &mut [u32]) -> usize {
    let places: Vec<_> = rows.iter().map(|row| source.place(*row)).collect();
    let is_sorted = places.windows(2).all(|pair| pair[0] < pair[1]);
    if is_sorted {
        return rows.len();
    }
    let mut placed: Vec<_> = places.into_iter().zip(rows.iter().copied()).collect();
    // Rows came in the order of their numbers.
    placed.sort_unstable();
    let mut said = Said::default();
    let mut kept = 0;
    for same in placed.chunk_by(|a, b| a.0 == b.0) {
        let before = kept;
        let mut seen: HashMap<Vec<u8>, (usize, bool)> = HashMap::new();
        for (_, row) in same {
            if let [_] = same {
                rows[kept] = *row;
                kept += 1;
                break;
            }
            let has_target = source.row(*row).target != 0;
            let next = (before + seen.len(), has_target);
            match seen.entry(said.by(&source.span(*row))) {
                Entry::Vacant(entry) => {
                    entry.insert(next);
                    rows[next.0] = *row;
                    kept += 1;
                }
                // Pushed and scraped: the copy that knows its target is worth more.
                Entry::Occupied(mut entry) => {
                    let (place, had_target) = entry.get_mut();
                    if has_target && !*had_target {
                        rows[*place] = *row;
                        *had_target = true;
                    }
                }
            }
        }
    }
    kept
}

/// What the first span without parent says; or the first one, if all have one.
fn root(source: &dyn Source, rows: &[u32]) -> Root {
    let root = rows.iter().find(|row| source.is_root(**row)).or(rows.first());
    root.map_or(Root { service: 0, name: 0, start: Timestamp::MAX }, |row| {
        let (service, name) = source.names_of(*row);
        Root { service, name, start: source.place(*row).0 }
    })
}

/// Puts numbers that sort as names do in place of those that names have.
fn rank(source: &dyn Source, traces: &mut [(Trace, Root)]) {
    let service = |number| source.endpoint(number).map_or("", |endpoint| endpoint.service_name);
    let services = ranks(traces.iter().map(|(_, root)| root.service), service);
    let names = ranks(traces.iter().map(|(_, root)| root.name), |number| source.name(number));
    for (_, root) in traces {
        root.service = services[root.service as usize];
        root.name = names[root.name as usize];
    }
}

fn ranks<'a>(numbers: impl Iterator<Item = u32>, text: impl Fn(u32) -> &'a str) -> Vec<u32> {
    let mut ranks: Vec<u32> = Vec::new();
    let mut used: Vec<(&str, u32)> = Vec::new();
    for number in numbers {
        let at = number as usize;
        if ranks.len() <= at {
            ranks.resize(at + 1, u32::MAX);
        }
        if ranks[at] == u32::MAX {
            ranks[at] = 0;
            used.push((text(number), number));
        }
    }
    used.sort_unstable();
    let mut rank = 0;
    let mut last = None;
    for (text, number) in used {
        if last.is_some_and(|last| last != text) {
            rank += 1;
        }
        ranks[number as usize] = rank;
        last = Some(text);
    }
    ranks
}

/// A block has no more of anything.
fn number_of(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
