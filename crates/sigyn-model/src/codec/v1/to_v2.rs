//! From v1: which spans are in one, and what the annotations of a call say of them.

use super::{BadSpan, V1Span, same_service};
use crate::codec::draft::{Draft, EndpointDraft};
use crate::codec::sink::{SpanSink, TagRef, Text, ValueRef};
use crate::codec::zipkin::{duration, put_annotation, timestamp};
use crate::{Kind, SpanId, TraceId};

/// Sides that one span may have. There are two to a call; a hundred would be an attack.
const SIDES_MAX: usize = 32;

/// Makes v2 spans of v1 spans.
#[derive(Debug, Default)]
pub(in crate::codec) struct Converter<'a> {
    /// What each service had to say. They outlive their span, for their room.
    sides: Vec<Draft<'a>>,
}

/// One span while it is converted.
struct Conversion<'s, 'a> {
    span: &'s V1Span<'a>,
    sides: &'s mut Vec<Draft<'a>>,
    /// How many sides are of this span.
    count: usize,
    marks: Marks<'s, 'a>,
}

/// The annotations that stand for moments of a call: begin and end of its client (`cs`, `cr`) and
/// its server (`sr`, `ss`), or of the producer (`ms`) and the consumer (`mr`) of a message, and when
/// that was on the wire (`ws`, `wr`).
#[derive(Clone, Copy, Debug, Default)]
struct Marks<'s, 'a> {
    cs: Option<Mark<'s, 'a>>,
    cr: Option<Mark<'s, 'a>>,
    sr: Option<Mark<'s, 'a>>,
    ss: Option<Mark<'s, 'a>>,
    ms: Option<Mark<'s, 'a>>,
    mr: Option<Mark<'s, 'a>>,
    ws: Option<Mark<'s, 'a>>,
    wr: Option<Mark<'s, 'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Mark<'s, 'a> {
    us: i64,
    side: usize,
    host: &'s EndpointDraft<'a>,
}

impl<'a> Converter<'a> {
    /// Hands over a span for each service that had something to say.
    pub(in crate::codec) fn hand_over(
        &mut self,
        span: &V1Span<'a>,
        sink: &mut impl SpanSink,
    ) -> Result<(), BadSpan> {
        let trace_id = TraceId::new(span.trace_id).ok_or(BadSpan::ZeroTraceId)?;
        let id = SpanId::new(span.id).ok_or(BadSpan::ZeroId)?;
        let marks = Marks::default();
        let mut conversion = Conversion { span, sides: &mut self.sides, count: 0, marks };
        conversion.run()?;
        let count = conversion.count;
        for side in &mut self.sides[..count] {
            side.hand_over(trace_id, id, sink)?;
        }
        Ok(())
    }
}

impl<'s, 'a> Conversion<'s, 'a> {
    fn run(&mut self) -> Result<(), BadSpan> {
        self.add_side(EndpointDraft::default())?;
        self.annotations()?;
        self.call()?;
        self.message()?;
        self.tags()?;
        self.addresses()?;
        let first = &mut self.sides[0];
        first.dropped_annotations =
            first.dropped_annotations.saturating_add(self.span.dropped_annotations);
        first.dropped_tags = first.dropped_tags.saturating_add(self.span.dropped_tags);
        Ok(())
    }

    fn annotations(&mut self) -> Result<(), BadSpan> {
        for annotation in &self.span.annotations {
            let side = self.side_of(annotation.host.as_ref())?;
            let value = annotation.value.read();
            let marks = &mut self.marks;
            let (mark, kind) = match (&*value, &annotation.host) {
                ("cs", Some(_)) => (&mut marks.cs, Some(Kind::Client)),
                ("cr", Some(_)) => (&mut marks.cr, Some(Kind::Client)),
                ("sr", Some(_)) => (&mut marks.sr, Some(Kind::Server)),
                ("ss", Some(_)) => (&mut marks.ss, Some(Kind::Server)),
                ("ms", Some(_)) => (&mut marks.ms, Some(Kind::Producer)),
                ("mr", Some(_)) => (&mut marks.mr, Some(Kind::Consumer)),
                ("ws", Some(_)) => (&mut marks.ws, None),
                ("wr", Some(_)) => (&mut marks.wr, None),
                _ => {
                    put_annotation(&mut self.sides[side], annotation.us, annotation.value.clone());
                    continue;
                }
            };
            *mark = annotation.host.as_ref().map(|host| Mark { us: annotation.us, side, host });
            if kind.is_some() {
                self.sides[side].kind = kind;
            }
        }
        Ok(())
    }

