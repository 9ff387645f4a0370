//! Reading: what spans share is found before them, wherever it stands, and a bad span is a matter of
//! its own.
//!
//! Broken JSON refuses the whole message, for nobody knows where the next span begins.

use super::fields::{self, Ids, count, nested_tags, object, skip, span_id, text, unsigned};
use crate::codec::draft::{Draft, EndpointDraft, bound};
use crate::codec::json::{JsonError, Scanner};
use crate::codec::otlp::facts::{self, Facts};
use crate::codec::otlp::remote::Seen;
use crate::codec::sink::{
    AnnotationRef, BadSpan, LinkRef, ResourceRef, ScopeRef, SpanSink, TagRef, Text, ValueRef,
    body_text,
};
use crate::codec::{DecodeError, Format, ORIGIN_TAGS_MAX, OverLimit, Room, otlp};
use crate::{SpanId, Timestamp, TraceId};

/// Reads an `ExportTraceServiceRequest`, which is what `TracesData` looks like too.
pub fn read(body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    whole(body, sink, |reader, json| {
        reader.request(json)?;
        match json.peek() {
            None => Ok(()),
            Some(_) => Err(JsonError::new("Malformed: more than one value")),
        }
    })
}

/// Reads any number of them after one another, as collectors write them into files, one a line.
pub fn read_lines(body: &[u8], sink: &mut impl SpanSink) -> Result<(), DecodeError> {
    whole(body, sink, |reader, json| {
        while json.peek().is_some() {
            reader.request(json)?;
        }
        Ok(())
    })
}

fn whole<S: SpanSink>(
    body: &[u8],
    sink: &mut S,
    read: impl for<'a> FnOnce(&mut Reader<'a, '_, S>, &mut Scanner<'a>) -> Result<(), JsonError>,
) -> Result<(), DecodeError> {
    let text = body_text(body, sink).map_err(|over| DecodeError::over(Format::OtlpJson, over))?;
    let mut reader = Reader { sink, draft: Draft::default(), seen: 0 };
    read(&mut reader, &mut Scanner::new(&text)).map_err(|cause| DecodeError {
        over_limit: cause.is_over_limit(),
        ..DecodeError::reading(Format::OtlpJson, &cause)
    })
}

struct Reader<'a, 's, S> {
    sink: &'s mut S,
    draft: Draft<'a>,
    /// How many spans have been read, good or bad.
    seen: usize,
}

/// What the spans of one resource share.
#[derive(Default)]
struct Origin<'a> {
    /// Attributes, and how many more there were.
    resource: Option<(Vec<TagRef<'a>>, u32)>,
    schema_url: Text<'a>,
    /// The resource as it stands in the body.
    wire: &'a str,
    /// As it is spelled; empty means absent.
    service_name: Text<'a>,
}

/// What the spans of one scope share.
#[derive(Default)]
struct ScopeDraft<'a> {
    name: Text<'a>,
    version: Text<'a>,
    tags: Vec<TagRef<'a>>,
    dropped_tags: u32,
}

