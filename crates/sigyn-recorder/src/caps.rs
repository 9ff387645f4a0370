//! What one span may weigh, and how it is cut until it does.

use std::mem::size_of;
use std::sync::Arc;

use sigyn_model::{Annotation, Endpoint, Link, Resource, Scope, Span, Tags, Value};

/// W3C asks that at least this much of `tracestate` travels; more than this is not kept.
pub(crate) const TRACE_STATE_BYTES_MAX: usize = 512;

/// Bounds on one span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) value_bytes_max: usize,
    pub(crate) span_bytes_max: usize,
}

/// What [`Caps::fit`] did to a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fit {
    /// What the span weighs now.
    pub(crate) bytes: usize,
    pub(crate) values_cut: u64,
    pub(crate) tags_dropped: u64,
    /// The span is too large even with everything cut that may be cut.
    pub(crate) oversize: bool,
}

impl Caps {
    /// Cuts long values, then drops tags, annotations and links from the end until the span fits.
    /// Whatever is dropped is counted in the span itself, where its reader sees it.
    pub(crate) fn fit(&self, span: &mut Span) -> Fit {
        let mut fit = Fit::default();
        self.cut_texts(span, &mut fit);
        let mut bytes = span_bytes(span);
        if bytes > self.span_bytes_max {
            shrink(span);
            bytes = span_bytes(span);
            self.drop_items(span, bytes, &mut fit);
            shrink(span);
            bytes = span_bytes(span);
            fit.oversize = bytes > self.span_bytes_max;
        }
        fit.bytes = bytes;
        fit
    }

    fn drop_items(&self, span: &mut Span, mut bytes: usize, fit: &mut Fit) {
        while bytes > self.span_bytes_max {
            let freed = if let Some((key, value)) = span.tags.pop() {
                span.dropped_tags = span.dropped_tags.saturating_add(1);
                fit.tags_dropped += 1;
                size_of::<(String, Value)>() + tag_heap(&key, &value)
            } else if let Some(annotation) = span.annotations.pop() {
                span.dropped_annotations = span.dropped_annotations.saturating_add(1);
                size_of::<Annotation>() + annotation_heap(&annotation)
            } else if let Some(link) = span.links.pop() {
                span.dropped_links = span.dropped_links.saturating_add(1);
                size_of::<Link>() + link_heap(&link)
            } else {
                return;
            };
            bytes = bytes.saturating_sub(freed);
        }
    }

    fn cut_texts(&self, span: &mut Span, fit: &mut Fit) {
        let max = self.value_bytes_max;
        fit.values_cut += u64::from(cut(&mut span.name, max));
        fit.values_cut += u64::from(cut(&mut span.status.message, max));
        if span.trace_state.len() > TRACE_STATE_BYTES_MAX {
            // Half a list of vendors' entries would be a lie in somebody's name.
            span.trace_state = String::new();
            fit.values_cut += 1;
        }
        for endpoint in [&mut span.local_endpoint, &mut span.remote_endpoint].into_iter().flatten()
        {
            fit.values_cut += u64::from(cut(&mut endpoint.service_name, max));
        }
        self.cut_tags(&mut span.tags, &mut span.dropped_tags, fit);
        for annotation in &mut span.annotations {
            fit.values_cut += u64::from(cut(&mut annotation.value, max));
            self.cut_tags(&mut annotation.tags, &mut annotation.dropped_tags, fit);
        }
        for link in &mut span.links {
            self.cut_tags(&mut link.tags, &mut link.dropped_tags, fit);
        }
    }

    /// Texts and bytes are cut; a list or a map that is too large goes as a whole.
    fn cut_tags(&self, tags: &mut Tags, dropped: &mut u32, fit: &mut Fit) {
        let max = self.value_bytes_max;
        let before = tags.len();
        tags.retain_mut(|(key, value)| {
            fit.values_cut += u64::from(cut(key, max));
            match value {
                Value::Str(text) => fit.values_cut += u64::from(cut(text, max)),
                Value::Bytes(bytes) if bytes.len() > max => {
                    bytes.truncate(max);
                    bytes.shrink_to_fit();
                    fit.values_cut += 1;
                }
                Value::List(_) | Value::Map(_) => return value_heap(value) <= max,
                _ => {}
            }
            true
        });
        let lost = before - tags.len();
        *dropped = dropped.saturating_add(u32::try_from(lost).unwrap_or(u32::MAX));
        fit.tags_dropped += lost as u64;
    }
}

fn shrink(span: &mut Span) {
    span.tags.shrink_to_fit();
    span.annotations.shrink_to_fit();
    span.links.shrink_to_fit();
}

/// Cuts at a character's boundary. True if anything was cut.
fn cut(text: &mut String, max: usize) -> bool {
    if text.len() <= max {
        return false;
    }
    text.truncate(text.floor_char_boundary(max));
    text.shrink_to_fit();
    true
}

