//! Rows of a block into a piece: codes of its pages become numbers, and what they mean is read once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use foldhash::fast::RandomState;
use sigyn_model::{Span, SpanId, StatusCode, Timestamp, TraceId, Value};

use super::BlockError;
use super::ext::Ext;
use super::group_reader::{
    PageSet, RowReader, address, parse_kind, parse_status, port, read_tags, str_of,
};
use super::hybrid::take_uint;
use super::json;
use super::page_reader::Page;
use super::piece::{EndpointCodes, Piece, Rare, Said, Texts, Word, number};
use super::schema::{TagSort, place};
use super::source::SourceRow;
use crate::size;

/// A piece, and what its numbers are known by while rows are added.
#[derive(Debug)]
pub(crate) struct PieceBuilder {
    piece: Piece,
    /// Of which row group the codes are.
    group: Option<usize>,
    /// By column.
    met: Vec<Met>,
    keys: HashMap<String, u32, RandomState>,
    /// By column of tags: one more than the key's number.
    keys_of_columns: Vec<u32>,
    endpoints: HashMap<EndpointCodes, u32, RandomState>,
    last_endpoints: [(EndpointCodes, u32); 2],
}

/// Codes of a column whose numbers are known. A few rows may have the last code of a large dictionary, so that
/// only low ones, which most rows have, are places in a list.
#[derive(Debug, Default)]
struct Met {
    /// One more than a number.
    low: Vec<u32>,
    high: HashMap<u32, u32, RandomState>,
}

const LOW_CODES: u32 = if cfg!(test) { 8 } else { 1 << 10 };
/// What a high code takes, while it is known.
const HIGH_CODE_BYTES: u64 = 32;

impl Met {
    fn get(&self, code: u32) -> Option<u32> {
        if code < LOW_CODES {
            return self.low.get(code as usize).and_then(|known| known.checked_sub(1));
        }
        self.high.get(&code).copied()
    }

    /// Returns what that takes beside what a piece takes in any case.
    fn put(&mut self, code: u32, number: u32) -> u64 {
        if code >= LOW_CODES {
            self.high.insert(code, number);
            return HIGH_CODE_BYTES;
        }
        let at = code as usize;
        if self.low.len() <= at {
            self.low.resize(at + 1, 0);
        }
        self.low[at] = number + 1;
        0
    }

    fn clear(&mut self) {
        self.low.clear();
        self.high.clear();
    }
}

impl Default for PieceBuilder {
    fn default() -> Self {
        let piece = Piece {
            rows: Vec::new(),
            tags: Vec::new(),
            tag_ends: Vec::new(),
            weights: Vec::new(),
            words: Vec::new(),
            keys: Texts::default(),
            error_key: None,
            values: Vec::new(),
            others: Vec::new(),
            names: Texts::with_none(),
            texts: Texts::with_none(),
            endpoints: Vec::new(),
            resources: Vec::new(),
            scopes: Vec::new(),
            targets: Vec::new(),
            rares: Vec::new(),
            bytes: 0,
        };
        Self {
            piece,
            group: None,
            met: Vec::new(),
            keys: HashMap::default(),
            keys_of_columns: Vec::new(),
            endpoints: HashMap::default(),
            last_endpoints: [(EndpointCodes::default(), 0); 2],
        }
    }
}

/// What a row takes in any case, in lists of its own and of those who write it.
const ROW_BYTES: usize = size_of::<SourceRow>() + 2 * size_of::<u32>() + 32;
/// The same of a tag, and of a word.
const TAG_BYTES: usize = size_of::<u32>();
const WORD_BYTES: usize = size_of::<Word>() + 32;

impl PieceBuilder {
    pub(crate) fn finish(self) -> Piece {
        self.piece
    }

    pub(crate) fn piece(&self) -> &Piece {
        &self.piece
    }

