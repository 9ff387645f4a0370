//! Spans to the columns of a row group, from numbers to numbers.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use parquet::file::metadata::RowGroupMetaData;
use parquet::schema::types::SchemaDescPtr;
use sigyn_model::{Kind, StatusCode};

use super::chunk::{Chunk, ChunkEncoder, ListLevels, Present, Values, Words};
use super::ext::Ext;
use super::json;
use super::pages::ColumnPages;
use super::plan::{Known, Plan, REST};
use super::schema::{GROUP_BYTES, GROUP_ROWS, PAGE_ROWS, TagSort};
use super::source::{Source, SourceRow, TagValue};
use super::writer::WriteError;

/// Values of those rows that have one.
#[derive(Debug)]
struct Sparse<T> {
    rows: Vec<u32>,
    values: Vec<T>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), values: Vec::new() }
    }
}

impl<T> Sparse<T> {
    fn push(&mut self, row: u32, value: T) {
        self.rows.push(row);
        self.values.push(value);
    }

    fn push_some(&mut self, row: u32, value: Option<T>) {
        if let Some(value) = value {
            self.push(row, value);
        }
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.values.clear();
    }
}

/// Numbers of what many rows say: each is written once in a group.
#[derive(Debug, Default)]
struct Shared {
    numbers: Sparse<u32>,
    met: HashSet<u32, RandomState>,
}

impl Shared {
    /// Returns whether this is the first row that says it.
    fn push(&mut self, row: u32, number: u32) -> bool {
        let is_new = self.numbers.values.last() != Some(&number) && self.met.insert(number);
        self.numbers.push(row, number);
        is_new
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.met.clear();
    }
}

