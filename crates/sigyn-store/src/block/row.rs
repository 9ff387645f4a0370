//! Spans to columns and back. What the columns cannot say stands in `ext`, in the log's own bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
    Int64Type,
};
use parquet::file::writer::SerializedRowGroupWriter;
use sigyn_model::{
    Annotation, Endpoint, Kind, Labels, Resource, Scope, Span, SpanId, Tags, Timestamp, TraceId,
    Value,
};

use super::BlockError;
use super::column::{Column, GroupReader, Rows};
use crate::wal::record::{Decoder, Encoder, Malformed, rare_flags};

/// What an `ext` holds; beside these bits stand those of [`Encoder::rare`].
mod ext {
    /// How many tags are the span's own, and values that are no strings.
    pub(super) const TAGS: u64 = 1;
    /// All of the span's own tags: their keys repeat.
    pub(super) const ALL_TAGS: u64 = 1 << 1;
    /// Tags of annotations.
    pub(super) const ANNOTATIONS: u64 = 1 << 2;
    pub(super) const LOCAL: u64 = 1 << 3;
    pub(super) const REMOTE: u64 = 1 << 4;
    /// A duration of more nanoseconds than 64 bits count.
    pub(super) const DURATION: u64 = 1 << 5;
}

/// The columns of a row group that is being filled.
#[derive(Default)]
pub(crate) struct GroupBuilder<'a> {
    trace_id: Column<FixedLenByteArrayType>,
    span_id: Column<FixedLenByteArrayType>,
    parent_id: Column<FixedLenByteArrayType>,
    kind: Column<ByteArrayType>,
    name: Column<ByteArrayType>,
    start_ns: Column<Int64Type>,
    duration_ns: Column<Int64Type>,
    local: EndpointColumns,
    remote: EndpointColumns,
    shared: Column<BoolType>,
    debug: Column<BoolType>,
    tag_keys: Column<ByteArrayType>,
    tag_values: Column<ByteArrayType>,
    annotation_times: Column<Int64Type>,
    annotation_values: Column<ByteArrayType>,
    target_names: Column<ByteArrayType>,
    target_values: Column<ByteArrayType>,
    resource: Column<ByteArrayType>,
    scope: Column<ByteArrayType>,
    ext: Column<ByteArrayType>,
    shared_bytes: SharedBytes<'a>,
}

#[derive(Default)]
struct EndpointColumns {
    service: Column<ByteArrayType>,
    ip: Column<ByteArrayType>,
    port: Column<Int32Type>,
}

/// Bytes of what repeats, made once.
#[derive(Default)]
struct SharedBytes<'a> {
    strings: HashMap<&'a str, ByteArray>,
    resources: HashMap<*const Resource, ByteArray>,
    scopes: HashMap<*const Scope, ByteArray>,
}

impl<'a> SharedBytes<'a> {
    fn string(&mut self, text: &'a str) -> ByteArray {
        self.strings.entry(text).or_insert_with(|| ByteArray::from(text)).clone()
    }

    fn value(&mut self, value: &'a Value) -> ByteArray {
        match value {
            Value::Str(text) => self.string(text),
            other => ByteArray::from(other.text().as_bytes()),
        }
    }
}