impl<'a, S: SpanSink> Reader<'a, '_, S> {
    fn request(&mut self, json: &mut Scanner<'a>) -> Result<(), JsonError> {
        object(json, |json, field| match field {
            "resourceSpans" | "resource_spans" => {
                json.list(|json, _| if json.null() { Ok(()) } else { self.resource_spans(json) })
            }
            _ => skip(json),
        })
    }

    fn resource_spans(&mut self, json: &mut Scanner<'a>) -> Result<(), JsonError> {
        let mut origin = Origin::default();
        let mut scopes = None;
        object(json, |json, field| {
            match field {
                "resource" => origin.read_resource(json)?,
                "schemaUrl" | "schema_url" => origin.schema_url = text(json, field)?,
                "scopeSpans" | "scope_spans" => {
                    scopes = Some(json.clone());
                    skip(json)?;
                }
                _ => skip(json)?,
            }
            Ok(())
        })?;
        origin.finish();
        let Some(mut json) = scopes else { return Ok(()) };
        origin.tell(self.sink)?;
        json.list(|json, _| if json.null() { Ok(()) } else { self.scope_spans(json, &origin) })
    }

    fn scope_spans(
        &mut self,
        json: &mut Scanner<'a>,
        origin: &Origin<'a>,
    ) -> Result<(), JsonError> {
        let (mut scope, mut schema_url, mut spans) = (None, Text::default(), None);
        object(json, |json, field| {
            match field {
                "scope" => scope = Some(read_scope(json)?),
                "schemaUrl" | "schema_url" => schema_url = text(json, field)?,
                "spans" => {
                    spans = Some(json.clone());
                    skip(json)?;
                }
                _ => skip(json)?,
            }
            Ok(())
        })?;
        let Some(mut json) = spans else { return Ok(()) };
        // A version of conventions without a scope is a scope without a name.
        if scope.is_none() && !schema_url.is_empty() {
            scope = Some(ScopeDraft::default());
        }
        let scope = scope.as_ref().map(|scope| ScopeRef {
            name: scope.name.clone(),
            version: scope.version.clone(),
            tags: &scope.tags,
            dropped_tags: scope.dropped_tags,
            schema_url,
        });
        self.sink.scope(scope.as_ref())?;
        json.list(|json, _| {
            let start = json.clone();
            match self.span(json, origin) {
                Ok((trace_id, id)) => self.draft.hand_over(trace_id, id, self.sink)?,
                Err(cause) => {
                    *json = start;
                    // What is broken was found when it was skipped the first time.
                    skip(json)?;
                    let problem = BadSpan { index: self.seen, reason: cause.to_string() };
                    self.sink.problem(problem)?;
                }
            }
            self.seen += 1;
            Ok(())
        })
    }

    /// Reads a span into the draft, and returns its ids.
    fn span(
        &mut self,
        json: &mut Scanner<'a>,
        origin: &Origin<'a>,
    ) -> Result<(TraceId, SpanId), JsonError> {
        let draft = &mut self.draft;
        draft.clear();
        let mut ids = Ids::default();
        let mut parent_id = Text::default();
        let (mut start, mut end) = (0, 0);
        let mut facts: Option<Facts> = None;
        let mut room = Room::default();
        object(json, |json, field| {
            match field {
                "traceId" | "trace_id" => ids.trace_id = text(json, field)?,
                "spanId" | "span_id" => ids.span_id = text(json, field)?,
                "parentSpanId" | "parent_span_id" => parent_id = text(json, field)?,
                "traceState" | "trace_state" => draft.trace_state = text(json, field)?,
                "name" => draft.name = text(json, field)?,
                "kind" => draft.kind = fields::kind(json, field)?,
                "flags" => draft.flags = fields::flags(json, field)?,
                "startTimeUnixNano" | "start_time_unix_nano" => start = unsigned(json, field)?,
                "endTimeUnixNano" | "end_time_unix_nano" => end = unsigned(json, field)?,
                "attributes" => json.list(|json, _| {
                    let tag = fields::tag(json, &mut room)?;
                    if let Some(tag) = take_fact(tag, &mut facts) {
                        draft.tag(tag);
                    }
                    Ok(())
                })?,
                "droppedAttributesCount" | "dropped_attributes_count" => {
                    add_count(json, field, &mut draft.dropped_tags)?;
                }
                "events" => json.list(|json, _| {
                    draft.annotation(read_event(json, &mut room)?);
                    Ok(())
                })?,
                "droppedEventsCount" | "dropped_events_count" => {
                    add_count(json, field, &mut draft.dropped_annotations)?;
                }
                "links" => json.list(|json, _| {
                    match read_link(json, &mut room)? {
                        Some(link) => draft.link(link),
                        // A link to nowhere is no reason to lose the span.
                        None => draft.dropped_links = draft.dropped_links.saturating_add(1),
                    }
                    Ok(())
                })?,
                "droppedLinksCount" | "dropped_links_count" => {
                    add_count(json, field, &mut draft.dropped_links)?;
                }
                "status" => object(json, |json, field| {
                    match field {
                        "message" => draft.status_message = text(json, field)?,
                        "code" => draft.status_code = fields::status_code(json, field)?,
                        _ => skip(json)?,
                    }
                    Ok(())
                })?,
                _ => skip(json)?,
            }
            Ok(())
        })?;
        let (trace_id, id) = (ids.trace_id()?, ids.span_id()?);
        if id.as_u64() == 0 && !facts.as_ref().is_some_and(|facts| facts.zero_id) {
            return Err(fields::zero_span_id());
        }
        if !parent_id.is_empty() {
            // Some senders spell "no parent" as zeros.
            draft.parent_id = SpanId::new(span_id(&parent_id, "parentSpanId")?.as_u64());
        }
        draft.timestamp = (start > 0).then(|| Timestamp::from_nanos(start));
        draft.duration = otlp::duration(start, end);
        draft.settle_tags();
        draft.remote_endpoint = Seen::among(&draft.tags).endpoint(draft.kind, &draft.tags);
        draft.local_endpoint = EndpointDraft::named(origin.service_name.clone());
        if let Some(mut facts) = facts {
            (draft.debug, draft.shared) = (facts.debug, facts.shared);
            draft.duration = facts.duration.or(draft.duration);
            let local = facts.local_endpoint(&origin.service_name.to_lowercase());
            draft.local_endpoint = local.unwrap_or_default().into();
            if let Some(remote) = facts.remote() {
                draft.remote_endpoint = remote.into();
            }
        }
        Ok((trace_id, id))
    }
}