/// Byte strings that are written as they are, by number.
#[derive(Debug, Default)]
struct Own {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Own {
    fn push(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        u32::try_from(self.ends.len() - 1).unwrap_or(u32::MAX)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl Words for Own {
    fn are_bytes(&self) -> bool {
        true
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        let at = number as usize;
        let begin = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        out.extend_from_slice(&self.bytes[begin..self.ends[at]]);
    }
}

/// What a span says that was added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) span: SourceRow,
    /// Its own, and its peer's; see [`GroupBuilder::service`].
    pub(super) services: [Option<u32>; 2],
    /// As a tag, as Zipkin shows them, as an annotation, or as a label of its target.
    pub(super) says_error: bool,
}

impl Said {
    /// See [`sigyn_model::Span::duration_us`].
    pub(super) fn duration_us(&self) -> Option<u64> {
        const MAX: u64 = u64::MAX / 1_000;
        let micros = self.span.duration?.as_micros();
        Some(u64::try_from(micros).unwrap_or(MAX).clamp(1, MAX))
    }
}

/// A row group that is being filled.
pub(super) struct GroupBuilder<'a> {
    source: &'a dyn Source,
    plan: &'a Plan,
    known: Known,
    /// About what its columns take before they are compressed.
    bytes: u64,
    trace_ids: Vec<[u8; 16]>,
    span_ids: Vec<u64>,
    parents: Sparse<u64>,
    /// Where traces begin.
    runs: Vec<u32>,
    kinds: Sparse<u32>,
    names: Sparse<u32>,
    starts: Sparse<u64>,
    durations: Sparse<u64>,
    endpoints: [EndpointColumns; 2],
    shared: Sparse<bool>,
    debug: Sparse<bool>,
    statuses: Sparse<u32>,
    status_messages: Sparse<u32>,
    trace_states: Sparse<u32>,
    flags: Sparse<u32>,
    /// Different flags, by number.
    known_flags: Vec<u32>,
    flag_numbers: HashMap<u32, u32>,
    resources: Shared,
    scopes: Shared,
    targets: Shared,
    annotations: Annotations,
    links: Sparse<u32>,
    shapes: Sparse<u32>,
    known_shapes: Own,
    shape_numbers: HashMap<Vec<u8>, u32>,
    rest: Sparse<u32>,
    ext: Sparse<u32>,
    tags: Vec<Sparse<u32>>,
    /// Texts of this group alone.
    own: Own,
    /// Where a shape is put together, and which of the tags have no column.
    shape: Vec<u8>,
    of_rest: Vec<u32>,
    own_tags: Vec<u32>,
    text: String,
}

#[derive(Debug, Default)]
struct EndpointColumns {
    services: Shared,
    addresses: Sparse<u32>,
    ports: Sparse<u32>,
}

#[derive(Debug, Default)]
struct Annotations {
    levels: ListLevels,
    times: Vec<u64>,
    values: Vec<u32>,
    tag_levels: ListLevels,
    tags: Vec<u32>,
}

impl<'a> GroupBuilder<'a> {
    pub(super) fn new(source: &'a dyn Source, plan: &'a Plan) -> Self {
        let tags = plan.tag_columns.iter().map(|_| Sparse::default()).collect();
        Self {
            source,
            plan,
            known: Known::default(),
            bytes: 0,
            trace_ids: Vec::new(),
            span_ids: Vec::new(),
            parents: Sparse::default(),
            runs: Vec::new(),
            kinds: Sparse::default(),
            names: Sparse::default(),
            starts: Sparse::default(),
            durations: Sparse::default(),
            endpoints: Default::default(),
            shared: Sparse::default(),
            debug: Sparse::default(),
            statuses: Sparse::default(),
            status_messages: Sparse::default(),
            trace_states: Sparse::default(),
            flags: Sparse::default(),
            known_flags: Vec::new(),
            flag_numbers: HashMap::new(),
            resources: Shared::default(),
            scopes: Shared::default(),
            targets: Shared::default(),
            annotations: Annotations::default(),
            links: Sparse::default(),
            shapes: Sparse::default(),
            known_shapes: Own::default(),
            shape_numbers: HashMap::new(),
            rest: Sparse::default(),
            ext: Sparse::default(),
            tags,
            own: Own::default(),
            shape: Vec::new(),
            of_rest: Vec::new(),
            own_tags: Vec::new(),
            text: String::new(),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.span_ids.len()
    }

    /// The name of a service.
    pub(super) fn service(&self, number: u32) -> &str {
        &self.known.services[number as usize]
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows() >= GROUP_ROWS || self.bytes >= GROUP_BYTES
    }

    /// Spans of another trace follow.
    pub(super) fn begin_trace(&mut self) {
        self.runs.push(next_row(self.rows()));
    }

    /// Adds a span; returns what it says.
    pub(super) fn push(&mut self, from: u32, span: SourceRow) -> Said {
        let row = next_row(self.rows());
        if self.runs.is_empty() {
            self.runs.push(0);
        }
        self.trace_ids.push(span.trace_id.as_u128().to_be_bytes());
        self.span_ids.push(span.id.as_u64());
        self.parents.push_some(row, span.parent_id.map(|parent| parent.as_u64()));
        self.kinds.push_some(row, span.kind.map(|kind| kind as u32));
        if span.name != 0 {
            self.names.push(row, span.name);
        }
        self.starts.push_some(row, span.timestamp.map(|at| at.nanos()));
        let nanos = span.duration.map(|duration| u64::try_from(duration.as_nanos()));
        self.durations.push_some(row, nanos.map(|nanos| nanos.unwrap_or(u64::MAX)));
        let mut has_odd_endpoint = false;
        for (columns, endpoint) in
            self.endpoints.iter_mut().zip([span.local_endpoint, span.remote_endpoint])
        {
            if endpoint == 0 {
                continue;
            }
            let parts = self.known.endpoint(self.source, endpoint);
            if let Some(service) = parts.service
                && columns.services.push(row, service)
            {
                self.bytes += self.known.services[service as usize].len() as u64;
            }
            columns.addresses.push_some(row, parts.address);
            columns.ports.push_some(row, parts.port);
            has_odd_endpoint |= parts.is_odd;
        }
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
                self.bytes += self.source.text(number).len() as u64;
                column.push(row, number);
            }
        }
        if span.flags != 0 {
            let known = &mut self.known_flags;
            let number = *self.flag_numbers.entry(span.flags).or_insert_with(|| {
                known.push(span.flags);
                next_row(known.len() - 1)
            });
            self.flags.push(row, number);
        }
        for (column, sort, number) in [
            (&mut self.resources, Sort::Resource, span.resource),
            (&mut self.scopes, Sort::Scope, span.scope),
            (&mut self.targets, Sort::Target, span.target),
        ] {
            if number != 0 && column.push(row, number) {
                let mut word = Vec::new();
                OfSource { source: self.source, sort }.put(number, &mut word);
                self.bytes += word.len() as u64;
            }
        }
        let mut ext = Ext { dropped: span.dropped, ..Ext::default() };
        let mut says_error = self.push_annotations(from, &span, &mut ext);
        if span.has_links {
            self.text.clear();
            json::put_links(&mut self.text, &self.source.links(from));
            self.bytes += self.text.len() as u64;
            let number = self.own.push(self.text.as_bytes());
            self.links.push(row, number);
        }
        says_error |= self.push_tags(row, from);
        ext.duration = span.duration.filter(|_| matches!(nanos, Some(Err(_))));
        if has_odd_endpoint {
            let mut odd = |endpoint: u32| {
                let parts = self.known.endpoint(self.source, endpoint);
                let is_odd = endpoint != 0 && parts.is_odd;
                self.source.endpoint(endpoint).filter(|_| is_odd).map(|odd| odd.to_owned())
            };
            ext.endpoints = [odd(span.local_endpoint), odd(span.remote_endpoint)];
        }
        if let Some(bytes) = ext.to_bytes() {
            self.bytes += bytes.len() as u64;
            let number = self.own.push(&bytes);
            self.ext.push(row, number);
        }
        self.bytes += 200 + self.source.name(span.name).len() as u64;
        let says_error = says_error
            || span.status_code == StatusCode::Error
            || self.known.resource_says_error(self.source, span.resource)
            || self.known.target_says_error(self.source, span.target);
        let services = [span.local_endpoint, span.remote_endpoint]
            .map(|endpoint| self.known.endpoint(self.source, endpoint).service);
        Said { span, services, says_error }
    }

