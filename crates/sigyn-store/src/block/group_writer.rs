//! Spans to the columns of a row group, from numbers to numbers: a source's to those of the group.

use parquet::file::metadata::RowGroupMetaData;
use parquet::schema::types::SchemaDescPtr;
use sigyn_model::StatusCode;

use super::annotations::Annotations;
use super::chunk::{ChunkEncoder, Lists, Values};
use super::dictionary::{Dictionary, Vocabulary};
use super::endpoints::{Addresses, Endpoints};
use super::ext::Ext;
use super::fixed_words::{KindWords, PortWords, StatusWords};
use super::group_chunks::GroupChunks;
use super::json;
use super::pages::ColumnPages;
use super::per_source::PerSource;
use super::plan::Plan;
use super::schema::{GROUP_BYTES, GROUP_ROWS, PAGE_ROWS, TagSort};
use super::source::{Source, SourceRow};
use super::sparse::Sparse;
use super::tag_columns::TagColumns;
use super::writer::WriteError;
use crate::wanted::{has_error, has_label_error};

/// A span that was added, as those hear of it who collect something beside the columns. All numbers are
/// those of its source.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) source: &'a dyn Source,
    /// Where it is in the source.
    pub(super) from: u32,
    pub(super) span: &'a SourceRow,
    /// Its own tags, in their order.
    pub(super) tags: &'a [u32],
    /// Those of them that the source has not shown before, or not in this row group.
    pub(super) new_tags: &'a [u32],
    /// As a tag, as Zipkin shows them, as an annotation, or as a label of its target.
    pub(super) says_error: bool,
}

impl Row<'_> {
    /// See [`sigyn_model::Span::duration_us`].
    pub(super) fn duration_us(&self) -> Option<u64> {
        const MAX: u64 = u64::MAX / 1_000;
        let micros = self.span.duration?.as_micros();
        Some(u64::try_from(micros).unwrap_or(MAX).clamp(1, MAX))
    }
}

/// A row group that is being filled, from one source after another.
#[derive(Debug)]
pub(super) struct GroupBuilder {
    /// About what its columns take before they are compressed.
    bytes: u64,
    /// About what they take until then; it is full with so much.
    held_bytes: u64,
    held_bytes_max: u64,
    trace_ids: Vec<[u8; 16]>,
    span_ids: Vec<u64>,
    parents: Sparse<u64>,
    /// Where traces begin.
    runs: Vec<u32>,
    kinds: Sparse<u32>,
    names: Sparse<u32>,
    known_names: Vocabulary,
    starts: Sparse<u64>,
    durations: Sparse<u64>,
    endpoints: Endpoints,
    known_addresses: Addresses,
    shared: Sparse<bool>,
    debug: Sparse<bool>,
    statuses: Sparse<u32>,
    status_messages: Sparse<u32>,
    trace_states: Sparse<u32>,
    /// What statuses, trace states and annotations say.
    texts: Vocabulary,
    flags: Sparse<u32>,
    known_flags: Dictionary,
    /// Those of the last row that has any, and their number.
    last_flags: Option<(u32, u32)>,
    resources: Origins,
    scopes: Origins,
    targets: Origins,
    annotations: Annotations,
    links: Sparse<u32>,
    tags: TagColumns,
    ext: Sparse<u32>,
    /// Texts of one row each.
    own: Dictionary,
}

/// What many rows come from: each is written once in a group.
#[derive(Debug, Default)]
struct Origins {
    numbers: Sparse<u32>,
    known: Vocabulary,
    say_error: PerSource<bool>,
}

impl Origins {
    fn begin_source(&mut self, says_again: bool) {
        self.known.begin_source(says_again);
        self.say_error.clear();
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.known.clear();
    }

    fn push(&mut self, row: u32, of_source: u32, put: impl FnOnce(&mut String)) {
        if of_source != 0 {
            let number = self.known.number(of_source, |out| {
                let mut json = String::new();
                put(&mut json);
                out.extend_from_slice(json.as_bytes());
            });
            self.numbers.push(row, number);
        }
    }
}

