//! Spans to the columns of a row group.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
    Int64Type,
};
use parquet::file::writer::SerializedRowGroupWriter;
use sigyn_model::{Endpoint, Resource, Scope, Span, Status, Value};

use super::column::{Column, WriteColumn};
use super::ext::{FEW, encoded, ext_of, keys_repeat};
use super::tags::TagSummary;
use super::writer::WriteError;

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
    /// Tags that a resource adds.
    resource_tags: HashMap<*const Resource, ResourceTags>,
    /// Tags that a scope adds to a span without status.
    scope_tags: HashMap<*const Scope, Vec<AddedTag>>,
    /// Tags that the summary has.
    pairs: HashSet<(&'a str, &'a str)>,
}

/// How many tags a resource may add to each of its spans; all of them are in its own column.
pub(crate) const RESOURCE_TAGS_MAX: usize = 128;

/// Tags of a resource.
#[derive(Default)]
struct ResourceTags {
    /// No more than a few: one large resource of many small spans would fill the disk with copies of
    /// itself.
    added: Vec<AddedTag>,
    /// The others, as long as the summary does not have them.
    unlisted: Vec<AddedTag>,
}

/// A tag that is not the span's own.
#[derive(Clone)]
struct AddedTag {
    key: ByteArray,
    value: ByteArray,
    is_summarized: bool,
}

impl<'a> SharedBytes<'a> {
    fn string(&mut self, text: &'a str) -> ByteArray {
        self.strings.entry(text).or_insert_with(|| ByteArray::from(text)).clone()
    }

    /// What the span's resource adds to the tags of a span without any.
    fn resource_tags(&mut self, resource: &Arc<Resource>, span: &Span) -> &mut ResourceTags {
        self.resource_tags.entry(Arc::as_ptr(resource)).or_insert_with(|| {
            let mut bare = Span::new(span.trace_id, span.id);
            bare.resource = Some(resource.clone());
            let mut added = AddedTag::all_of(&bare);
            let unlisted = added.split_off(added.len().min(RESOURCE_TAGS_MAX));
            ResourceTags { added, unlisted }
        })
    }

    /// What scope and status add.
    fn scope_tags(&mut self, span: &Span) -> Cow<'_, [AddedTag]> {
        let add = || {
            let mut bare = Span::new(span.trace_id, span.id);
            (bare.scope, bare.status) = (span.scope.clone(), span.status.clone());
            AddedTag::all_of(&bare)
        };
        if span.status != Status::default() {
            return Cow::Owned(add());
        }
        let Some(scope) = &span.scope else { return Cow::Borrowed(&[]) };
        Cow::Borrowed(self.scope_tags.entry(Arc::as_ptr(scope)).or_insert_with(add))
    }
}

impl AddedTag {
    fn all_of(bare: &Span) -> Vec<Self> {
        let new = |(key, value): (&str, Cow<'_, str>)| Self {
            key: key.into(),
            value: value.as_ref().into(),
            is_summarized: false,
        };
        bare.zipkin_tags().into_iter().map(new).collect()
    }

    fn summarize(&mut self, summary: &mut TagSummary) {
        if let (false, Ok(key), Ok(value)) =
            (self.is_summarized, self.key.as_utf8(), self.value.as_utf8())
        {
            summary.add(key, value);
            self.is_summarized = true;
        }
    }
}

