//! `GET /tracez`: what runs now, and what the finished spans say that this process still holds. Nothing is counted for it
//! while spans are recorded: it is looked up when somebody asks.

mod html;
mod json;
mod text;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use sigyn_model::{Kind, Span, TraceId};

use crate::exposition::yield_now;
use crate::intern::{Glossary, Id};
use crate::layout::{Header, INLINE, flag};
use crate::percent;
use crate::record::Recorder;
use crate::ring::Page;
use crate::running::Running;
use crate::view::{Item, View, views};
use crate::whole::{Reading, kind_of};

pub(crate) use html::html;
pub(crate) use json::json;
pub(crate) use text::text;

/// Upper bounds of the buckets of durations, in nanoseconds; the last one has none.
const BOUNDS: [u64; 8] = [
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
];
const LABELS: [&str; BUCKETS] =
    ["<10µs", "<100µs", "<1ms", "<10ms", "<100ms", "<1s", "<10s", "<100s", "≥100s"];
const BUCKETS: usize = BOUNDS.len() + 1;
/// Names that have a row of their own; the rest share one.
const ROWS_MAX: usize = 500;
const OTHERS: &str = "(others)";
/// What is said where there is no ring.
const ONLY_SAMPLED: &str = "Only sampled traces are shown: without a ring for the others (cold_bytes_max), what runs \
                            or ends unsampled is kept nowhere.";
/// Running spans that are told, those that run longest.
const RUNNING_MAX: usize = 1_000;
/// Finished spans that are told of one cell, the newest.
const SPANS_MAX: usize = 50;

/// Which finished spans are told one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    name: String,
    kind: Option<Kind>,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    All,
    Failed,
    Bucket(usize),
}

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Only what runs of this trace.
    trace_id: Option<TraceId>,
    cell: Option<Cell>,
}

/// Spans of one name and kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    name: String,
    kind: Option<Kind>,
    running: u64,
    failed: u64,
    buckets: [u64; BUCKETS],
}

/// All that an answer says.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    service: String,
    traces_path: String,
    asked: Asked,
    stats: crate::Stats,
    hot_bytes_max: usize,
    /// Whether there is a ring: without one, spans of traces that nobody sampled are nowhere to be seen.
    has_ring: bool,
    /// Of the recorder's clock, and what makes wall time of that.
    now: u64,
    wall_offset: i64,
    rows: Vec<Row>,
    running: Vec<Running>,
    running_total: usize,
    spans: Vec<Span>,
}

impl Asked {
    /// `None` for a trace that is none: who asks for one must not get everything for an answer.
    pub(crate) fn read(query: &str) -> Option<Self> {
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(known, _)| *known == name)
                .map(|(_, value)| percent::lenient(&value.replace('+', " ")))
        };
        let trace_id = value("trace_id").map(|id| id.to_ascii_lowercase());
        let cell = value("name").map(|name| Cell {
            name,
            kind: value("kind").and_then(|kind| kind_named(&kind)),
            what: match value("what").unwrap_or_default().as_str() {
                "failed" => What::Failed,
                bucket => match bucket.parse().ok().filter(|at: &usize| *at < BUCKETS) {
                    Some(bucket) => What::Bucket(bucket),
                    None => What::All,
                },
            },
        });
        let trace_id = match trace_id {
            None => None,
            Some(id) => Some(TraceId::parse(&id).ok()?),
        };
        Some(Self { trace_id, cell })
    }
}

