//! Rows of a block in numbers, as merges hold them: what several of them say stands there once.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use sigyn_model::codec::sink::EndpointRef;
use sigyn_model::{
    Annotation, Labels, Link, Resource, Scope, Span, SpanId, Status, StatusCode, Tags, Timestamp,
    TraceId, Value,
};

use super::source::{SourceAnnotation, SourceRow, TagValue, TagsOf};
use crate::facts::TraceKey;
use crate::size;

/// Rows that were read together. Numbers of what they say are its own; those of names, texts, endpoints and
/// origins begin with one, for zero is none.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(super) rows: Vec<SourceRow>,
    pub(super) tags: Vec<u32>,
    /// Where those of each row end.
    pub(super) tag_ends: Vec<u32>,
    /// What each row takes in memory, about, that those before it did not bring.
    pub(super) weights: Vec<u32>,
    pub(super) words: Vec<Word>,
    pub(super) keys: Texts,
    /// The key `error`, if it is there.
    pub(super) error_key: Option<u32>,
    pub(super) values: Vec<u8>,
    /// Of tags, where neither numbers nor texts say it.
    pub(super) others: Vec<Value>,
    pub(super) names: Texts,
    pub(super) texts: Texts,
    pub(super) endpoints: Vec<EndpointCodes>,
    pub(super) resources: Vec<Arc<Resource>>,
    pub(super) scopes: Vec<Arc<Scope>>,
    pub(super) targets: Vec<Arc<Labels>>,
    /// By row, in order.
    pub(super) rares: Vec<(u32, Rare)>,
    pub(super) bytes: u64,
}

/// A tag: its key, and what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub(super) key: u32,
    pub(super) said: Said,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    /// Where its bytes begin and end.
    Text(u32, u32),
    Int(i64),
    Double(f64),
    Bool(bool),
    Other(u32),
}

/// Texts behind one another.
#[derive(Debug, Default)]
pub(super) struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    /// With the empty one in front.
    pub(super) fn with_none() -> Self {
        Self { text: String::new(), ends: vec![0] }
    }

    pub(super) fn push(&mut self, text: &str) -> u32 {
        self.text.push_str(text);
        self.ends.push(self.text.len());
        number(self.ends.len() - 1)
    }

    pub(super) fn len(&self) -> u32 {
        number(self.ends.len())
    }

    pub(super) fn get(&self, number: u32) -> &str {
        let at = number as usize;
        let begin = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[begin..self.ends[at]]
    }
}

/// An endpoint, its service by the number of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct EndpointCodes {
    pub(super) service: u32,
    pub(super) ipv4: Option<Ipv4Addr>,
    pub(super) ipv6: Option<Ipv6Addr>,
    pub(super) port: u16,
}

/// What few rows have. Annotations come with the number of their text.
#[derive(Debug, Default)]
pub(super) struct Rare {
    pub(super) annotations: Vec<(Annotation, u32)>,
    pub(super) links: Vec<Link>,
}

/// How many numbers there are of each sort.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) tags: u32,
    pub(crate) keys: u32,
    pub(crate) names: u32,
    pub(crate) texts: u32,
    pub(crate) endpoints: u32,
    pub(crate) resources: u32,
    pub(crate) scopes: u32,
    pub(crate) targets: u32,
}

/// Tags of an annotation.
#[derive(Debug)]
struct Nested<'a>(&'a Tags);

impl TagsOf for Nested<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn to_tags(&self) -> Tags {
        self.0.clone()
    }
}

impl Piece {
    pub(crate) fn rows(&self) -> u32 {
        number(self.rows.len())
    }

