//! A span while its fields come in, in any order and perhaps more than once.
//!
//! One draft serves all spans of a body: what it holds is borrowed, and its lists keep their room.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use super::scan::same_bytes;
use super::shapes::{Shape, Shapes};
use super::sink::{
    AnnotationRef, EndpointRef, LinkRef, SpanRef, SpanSink, TagRef, Text, ValueRef, lossy_len,
};
use super::{ANNOTATIONS_MAX, LINKS_MAX, OverLimit};
use crate::span::DURATION_MAX;
use crate::value::TAGS_MAX;
use crate::{Endpoint, Kind, SpanId, StatusCode, Timestamp, TraceId};

#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) kind: Option<Kind>,
    /// As it was sent: it is lower-cased at the end.
    pub(crate) name: Text<'a>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) duration: Option<Duration>,
    pub(crate) local_endpoint: EndpointDraft<'a>,
    pub(crate) remote_endpoint: EndpointDraft<'a>,
    pub(crate) annotations: Vec<AnnotationRef<'a>>,
    pub(crate) tags: Vec<TagRef<'a>>,
    pub(crate) debug: bool,
    pub(crate) shared: bool,
    pub(crate) status_code: StatusCode,
    pub(crate) status_message: Text<'a>,
    pub(crate) links: Vec<LinkRef<'a>>,
    pub(crate) trace_state: Text<'a>,
    pub(crate) dropped_tags: u32,
    pub(crate) dropped_annotations: u32,
    pub(crate) dropped_links: u32,
    pub(crate) flags: u32,
    /// Whether there are tags that own memory.
    tags_own: bool,
    /// What is known of the keys of its tags.
    shape: Shape,
    shapes: Shapes<'a>,
    /// Where names are put in lower case.
    names: Names<'a>,
}

/// The names of spans, and those of their services.
#[derive(Debug, Default)]
struct Names<'a> {
    spans: Lowered<'a, 32>,
    local: Lowered<'a, 1>,
    remote: Lowered<'a, 32>,
}

/// Names as they were sent, and in lower case: a body says a few of them over and over.
#[derive(Debug)]
struct Lowered<'a, const PLACES: usize> {
    /// Each has one place, which it shares with others.
    places: [(&'a [u8], String); PLACES],
    /// Where what has no place is made.
    room: String,
}

impl<const PLACES: usize> Default for Lowered<'_, PLACES> {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| <_>::default()), room: String::new() }
    }
}

impl<'a, const PLACES: usize> Lowered<'a, PLACES> {
    fn of<'b>(&'b mut self, name: &'b Text<'a>) -> &'b str {
        /// In bytes. Longer ones are rare, and are not to be kept.
        const LENGTH_MAX: usize = 128;
        let sent = match name {
            Text::Bytes(bytes) => *bytes,
            Text::Str(text) => text.as_bytes(),
            Text::Escaped(_) | Text::Owned(_) => return name.lower_case_in(&mut self.room),
        };
        if sent.len() > LENGTH_MAX {
            return name.lower_case_in(&mut self.room);
        }
        let (known, lower) = &mut self.places[place_of(sent) % PLACES];
        if !same_bytes(known, sent) {
            *known = sent;
            let made = name.lower_case_in(&mut self.room);
            lower.clear();
            lower.push_str(made);
        }
        lower
    }
}

/// A place among no more than 32.
#[inline]
fn place_of(name: &[u8]) -> usize {
    (mark_of_bytes(name).wrapping_mul(SPREAD) >> 59) as usize
}

/// An endpoint while its fields come in.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointDraft<'a> {
    /// As it was sent: it is lower-cased at the end.
    pub(crate) service_name: Text<'a>,
    /// The addresses and the port; its name is not used.
    pub(crate) address: Endpoint,
}

impl<'a> Draft<'a> {
    /// Makes it as good as new, but for the room that its lists have taken.
    pub(crate) fn clear(&mut self) {
        self.annotations.clear();
        if !self.tags_own {
            // Each would be asked whether it owns anything.
            std::mem::forget(self.tags.drain(..));
        }
        self.tags.clear();
        self.tags_own = false;
        self.links.clear();
        self.shape = Shape::EMPTY;
        self.parent_id = None;
        self.kind = None;
        self.name = Text::default();
        self.timestamp = None;
        self.duration = None;
        self.local_endpoint = EndpointDraft::default();
        self.remote_endpoint = EndpointDraft::default();
        (self.debug, self.shared) = (false, false);
        self.status_code = StatusCode::Unset;
        self.status_message = Text::default();
        self.trace_state = Text::default();
        (self.dropped_tags, self.dropped_annotations, self.dropped_links) = (0, 0, 0);
        self.flags = 0;
    }

    /// Always where it is called: there it is known what a tag is made of, and it is made where it is kept.
    #[inline(always)]
    pub(crate) fn tag(&mut self, tag: TagRef<'a>) {
        self.tags_own |= tag.owns();
        self.shape = self.shapes.with(self.shape, &tag.key);
        push_tag(&mut self.tags, tag, &mut self.dropped_tags);
    }

