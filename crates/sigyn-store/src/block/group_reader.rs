//! The columns of a row group back to spans.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
    Int64Type,
};
use sigyn_model::{
    Annotation, Endpoint, Kind, Labels, Resource, Scope, Span, SpanId, Tags, Timestamp, TraceId,
    Value,
};

use super::BlockError;
use super::column::{GroupReader, Rows};
use super::ext::apply_ext;
use crate::codec::Decoder;

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
        let resource = Arc::new(Decoder::new(bytes).resource_content()?);
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