impl GroupBuilder {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            bytes: 0,
            held_bytes: 0,
            held_bytes_max: GROUP_BYTES,
            trace_ids: Vec::new(),
            span_ids: Vec::new(),
            parents: Sparse::default(),
            runs: Vec::new(),
            kinds: Sparse::default(),
            names: Sparse::default(),
            known_names: Vocabulary::default(),
            starts: Sparse::default(),
            durations: Sparse::default(),
            endpoints: Endpoints::default(),
            known_addresses: Addresses::default(),
            shared: Sparse::default(),
            debug: Sparse::default(),
            statuses: Sparse::default(),
            status_messages: Sparse::default(),
            trace_states: Sparse::default(),
            texts: Vocabulary::default(),
            flags: Sparse::default(),
            known_flags: Dictionary::of_numbers(),
            last_flags: None,
            resources: Origins::default(),
            scopes: Origins::default(),
            targets: Origins::default(),
            annotations: Annotations::default(),
            links: Sparse::default(),
            tags: TagColumns::new(plan),
            ext: Sparse::default(),
            own: Dictionary::default(),
        }
    }

    /// Rows are those of another source from here on.
    pub(super) fn begin_source(&mut self, says_again: bool) {
        self.known_names.begin_source(says_again);
        self.texts.begin_source(says_again);
        self.endpoints.begin_source();
        for origins in [&mut self.resources, &mut self.scopes, &mut self.targets] {
            origins.begin_source(says_again);
        }
        self.tags.begin_source(says_again);
    }

    pub(super) fn rows(&self) -> usize {
        self.span_ids.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows() >= GROUP_ROWS
            || self.bytes() >= GROUP_BYTES
            || self.held_bytes >= self.held_bytes_max
    }

    /// Is full with so much less, where memory is scarce.
    pub(super) fn bound(&mut self, held_bytes_max: u64) {
        self.held_bytes_max = held_bytes_max.min(GROUP_BYTES);
    }

    fn takes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.held_bytes += bytes as u64;
    }

    /// About what its columns take before they are compressed.
    pub(super) fn bytes(&self) -> u64 {
        let shared = self.resources.known.words.bytes()
            + self.scopes.known.words.bytes()
            + self.targets.known.words.bytes()
            + self.endpoints.services.bytes();
        self.bytes + shared as u64
    }

    /// Spans of another trace follow.
    pub(super) fn begin_trace(&mut self) {
        self.runs.push(next_row(self.rows()));
    }

    /// Reads what rows with these tags will need: see [`TagColumns::look_ahead`].
    pub(super) fn look_ahead(&self, tags: &[u32]) -> u64 {
        self.tags.look_ahead(tags)
    }

    /// Adds a span of the source.
    pub(super) fn push<'a>(
        &'a mut self,
        source: &'a dyn Source,
        from: u32,
        span: &'a SourceRow,
        tags: &'a [u32],
    ) -> Row<'a> {
        let row = next_row(self.rows());
        if self.runs.is_empty() {
            self.runs.push(0);
        }
        self.trace_ids.push(span.trace_id.as_u128().to_be_bytes());
        self.span_ids.push(span.id.as_u64());
        self.parents.push_some(row, span.parent_id.map(|parent| parent.as_u64()));
        self.kinds.push_some(row, span.kind.map(|kind| kind as u32));
        if span.name != 0 {
            let put = |out: &mut Vec<u8>| out.extend_from_slice(source.name(span.name).as_bytes());
            let name = self.known_names.number(span.name, put);
            self.takes(self.known_names.words.word(name).len());
            self.names.push(row, name);
        }
        self.starts.push_some(row, span.timestamp.map(|at| at.nanos()));
        let nanos = span.duration.map(|duration| u64::try_from(duration.as_nanos()));
        self.durations.push_some(row, nanos.map(|nanos| nanos.unwrap_or(u64::MAX)));
        self.shared.push_some(row, span.shared.then_some(true));
        self.debug.push_some(row, span.debug.then_some(true));
        if span.status_code != StatusCode::Unset {
            self.statuses.push(row, span.status_code as u32);
        }
        for (column, number) in [
            (&mut self.status_messages, span.status_message),
            (&mut self.trace_states, span.trace_state),
        ] {
            if number != 0 {
                let put = |out: &mut Vec<u8>| out.extend_from_slice(source.text(number).as_bytes());
                let text = self.texts.number(number, put);
                let bytes = self.texts.words.word(text).len() as u64;
                self.bytes += bytes;
                self.held_bytes += bytes;
                column.push(row, text);
            }
        }
        if span.flags != 0 {
            let number = match self.last_flags {
                Some((flags, number)) if flags == span.flags => number,
                _ => {
                    let flags = span.flags.to_le_bytes();
                    self.known_flags.find_or_push(|out| out.extend_from_slice(&flags))
                }
            };
            self.last_flags = Some((span.flags, number));
            self.flags.push(row, number);
        }
        self.push_origins(row, source, span);
        let mut ext = Ext {
            dropped: span.dropped,
            duration: span.duration.filter(|_| matches!(nanos, Some(Err(_)))),
            ..Ext::default()
        };
        let numbers = [span.local_endpoint, span.remote_endpoint];
        let parts =
            numbers.map(|number| self.endpoints.parts(source, number, &mut self.known_addresses));
        for ((number, parts), odd) in numbers.into_iter().zip(parts).zip(&mut ext.endpoints) {
            if parts.is_odd {
                *odd = source.endpoint(number).map(|endpoint| endpoint.to_owned());
            }
        }
        let mut says_error = span.status_code == StatusCode::Error;
        if span.has_annotations {
            let (bytes, of_annotations) = self.annotations.push(
                row,
                source,
                from,
                &mut self.texts,
                &mut self.own,
                &mut ext.dropped_of_annotations,
            );
            self.bytes += bytes;
            self.held_bytes += bytes;
            says_error |= of_annotations;
        }
        if span.has_links {
            let mut text = String::new();
            json::put_links(&mut text, &source.links(from));
            self.takes(text.len());
            self.links.push(row, self.own.push(|out| out.extend_from_slice(text.as_bytes())));
        }
        let texts = (&mut self.own, &mut self.known_addresses);
        let say = self.tags.push(row, source, tags, parts[1].said, texts);
        self.endpoints.push(row, parts, say.of_peer);
        if let Some(bytes) = ext.to_bytes() {
            self.takes(bytes.len());
            self.ext.push(row, self.own.push(|out| out.extend_from_slice(&bytes)));
        }
        self.bytes += 200 + say.bytes;
        self.held_bytes += 100 + say.held_bytes;
        let says_error = says_error || say.error || self.origins_say_error(source, span);
        let new_tags = self.tags.new_in_last_row();
        Row { source, from, span, tags, new_tags, says_error }
    }

    fn push_origins(&mut self, row: u32, source: &dyn Source, span: &SourceRow) {
        self.resources.push(row, span.resource, |json| {
            source.resource(span.resource).into_iter().for_each(|of| json::put_resource(json, of));
        });
        self.scopes.push(row, span.scope, |json| {
            source.scope(span.scope).into_iter().for_each(|of| json::put_scope(json, of));
        });
        self.targets.push(row, span.target, |json| {
            source.target(span.target).into_iter().for_each(|of| json::put_labels(json, of));
        });
    }

    fn origins_say_error(&mut self, source: &dyn Source, span: &SourceRow) -> bool {
        let (resource, target) = (span.resource, span.target);
        self.resources.say_error.get_or_insert_with(resource, || {
            source.resource(resource).is_some_and(|resource| has_error(resource))
        }) || self.targets.say_error.get_or_insert_with(target, || {
            source.target(target).is_some_and(|labels| has_label_error(labels))
        })
    }

    /// How far from its parent each row stands, if that is in the same trace and the same page, and
    /// the parents of the others.
    fn parents(&self) -> (Sparse<i32>, Sparse<u64>) {
        let (mut near, mut others) = (Sparse::default(), Sparse::default());
        let ids = &self.span_ids;
        let mut runs = self.runs.iter().peekable();
        let (mut begin, mut end) = (0, 0);
        for (row, parent) in self.parents.rows.iter().zip(&self.parents.values) {
            let at = *row as usize;
            while at >= end {
                begin = runs.next().map_or(0, |begin| *begin as usize);
                end = runs.peek().map_or(ids.len(), |end| **end as usize);
            }
            let page = at - at % PAGE_ROWS;
            let before = ids[begin.max(page)..at].iter().rposition(|id| id == parent);
            let place = before.map(|place| begin.max(page) + place).or_else(|| {
                let after = ids[at..end.min(page + PAGE_ROWS)].iter().position(|id| id == parent);
                after.map(|place| at + place)
            });
            let number = |at: usize| i32::try_from(at).unwrap_or(i32::MAX);
            match place {
                Some(place) => near.push(*row, number(at) - number(place)),
                None => others.push(*row, *parent),
            }
        }
        (near, others)
    }

    /// Appends the group's chunks to `out`, which begins at `offset` in the file, asking between
    /// two of them whether to go on, and starts anew.
    pub(super) fn finish(
        &mut self,
        schema: &SchemaDescPtr,
        encoder: &mut ChunkEncoder,
        out: &mut Vec<u8>,
        offset: u64,
        go_on: impl Fn() -> Result<(), WriteError>,
    ) -> Result<(RowGroupMetaData, Vec<ColumnPages>), WriteError> {
        let rows = self.rows();
        let mut group =
            GroupChunks { schema, encoder, out, offset, rows, chunks: Vec::new(), go_on };
        let (near, others) = self.parents();
        group.dense(&Values::Ids(&self.trace_ids))?;
        group.dense(&Values::SpanIds(&self.span_ids))?;
        group.flat(&near.rows, &Values::Streams32(&near.values))?;
        group.flat(&others.rows, &Values::SpanIds(&others.values))?;
        group.codes(&self.kinds, &KindWords)?;
        group.own(&self.names, &self.known_names.words)?;
        group.range(&self.starts)?;
        group.range(&self.durations)?;
        for columns in [&self.endpoints.local, &self.endpoints.remote] {
            // What is counted once for a group is written once, too.
            let services = Values::Shared(&columns.services.values, &self.endpoints.services);
            group.flat(&columns.services.rows, &services)?;
            group.codes(&columns.addresses, &self.endpoints.addresses)?;
            group.codes(&columns.ports, &PortWords)?;
        }
        group.flat(&self.shared.rows, &Values::Bools(&self.shared.values))?;
        group.flat(&self.debug.rows, &Values::Bools(&self.debug.values))?;
        group.codes(&self.statuses, &StatusWords)?;
        group.codes(&self.status_messages, &self.texts.words)?;
        group.codes(&self.trace_states, &self.texts.words)?;
        group.own(&self.flags, &self.known_flags)?;
        for origins in [&self.resources, &self.scopes, &self.targets] {
            let numbers = &origins.numbers;
            let known = Values::OwnShared(&numbers.values, &origins.known.words);
            group.flat(&numbers.rows, &known)?;
        }
        let Annotations { counts, times, values, have_tags, tags } = &self.annotations;
        let lists = |has| Lists { rows: &counts.rows, counts: &counts.values, has };
        group.list(&lists(None), &Values::Streams64(times))?;
        group.list(&lists(None), &Values::Codes(values, &self.texts.words))?;
        group.list(&lists(Some(have_tags)), &Values::Codes(tags, &self.own))?;
        group.codes(&self.links, &self.own)?;
        group.own(&self.tags.shapes, &self.tags.known_shapes)?;
        group.codes(&self.tags.rest, &self.own)?;
        group.codes(&self.ext, &self.own)?;
        for column in &self.tags.columns {
            if column.sort == TagSort::Bool {
                let numbers = column.numbers.values.iter();
                let bools: Vec<bool> =
                    numbers.map(|number| column.words.word(*number) == [1]).collect();
                group.flat(&column.numbers.rows, &Values::Bools(&bools))?;
            } else {
                group.own(&column.numbers, &column.words)?;
            }
        }
        debug_assert_eq!(group.chunks.len(), schema.num_columns());
        let chunks = group.chunks;
        let raw_bytes = chunks.iter().map(|chunk| chunk.metadata.uncompressed_size()).sum();
        let (columns, pages) =
            chunks.into_iter().map(|chunk| (chunk.metadata, chunk.pages)).unzip();
        let group = RowGroupMetaData::builder(schema.clone())
            .set_num_rows(i64::try_from(rows).unwrap_or(i64::MAX))
            .set_total_byte_size(raw_bytes)
            .set_column_metadata(columns)
            .build()?;
        self.clear();
        Ok((group, pages))
    }

    fn clear(&mut self) {
        self.bytes = 0;
        self.held_bytes = 0;
        self.trace_ids.clear();
        self.span_ids.clear();
        self.parents.clear();
        self.runs.clear();
        for column in [
            &mut self.kinds,
            &mut self.names,
            &mut self.statuses,
            &mut self.status_messages,
            &mut self.trace_states,
            &mut self.flags,
            &mut self.links,
            &mut self.ext,
        ] {
            column.clear();
        }
        self.known_names.clear();
        self.starts.clear();
        self.durations.clear();
        self.endpoints.clear();
        self.known_addresses.clear();
        self.shared.clear();
        self.debug.clear();
        self.texts.clear();
        self.known_flags.clear();
        self.last_flags = None;
        for origins in [&mut self.resources, &mut self.scopes, &mut self.targets] {
            origins.clear();
        }
        self.annotations.clear();
        self.tags.clear();
        self.own.clear();
    }
}

/// The number of the next row. A group has far fewer than there are numbers.
fn next_row(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