    /// Codes are those of this row group from here on.
    fn begin_group(&mut self, group: usize, columns: usize) {
        if self.group != Some(group) {
            self.group = Some(group);
            self.met.iter_mut().for_each(Met::clear);
            self.met.resize_with(columns, Met::default);
        }
    }

    /// The number of what a row of a column says: the same for the same code.
    fn number(
        &mut self,
        column: usize,
        page: &Page,
        row: usize,
        make: impl FnOnce(&mut Self) -> Result<u32, BlockError>,
    ) -> Result<u32, BlockError> {
        let Some(code) = page.code(row) else { return make(self) };
        if let Some(known) = self.met[column].get(code) {
            return Ok(known);
        }
        let number = make(self)?;
        self.piece.bytes += self.met[column].put(code, number);
        Ok(number)
    }

    fn key(&mut self, key: &str) -> u32 {
        if let Some(known) = self.keys.get(key) {
            return *known;
        }
        let number = self.piece.keys.push(key);
        self.keys.insert(key.to_owned(), number);
        if key == "error" {
            self.piece.error_key = Some(number);
        }
        self.piece.bytes += (2 * key.len() + WORD_BYTES) as u64;
        number
    }

    fn word(&mut self, key: u32, said: Said) -> u32 {
        let piece = &mut self.piece;
        piece.words.push(Word { key, said });
        piece.bytes += WORD_BYTES as u64;
        number(piece.words.len() - 1)
    }

    fn text_word(&mut self, key: u32, text: &str) -> u32 {
        let begin = number(self.piece.values.len());
        self.piece.values.extend_from_slice(text.as_bytes());
        self.piece.bytes += text.len() as u64;
        self.word(key, Said::Text(begin, number(self.piece.values.len())))
    }

    fn value_word(&mut self, key: u32, value: Value) -> u32 {
        let said = match value {
            Value::Str(text) => return self.text_word(key, &text),
            Value::Int(value) => Said::Int(value),
            Value::Double(value) => Said::Double(value),
            Value::Bool(value) => Said::Bool(value),
            other => {
                self.piece.bytes += size::value_bytes(&other);
                self.piece.others.push(other);
                Said::Other(number(self.piece.others.len() - 1))
            }
        };
        self.word(key, said)
    }

    fn name(&mut self, text: &[u8]) -> Result<u32, BlockError> {
        self.piece.bytes += (text.len() + size_of::<usize>()) as u64;
        Ok(self.piece.names.push(str_of(text)?))
    }

    fn text(&mut self, text: &str) -> u32 {
        self.piece.bytes += (text.len() + size_of::<usize>()) as u64;
        self.piece.texts.push(text)
    }

    fn endpoint(&mut self, codes: Option<EndpointCodes>, which: usize) -> u32 {
        let Some(codes) = codes else { return 0 };
        let (last, known) = self.last_endpoints[which];
        if last == codes && known != 0 {
            return known;
        }
        let piece = &mut self.piece;
        let number = *self.endpoints.entry(codes).or_insert_with(|| {
            piece.endpoints.push(codes);
            piece.bytes += 3 * size_of::<EndpointCodes>() as u64;
            number(piece.endpoints.len())
        });
        self.last_endpoints[which] = (codes, number);
        number
    }
}