impl<'a> Origin<'a> {
    fn read_resource(&mut self, json: &mut Scanner<'a>) -> Result<(), JsonError> {
        let (mut tags, mut dropped) = (Vec::new(), 0);
        let start = json.clone();
        object(json, |json, field| match field {
            "attributes" => origin_tags(json, &mut tags, &mut dropped),
            "droppedAttributesCount" | "dropped_attributes_count" => {
                add_count(json, field, &mut dropped)
            }
            _ => skip(json),
        })?;
        self.wire = json.since(&start);
        self.resource = Some((tags, dropped));
        Ok(())
    }

    /// Draws conclusions from what was read.
    fn finish(&mut self) {
        if self.resource.is_none() && !self.schema_url.is_empty() {
            self.resource = Some((Vec::new(), 0));
        }
        let Some((tags, dropped)) = &mut self.resource else { return };
        *dropped = dropped.saturating_add(bound(tags, ORIGIN_TAGS_MAX));
        let named = tags.iter().find(|tag| tag.key.read() == otlp::SERVICE_NAME);
        self.service_name = named.map_or_else(Text::default, |tag| match &tag.value {
            ValueRef::Text(name) => name.clone(),
            other => Text::Owned(other.to_owned().text().into_owned()),
        });
        if otlp::as_service_name(&self.service_name.read()).is_empty() {
            self.service_name = Text::default();
        }
        for tag in tags.iter_mut().filter(|tag| facts::may_be_reserved(&tag.key)) {
            let key = tag.key.read().into_owned();
            if key == facts::SYNTHETIC && matches!(tag.value, ValueRef::Bool(true)) {
                self.resource = None;
                return;
            }
            tag.key = Text::Owned(facts::unescaped(key));
        }
    }

    fn tell(&self, sink: &mut impl SpanSink) -> Result<(), OverLimit> {
        let resource = self.resource.as_ref().map(|(tags, dropped_tags)| ResourceRef {
            wire: self.wire.as_bytes(),
            tags,
            dropped_tags: *dropped_tags,
            schema_url: self.schema_url.clone(),
        });
        sink.resource(resource.as_ref())
    }
}