    /// What client and server say of a call.
    fn call(&mut self) -> Result<(), BadSpan> {
        let span = self.span;
        // Who knows the end and how long it took need not say when it began.
        let begin_of = |end: Option<Mark<'s, 'a>>| {
            let ends = |end: &Mark<'_, '_>| {
                span.has_extent() && span.timestamp.checked_add(span.duration) == Some(end.us)
            };
            end.filter(ends).map(|end| Mark { us: span.timestamp, ..end })
        };
        self.marks.cs = self.marks.cs.or_else(|| begin_of(self.marks.cr));
        self.marks.sr = self.marks.sr.or_else(|| begin_of(self.marks.ss));
        let Marks { cs, cr, sr, ss, .. } = self.marks;
        match (cs, cr, sr, ss) {
            (Some(cs), cr, Some(mut sr), ss) => {
                // The span's own times are the client's.
                self.set_extent(cs, cr);
                if sr.side == cs.side {
                    self.sides[cs.side].kind = Some(Kind::Client);
                    sr.side = self.add_side(sr.host.clone())?;
                    self.marks.sr = Some(sr);
                }
                let server = &mut self.sides[sr.side];
                server.kind = Some(Kind::Server);
                server.shared = true;
                set_times(server, sr, ss);
            }
            (Some(begin), Some(end), None, lone) => {
                self.set_extent(begin, Some(end));
                self.keep(lone, "ss");
            }
            (None, lone, Some(begin), Some(end)) => {
                self.set_extent(begin, Some(end));
                self.keep(lone, "cr");
            }
            (cs, cr, sr, ss) => {
                for begin in [cs, sr].into_iter().flatten() {
                    self.sides[begin.side].timestamp = timestamp(begin.us);
                }
                self.keep(cr.filter(|_| cs.is_none()), "cr");
                self.keep(ss.filter(|_| sr.is_none()), "ss");
                // Whichever of its own times is there is the first side's.
                let first = &mut self.sides[0];
                first.timestamp = timestamp(span.timestamp).or(first.timestamp);
                first.duration = duration(span.duration);
            }
        }
        // v1 has no flag for it. A server that shares its client's span leaves the times to it.
        let untimed = span.timestamp <= 0 || (ss.is_some() && span.duration <= 0);
        if let (None, Some(sr), true) = (cs, sr, untimed) {
            self.sides[sr.side].shared = true;
        }
        Ok(())
    }

    /// What producer and consumer say of a message.
    fn message(&mut self) -> Result<(), BadSpan> {
        let Marks { ms, mr, ws, wr, .. } = self.marks;
        match (ms, mr) {
            (Some(ms), Some(mut mr)) => {
                if mr.side == ms.side {
                    self.sides[ms.side].kind = Some(Kind::Producer);
                    mr.side = self.add_side(mr.host.clone())?;
                    self.marks.mr = Some(mr);
                }
                set_times(&mut self.sides[ms.side], ms, ws);
                let consumer = &mut self.sides[mr.side];
                consumer.kind = Some(Kind::Consumer);
                consumer.shared = true;
                match wr {
                    Some(wr) => set_times(consumer, wr, Some(mr)),
                    None => set_times(consumer, mr, None),
                }
            }
            (Some(ms), None) => self.set_extent(ms, ws),
            (None, Some(mr)) => match wr {
                Some(wr) => self.set_extent(Mark { side: mr.side, ..wr }, Some(mr)),
                None => self.set_extent(mr, None),
            },
            (None, None) => {}
        }
        self.keep(ws.filter(|_| ms.is_none()), "ws");
        self.keep(wr.filter(|_| mr.is_none()), "wr");
        Ok(())
    }

    fn tags(&mut self) -> Result<(), BadSpan> {
        for tag in &self.span.tags {
            let side = self.side_of(tag.host.as_ref())?;
            // An empty `lc` is there for its host alone.
            if tag.value.is_empty() && tag.key.read() == "lc" {
                continue;
            }
            let value = ValueRef::Text(tag.value.clone());
            self.sides[side].tag(TagRef::new(tag.key.clone(), value));
        }
        Ok(())
    }