impl Report {
    /// `pages` hands out the log, oldest first, until there is none.
    pub(crate) async fn gather(
        recorder: &Recorder,
        traces_path: &str,
        asked: Asked,
        mut pages: impl FnMut() -> Option<Page>,
    ) -> Self {
        let shared = &*recorder.shared;
        let all = shared.running.running();
        let now = shared.clock.ticks();
        let mut table = Table::default();
        for running in &all {
            table.row(&running.name, running.kind).running += 1;
        }
        let mut spans = Vec::new();
        if asked.trace_id.is_none() {
            let mut look = Look { asked: &asked, table: &mut table, spans: &mut spans };
            while let Some(page) = pages() {
                for segment in &page.segments {
                    for chunk in &segment.chunks {
                        let glossary = Glossary::now();
                        let reading = Reading {
                            glossary: &glossary,
                            own: &shared.own,
                            origins: &chunk.origins,
                            wall_offset: segment.wall_offset,
                        };
                        views(&chunk.bytes).for_each(|view| look.at(&view, &reading));
                    }
                    yield_now().await;
                }
            }
            if let Some(cold) = &shared.cold {
                let mut part = cold.look();
                loop {
                    let glossary = Glossary::now();
                    let wall_offset = shared.clock.wall_offset();
                    let more = part(&mut |view, origins| {
                        let own = &shared.own;
                        look.at(&view, &Reading { glossary: &glossary, own, origins, wall_offset });
                    });
                    if !more {
                        break;
                    }
                    yield_now().await;
                }
            }
        }
        // A short id is the right half of long ones, too.
        let is = |id: TraceId, other: TraceId| {
            id == other || (id.high() == 0 && id.low() == other.low())
        };
        let wanted = |running: &Running| asked.trace_id.is_none_or(|id| is(id, running.trace_id));
        let mut running: Vec<_> = all.into_iter().filter(wanted).collect();
        let running_total = running.len();
        running.truncate(RUNNING_MAX);
        spans.sort_unstable_by_key(|span: &Span| std::cmp::Reverse(span.timestamp));
        spans.truncate(SPANS_MAX);
        Self {
            service: shared
                .own
                .endpoint
                .as_ref()
                .map(|e| e.service_name.clone())
                .unwrap_or_default(),
            traces_path: traces_path.to_owned(),
            asked,
            stats: recorder.stats(),
            hot_bytes_max: shared.ring.hot_bytes_max,
            has_ring: shared.cold.is_some(),
            now,
            wall_offset: shared.clock.wall_offset(),
            rows: table.finish(),
            running,
            running_total,
            spans,
        }
    }

    /// Spans that nobody sampled and that were too large to be kept.
    fn aside_refused(&self) -> u64 {
        let activity = &self.stats.activity;
        activity.aside_oversize + activity.aside_too_large
    }

    fn ran(&self, running: &Running) -> Duration {
        Duration::from_nanos(self.now.saturating_sub(running.started))
    }

    /// When it started, in microseconds of Unix time.
    fn started_micros(&self, running: &Running) -> u64 {
        running.started.saturating_add_signed(self.wall_offset) / 1_000
    }
}

/// Goes through finished spans.
struct Look<'a> {
    asked: &'a Asked,
    table: &'a mut Table,
    spans: &'a mut Vec<Span>,
}

impl Look<'_> {
    fn at(&mut self, view: &View<'_>, reading: &Reading<'_>) {
        let header = &view.header;
        let kind = kind_of(header.flags);
        let (failed, bucket) = (header.flags & flag::FAILED != 0, bucket(header));
        let row = self.table.row_of(view, kind, reading.glossary);
        row.buckets[bucket] += 1;
        row.failed += u64::from(failed);
        let Some(cell) = &self.asked.cell else { return };
        let is_asked = row.name == cell.name
            && kind == cell.kind
            && match cell.what {
                What::All => true,
                What::Failed => failed,
                What::Bucket(asked) => asked == bucket,
            };
        if is_asked {
            self.spans.extend(reading.span(view));
            // The newest are wanted, and within the log they are nearly in order.
            if self.spans.len() > 4 * SPANS_MAX {
                self.spans.sort_unstable_by_key(|span| std::cmp::Reverse(span.timestamp));
                self.spans.truncate(SPANS_MAX);
            }
        }
    }
}

fn bucket(header: &Header) -> usize {
    BOUNDS.iter().position(|bound| header.duration < *bound).unwrap_or(BUCKETS - 1)
}

/// Rows as they are found.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<Row>,
    by_id: HashMap<(u16, u16), usize>,
    by_name: HashMap<(String, Option<u8>), usize>,
}