    /// Returns whether one of them says `error`.
    fn push_annotations(&mut self, from: u32, span: &SourceRow, ext: &mut Ext) -> bool {
        let Annotations { levels, times, values, tag_levels, tags } = &mut self.annotations;
        for levels in [&mut *levels, &mut *tag_levels] {
            levels.begins.push(levels.definition.len());
        }
        if !span.has_annotations {
            for levels in [levels, tag_levels] {
                levels.repetition.push(0);
                levels.definition.push(0);
            }
            return false;
        }
        let (source, own, text, bytes) =
            (self.source, &mut self.own, &mut self.text, &mut self.bytes);
        let mut repetition = 0;
        let mut says_error = false;
        source.annotations(from, &mut |annotation| {
            let text_of_value = source.text(annotation.value);
            *bytes += 16 + text_of_value.len() as u64;
            says_error |= text_of_value == "error";
            times.push(annotation.timestamp.nanos());
            values.push(annotation.value);
            levels.repetition.push(repetition);
            levels.definition.push(1);
            tag_levels.repetition.push(repetition);
            repetition = 1;
            if annotation.tags.is_empty() {
                tag_levels.definition.push(1);
            } else {
                text.clear();
                json::put_tags(text, &annotation.tags.to_tags());
                *bytes += text.len() as u64;
                tags.push(own.push(text.as_bytes()));
                tag_levels.definition.push(2);
            }
            ext.dropped_of_annotations.push(annotation.dropped_tags);
        });
        says_error
    }