    /// What all of it takes in memory, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What a row takes of that: less than in another piece if rows before it say the same.
    pub(crate) fn weight(&self, row: u32) -> u64 {
        u64::from(self.weights[row as usize])
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            tags: number(self.words.len()),
            keys: self.keys.len(),
            names: self.names.len(),
            texts: self.texts.len(),
            endpoints: number(self.endpoints.len()) + 1,
            resources: number(self.resources.len()) + 1,
            scopes: number(self.scopes.len()) + 1,
            targets: number(self.targets.len()) + 1,
        }
    }

    pub(crate) fn row(&self, row: u32) -> &SourceRow {
        &self.rows[row as usize]
    }

    pub(crate) fn trace(&self, row: u32) -> TraceKey {
        self.row(row).trace_id.into()
    }

    /// Where a span stands in its trace: by time, those without one last, then by id.
    pub(crate) fn place(&self, row: u32) -> (Timestamp, SpanId, bool) {
        let row = self.row(row);
        (row.timestamp.unwrap_or(Timestamp::MAX), row.id, row.shared)
    }

    /// Numbers of a row's own tags, in their order.
    pub(crate) fn tags(&self, row: u32) -> &[u32] {
        let at = row as usize;
        let begin = at.checked_sub(1).map_or(0, |before| self.tag_ends[before]);
        &self.tags[begin as usize..self.tag_ends[at] as usize]
    }

    /// Whether a row has a tag `error` as Zipkin shows it.
    pub(crate) fn has_error(&self, number: u32) -> bool {
        let row = self.row(number);
        let of_resource = |resource: &Arc<Resource>| crate::wanted::has_error(resource);
        row.status_code == StatusCode::Error
            || self.error_key.is_some_and(|error| {
                self.tags(number).iter().any(|tag| self.words[*tag as usize].key == error)
            })
            || self.resource(row.resource).is_some_and(of_resource)
    }

    pub(crate) fn tag(&self, tag: u32) -> (u32, TagValue<'_>) {
        let word = &self.words[tag as usize];
        let value = match word.said {
            Said::Text(begin, end) => TagValue::Text(&self.values[begin as usize..end as usize]),
            Said::Int(value) => TagValue::Int(value),
            Said::Double(value) => TagValue::Double(value),
            Said::Bool(value) => TagValue::Bool(value),
            Said::Other(_) => TagValue::Other,
        };
        (word.key, value)
    }

    pub(crate) fn tag_value(&self, tag: u32) -> Value {
        match self.words[tag as usize].said {
            Said::Text(begin, end) => {
                let bytes = &self.values[begin as usize..end as usize];
                Value::Str(std::str::from_utf8(bytes).unwrap_or_default().to_owned())
            }
            Said::Int(value) => Value::Int(value),
            Said::Double(value) => Value::Double(value),
            Said::Bool(value) => Value::Bool(value),
            Said::Other(at) => self.others[at as usize].clone(),
        }
    }

    /// About how many bytes a tag takes.
    pub(crate) fn tag_bytes(&self, tag: u32) -> usize {
        match self.words[tag as usize].said {
            Said::Text(begin, end) => 1 + (end - begin) as usize,
            Said::Other(at) => {
                usize::try_from(size::value_bytes(&self.others[at as usize])).unwrap_or(usize::MAX)
            }
            Said::Int(_) | Said::Double(_) | Said::Bool(_) => 1 + size_of::<i64>(),
        }
    }

    pub(crate) fn key(&self, key: u32) -> &str {
        self.keys.get(key)
    }

    pub(crate) fn name(&self, name: u32) -> &str {
        self.names.get(name)
    }

    pub(crate) fn text(&self, text: u32) -> &str {
        self.texts.get(text)
    }

    pub(crate) fn endpoint(&self, endpoint: u32) -> Option<EndpointRef<'_>> {
        let codes = self.endpoints.get((endpoint as usize).checked_sub(1)?)?;
        let EndpointCodes { service, ipv4, ipv6, port } = *codes;
        Some(EndpointRef { service_name: self.name(service), ipv4, ipv6, port })
    }

    pub(crate) fn resource(&self, resource: u32) -> Option<&Arc<Resource>> {
        self.resources.get((resource as usize).checked_sub(1)?)
    }

    pub(crate) fn scope(&self, scope: u32) -> Option<&Arc<Scope>> {
        self.scopes.get((scope as usize).checked_sub(1)?)
    }

    pub(crate) fn target(&self, target: u32) -> Option<&Arc<Labels>> {
        self.targets.get((target as usize).checked_sub(1)?)
    }

    fn rare(&self, row: u32) -> Option<&Rare> {
        let at = self.rares.binary_search_by_key(&row, |(row, _)| *row).ok()?;
        Some(&self.rares[at].1)
    }

    /// Calls `each` with a row's annotations, in their order.
    pub(crate) fn annotations(&self, row: u32, each: &mut dyn FnMut(SourceAnnotation<'_>)) {
        for (annotation, value) in self.rare(row).into_iter().flat_map(|rare| &rare.annotations) {
            each(SourceAnnotation {
                timestamp: annotation.timestamp,
                value: *value,
                dropped_tags: annotation.dropped_tags,
                tags: &Nested(&annotation.tags),
            });
        }
    }

    pub(crate) fn links(&self, row: u32) -> Vec<Link> {
        self.rare(row).map(|rare| rare.links.clone()).unwrap_or_default()
    }

    /// A whole span, for the few of which more than numbers is asked.
    pub(crate) fn span(&self, number: u32) -> Span {
        let row = self.row(number);
        let annotations = self.rare(number).map_or(&[][..], |rare| &rare.annotations);
        let tag = |tag: &u32| (self.key(self.tag(*tag).0).to_owned(), self.tag_value(*tag));
        Span {
            trace_id: row.trace_id,
            parent_id: row.parent_id,
            id: row.id,
            kind: row.kind,
            name: self.name(row.name).to_owned(),
            timestamp: row.timestamp,
            duration: row.duration,
            local_endpoint: self.endpoint(row.local_endpoint).map(EndpointRef::to_owned),
            remote_endpoint: self.endpoint(row.remote_endpoint).map(EndpointRef::to_owned),
            annotations: annotations.iter().map(|(annotation, _)| annotation.clone()).collect(),
            tags: self.tags(number).iter().map(tag).collect(),
            debug: row.debug,
            shared: row.shared,
            status: Status {
                code: row.status_code,
                message: self.text(row.status_message).to_owned(),
            },
            links: self.links(number),
            trace_state: self.text(row.trace_state).to_owned(),
            dropped_tags: row.dropped[0],
            dropped_annotations: row.dropped[1],
            dropped_links: row.dropped[2],
            flags: row.flags,
            scope: self.scope(row.scope).cloned(),
            resource: self.resource(row.resource).cloned(),
            target: self.target(row.target).cloned(),
        }
    }

    pub(crate) fn trace_id(&self, row: u32) -> TraceId {
        self.row(row).trace_id
    }
}

/// Memory ends before numbers do.
pub(super) fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