impl RowReader<'_> {
    /// Adds rows of a page to a piece.
    pub(super) fn rows_into(
        &self,
        set: &PageSet,
        rows: Range<usize>,
        out: &mut PieceBuilder,
    ) -> Result<(), BlockError> {
        out.begin_group(set.group(), place::TAGS + self.tag_columns().len());
        let (first, mut before) = (out.piece.rows.len(), out.piece.bytes);
        self.ids_into(set, rows.clone(), out)?;
        self.times_into(set, rows.clone(), first, out)?;
        self.facts_into(set, rows.clone(), first, out)?;
        for (at, row) in (first..).zip(rows) {
            self.names_into(set, row, at, out)?;
            self.origins_into(set, row, at, out)?;
            self.endpoints_into(set, row, at, out)?;
            let tags = self.tags_into(set, row, out)?;
            self.rares_into(set, row, at, out)?;
            out.piece.bytes += (ROW_BYTES + tags * TAG_BYTES) as u64;
            let weight = u32::try_from(out.piece.bytes - before).unwrap_or(u32::MAX);
            out.piece.weights.push(weight);
            before = out.piece.bytes;
        }
        Ok(())
    }

    fn ids_into(
        &self,
        set: &PageSet,
        rows: Range<usize>,
        out: &mut PieceBuilder,
    ) -> Result<(), BlockError> {
        const MISSING: BlockError = BlockError::Row("a span without ids");
        let trace_ids = self.column(set, place::TRACE_ID)?.ok_or(MISSING)?;
        let ids = self.column(set, place::SPAN_ID)?.ok_or(MISSING)?;
        for row in rows {
            let trace_id = trace_ids.id(row).and_then(|id| TraceId::new(u128::from_be_bytes(id)));
            let id = ids.word64(row).ok_or(MISSING)?;
            let mut new = SourceRow::new(trace_id.ok_or(MISSING)?, SpanId::from_raw(id));
            new.parent_id = self.parent(set, row)?.map(SpanId::from_raw);
            out.piece.rows.push(new);
        }
        Ok(())
    }

    fn times_into(
        &self,
        set: &PageSet,
        rows: Range<usize>,
        first: usize,
        out: &mut PieceBuilder,
    ) -> Result<(), BlockError> {
        let new = &mut out.piece.rows[first..];
        if let Some(page) = self.column(set, place::START)? {
            for (row, new) in rows.clone().zip(&mut *new) {
                new.timestamp = page.word64(row).map(Timestamp::from_nanos);
            }
        }
        if let Some(page) = self.column(set, place::DURATION)? {
            for (row, new) in rows.zip(new) {
                new.duration = page.word64(row).map(Duration::from_nanos);
            }
        }
        Ok(())
    }

    fn facts_into(
        &self,
        set: &PageSet,
        rows: Range<usize>,
        first: usize,
        out: &mut PieceBuilder,
    ) -> Result<(), BlockError> {
        let new = &mut out.piece.rows[first..];
        if let Some(page) = self.column(set, place::KIND)? {
            for (row, new) in rows.clone().zip(&mut *new) {
                new.kind = page.text(row).map(parse_kind).transpose()?;
            }
        }
        if let Some(page) = self.column(set, place::SHARED)? {
            for (row, new) in rows.clone().zip(&mut *new) {
                new.shared = page.is_true(row).unwrap_or(false);
            }
        }
        if let Some(page) = self.column(set, place::DEBUG)? {
            for (row, new) in rows.clone().zip(&mut *new) {
                new.debug = page.is_true(row).unwrap_or(false);
            }
        }
        if let Some(page) = self.column(set, place::STATUS)? {
            for (row, new) in rows.clone().zip(&mut *new) {
                new.status_code = page.text(row).map_or(Ok(StatusCode::Unset), parse_status)?;
            }
        }
        if let Some(page) = self.column(set, place::FLAGS)? {
            for (row, new) in rows.zip(new) {
                new.flags = page.word32(row).unwrap_or(0);
            }
        }
        Ok(())
    }

    fn names_into(
        &self,
        set: &PageSet,
        row: usize,
        at: usize,
        out: &mut PieceBuilder,
    ) -> Result<(), BlockError> {
        if let Some(page) = self.column(set, place::NAME)?
            && let Some(name) = page.text(row)
        {
            let name = out.number(place::NAME, page, row, |out| out.name(name))?;
            out.piece.rows[at].name = name;
        }
        for column in [place::STATUS_MESSAGE, place::TRACE_STATE] {
            let Some(page) = self.column(set, column)? else { continue };
            let Some(text) = page.text(row) else { continue };
            let number = out.number(column, page, row, |out| Ok(out.text(str_of(text)?)))?;
            let new = &mut out.piece.rows[at];
            let place = match column {
                place::STATUS_MESSAGE => &mut new.status_message,
                _ => &mut new.trace_state,
            };
            *place = number;
        }
        Ok(())
    }

    fn origins_into(
        &self,
        set: &PageSet,
        row: usize,
        at: usize,
        out: &mut PieceBuilder,
    ) -> Result<(), BlockError> {
        const MISSING: BlockError = BlockError::Row("an origin that is missing");
        if let Some(page) = self.column(set, place::RESOURCE)?.filter(|page| page.has(row)) {
            let number = out.number(place::RESOURCE, page, row, |out| {
                let resource = self.resource(set, row)?.ok_or(MISSING)?;
                out.piece.bytes += size::resource_bytes(&resource);
                out.piece.resources.push(resource);
                Ok(number(out.piece.resources.len()))
            })?;
            out.piece.rows[at].resource = number;
        }
        if let Some(page) = self.column(set, place::SCOPE)?.filter(|page| page.has(row)) {
            let number = out.number(place::SCOPE, page, row, |out| {
                let text = page.text(row).unwrap_or_default();
                out.piece.bytes += TIMES_TEXT * text.len() as u64;
                out.piece.scopes.push(self.scope(set, row)?.ok_or(MISSING)?);
                Ok(number(out.piece.scopes.len()))
            })?;
            out.piece.rows[at].scope = number;
        }
        if let Some(page) = self.column(set, place::TARGET)?.filter(|page| page.has(row)) {
            let number = out.number(place::TARGET, page, row, |out| {
                let text = page.text(row).unwrap_or_default();
                out.piece.bytes += TIMES_TEXT * text.len() as u64;
                out.piece.targets.push(self.target(set, row)?.ok_or(MISSING)?);
                Ok(number(out.piece.targets.len()))
            })?;
            out.piece.rows[at].target = number;
        }
        Ok(())
    }

    fn endpoints_into(
        &self,
        set: &PageSet,
        row: usize,
        at: usize,
        out: &mut PieceBuilder,
    ) -> Result<(), BlockError> {
        let local = self.endpoint_codes(set, row, place::LOCAL, out)?;
        out.piece.rows[at].local_endpoint = out.endpoint(local, 0);
        let mut remote = self.endpoint_codes(set, row, place::REMOTE, out)?;
        self.each_said_of_peer(set, row, &mut |address, port| {
            let said = remote.get_or_insert_default();
            match address {
                Some(IpAddr::V4(ip)) => said.ipv4 = said.ipv4.or(Some(ip)),
                Some(IpAddr::V6(ip)) => said.ipv6 = said.ipv6.or(Some(ip)),
                None => {}
            }
            said.port = said.port.max(port);
        })?;
        out.piece.rows[at].remote_endpoint = out.endpoint(remote, 1);
        Ok(())
    }

    /// What the three columns from this one on say of an endpoint; `None` if nothing.
    fn endpoint_codes(
        &self,
        set: &PageSet,
        row: usize,
        column: usize,
        out: &mut PieceBuilder,
    ) -> Result<Option<EndpointCodes>, BlockError> {
        let mut codes = EndpointCodes::default();
        if let Some(page) = self.column(set, column)?
            && let Some(service) = page.text(row)
        {
            codes.service = out.number(column, page, row, |out| out.name(service))?;
        }
        if let Some(page) = self.column(set, column + 1)?
            && let Some(text) = page.text(row)
        {
            match address(text)? {
                IpAddr::V4(ip) => codes.ipv4 = Some(ip),
                IpAddr::V6(ip) => codes.ipv6 = Some(ip),
            }
        }
        if let Some(page) = self.column(set, column + 2)? {
            codes.port = port(page.word32(row).unwrap_or(0))?;
        }
        Ok((codes != EndpointCodes::default()).then_some(codes))
    }

    /// Adds a row's own tags; returns how many.
    fn tags_into(
        &self,
        set: &PageSet,
        row: usize,
        out: &mut PieceBuilder,
    ) -> Result<usize, BlockError> {
        const MISSING: BlockError = BlockError::Row("a tag that is missing");
        let before = out.piece.tags.len();
        let shape = self.column(set, place::TAG_SHAPE)?.and_then(|page| page.text(row));
        let mut shape = shape.unwrap_or_default();
        let mut rest: Option<std::vec::IntoIter<(String, Value)>> = None;
        while !shape.is_empty() {
            let said = usize::try_from(take_uint(&mut shape)?).unwrap_or(usize::MAX);
            let Some(at) = said.checked_sub(1) else {
                if rest.is_none() {
                    let text = self.column(set, place::TAGS_REST)?.and_then(|page| page.text(row));
                    rest = Some(text.map_or(Ok(Vec::new()), read_tags)?.into_iter());
                }
                let (key, value) = rest.as_mut().and_then(Iterator::next).ok_or(MISSING)?;
                let key = out.key(&key);
                let tag = out.value_word(key, value);
                out.piece.tags.push(tag);
                continue;
            };
            // What stands behind the tags is not of them.
            let Some(column) = self.tag_columns().get(at) else { break };
            let key = match out.keys_of_columns.get(at).filter(|known| **known != 0) {
                Some(known) => known - 1,
                None => {
                    let key = out.key(&column.key);
                    out.keys_of_columns.resize(out.keys_of_columns.len().max(at + 1), 0);
                    out.keys_of_columns[at] = key + 1;
                    key
                }
            };
            let page = self.column(set, place::TAGS + at)?.ok_or(MISSING)?;
            let tag = out.number(place::TAGS + at, page, row, |out| {
                Ok(match column.sort {
                    TagSort::Text => out.text_word(key, str_of(page.text(row).ok_or(MISSING)?)?),
                    TagSort::Int => {
                        let word = page.word64(row).ok_or(MISSING)?;
                        out.word(key, Said::Int(word.cast_signed()))
                    }
                    TagSort::Double => {
                        let bits = page.word64(row).ok_or(MISSING)?;
                        out.word(key, Said::Double(f64::from_bits(bits)))
                    }
                    TagSort::Bool => out.word(key, Said::Bool(page.is_true(row).ok_or(MISSING)?)),
                })
            })?;
            out.piece.tags.push(tag);
        }
        out.piece.tag_ends.push(number(out.piece.tags.len()));
        Ok(out.piece.tags.len() - before)
    }

    /// Annotations, links, and what no column says.
    fn rares_into(
        &self,
        set: &PageSet,
        row: usize,
        at: usize,
        out: &mut PieceBuilder,
    ) -> Result<(), BlockError> {
        let annotations = self.annotations(set, row)?;
        let links = self.column(set, place::LINKS)?.and_then(|page| page.text(row));
        let ext = self.column(set, place::EXT)?.and_then(|page| page.text(row));
        if annotations.is_empty() && links.is_none() && ext.is_none() {
            return Ok(());
        }
        let mut span = Span::new(out.piece.rows[at].trace_id, out.piece.rows[at].id);
        span.annotations = annotations;
        if let Some(links) = links {
            span.links = json::links(str_of(links)?)?;
        }
        if let Some(ext) = ext {
            Ext::apply(ext, &mut span)?;
            for (which, endpoint) in
                [&span.local_endpoint, &span.remote_endpoint].into_iter().enumerate()
            {
                let Some(endpoint) = endpoint else { continue };
                let service = match &*endpoint.service_name {
                    "" => 0,
                    name => out.name(name.as_bytes())?,
                };
                let (ipv4, ipv6, port) = (endpoint.ipv4, endpoint.ipv6, endpoint.port);
                let codes = EndpointCodes { service, ipv4, ipv6, port };
                let number = out.endpoint(Some(codes), which);
                let new = &mut out.piece.rows[at];
                let places = [&mut new.local_endpoint, &mut new.remote_endpoint];
                *places[which] = number;
            }
            let new = &mut out.piece.rows[at];
            new.dropped = [span.dropped_tags, span.dropped_annotations, span.dropped_links];
            new.duration = span.duration.or(new.duration);
        }
        let new = &mut out.piece.rows[at];
        new.has_annotations = !span.annotations.is_empty();
        new.has_links = !span.links.is_empty();
        if new.has_annotations || new.has_links {
            out.piece.bytes += size::span_bytes(&span);
            let annotations = span.annotations.into_iter().map(|annotation| {
                let value = out.text(&annotation.value);
                (annotation, value)
            });
            let rare = Rare { annotations: annotations.collect(), links: span.links };
            out.piece.rares.push((number(at), rare));
        }
        Ok(())
    }
}