impl<'a> GroupBuilder<'a> {
    /// A row. `zipkin_tags` are the span's.
    pub(crate) fn push(&mut self, span: &'a Span, zipkin_tags: BTreeMap<&'a str, Cow<'a, str>>) {
        let id = |bytes: &[u8]| FixedLenByteArray::from(bytes.to_vec());
        self.trace_id.values.push(id(&span.trace_id.as_u128().to_be_bytes()));
        self.span_id.values.push(id(&span.id.as_u64().to_be_bytes()));
        let parent_id = span.parent_id.map(|parent| id(&parent.as_u64().to_be_bytes()));
        self.parent_id.push_optional(parent_id);
        let strings = &mut self.shared_bytes;
        self.kind.push_optional(span.kind.map(|kind| strings.string(kind.as_str())));
        self.name.values.push(strings.string(&span.name));
        let start = span.timestamp.map(|at| at.nanos().cast_signed());
        self.start_ns.push_optional(start);
        self.duration_ns.push_optional(
            span.duration.map(|duration| {
                u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).cast_signed()
            }),
        );
        self.local.push(span.local_endpoint.as_ref(), strings);
        self.remote.push(span.remote_endpoint.as_ref(), strings);
        self.shared.values.push(span.shared);
        self.debug.values.push(span.debug);
        let shown = self.push_tags(span, zipkin_tags);
        let times = span.annotations.iter().map(|a| a.timestamp.nanos().cast_signed());
        self.annotation_times.push_list(times, 1, 0);
        let strings = &mut self.shared_bytes;
        let values = span.annotations.iter().map(|a| strings.string(&a.value));
        self.annotation_values.push_list(values, 1, 0);
        let labels = span.target.as_deref().map_or(&[][..], Vec::as_slice);
        let def_empty = i16::from(span.target.is_some());
        let names = labels.iter().map(|(name, _)| strings.string(name));
        self.target_names.push_list(names, 2, def_empty);
        let values = labels.iter().map(|(_, value)| strings.string(value));
        self.target_values.push_list(values, 2, def_empty);
        self.resource.push_optional(span.resource.as_ref().map(|resource| {
            let bytes = strings.resources.entry(Arc::as_ptr(resource));
            bytes.or_insert_with(|| encoded(|encoder| encoder.tags(&resource.tags))).clone()
        }));
        self.scope.push_optional(span.scope.as_ref().map(|scope| {
            let bytes = strings.scopes.entry(Arc::as_ptr(scope));
            bytes.or_insert_with(|| encoded(|encoder| encoder.scope_content(scope))).clone()
        }));
        self.ext.push_optional(ext_of(span, shown));
    }

    /// The tags as Zipkin shows them: the span's own first, in their order, then those that status,
    /// scope and resource add. Returns how many there are.
    fn push_tags(&mut self, span: &'a Span, zipkin_tags: BTreeMap<&'a str, Cow<'a, str>>) -> usize {
        let strings = &mut self.shared_bytes;
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        if !keys_repeat(&span.tags) {
            for (key, value) in &span.tags {
                keys.push(strings.string(key));
                values.push(strings.value(value));
            }
        }
        let own = keys.len();
        if own < zipkin_tags.len() {
            let is_own = |key: &str| own > 0 && span.tags.iter().any(|(other, _)| other == key);
            for (key, value) in zipkin_tags.into_iter().filter(|(key, _)| !is_own(key)) {
                keys.push(strings.string(key));
                values.push(match value {
                    Cow::Borrowed(text) => strings.string(text),
                    Cow::Owned(text) => ByteArray::from(text.into_bytes()),
                });
            }
        }
        let shown = keys.len();
        self.tag_keys.push_list(keys.into_iter(), 1, 0);
        self.tag_values.push_list(values.into_iter(), 1, 0);
        shown
    }

    /// Writes the row group, its columns in the schema's order.
    pub(crate) fn write<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> parquet::errors::Result<()> {
        self.trace_id.write(group)?;
        self.span_id.write(group)?;
        self.parent_id.write(group)?;
        self.kind.write(group)?;
        self.name.write(group)?;
        self.start_ns.write(group)?;
        self.duration_ns.write(group)?;
        for endpoint in [&self.local, &self.remote] {
            endpoint.service.write(group)?;
            endpoint.ip.write(group)?;
            endpoint.port.write(group)?;
        }
        self.shared.write(group)?;
        self.debug.write(group)?;
        self.tag_keys.write(group)?;
        self.tag_values.write(group)?;
        self.annotation_times.write(group)?;
        self.annotation_values.write(group)?;
        self.target_names.write(group)?;
        self.target_values.write(group)?;
        self.resource.write(group)?;
        self.scope.write(group)?;
        self.ext.write(group)
    }
}

impl EndpointColumns {
    fn push<'a>(&mut self, endpoint: Option<&'a Endpoint>, strings: &mut SharedBytes<'a>) {
        let name = endpoint.map(|e| e.service_name.as_str()).filter(|name| !name.is_empty());
        self.service.push_optional(name.map(|name| strings.string(name)));
        let ip = endpoint.and_then(|e| match (e.ipv4, e.ipv6) {
            (Some(ip), _) => Some(IpAddr::V4(ip)),
            (None, ip) => ip.map(IpAddr::V6),
        });
        self.ip.push_optional(ip.map(|ip| ByteArray::from(ip.to_string().into_bytes())));
        let port = endpoint.map(|e| i32::from(e.port)).filter(|port| *port != 0);
        self.port.push_optional(port);
    }
}