impl Table {
    fn row_of(&mut self, view: &View<'_>, kind: Option<Kind>, glossary: &Glossary) -> &mut Row {
        let Header { name, flags, .. } = view.header;
        if name != INLINE {
            let key = (name, flags & flag::KIND);
            let at = match self.by_id.get(&key) {
                Some(at) => *at,
                None => {
                    let at = self.index(glossary.text(Id::from_raw(name)), kind);
                    self.by_id.insert(key, at);
                    at
                }
            };
            return &mut self.rows[at];
        }
        let name = view.items().find_map(|item| match item {
            Item::Name(name) => Some(name),
            _ => None,
        });
        self.row(name.unwrap_or(""), kind)
    }

    fn row(&mut self, name: &str, kind: Option<Kind>) -> &mut Row {
        let at = self.index(name, kind);
        &mut self.rows[at]
    }

    fn index(&mut self, name: &str, kind: Option<Kind>) -> usize {
        let key = (name.to_owned(), kind.map(|kind| kind as u8));
        if let Some(at) = self.by_name.get(&key) {
            return *at;
        }
        if self.rows.len() >= ROWS_MAX && name != OTHERS {
            return self.index(OTHERS, None);
        }
        self.rows.push(Row { name: name.to_owned(), kind, ..Row::default() });
        self.by_name.insert(key, self.rows.len() - 1);
        self.rows.len() - 1
    }

    fn finish(self) -> Vec<Row> {
        let mut rows = self.rows;
        rows.sort_by(|a, b| (&a.name, a.kind.map(word)).cmp(&(&b.name, b.kind.map(word))));
        rows
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Client => "CLIENT",
        Kind::Server => "SERVER",
        Kind::Producer => "PRODUCER",
        Kind::Consumer => "CONSUMER",
    }
}

fn kind_named(text: &str) -> Option<Kind> {
    [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer]
        .into_iter()
        .find(|kind| word(*kind) == text)
}

/// How people write times: three digits, and a unit that fits.
struct Took(Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let (value, unit) = match seconds {
            _ if seconds < 1e-6 => return f.pad(&format!("{}ns", self.0.as_nanos())),
            _ if seconds < 1e-3 => (seconds * 1e6, "µs"),
            _ if seconds < 1.0 => (seconds * 1e3, "ms"),
            _ if seconds < 120.0 => (seconds, "s"),
            _ => return f.pad(&format!("{}m{:02}s", self.0.as_secs() / 60, self.0.as_secs() % 60)),
        };
        let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        f.pad(&format!("{value:.digits$}{unit}"))
    }
}

/// A value for a query.
fn escaped(text: &str) -> String {
    use fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(byte.into());
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let took = |nanos| Took(Duration::from_nanos(nanos)).to_string();
        assert_eq!(took(7), "7ns");
        assert_eq!(took(1_500), "1.50µs");
        assert_eq!(took(12_340_000), "12.3ms");
        assert_eq!(took(999_400_000), "999ms");
        assert_eq!(took(61_500_000_000), "61.5s");
        assert_eq!(took(125_000_000_000), "2m05s");
    }

    #[test]
    fn a_cell_is_read_from_the_query_as_links_write_it() {
        let name = "get /ä b&c=%";
        let query = format!("name={}&kind=SERVER&what=3", escaped(name));
        let cell = Cell { name: name.into(), kind: Some(Kind::Server), what: What::Bucket(3) };
        assert_eq!(Asked::read(&query).unwrap().cell, Some(cell));
        let what = |query: &str| Asked::read(query).unwrap().cell.unwrap().what;
        assert_eq!(what("name=a&what=failed"), What::Failed);
        assert_eq!(what("name=a&what=99"), What::All);
        assert_eq!(what("name=%zz"), What::All);
        let trace = Asked { trace_id: TraceId::new(10), cell: None };
        assert_eq!(Asked::read("trace_id=0A"), Some(trace));
        assert_eq!(Asked::read("trace_id=zz"), None);
        assert_eq!(Asked::read(""), Some(Asked::default()));
    }

    #[test]
    fn names_beyond_measure_share_a_row() {
        let mut table = Table::default();
        for n in 0..2 * ROWS_MAX {
            table.row(&format!("get /{n}"), Some(Kind::Server)).failed += 1;
        }
        let rows = table.finish();
        assert_eq!(rows.len(), ROWS_MAX + 1);
        let others = rows.iter().find(|row| row.name == OTHERS).unwrap();
        assert_eq!(others.failed, ROWS_MAX as u64);
    }
}