    /// Returns whether one of them says `error`.
    fn push_tags(&mut self, row: u32, from: u32) -> bool {
        self.own_tags.clear();
        self.source.tags_into(from, &mut self.own_tags);
        if self.own_tags.is_empty() {
            return false;
        }
        let mut says_error = false;
        self.shape.clear();
        self.of_rest.clear();
        for tag in &self.own_tags {
            let place = self.plan.tag(*tag);
            self.bytes += match place.size {
                // It may take more than can be said there.
                u16::MAX => self.source.tag_bytes(*tag) as u64,
                size => u64::from(size) * 16,
            };
            says_error |= place.says_error;
            let column = self.tags.get_mut(usize::from(place.column));
            // A key that stands twice has one place in its column.
            match column.filter(|column| column.rows.last() != Some(&row)) {
                Some(column) if place.column != REST => {
                    super::hybrid::put_uint(&mut self.shape, u64::from(place.column) + 1);
                    column.push(row, *tag);
                }
                _ => {
                    self.shape.push(0);
                    self.of_rest.push(*tag);
                }
            }
        }
        let shape = match self.shape_numbers.get(&self.shape) {
            Some(number) => *number,
            None => {
                let number = self.known_shapes.push(&self.shape);
                self.shape_numbers.insert(self.shape.clone(), number);
                number
            }
        };
        self.shapes.push(row, shape);
        if !self.of_rest.is_empty() {
            self.text.clear();
            let source = self.source;
            let tags: Vec<(&str, sigyn_model::Value)> = self
                .of_rest
                .iter()
                .map(|tag| (source.key(source.tag(*tag).0), source.tag_value(*tag)))
                .collect();
            json::put_members(&mut self.text, tags.iter().map(|(key, value)| (*key, value)));
            self.bytes += self.text.len() as u64;
            let number = self.own.push(self.text.as_bytes());
            self.rest.push(row, number);
        }
        says_error
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
        let mut finishing = Finishing {
            schema,
            encoder,
            out,
            offset,
            rows: self.rows(),
            chunks: Vec::new(),
            go_on,
        };
        let (near, others) = self.parents();
        finishing.dense(&Values::Ids(&self.trace_ids))?;
        finishing.dense(&Values::SpanIds(&self.span_ids))?;
        finishing.flat(&near.rows, &Values::Streams32(&near.values))?;
        finishing.flat(&others.rows, &Values::SpanIds(&others.values))?;
        finishing.codes(&self.kinds, &KindWords)?;
        let of_source = |sort| OfSource { source: self.source, sort };
        finishing.codes(&self.names, &of_source(Sort::Name))?;
        finishing.range(&self.starts)?;
        finishing.range(&self.durations)?;
        for columns in &self.endpoints {
            finishing.shared(&columns.services, &Listed(&self.known.services))?;
            finishing.codes(&columns.addresses, &Listed(&self.known.addresses))?;
            finishing.codes(&columns.ports, &PortWords)?;
        }
        finishing.flat(&self.shared.rows, &Values::Bools(&self.shared.values))?;
        finishing.flat(&self.debug.rows, &Values::Bools(&self.debug.values))?;
        finishing.codes(&self.statuses, &StatusWords)?;
        finishing.codes(&self.status_messages, &of_source(Sort::Text))?;
        finishing.codes(&self.trace_states, &of_source(Sort::Text))?;
        finishing.codes(&self.flags, &FlagWords(&self.known_flags))?;
        finishing.shared(&self.resources, &of_source(Sort::Resource))?;
        finishing.shared(&self.scopes, &of_source(Sort::Scope))?;
        finishing.shared(&self.targets, &of_source(Sort::Target))?;
        let Annotations { levels, times, values, tag_levels, tags } = &mut self.annotations;
        (levels.defined, tag_levels.defined) = (1, 2);
        finishing.list(levels, &Values::Streams64(times))?;
        finishing.list(levels, &Values::Codes(values, &of_source(Sort::Text)))?;
        finishing.list(tag_levels, &Values::Codes(tags, &self.own))?;
        finishing.codes(&self.links, &self.own)?;
        finishing.codes(&self.shapes, &self.known_shapes)?;
        finishing.codes(&self.rest, &self.own)?;
        finishing.codes(&self.ext, &self.own)?;
        for (column, of) in self.plan.tag_columns.iter().zip(&self.tags) {
            if column.sort == TagSort::Bool {
                let is_true = |tag: &u32| self.source.tag(*tag).1 == TagValue::Bool(true);
                let bools: Vec<bool> = of.values.iter().map(is_true).collect();
                finishing.flat(&of.rows, &Values::Bools(&bools))?;
            } else {
                finishing.codes(of, &TagWords { source: self.source, sort: column.sort })?;
            }
        }
        debug_assert_eq!(finishing.chunks.len(), schema.num_columns());
        let Finishing { chunks, rows, .. } = finishing;
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
        self.trace_ids.clear();
        self.span_ids.clear();
        self.parents.clear();
        self.runs.clear();
        let [local, remote] = &mut self.endpoints;
        for column in [
            &mut self.kinds,
            &mut self.names,
            &mut local.addresses,
            &mut local.ports,
            &mut remote.addresses,
            &mut remote.ports,
            &mut self.statuses,
            &mut self.status_messages,
            &mut self.trace_states,
            &mut self.flags,
            &mut self.links,
            &mut self.shapes,
            &mut self.rest,
            &mut self.ext,
        ]
        .into_iter()
        .chain(&mut self.tags)
        {
            column.clear();
        }
        for column in [
            &mut local.services,
            &mut remote.services,
            &mut self.resources,
            &mut self.scopes,
            &mut self.targets,
        ] {
            column.clear();
        }
        self.starts.clear();
        self.durations.clear();
        self.shared.clear();
        self.debug.clear();
        self.known_flags.clear();
        self.flag_numbers.clear();
        self.annotations = Annotations::default();
        self.known_shapes.clear();
        self.shape_numbers.clear();
        self.own.clear();
    }
}