    /// Makes each key stand once, and bounds their number: what [`Self::hand_over`] does anyway, for
    /// who has to know it before.
    pub(crate) fn settle_tags(&mut self) {
        if self.shape == Shape::UNKNOWN {
            let over = bound(&mut self.tags, TAGS_MAX);
            self.dropped_tags = self.dropped_tags.saturating_add(over);
        }
    }

    /// What is known of the keys of the tags that have come.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn annotation(&mut self, annotation: AnnotationRef<'a>) {
        if self.annotations.len() < ANNOTATIONS_MAX {
            self.annotations.push(annotation);
        } else {
            self.dropped_annotations = self.dropped_annotations.saturating_add(1);
        }
    }

    pub(crate) fn link(&mut self, link: LinkRef<'a>) {
        if self.links.len() < LINKS_MAX {
            self.links.push(link);
        } else {
            self.dropped_links = self.dropped_links.saturating_add(1);
        }
    }

    /// Normalises what has come in, by Zipkin's rules and ours, and hands it over.
    pub(crate) fn hand_over(
        &mut self,
        trace_id: TraceId,
        id: SpanId,
        sink: &mut impl SpanSink,
    ) -> Result<(), OverLimit> {
        self.settle_tags();
        for annotation in &mut self.annotations {
            let over = bound(&mut annotation.tags, TAGS_MAX);
            annotation.dropped_tags = annotation.dropped_tags.saturating_add(over);
        }
        for link in &mut self.links {
            let over = bound(&mut link.tags, TAGS_MAX);
            link.dropped_tags = link.dropped_tags.saturating_add(over);
        }
        sort_annotations(&mut self.annotations, sink)?;
        for name in
            [&self.name, &self.local_endpoint.service_name, &self.remote_endpoint.service_name]
        {
            hold_long(name, sink)?;
        }
        let name = self.names.spans.of(&self.name);
        let local = self.names.local.of(&self.local_endpoint.service_name);
        let remote = self.names.remote.of(&self.remote_endpoint.service_name);
        let duration = self.duration.filter(|duration| !duration.is_zero());
        sink.span(&SpanRef {
            trace_id,
            parent_id: self.parent_id.filter(|parent| *parent != id),
            id,
            kind: self.kind,
            name,
            timestamp: self.timestamp,
            duration: duration.map(|duration| duration.min(DURATION_MAX)),
            local_endpoint: self.local_endpoint.finish(local),
            remote_endpoint: self.remote_endpoint.finish(remote),
            annotations: &self.annotations,
            tags: &self.tags,
            debug: self.debug,
            // The client half is the one that the id belongs to.
            shared: self.shared && self.kind != Some(Kind::Client),
            status_code: self.status_code,
            status_message: self.status_message.clone(),
            links: &self.links,
            trace_state: self.trace_state.clone(),
            dropped_tags: self.dropped_tags,
            dropped_annotations: self.dropped_annotations,
            dropped_links: self.dropped_links,
            flags: self.flags,
        })
    }
}

/// Puts a tag behind others. Keys may stand there twice, but not without end.
#[inline]
pub(crate) fn push_tag<'a>(tags: &mut Vec<TagRef<'a>>, tag: TagRef<'a>, dropped: &mut u32) {
    tags.push(tag);
    if tags.len() >= 2 * TAGS_MAX {
        *dropped = dropped.saturating_add(bound(tags, TAGS_MAX));
    }
}

impl From<Endpoint> for EndpointDraft<'_> {
    fn from(endpoint: Endpoint) -> Self {
        let Endpoint { service_name, ipv4, ipv6, port } = endpoint;
        let address = Endpoint { service_name: String::new(), ipv4, ipv6, port };
        Self { service_name: Text::Owned(service_name), address }
    }
}

impl<'a> EndpointDraft<'a> {
    pub(crate) fn named(service_name: Text<'a>) -> Self {
        Self { service_name, address: Endpoint::default() }
    }

    fn finish<'b>(&self, service_name: &'b str) -> Option<EndpointRef<'b>> {
        let Endpoint { ipv4, ipv6, port, .. } = self.address;
        let endpoint = EndpointRef { service_name, ipv4, ipv6, port };
        let empty = service_name.is_empty() && ipv4.is_none() && ipv6.is_none() && port == 0;
        (!empty).then_some(endpoint)
    }
}

/// Makes a key stand once, where it stood first with the value that came last, and leaves out the
/// keys beyond so many. Returns their number.
pub(crate) fn bound(tags: &mut Vec<TagRef<'_>>, tags_max: usize) -> u32 {
    if tags.len() <= FEW && (all_differ(tags) || all_read_differently(tags)) {
        return 0;
    }
    let mut place_of: HashMap<Cow<'_, str>, usize> = HashMap::with_capacity(tags.len());
    // Which tag comes at each place.
    let mut chosen: Vec<usize> = Vec::with_capacity(tags.len());
    for (at, tag) in tags.iter().enumerate() {
        match place_of.entry(tag.key.read()) {
            Entry::Occupied(place) => chosen[*place.get()] = at,
            Entry::Vacant(place) => {
                place.insert(chosen.len());
                chosen.push(at);
            }
        }
    }
    drop(place_of);
    let over = chosen.len().saturating_sub(tags_max);
    chosen.truncate(tags_max);
    // A list of their own, for the room that they do not need any more.
    let nothing = || TagRef::new(Text::default(), ValueRef::Empty);
    *tags = chosen.iter().map(|at| std::mem::replace(&mut tags[*at], nothing())).collect();
    u32::try_from(over).unwrap_or(u32::MAX)
}