fn read_scope<'a>(json: &mut Scanner<'a>) -> Result<ScopeDraft<'a>, JsonError> {
    let mut scope = ScopeDraft::default();
    object(json, |json, field| {
        match field {
            "name" => scope.name = text(json, field)?,
            "version" => scope.version = text(json, field)?,
            "attributes" => origin_tags(json, &mut scope.tags, &mut scope.dropped_tags)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                add_count(json, field, &mut scope.dropped_tags)?;
            }
            _ => skip(json)?,
        }
        Ok(())
    })?;
    let over = bound(&mut scope.tags, ORIGIN_TAGS_MAX);
    scope.dropped_tags = scope.dropped_tags.saturating_add(over);
    Ok(scope)
}

/// Reads the attributes of a resource or a scope.
fn origin_tags<'a>(
    json: &mut Scanner<'a>,
    tags: &mut Vec<TagRef<'a>>,
    dropped: &mut u32,
) -> Result<(), JsonError> {
    let mut room = Room::default();
    json.list(|json, _| {
        tags.push(fields::tag(json, &mut room)?);
        // Keys may stand there twice, but not without end.
        if tags.len() >= 2 * ORIGIN_TAGS_MAX {
            *dropped = dropped.saturating_add(bound(tags, ORIGIN_TAGS_MAX));
        }
        Ok(())
    })
}

fn read_event<'a>(json: &mut Scanner<'a>, room: &mut Room) -> Result<AnnotationRef<'a>, JsonError> {
    let mut event = AnnotationRef {
        timestamp: Timestamp::from_nanos(0),
        value: Text::default(),
        tags: Vec::new(),
        dropped_tags: 0,
    };
    object(json, |json, field| {
        match field {
            "timeUnixNano" | "time_unix_nano" => {
                event.timestamp = Timestamp::from_nanos(unsigned(json, field)?);
            }
            "name" => event.value = text(json, field)?,
            "attributes" => event.tags = nested_tags(json, room)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                event.dropped_tags = count(json, field)?;
            }
            _ => skip(json)?,
        }
        Ok(())
    })?;
    Ok(event)
}

/// `None` for one whose ids are no ids.
fn read_link<'a>(
    json: &mut Scanner<'a>,
    room: &mut Room,
) -> Result<Option<LinkRef<'a>>, JsonError> {
    let mut ids = Ids::default();
    let (mut trace_state, mut tags) = (Text::default(), Vec::new());
    let (mut dropped_tags, mut flags) = (0, 0);
    object(json, |json, field| {
        match field {
            "traceId" | "trace_id" => ids.trace_id = text(json, field)?,
            "spanId" | "span_id" => ids.span_id = text(json, field)?,
            "traceState" | "trace_state" => trace_state = text(json, field)?,
            "attributes" => tags = nested_tags(json, room)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                dropped_tags = count(json, field)?;
            }
            "flags" => flags = fields::flags(json, field)?,
            _ => skip(json)?,
        }
        Ok(())
    })?;
    let (Ok(trace_id), Ok(span_id)) = (ids.trace_id(), ids.span_id()) else { return Ok(None) };
    let found = span_id.as_u64() != 0;
    Ok(found.then_some(LinkRef { trace_id, span_id, trace_state, tags, dropped_tags, flags }))
}

fn add_count(json: &mut Scanner<'_>, field: &str, sum: &mut u32) -> Result<(), JsonError> {
    *sum = sum.saturating_add(count(json, field)?);
    Ok(())
}

/// Takes an attribute if it is a fact of Zipkin's; else gives back the tag that it is.
fn take_fact<'a>(tag: TagRef<'a>, facts: &mut Option<Facts>) -> Option<TagRef<'a>> {
    if !facts::may_be_reserved(&tag.key) {
        return Some(tag);
    }
    let key = tag.key.read().into_owned();
    let (key, _) = facts.get_or_insert_default().take(key, tag.value.to_owned())?;
    Some(TagRef::new(Text::Owned(key), tag.value))
}