/// Chunks of a group, one after the other.
struct Finishing<'a, F> {
    schema: &'a SchemaDescPtr,
    encoder: &'a mut ChunkEncoder,
    out: &'a mut Vec<u8>,
    offset: u64,
    rows: usize,
    chunks: Vec<Chunk>,
    go_on: F,
}

impl<F: Fn() -> Result<(), WriteError>> Finishing<'_, F> {
    fn put(
        &mut self,
        put: impl FnOnce(
            &mut ChunkEncoder,
            parquet::schema::types::ColumnDescPtr,
            &mut Vec<u8>,
            u64,
        ) -> Result<Chunk, WriteError>,
    ) -> Result<(), WriteError> {
        (self.go_on)()?;
        let descriptor = self.schema.column(self.chunks.len());
        let offset = self.offset + self.out.len() as u64;
        let chunk = put(self.encoder, descriptor, self.out, offset)?;
        self.chunks.push(chunk);
        Ok(())
    }

    fn dense(&mut self, values: &Values<'_>) -> Result<(), WriteError> {
        let rows = self.rows;
        self.put(|encoder, descriptor, out, offset| {
            encoder.flat(descriptor, rows, &Present::All, values, out, offset)
        })
    }

    fn flat(&mut self, present: &[u32], values: &Values<'_>) -> Result<(), WriteError> {
        let rows = self.rows;
        let present = if present.len() == rows { Present::All } else { Present::Rows(present) };
        self.put(|encoder, descriptor, out, offset| {
            encoder.flat(descriptor, rows, &present, values, out, offset)
        })
    }

    fn codes(&mut self, column: &Sparse<u32>, words: &dyn Words) -> Result<(), WriteError> {
        self.flat(&column.rows, &Values::Codes(&column.values, words))
    }

    /// What is counted once for a group is written once, too.
    fn shared(&mut self, column: &Shared, words: &dyn Words) -> Result<(), WriteError> {
        self.flat(&column.numbers.rows, &Values::Shared(&column.numbers.values, words))
    }

    /// Numbers of which readers learn the least and the greatest.
    fn range(&mut self, column: &Sparse<u64>) -> Result<(), WriteError> {
        self.flat(&column.rows, &Values::Streams64(&column.values))?;
        let range = column.values.iter().min().zip(column.values.iter().max());
        if let Some((least, greatest)) = range
            && let Some(chunk) = self.chunks.pop()
        {
            let nulls = (self.rows - column.values.len()) as u64;
            self.chunks.push(chunk.with_range(*least, *greatest, nulls)?);
        }
        Ok(())
    }

    fn list(&mut self, levels: &ListLevels, values: &Values<'_>) -> Result<(), WriteError> {
        self.put(|encoder, descriptor, out, offset| {
            encoder.list(descriptor, levels, values, out, offset)
        })
    }
}