fn encoded<'a>(put: impl FnOnce(&mut Encoder<'a>)) -> ByteArray {
    let mut encoder = Encoder::default();
    put(&mut encoder);
    ByteArray::from(encoder.into_bytes())
}

fn keys_repeat(tags: &Tags) -> bool {
    tags.iter().enumerate().any(|(i, (key, _))| tags[..i].iter().any(|(other, _)| other == key))
}

/// Whether an endpoint's columns do not bring it back: it has two addresses, or nothing in it.
fn is_odd(endpoint: &Endpoint) -> bool {
    endpoint.is_empty() || (endpoint.ipv4.is_some() && endpoint.ipv6.is_some())
}

/// What the columns of a span do not say; `None` if that is nothing. `shown` tags are in them.
fn ext_of(span: &Span, shown: usize) -> Option<ByteArray> {
    let local = span.local_endpoint.as_ref().filter(|endpoint| is_odd(endpoint));
    let remote = span.remote_endpoint.as_ref().filter(|endpoint| is_odd(endpoint));
    let is_long = |duration: &Duration| u64::try_from(duration.as_nanos()).is_err();
    let duration = span.duration.filter(is_long);
    let typed: Vec<(usize, &Value)> = span
        .tags
        .iter()
        .enumerate()
        .filter_map(|(i, (_, value))| (!matches!(value, Value::Str(_))).then_some((i, value)))
        .collect();
    let annotations: Vec<(usize, &Annotation)> = span
        .annotations
        .iter()
        .enumerate()
        .filter(|(_, a)| !a.tags.is_empty() || a.dropped_tags != 0)
        .collect();
    let all_tags = keys_repeat(&span.tags);
    let some_tags = !all_tags && (!typed.is_empty() || shown != span.tags.len());
    let flags = [
        (some_tags, ext::TAGS),
        (all_tags, ext::ALL_TAGS),
        (!annotations.is_empty(), ext::ANNOTATIONS),
        (local.is_some(), ext::LOCAL),
        (remote.is_some(), ext::REMOTE),
        (duration.is_some(), ext::DURATION),
    ];
    let flags = flags.iter().filter(|(is_there, _)| *is_there);
    let flags = flags.fold(rare_flags(span), |flags, (_, bit)| flags | bit);
    (flags != 0).then(|| {
        encoded(|encoder| {
            encoder.uint(flags);
            if some_tags {
                encoder.count(span.tags.len());
                encoder.count(typed.len());
                for (i, value) in typed {
                    encoder.count(i);
                    encoder.value(value, 0);
                }
            }
            if all_tags {
                encoder.tags(&span.tags);
            }
            if !annotations.is_empty() {
                encoder.count(annotations.len());
                for (i, annotation) in annotations {
                    encoder.count(i);
                    encoder.tags(&annotation.tags);
                    encoder.uint(u64::from(annotation.dropped_tags));
                }
            }
            for endpoint in [local, remote].into_iter().flatten() {
                encoder.endpoint(endpoint);
            }
            if let Some(duration) = duration {
                encoder.duration(duration);
            }
            encoder.rare(span);
        })
    })
}