/// What is read of a text takes so many times as much.
const TIMES_TEXT: u64 = 4;

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::super::merging::Bookmark;
    use super::super::tests::{open, sealed};
    use super::*;
    use crate::stop::Stop;
    use crate::testing;

    #[test]
    fn codes_that_are_met_take_what_is_told() {
        let mut met = Met::default();
        let codes = || (0..2 * LOW_CODES).chain([1 << 20, u32::MAX]);
        let bytes: u64 = codes().map(|code| met.put(code, code / 2)).sum();
        codes().for_each(|code| assert_eq!(met.get(code), Some(code / 2)));
        assert_eq!(met.get(3 * LOW_CODES), None);
        assert_eq!(bytes, u64::from(LOW_CODES + 2) * HIGH_CODE_BYTES);
        assert!(met.low.capacity() <= 2 * LOW_CODES as usize);
        // While it grows, a table is there twice, and then half full.
        assert!((met.high.capacity() * size_of::<(u32, u32)>()) as u64 <= bytes);
        met.clear();
        codes().for_each(|code| assert_eq!(met.get(code), None));
    }

    #[test]
    fn rows_in_numbers_say_what_spans_say() {
        for seed in 0..60 {
            let mut random = Rng::with_seed(seed);
            let spans: Vec<Span> =
                (0..random.usize(1..400)).map(|_| testing::span(&mut random)).collect();
            let (disk, entry) = sealed(spans);
            let block = open(&disk, &entry).unwrap();
            let mut expected = Vec::new();
            let all = [(0..block.rows(), None)];
            block.read_rows(&all, &Stop::default(), &mut |span| expected.push(span)).unwrap();
            // A few at a time, with more or less of a page kept, into as many pieces.
            let (mut bookmark, mut at) = (Bookmark::default(), 0);
            let mut expected = expected.iter();
            while at < block.rows() {
                let mut builder = PieceBuilder::default();
                let first = at;
                for _ in 0..random.usize(1..4) {
                    let rows = at..block.rows().min(at + random.u64(1..100));
                    at = rows.end;
                    if !rows.is_empty() {
                        let kept_bytes = random.u64(0..4_000);
                        let rows = std::slice::from_ref(&rows);
                        block.read_on(&mut bookmark, rows, kept_bytes, &mut builder).unwrap();
                    }
                }
                let piece = builder.finish();
                assert_eq!(u64::from(piece.rows()), at - first);
                let weights: u64 = (0..piece.rows()).map(|row| piece.weight(row)).sum();
                assert_eq!(weights, piece.bytes());
                for (row, expected) in (0..piece.rows()).zip(&mut expected) {
                    assert_eq!(piece.span(row), *expected, "seed {seed}");
                    assert_eq!(piece.has_error(row), expected.zipkin_tag("error").is_some());
                    assert_eq!(piece.trace(row), expected.trace_id.into());
                    let endpoint = piece.endpoint(piece.row(row).local_endpoint);
                    let service = endpoint.map_or("", |endpoint| endpoint.service_name);
                    assert_eq!(service, expected.service_name().unwrap_or_default());
                }
            }
        }
    }
}
