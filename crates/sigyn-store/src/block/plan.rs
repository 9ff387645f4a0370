//! What is decided before a block's first row is written: which tags get columns, and what endpoints say.

use std::collections::HashMap;
use std::net::IpAddr;

use sigyn_model::codec::sink::EndpointRef;

use super::schema::{TAG_COLUMNS_MAX, TAG_SORTS, TagColumn, TagSort};
use super::source::{Source, TagValue};
use crate::wanted::{has_error, has_label_error};

/// A column that fewer of a block's rows use, one in so many, is not worth its place.
const ROWS_PER_USE: usize = 2_000;

/// Which tags get columns.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) tag_columns: Vec<TagColumn>,
    /// By number of a tag.
    tags: Vec<TagPlace>,
}

/// What shared things say, worked out when they are met.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By number of an endpoint.
    endpoints: Vec<Option<EndpointParts>>,
    /// Names of services, and addresses, each once.
    pub(super) services: Vec<String>,
    pub(super) addresses: Vec<String>,
    service_numbers: HashMap<String, u32>,
    address_numbers: HashMap<IpAddr, u32>,
    /// By number, whether they say `error`.
    resources: Vec<Option<bool>>,
    targets: Vec<Option<bool>>,
}

/// Where one tag goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct TagPlace {
    /// Its column, or [`REST`].
    pub(super) column: u16,
    /// About how many times 16 bytes it takes.
    pub(super) size: u16,
    /// Whether its key is `error`.
    pub(super) says_error: bool,
    is_used: bool,
}

/// The column of tags that have none.
pub(super) const REST: u16 = u16::MAX;

/// An endpoint, in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EndpointParts {
    pub(super) service: Option<u32>,
    pub(super) address: Option<u32>,
    pub(super) port: Option<u32>,
    /// Whether these do not bring it back: it has two addresses, or nothing in it.
    pub(super) is_odd: bool,
}

impl Plan {
    pub(super) fn of(source: &dyn Source) -> Self {
        let mut plan = Self::default();
        plan.place_tags(source);
        plan
    }

    pub(super) fn tag(&self, tag: u32) -> TagPlace {
        self.tags[tag as usize]
    }

    /// Numbers of the tags that spans have.
    pub(super) fn used_tags(&self) -> impl Iterator<Item = u32> {
        let numbered = (0..).zip(&self.tags);
        numbered.filter(|(_, place)| place.is_used).map(|(tag, _)| tag)
    }

    fn place_tags(&mut self, source: &dyn Source) {
        let mut uses: Vec<u32> = Vec::new();
        source.each_tags(&mut |tags| tags.iter().for_each(|tag| *at(&mut uses, *tag) += 1));
        // By key and type: how often.
        let mut counts: Vec<[u64; TAG_SORTS.len()]> = Vec::new();
        let tags = (0..).zip(&uses).filter(|(_, uses)| **uses > 0);
        for (tag, uses) in tags.clone() {
            let (key, value) = source.tag(tag);
            if let Some(sort) = sort_of(value) {
                at(&mut counts, key)[sort as usize] += u64::from(*uses);
            }
        }
        let least = (source.rows() as usize / ROWS_PER_USE).max(1) as u64;
        let mut often: Vec<(u64, &str, TagSort, u32)> = Vec::new();
        for (key, counts) in (0..).zip(&counts) {
            let counts = TAG_SORTS.into_iter().zip(counts);
            let counts = counts.filter(|(_, count)| **count >= least);
            often.extend(counts.map(|(sort, count)| (*count, source.key(key), sort, key)));
        }
        often.sort_unstable_by_key(|(count, key, sort, _)| (u64::MAX - count, *key, *sort));
        often.truncate(TAG_COLUMNS_MAX);
        let mut columns: HashMap<(u32, TagSort), u16> = HashMap::new();
        let mut names: HashMap<String, u16> = HashMap::new();
        let mut by_key: HashMap<u32, ()> = HashMap::new();
        for (_, text, sort, key) in often {
            let is_second = by_key.insert(key, ()).is_some();
            let column = TagColumn { key: text.to_owned(), sort, is_second };
            let number = u16::try_from(self.tag_columns.len()).unwrap_or(REST);
            // A key may end like a second column's name.
            if names.insert(column.name(), number).is_none() {
                columns.insert((key, sort), number);
                self.tag_columns.push(column);
            }
        }
        let none = TagPlace { column: REST, size: 0, says_error: false, is_used: false };
        self.tags.resize(uses.len(), none);
        for (tag, _) in tags {
            let (key, value) = source.tag(tag);
            let column = sort_of(value).and_then(|sort| columns.get(&(key, sort)).copied());
            let size = u16::try_from(source.tag_bytes(tag).div_ceil(16)).unwrap_or(u16::MAX);
            let says_error = source.key(key) == "error";
            self.tags[tag as usize] =
                TagPlace { column: column.unwrap_or(REST), size, says_error, is_used: true };
        }
    }
}

impl Known {
    pub(super) fn endpoint(&mut self, source: &dyn Source, endpoint: u32) -> EndpointParts {
        if let Some(Some(parts)) = self.endpoints.get(endpoint as usize) {
            return *parts;
        }
        let parts = self.take_apart(source.endpoint(endpoint));
        *at(&mut self.endpoints, endpoint) = Some(parts);
        parts
    }

    fn take_apart(&mut self, endpoint: Option<EndpointRef<'_>>) -> EndpointParts {
        let Some(endpoint) = endpoint else { return EndpointParts::default() };
        let EndpointRef { service_name, ipv4, ipv6, port } = endpoint;
        let address = ipv4.map(IpAddr::V4).or(ipv6.map(IpAddr::V6));
        let next = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let service = (!service_name.is_empty()).then(|| {
            let services = &mut self.services;
            *self.service_numbers.entry(service_name.to_owned()).or_insert_with(|| {
                services.push(service_name.to_owned());
                next(services.len() - 1)
            })
        });
        let known = address.map(|address| {
            let addresses = &mut self.addresses;
            *self.address_numbers.entry(address).or_insert_with(|| {
                addresses.push(address.to_string());
                next(addresses.len() - 1)
            })
        });
        EndpointParts {
            service,
            address: known,
            port: (port != 0).then_some(u32::from(port)),
            is_odd: (ipv4.is_some() && ipv6.is_some())
                || (service.is_none() && address.is_none() && port == 0),
        }
    }

    pub(super) fn resource_says_error(&mut self, source: &dyn Source, resource: u32) -> bool {
        *at(&mut self.resources, resource).get_or_insert_with(|| {
            source.resource(resource).is_some_and(|resource| has_error(resource))
        })
    }

    pub(super) fn target_says_error(&mut self, source: &dyn Source, target: u32) -> bool {
        *at(&mut self.targets, target).get_or_insert_with(|| {
            source.target(target).is_some_and(|labels| has_label_error(labels))
        })
    }
}

/// An element of a list that grows as far as it is asked for.
pub(super) fn at<T: Default + Clone>(list: &mut Vec<T>, number: u32) -> &mut T {
    let at = number as usize;
    if list.len() <= at {
        list.resize(at + 1, T::default());
    }
    &mut list[at]
}

pub(super) fn sort_of(value: TagValue<'_>) -> Option<TagSort> {
    match value {
        TagValue::Text(_) => Some(TagSort::Text),
        TagValue::Int(_) => Some(TagSort::Int),
        TagValue::Double(_) => Some(TagSort::Double),
        TagValue::Bool(_) => Some(TagSort::Bool),
        TagValue::Other => None,
    }
}
