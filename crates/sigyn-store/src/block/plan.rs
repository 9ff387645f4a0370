//! What is decided before a block's first row is written: which tags get columns, and what endpoints say.

use std::collections::HashMap;
use std::net::IpAddr;

use sigyn_model::codec::sink::EndpointRef;

use super::order::Order;
use super::schema::{TAG_COLUMNS_MAX, TAG_SORTS, TagColumn, TagSort};
use super::source::{Source, SourceRow, TagValue};
use crate::wanted::{has_error, has_label_error};

/// A column that fewer of a block's rows use, one in so many, is not worth its place.
const ROWS_PER_USE: usize = 2_000;

/// Where values go.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) tag_columns: Vec<TagColumn>,
    /// By number of a tag.
    tags: Vec<TagPlace>,
    /// By number of an endpoint.
    endpoints: Vec<EndpointParts>,
    /// Names of services, and addresses, each once.
    pub(super) services: Vec<String>,
    pub(super) addresses: Vec<String>,
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
    pub(super) fn of(source: &dyn Source, order: &Order) -> Self {
        let mut plan = Self::default();
        plan.place_tags(source, order);
        plan.look_at_rows(source, order);
        plan
    }

    pub(super) fn resource_says_error(&self, resource: u32) -> bool {
        self.resources[resource as usize].unwrap_or(false)
    }

    pub(super) fn target_says_error(&self, target: u32) -> bool {
        self.targets[target as usize].unwrap_or(false)
    }

    pub(super) fn tag(&self, tag: u32) -> TagPlace {
        self.tags[tag as usize]
    }

    pub(super) fn endpoint(&self, endpoint: u32) -> EndpointParts {
        self.endpoints[endpoint as usize]
    }

    fn place_tags(&mut self, source: &dyn Source, order: &Order) {
        let mut uses: Vec<u32> = Vec::new();
        for row in &order.rows {
            source.each_tag(*row, &mut |tag| *at(&mut uses, tag) += 1);
        }
        // By key and type: how often.
        let mut counts: Vec<[u64; TAG_SORTS.len()]> = Vec::new();
        let tags = (0..).zip(&uses).filter(|(_, uses)| **uses > 0);
        for (tag, uses) in tags.clone() {
            let (key, value) = source.tag(tag);
            if let Some(sort) = sort_of(value) {
                at(&mut counts, key)[sort as usize] += u64::from(*uses);
            }
        }
        let least = (order.rows.len() / ROWS_PER_USE).max(1) as u64;
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
        let none = TagPlace { column: REST, size: 0, says_error: false };
        self.tags.resize(uses.len(), none);
        for (tag, _) in tags {
            let (key, value) = source.tag(tag);
            let column = sort_of(value).and_then(|sort| columns.get(&(key, sort)).copied());
            let size = u16::try_from(source.tag_bytes(tag).div_ceil(16)).unwrap_or(u16::MAX);
            let says_error = source.key(key) == "error";
            self.tags[tag as usize] = TagPlace { column: column.unwrap_or(REST), size, says_error };
        }
    }

    /// What rows say that many of them share.
    fn look_at_rows(&mut self, source: &dyn Source, order: &Order) {
        let mut endpoints: Vec<bool> = vec![false];
        for row in &order.rows {
            let SourceRow { local_endpoint, remote_endpoint, resource, target, .. } =
                source.row(*row);
            *at(&mut endpoints, local_endpoint) = true;
            *at(&mut endpoints, remote_endpoint) = true;
            at(&mut self.resources, resource).get_or_insert_with(|| {
                source.resource(resource).is_some_and(|resource| has_error(resource))
            });
            at(&mut self.targets, target).get_or_insert_with(|| {
                source.target(target).is_some_and(|labels| has_label_error(labels))
            });
        }
        self.take_apart_endpoints(source, &endpoints);
    }

    fn take_apart_endpoints(&mut self, source: &dyn Source, are_used: &[bool]) {
        let mut services: HashMap<String, u32> = HashMap::new();
        let mut addresses: HashMap<IpAddr, u32> = HashMap::new();
        for (endpoint, is_used) in (0..).zip(are_used) {
            let endpoint = source.endpoint(endpoint).filter(|_| *is_used);
            let Some(endpoint) = endpoint else {
                self.endpoints.push(EndpointParts::default());
                continue;
            };
            let EndpointRef { service_name, ipv4, ipv6, port } = endpoint;
            let address = ipv4.map(IpAddr::V4).or(ipv6.map(IpAddr::V6));
            let service = (!service_name.is_empty()).then(|| {
                let next = u32::try_from(services.len()).unwrap_or(u32::MAX);
                *services.entry(service_name.to_owned()).or_insert_with(|| {
                    self.services.push(service_name.to_owned());
                    next
                })
            });
            let known = address.map(|address| {
                let next = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
                *addresses.entry(address).or_insert_with(|| {
                    self.addresses.push(address.to_string());
                    next
                })
            });
            self.endpoints.push(EndpointParts {
                service,
                address: known,
                port: (port != 0).then_some(u32::from(port)),
                is_odd: (ipv4.is_some() && ipv6.is_some())
                    || (service.is_none() && address.is_none() && port == 0),
            });
        }
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