    /// Who was at the other end.
    fn addresses(&mut self) -> Result<(), BadSpan> {
        let V1Span { sa, ca, ma, .. } = self.span;
        let Marks { cs, cr, sr, ss, ms, mr, .. } = self.marks;
        if cs.or(cr).or(sr).or(ss).is_none() {
            match (ca, sa) {
                (Some(ca), Some(sa)) => {
                    let side = self.side_of(Some(ca))?;
                    self.sides[side].remote_endpoint = sa.clone();
                }
                // Who was called may be known of any span. Who called is known of servers.
                (None, Some(sa)) => self.sides[0].remote_endpoint = sa.clone(),
                (Some(ca), None) => {
                    self.sides[0].kind.get_or_insert(Kind::Server);
                    self.sides[0].remote_endpoint = ca.clone();
                }
                (None, None) => {}
            }
        }
        if let (Some(ca), Some(server)) = (ca, sr.or(ss)) {
            let same = same_service(ca, server.host);
            if !(same && ca.address == server.host.address) {
                let mut client = ca.clone();
                if same {
                    // Some servers put their own name to the address of their client.
                    client.service_name = Text::default();
                }
                self.sides[server.side].remote_endpoint = client;
            }
        }
        self.set_remote([cs, cr], sa.as_ref());
        self.set_remote([ms, mr], ma.as_ref());
        Ok(())
    }

    fn set_remote(&mut self, marks: [Option<Mark<'s, 'a>>; 2], remote: Option<&EndpointDraft<'a>>) {
        let Some(remote) = remote else { return };
        for mark in marks.into_iter().flatten() {
            self.sides[mark.side].remote_endpoint = remote.clone();
        }
    }

    /// The side of a host. What has no host is the first side's, and so is the first host.
    fn side_of(&mut self, host: Option<&EndpointDraft<'a>>) -> Result<usize, BadSpan> {
        let Some(host) = host else { return Ok(0) };
        let first = &mut self.sides[0].local_endpoint;
        if first.service_name.is_empty() && first.address.is_empty() {
            *first = host.clone();
            return Ok(0);
        }
        let sides = &self.sides[..self.count];
        match sides.iter().position(|side| same_service(&side.local_endpoint, host)) {
            Some(side) => Ok(side),
            None => self.add_side(host.clone()),
        }
    }

    fn add_side(&mut self, host: EndpointDraft<'a>) -> Result<usize, BadSpan> {
        let index = self.count;
        if index == SIDES_MAX {
            return Err(BadSpan::Services(SIDES_MAX));
        }
        if index == self.sides.len() {
            self.sides.push(Draft::default());
        }
        self.count += 1;
        let side = &mut self.sides[index];
        side.clear();
        side.parent_id = SpanId::new(self.span.parent_id);
        side.name = self.span.name.clone();
        side.debug = self.span.debug;
        side.local_endpoint = host;
        Ok(index)
    }

    /// The span's own times if it has both, else those of the annotations.
    fn set_extent(&mut self, begin: Mark<'s, 'a>, end: Option<Mark<'s, 'a>>) {
        if self.span.has_extent() {
            self.set_own_times(begin.side);
        } else {
            set_times(&mut self.sides[begin.side], begin, end);
        }
    }

    fn set_own_times(&mut self, side: usize) {
        self.sides[side].timestamp = timestamp(self.span.timestamp);
        self.sides[side].duration = duration(self.span.duration);
    }

    /// A moment without the one that belongs to it stays an annotation.
    fn keep(&mut self, mark: Option<Mark<'s, 'a>>, value: &'static str) {
        if let Some(mark) = mark {
            put_annotation(&mut self.sides[mark.side], mark.us, Text::Str(value));
        }
    }
}

impl V1Span<'_> {
    fn has_extent(&self) -> bool {
        self.timestamp > 0 && self.duration > 0
    }
}

fn set_times(side: &mut Draft<'_>, begin: Mark<'_, '_>, end: Option<Mark<'_, '_>>) {
    side.timestamp = timestamp(begin.us);
    side.duration = end.and_then(|end| duration(end.us.saturating_sub(begin.us)));
}