/// Memory that a span holds alone; what it shares (resource, scope) is [`shared_bytes`].
pub(crate) fn span_bytes(span: &Span) -> usize {
    let endpoint =
        |endpoint: &Option<Endpoint>| endpoint.as_ref().map_or(0, |e| e.service_name.capacity());
    size_of::<Span>()
        + span.name.capacity()
        + span.status.message.capacity()
        + span.trace_state.capacity()
        + endpoint(&span.local_endpoint)
        + endpoint(&span.remote_endpoint)
        + tags_heap(&span.tags)
        + span.annotations.capacity() * size_of::<Annotation>()
        + span.annotations.iter().map(annotation_heap).sum::<usize>()
        + span.links.capacity() * size_of::<Link>()
        + span.links.iter().map(link_heap).sum::<usize>()
}

/// Memory of a resource and a scope, unless the span before shares them.
pub(crate) fn shared_bytes(span: &Span, before: Option<&Span>) -> usize {
    let resource = match (&span.resource, before.and_then(|b| b.resource.as_ref())) {
        (None, _) => 0,
        (Some(new), Some(old)) if Arc::ptr_eq(new, old) => 0,
        (Some(new), _) => size_of::<Resource>() + tags_heap(&new.tags),
    };
    let scope = match (&span.scope, before.and_then(|b| b.scope.as_ref())) {
        (None, _) => 0,
        (Some(new), Some(old)) if Arc::ptr_eq(new, old) => 0,
        (Some(new), _) => {
            let texts = new.name.capacity() + new.version.capacity();
            size_of::<Scope>() + texts + tags_heap(&new.tags)
        }
    };
    resource + scope
}

fn annotation_heap(annotation: &Annotation) -> usize {
    annotation.value.capacity() + tags_heap(&annotation.tags)
}

fn link_heap(link: &Link) -> usize {
    link.trace_state.capacity() + tags_heap(&link.tags)
}

fn tags_heap(tags: &Tags) -> usize {
    tags.capacity() * size_of::<(String, Value)>()
        + tags.iter().map(|(key, value)| tag_heap(key, value)).sum::<usize>()
}

fn tag_heap(key: &String, value: &Value) -> usize {
    key.capacity() + value_heap(value)
}

fn value_heap(value: &Value) -> usize {
    match value {
        Value::Str(text) => text.capacity(),
        Value::Bytes(bytes) => bytes.capacity(),
        Value::List(values) => {
            values.capacity() * size_of::<Value>() + values.iter().map(value_heap).sum::<usize>()
        }
        Value::Map(entries) => tags_heap(entries),
        Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Empty => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigyn_model::{SpanId, TraceId};

    fn span() -> Span {
        Span::new(TraceId::new(1).unwrap(), SpanId::new(1).unwrap())
    }

    fn caps() -> Caps {
        Caps { value_bytes_max: 8, span_bytes_max: size_of::<Span>() + 2_000 }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut span = span();
        span.set_tag("k", "1234567é");
        span.set_tag("short", "é");
        let fit = caps().fit(&mut span);
        assert_eq!(span.tags[0].1, Value::from("1234567"));
        assert_eq!(span.tags[1].1, Value::from("é"));
        assert_eq!((fit.values_cut, fit.tags_dropped, fit.oversize), (1, 0, false));
    }

    #[test]
    fn a_large_list_goes_as_a_whole_and_is_counted() {
        let mut span = span();
        span.tags.push(("list".to_owned(), Value::List(vec![Value::Int(1); 10])));
        let fit = caps().fit(&mut span);
        assert_eq!((span.tags.len(), span.dropped_tags, fit.tags_dropped), (0, 1, 1));
    }

    #[test]
    fn tags_are_dropped_from_the_end_until_the_span_fits() {
        let mut span = span();
        for i in 0..100_i64 {
            span.tags.push((format!("key-{i:04}"), Value::Int(i)));
        }
        let fit = caps().fit(&mut span);
        assert!(!fit.oversize && fit.bytes <= caps().span_bytes_max);
        assert_eq!(fit.bytes, span_bytes(&span));
        assert!(!span.tags.is_empty());
        assert_eq!(span.tags.len() + span.dropped_tags as usize, 100);
        assert_eq!(span.tags[0].0, "key-0000");
    }

    #[test]
    fn what_no_cut_can_help_is_oversize() {
        let mut span = span();
        span.set_tag("k", "v");
        let caps = Caps { value_bytes_max: 8, span_bytes_max: 10 };
        assert!(caps.fit(&mut span).oversize);
    }

    #[test]
    fn what_spans_share_is_counted_with_the_first_of_them() {
        let mut first = span();
        first.resource = Some(Arc::new(Resource {
            tags: vec![("k".to_owned(), Value::Int(1))],
            ..Resource::default()
        }));
        let second = first.clone();
        assert!(shared_bytes(&first, None) > 0);
        assert_eq!(shared_bytes(&second, Some(&first)), 0);
    }
}
