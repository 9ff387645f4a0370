//! Spans into columns as they are read: nothing is made of them in between.

use crate::codec::sink::{BadSpan, ResourceRef, ScopeRef, SpanRef, SpanSink, Text};
use crate::codec::{OverLimit, PROBLEMS_MAX};

use super::interner::{Interner, grow};
use super::{AnnotationRow, Columns, Extra, LinkRow, NewRow};

impl SpanSink for Columns {
    fn resource(&mut self, resource: Option<&ResourceRef<'_>>) -> Result<(), OverLimit> {
        self.origins.set_resource(resource);
        self.hold(0)
    }

    fn scope(&mut self, scope: Option<&ScopeRef<'_>>) -> Result<(), OverLimit> {
        self.origins.set_scope(scope);
        self.hold(0)
    }

    fn span(&mut self, span: &SpanRef<'_>) -> Result<(), OverLimit> {
        // Looked at now and then: what is between takes no more than the body that it stands in.
        if self.len().is_multiple_of(8) || span.tags.len() + span.annotations.len() > 64 {
            self.hold(0)?;
        }
        grow(&mut self.tags, span.tags.len());
        for tag in span.tags {
            self.tags.push(self.dictionary.tag(tag));
        }
        for annotation in span.annotations {
            let first = self.nested_tags.len();
            for tag in &annotation.tags {
                self.nested_tags.push(self.dictionary.tag(tag));
            }
            grow(&mut self.annotations, 1);
            self.annotations.push(AnnotationRow {
                timestamp: annotation.timestamp,
                value: text(&mut self.texts, &annotation.value),
                dropped_tags: annotation.dropped_tags,
                tags: first..self.nested_tags.len(),
            });
        }
        for link in span.links {
            let first = self.nested_tags.len();
            for tag in &link.tags {
                self.nested_tags.push(self.dictionary.tag(tag));
            }
            grow(&mut self.links, 1);
            self.links.push(LinkRow {
                trace_id: link.trace_id,
                span_id: link.span_id,
                trace_state: text(&mut self.texts, &link.trace_state),
                dropped_tags: link.dropped_tags,
                flags: link.flags,
                tags: first..self.nested_tags.len(),
            });
        }
        let extra = Extra {
            status_message: text(&mut self.texts, &span.status_message),
            trace_state: text(&mut self.texts, &span.trace_state),
            dropped_tags: span.dropped_tags,
            dropped_annotations: span.dropped_annotations,
            dropped_links: span.dropped_links,
            flags: span.flags,
        };
        self.put(NewRow {
            trace_id: span.trace_id,
            parent_id: span.parent_id,
            id: span.id,
            kind: span.kind,
            name: span.name,
            timestamp: span.timestamp,
            duration: span.duration,
            local_endpoint: span.local_endpoint,
            remote_endpoint: span.remote_endpoint,
            debug: span.debug,
            shared: span.shared,
            status_code: span.status_code,
            extra,
        });
        Ok(())
    }

    fn problem(&mut self, problem: BadSpan) -> Result<(), OverLimit> {
        self.rejected += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
        Ok(())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), OverLimit> {
        let bytes_max = self.limits.bytes_max;
        if bytes_max < usize::MAX && self.bytes().saturating_add(bytes) > bytes_max {
            return Err(OverLimit { bytes_max });
        }
        Ok(())
    }
}

/// The number of a text. Most are absent.
fn text(texts: &mut Interner, text: &Text<'_>) -> u32 {
    match text {
        Text::Str(text) => texts.intern(text.as_bytes()),
        text => texts.intern(text.read().as_bytes()),
    }
}