/// Up to so many tags, comparing each key with each is quicker than looking them up.
const FEW: usize = 24;

/// Whether no two of a few keys are the same; `false` also where that is not seen at a glance.
fn all_differ(tags: &[TagRef<'_>]) -> bool {
    let mut marks = [0; FEW];
    let mut seen = 0u64;
    for (i, tag) in tags.iter().enumerate() {
        let Some(mark) = mark_of(&tag.key) else { return false };
        let bit = 1 << (mark.wrapping_mul(SPREAD) >> 58);
        // Only those that share their bit can be the same.
        if seen & bit != 0 && marks[..i].contains(&mark) {
            return false;
        }
        seen |= bit;
        marks[i] = mark;
    }
    true
}

#[cold]
fn all_read_differently(tags: &[TagRef<'_>]) -> bool {
    let keys: Vec<Cow<'_, str>> = tags.iter().map(|tag| tag.key.read()).collect();
    (1..keys.len()).all(|i| !keys[..i].contains(&keys[i]))
}

/// A number that differs only where keys do. `None` for a key whose bytes do not say how it reads:
/// one that is escaped, or may be no UTF-8.
#[inline]
fn mark_of(key: &Text<'_>) -> Option<u64> {
    let (bytes, is_text) = match key {
        Text::Bytes(bytes) => (*bytes, false),
        Text::Str(text) => (text.as_bytes(), true),
        Text::Owned(text) => (text.as_bytes(), true),
        Text::Escaped(_) => return None,
    };
    if !is_text && !is_ascii(bytes) {
        return None;
    }
    Some(mark_of_bytes(bytes))
}

/// Keys are short: eight bytes from either end are most of them all.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let (Some((first, rest)), Some(last)) = (bytes.split_first_chunk(), bytes.last_chunk()) else {
        return bytes.iter().fold(0, |all, byte| all | byte) < 0x80;
    };
    let ends = u64::from_le_bytes(*first) | u64::from_le_bytes(*last);
    // Those of the last eight are looked at twice where there are few between.
    ends & HIGHS == 0
        && rest.as_chunks::<8>().0.iter().all(|eight| u64::from_le_bytes(*eight) & HIGHS == 0)
}

/// Odd, with its bits all over.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
fn mark_of_bytes(bytes: &[u8]) -> u64 {
    let (first, last) = match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (bytes.iter().fold(0, |mark, byte| mark << 8 | u64::from(*byte)), 0),
    };
    let length = bytes.len() as u64;
    first.rotate_left(29) ^ last.wrapping_mul(SPREAD) ^ length << 56
}

/// Tells of a long text that becomes longer, for it is no UTF-8, before anybody counts it.
pub(crate) fn hold_long(text: &Text<'_>, sink: &mut impl SpanSink) -> Result<(), OverLimit> {
    /// In bytes.
    const LONG: usize = 4_096;
    match text {
        Text::Bytes(bytes) if bytes.len() >= LONG => match lossy_len(bytes) {
            length if length > bytes.len() => sink.hold(length),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn sort_annotations(
    annotations: &mut Vec<AnnotationRef<'_>>,
    sink: &mut impl SpanSink,
) -> Result<(), OverLimit> {
    if annotations.len() < 2 {
        return Ok(());
    }
    // Texts are looked into once, and not for each comparison.
    for annotation in annotations.iter_mut() {
        match annotation.value {
            Text::Bytes(bytes) => {
                annotation.value = match simdutf8::basic::from_utf8(bytes) {
                    Ok(text) => Text::Str(text),
                    Err(_) => {
                        sink.hold(lossy_len(bytes))?;
                        Text::Owned(String::from_utf8_lossy(bytes).into_owned())
                    }
                };
            }
            Text::Escaped(text) => {
                sink.hold(text.len())?;
                annotation.value = Text::Owned(annotation.value.read().into_owned());
            }
            Text::Str(_) | Text::Owned(_) => {}
        }
    }
    annotations.sort_by(|a, b| {
        a.timestamp.cmp(&b.timestamp).then_with(|| a.value.read().cmp(&b.value.read()))
    });
    annotations.dedup_by(|a, b| {
        a.timestamp == b.timestamp
            && a.dropped_tags == b.dropped_tags
            && a.value.read() == b.value.read()
            && a.tags.len() == b.tags.len()
            && a.tags.iter().zip(&b.tags).all(|(a, b)| a.to_owned() == b.to_owned())
    });
    Ok(())
}