/// Puts what an `ext` says into the span that the columns made.
fn apply_ext(span: &mut Span, bytes: &[u8]) -> Result<(), Malformed> {
    let mut decoder = Decoder::new(bytes);
    let flags = decoder.uint()?;
    let has = |bit: u64| flags & bit != 0;
    let unknown = Malformed { what: "an index of nothing" };
    if has(ext::TAGS) {
        // Not `count`: the tags themselves are not in these bytes.
        span.tags.truncate(decoder.uint_as()?);
        for _ in 0..decoder.count()? {
            let i: usize = decoder.uint_as()?;
            span.tags.get_mut(i).ok_or(unknown)?.1 = decoder.value(0)?;
        }
    }
    if has(ext::ALL_TAGS) {
        span.tags = decoder.tags()?;
    }
    if has(ext::ANNOTATIONS) {
        for _ in 0..decoder.count()? {
            let i: usize = decoder.uint_as()?;
            let annotation = span.annotations.get_mut(i).ok_or(unknown)?;
            annotation.tags = decoder.tags()?;
            annotation.dropped_tags = decoder.uint_as()?;
        }
    }
    if has(ext::LOCAL) {
        span.local_endpoint = Some(decoder.endpoint()?);
    }
    if has(ext::REMOTE) {
        span.remote_endpoint = Some(decoder.endpoint()?);
    }
    if has(ext::DURATION) {
        span.duration = Some(decoder.duration()?);
    }
    decoder.rare(flags, span)?;
    decoder.end()
}

/// Reads the wanted rows of a row group, in order.
pub(crate) fn read_group(
    mut group: GroupReader<'_>,
    each: &mut impl FnMut(Span),
) -> Result<(), BlockError> {
    let mut trace_id = Rows::from(group.column::<FixedLenByteArrayType>()?);
    let mut span_id = Rows::from(group.column::<FixedLenByteArrayType>()?);
    let mut parent_id = Rows::from(group.column::<FixedLenByteArrayType>()?);
    let mut kind = Rows::from(group.column::<ByteArrayType>()?);
    let mut name = Rows::from(group.column::<ByteArrayType>()?);
    let mut start_ns = Rows::from(group.column::<Int64Type>()?);
    let mut duration_ns = Rows::from(group.column::<Int64Type>()?);
    let mut local = EndpointRows::read(&mut group)?;
    let mut remote = EndpointRows::read(&mut group)?;
    let mut shared = Rows::from(group.column::<BoolType>()?);
    let mut debug = Rows::from(group.column::<BoolType>()?);
    let mut tag_keys = Rows::from(group.column::<ByteArrayType>()?);
    let mut tag_values = Rows::from(group.column::<ByteArrayType>()?);
    let mut annotation_times = Rows::from(group.column::<Int64Type>()?);
    let mut annotation_values = Rows::from(group.column::<ByteArrayType>()?);
    let mut target_names = Rows::from(group.column::<ByteArrayType>()?);
    let mut target_values = Rows::from(group.column::<ByteArrayType>()?);
    let mut resource = Rows::from(group.column::<ByteArrayType>()?);
    let mut scope = Rows::from(group.column::<ByteArrayType>()?);
    let mut ext = Rows::from(group.column::<ByteArrayType>()?);
    let mut known = Known::default();
    for _ in 0..group.rows.iter().map(ExactSizeIterator::len).sum() {
        let ids = trace_id.required().zip(span_id.required());
        let (trace, id) = ids.ok_or(BlockError::Row("too few ids"))?;
        let trace = TraceId::new(u128::from_be_bytes(id_bytes(&trace)?));
        let mut span = Span::new(
            trace.ok_or(BlockError::Row("a trace id of zero"))?,
            SpanId::from_raw(u64::from_be_bytes(id_bytes(&id)?)),
        );
        if let Some(parent) = parent_id.optional() {
            span.parent_id = Some(SpanId::from_raw(u64::from_be_bytes(id_bytes(&parent)?)));
        }
        span.kind = kind.optional().map(|kind| parse_kind(kind.data())).transpose()?;
        span.name = text(&name.required().unwrap_or_default())?;
        span.timestamp = start_ns.optional().map(|at| Timestamp::from_nanos(at.cast_unsigned()));
        span.duration = duration_ns.optional().map(|d| Duration::from_nanos(d.cast_unsigned()));
        span.local_endpoint = local.next()?;
        span.remote_endpoint = remote.next()?;
        span.shared = shared.required().unwrap_or_default();
        span.debug = debug.required().unwrap_or_default();
        let (keys, _) = tag_keys.list(1);
        let (values, _) = tag_values.list(1);
        for (key, value) in keys.iter().zip(&values) {
            span.tags.push((text(key)?, Value::Str(text(value)?)));
        }
        let (times, _) = annotation_times.list(1);
        let (values, _) = annotation_values.list(1);
        for (time, value) in times.iter().zip(&values) {
            span.annotations.push(Annotation {
                timestamp: Timestamp::from_nanos(time.cast_unsigned()),
                value: text(value)?,
                tags: Tags::new(),
                dropped_tags: 0,
            });
        }
        let (names, defined) = target_names.list(2);
        let (values, _) = target_values.list(2);
        if defined > 0 {
            span.target = Some(known.target(names, values)?);
        }
        span.resource =
            resource.optional().map(|bytes| known.resource(bytes.data())).transpose()?;
        span.scope = scope.optional().map(|bytes| known.scope(bytes.data())).transpose()?;
        if let Some(ext) = ext.optional() {
            apply_ext(&mut span, ext.data())?;
        }
        each(span);
    }
    Ok(())
}