impl<'a> GroupBuilder<'a> {
    /// A row. Its tags go to the summary, too.
    pub(crate) fn push(&mut self, span: &'a Span, summary: &mut TagSummary) {
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
        let keys_repeat = keys_repeat(&span.tags);
        let shown = self.push_tags(span, keys_repeat, summary);
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
            bytes.or_insert_with(|| encoded(|encoder| encoder.resource_content(resource))).clone()
        }));
        self.scope.push_optional(span.scope.as_ref().map(|scope| {
            let bytes = strings.scopes.entry(Arc::as_ptr(scope));
            bytes.or_insert_with(|| encoded(|encoder| encoder.scope_content(scope))).clone()
        }));
        self.ext.push_optional(ext_of(span, shown, keys_repeat));
    }

    /// The tags as Zipkin shows them: the span's own first, in their order, then those that status
    /// and scope add, then some of the resource's. Returns how many there are.
    fn push_tags(&mut self, span: &'a Span, keys_repeat: bool, summary: &mut TagSummary) -> usize {
        let shared = &mut self.shared_bytes;
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        let own: &[(String, Value)] = if keys_repeat { &[] } else { &span.tags };
        for (key, value) in own {
            let text = value.text();
            match value {
                Value::Str(text) if !shared.pairs.insert((key, text)) => {}
                _ => summary.add(key, &text),
            }
            keys.push(shared.string(key));
            values.push(match value {
                Value::Str(text) => shared.string(text),
                _ => ByteArray::from(text.as_bytes()),
            });
        }
        let many: HashSet<&[u8]> = match own.len() {
            0..=FEW => HashSet::new(),
            _ => own.iter().map(|(key, _)| key.as_bytes()).collect(),
        };
        let is_own = |key: &[u8]| match own.len() {
            0..=FEW => own.iter().any(|(other, _)| other.as_bytes() == key),
            _ => many.contains(key),
        };
        let mut added: Vec<AddedTag> = Vec::new();
        if keys_repeat {
            // Only spans that came through none of our codecs.
            let bare = Span { resource: None, ..span.clone() };
            for (key, value) in bare.zipkin_tags() {
                summary.add(key, &value);
                if added.len() < RESOURCE_TAGS_MAX {
                    let (key, value) = (key.into(), value.as_ref().into());
                    added.push(AddedTag { key, value, is_summarized: true });
                }
            }
        } else {
            let tags = shared.scope_tags(span);
            added.extend(tags.iter().filter(|added| !is_own(added.key.data())).cloned());
        }
        added.iter_mut().for_each(|added| added.summarize(summary));
        let few = added.len();
        if let Some(resource) = &span.resource {
            let is_there = |tag: &AddedTag, added: &[AddedTag]| {
                is_own(tag.key.data()) || added.iter().any(|other| other.key == tag.key)
            };
            let tags = shared.resource_tags(resource, span);
            for tag in &mut tags.added {
                if !is_there(tag, &added[..few]) {
                    tag.summarize(summary);
                    added.push(tag.clone());
                }
            }
            tags.unlisted.retain_mut(|tag| {
                let is_hidden = is_there(tag, &added[..few]);
                if !is_hidden {
                    tag.summarize(summary);
                }
                is_hidden
            });
        }
        for AddedTag { key, value, .. } in added {
            keys.push(key);
            values.push(value);
        }
        let shown = keys.len();
        self.tag_keys.push_list(keys.into_iter(), 1, 0);
        self.tag_values.push_list(values.into_iter(), 1, 0);
        shown
    }

    /// Writes the row group, its columns in the schema's order, and asks between two of them
    /// whether to go on.
    pub(crate) fn write<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        go_on: impl Fn() -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let EndpointColumns { service: local, ip: local_ip, port: local_port } = &self.local;
        let EndpointColumns { service: remote, ip: remote_ip, port: remote_port } = &self.remote;
        let columns: [&dyn WriteColumn<W>; 24] = [
            &self.trace_id,
            &self.span_id,
            &self.parent_id,
            &self.kind,
            &self.name,
            &self.start_ns,
            &self.duration_ns,
            local,
            local_ip,
            local_port,
            remote,
            remote_ip,
            remote_port,
            &self.shared,
            &self.debug,
            &self.tag_keys,
            &self.tag_values,
            &self.annotation_times,
            &self.annotation_values,
            &self.target_names,
            &self.target_values,
            &self.resource,
            &self.scope,
            &self.ext,
        ];
        for column in columns {
            go_on()?;
            column.write(group)?;
        }
        Ok(())
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