/// Words that a source has.
struct OfSource<'a> {
    source: &'a dyn Source,
    sort: Sort,
}

#[derive(Clone, Copy)]
enum Sort {
    Name,
    Text,
    Resource,
    Scope,
    Target,
}

impl Words for OfSource<'_> {
    fn are_bytes(&self) -> bool {
        true
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        let source = self.source;
        let mut json = String::new();
        match self.sort {
            Sort::Name => return out.extend_from_slice(source.name(number).as_bytes()),
            Sort::Text => return out.extend_from_slice(source.text(number).as_bytes()),
            Sort::Resource => {
                source
                    .resource(number)
                    .into_iter()
                    .for_each(|of| json::put_resource(&mut json, of));
            }
            Sort::Scope => {
                source.scope(number).into_iter().for_each(|of| json::put_scope(&mut json, of));
            }
            Sort::Target => {
                source.target(number).into_iter().for_each(|of| json::put_labels(&mut json, of));
            }
        }
        out.extend_from_slice(json.as_bytes());
    }
}

/// Values of tags.
struct TagWords<'a> {
    source: &'a dyn Source,
    sort: TagSort,
}

impl Words for TagWords<'_> {
    fn are_bytes(&self) -> bool {
        self.sort == TagSort::Text
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        match self.source.tag(number).1 {
            TagValue::Text(text) => out.extend_from_slice(text.as_bytes()),
            TagValue::Int(value) => out.extend_from_slice(&value.to_le_bytes()),
            TagValue::Double(value) => out.extend_from_slice(&value.to_bits().to_le_bytes()),
            TagValue::Bool(_) | TagValue::Other => {}
        }
    }
}

struct Listed<'a>(&'a [String]);

impl Words for Listed<'_> {
    fn are_bytes(&self) -> bool {
        true
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0[number as usize].as_bytes());
    }
}

struct KindWords;

impl Words for KindWords {
    fn are_bytes(&self) -> bool {
        true
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        let kinds = [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer];
        let kind = kinds.into_iter().find(|kind| *kind as u32 == number);
        out.extend_from_slice(kind.map_or("", Kind::as_str).as_bytes());
    }
}

struct StatusWords;

impl Words for StatusWords {
    fn are_bytes(&self) -> bool {
        true
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        let is_ok = number == StatusCode::Ok as u32;
        let code = if is_ok { StatusCode::Ok } else { StatusCode::Error };
        out.extend_from_slice(code.as_tag().unwrap_or_default().as_bytes());
    }
}

/// Ports are their own numbers.
struct PortWords;

impl Words for PortWords {
    fn are_bytes(&self) -> bool {
        false
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

struct FlagWords<'a>(&'a [u32]);

impl Words for FlagWords<'_> {
    fn are_bytes(&self) -> bool {
        false
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0[number as usize].to_le_bytes());
    }
}

/// The number of the next row. A group has far fewer than there are numbers.
fn next_row(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