struct EndpointRows {
    service: Rows<ByteArrayType>,
    ip: Rows<ByteArrayType>,
    port: Rows<Int32Type>,
}

impl EndpointRows {
    fn read(group: &mut GroupReader<'_>) -> Result<Self, BlockError> {
        Ok(Self {
            service: group.column()?.into(),
            ip: group.column()?.into(),
            port: group.column()?.into(),
        })
    }

    fn next(&mut self) -> Result<Option<Endpoint>, BlockError> {
        let mut endpoint = Endpoint::default();
        if let Some(service) = self.service.optional() {
            endpoint.service_name = text(&service)?;
        }
        if let Some(ip) = self.ip.optional() {
            match text(&ip)?.parse() {
                Ok(IpAddr::V4(ip)) => endpoint.ipv4 = Some(ip),
                Ok(IpAddr::V6(ip)) => endpoint.ipv6 = Some(ip),
                Err(_) => return Err(BlockError::Row("an address that is none")),
            }
        }
        let port = self.port.optional().unwrap_or_default();
        endpoint.port = u16::try_from(port).map_err(|_| BlockError::Row("a port out of range"))?;
        Ok(endpoint.into_option())
    }
}

/// What rows share, read once.
#[derive(Default)]
struct Known {
    targets: HashMap<Labels, Arc<Labels>>,
    resources: HashMap<Vec<u8>, Arc<Resource>>,
    scopes: HashMap<Vec<u8>, Arc<Scope>>,
}

impl Known {
    fn target(
        &mut self,
        names: Vec<ByteArray>,
        values: Vec<ByteArray>,
    ) -> Result<Arc<Labels>, BlockError> {
        let labels = names.iter().zip(&values).map(|(n, v)| Ok((text(n)?, text(v)?)));
        let labels: Labels = labels.collect::<Result<_, BlockError>>()?;
        let known = self.targets.entry(labels);
        Ok(known.or_insert_with_key(|labels| Arc::new(labels.clone())).clone())
    }

    fn resource(&mut self, bytes: &[u8]) -> Result<Arc<Resource>, BlockError> {
        if let Some(resource) = self.resources.get(bytes) {
            return Ok(resource.clone());
        }
        let resource = Arc::new(Resource { tags: Decoder::new(bytes).tags()? });
        self.resources.insert(bytes.to_vec(), resource.clone());
        Ok(resource)
    }

    fn scope(&mut self, bytes: &[u8]) -> Result<Arc<Scope>, BlockError> {
        if let Some(scope) = self.scopes.get(bytes) {
            return Ok(scope.clone());
        }
        let scope = Arc::new(Decoder::new(bytes).scope_content()?);
        self.scopes.insert(bytes.to_vec(), scope.clone());
        Ok(scope)
    }
}

fn id_bytes<const N: usize>(id: &FixedLenByteArray) -> Result<[u8; N], BlockError> {
    id.data().try_into().map_err(|_| BlockError::Row("an id of another length"))
}

fn parse_kind(kind: &[u8]) -> Result<Kind, BlockError> {
    let kinds = [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer];
    let found = kinds.into_iter().find(|known| known.as_str().as_bytes() == kind);
    found.ok_or(BlockError::Row("an unknown kind"))
}

fn text(bytes: &ByteArray) -> Result<String, BlockError> {
    let text = std::str::from_utf8(bytes.data());
    Ok(text.map_err(|_| BlockError::Row("a text that is no UTF-8"))?.to_owned())
}
