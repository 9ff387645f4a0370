//! `GET /traces?trace_id=…`: what the log holds of one trace. Nobody's cursor moves.

use bytes::Bytes;
use sigyn_model::{Span, TraceId};

use crate::encode::{Coding, Encoded, Pieces};
use crate::exposition::yield_now;
use crate::format::{Format, spans};
use crate::intern::Glossary;
use crate::layout::Header;
use crate::record::Shared;
use crate::ring::Page;
use crate::whole::Reading;

/// The trace that is asked for, if one is; `Some(None)` for what is no id.
pub(crate) fn asked(query: &str) -> Option<Option<TraceId>> {
    let id = query.split('&').find_map(|pair| pair.strip_prefix("trace_id="))?;
    Some(TraceId::parse(&id.to_ascii_lowercase()).ok())
}

/// A trace's spans in the making: segment by segment, so that no more than one is looked at at a time.
#[derive(Debug)]
pub(crate) struct Found {
    id: TraceId,
    format: Format,
    coding: Coding,
    pieces: Pieces,
    /// There is more than an answer holds.
    more: bool,
}

impl Found {
    /// Like all that follows, `None` if there is no memory to compress in.
    pub(crate) fn new(
        id: TraceId,
        format: Format,
        coding: Coding,
        bytes_max: usize,
    ) -> Option<Self> {
        let pieces = Pieces::new(format, coding, Some(bytes_max))?;
        Some(Self { id, format, coding, pieces, more: false })
    }

    fn push(&mut self, spans: Vec<Span>) -> Option<()> {
        if !spans.is_empty() && !self.more {
            let encoded = Encoded::new(self.format.run(spans), self.coding)?;
            self.more = !self.pieces.push(encoded);
        }
        Some(())
    }

    /// Adds what these segments have of it.
    pub(crate) async fn add(&mut self, page: &Page, shared: &Shared) -> Option<()> {
        for segment in &page.segments {
            let spans = spans(segment, &shared.own, |header| self.is_asked(header));
            self.push(spans)?;
            yield_now().await;
        }
        Some(())
    }

    /// Adds what there is of it beside the log.
    pub(crate) async fn add_cold(&mut self, shared: &Shared) -> Option<()> {
        let Some(cold) = &shared.cold else { return Some(()) };
        let mut part = cold.look();
        loop {
            let glossary = Glossary::now();
            let wall_offset = shared.clock.wall_offset();
            let mut spans = Vec::new();
            let more = part(&mut |view, origins| {
                if self.is_asked(&view.header) {
                    let own = &shared.own;
                    let reading = Reading { glossary: &glossary, own, origins, wall_offset };
                    spans.extend(reading.span(&view));
                }
            });
            self.push(spans)?;
            if !more {
                return Some(());
            }
            yield_now().await;
        }
    }

    /// A short id is the right half of long ones, too: that is how systems with ids of 64 bits say them.
    fn is_asked(&self, header: &Header) -> bool {
        let Some(id) = TraceId::new(header.trace_id) else { return false };
        id == self.id || (self.id.high() == 0 && id.low() == self.id.low())
    }

    /// The body, an empty one if there was nothing; and whether there is more.
    pub(crate) fn finish(self) -> Option<(Bytes, bool)> {
        let more = self.more;
        let body = if self.pieces.is_empty() { Bytes::new() } else { self.pieces.finish()? };
        Some((body, more))
    }
}
