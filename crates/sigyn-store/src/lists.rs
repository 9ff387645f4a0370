//! Lists of names and of what tags say, for whoever completes what somebody types.
//!
//! What a list has no room for is left out from its end, so that it says the same before a seal and after.

use std::collections::HashSet;
use std::sync::Arc;

use sigyn_model::{Resource, Searched, Span};

use crate::block::{KEYS_MAX, QueryFailed, VALUES_MAX, is_listed};
use crate::head::HeadView;
use crate::least::Least;
use crate::names::{NAMES_MAX, Names, SERVICES_MAX, ServiceNames};
use crate::query::each_trace;
use crate::stop::Stop;
use crate::view::Parts;

impl Parts {
    /// Names of services, sorted.
    pub(crate) fn service_names(&self, stop: &Stop) -> Result<Vec<String>, QueryFailed> {
        Ok(self.services(stop)?.into_sorted())
    }

    fn services(&self, stop: &Stop) -> Result<Least, QueryFailed> {
        let mut services = Least::new(SERVICES_MAX);
        self.each_names(stop, |names| {
            names.services().for_each(|(service, _)| _ = services.add(service));
        })?;
        Ok(services)
    }

    /// Names that one service used, sorted. A service that is not listed has none.
    pub(crate) fn names_of(
        &self,
        service: &str,
        which: fn(&ServiceNames) -> &Least,
        stop: &Stop,
    ) -> Result<Vec<String>, QueryFailed> {
        let mut found = Least::new(NAMES_MAX);
        let mut services = 0;
        self.each_names(stop, |names| {
            services += names.services().len();
            if let Some(names) = names.service(service) {
                which(names).iter().for_each(|name| _ = found.add(name));
            }
        })?;
        if services > SERVICES_MAX && !self.services(stop)?.has(service) {
            return Ok(Vec::new());
        }
        Ok(found.into_sorted())
    }

    fn each_names(&self, stop: &Stop, mut each: impl FnMut(&Names)) -> Result<(), QueryFailed> {
        for block in self.blocks.iter() {
            stop.check()?;
            each(&*block.names()?);
        }
        for head in &self.heads {
            head.with_names(&mut each);
        }
        Ok(())
    }

    /// Keys of tags, sorted, as Zipkin shows them.
    pub(crate) fn tag_keys(&self, stop: &Stop) -> Result<Vec<String>, QueryFailed> {
        let mut keys = Least::new(KEYS_MAX);
        for block in self.blocks.iter() {
            stop.check()?;
            block.tags()?.keys().for_each(|key| _ = keys.add(key));
        }
        for head in &self.heads {
            add_keys(head, &mut keys, stop)?;
        }
        Ok(keys.into_sorted())
    }

    /// Values of one tag, sorted, as Zipkin shows them. A key that is not listed has none.
    pub(crate) fn tag_values(&self, key: &str, stop: &Stop) -> Result<Vec<String>, QueryFailed> {
        let (mut keys, mut values) = (Least::new(KEYS_MAX), Least::new(VALUES_MAX));
        for block in self.blocks.iter() {
            stop.check()?;
            let tags = block.tags()?;
            tags.keys().for_each(|key| _ = keys.add(key));
            tags.values(key).for_each(|value| _ = values.add(value));
        }
        for head in &self.heads {
            add_keys(head, &mut keys, stop)?;
            each_trace(head, stop, |_, trace| {
                for row in trace.rows() {
                    if let Some(value) = row.zipkin_tag(key).filter(|value| is_listed(value)) {
                        values.add(&value);
                    }
                }
            })?;
        }
        Ok(if keys.has(key) { values.into_sorted() } else { Vec::new() })
    }
}

/// Adds what the tags of a head's spans are called.
fn add_keys(head: &HeadView, keys: &mut Least, stop: &Stop) -> Result<(), QueryFailed> {
    let mut add = |key: &str| {
        if is_listed(key) {
            keys.add(key);
        }
    };
    // Many spans share a key, and a resource, which may be large.
    let mut known: Vec<bool> = Vec::new();
    let mut resources: HashSet<*const Resource> = HashSet::new();
    let mut others: HashSet<(u32, Option<&str>)> = HashSet::new();
    each_trace(head, stop, |_, trace| {
        for row in trace.rows() {
            row.new_tag_keys(&mut known, &mut add);
            let mut bare = Span::new(row.trace_id(), row.id());
            // The head holds it as long as this query holds the head.
            if row.resource().is_some_and(|one| resources.insert(Arc::as_ptr(one))) {
                bare.resource = row.resource().cloned();
            }
            let code = row.status_code();
            if others.insert((row.origin(), code.as_tag())) {
                (bare.status.code, bare.scope) = (code, row.scope().cloned());
            }
            bare.zipkin_tags().keys().for_each(|key| add(key));
        }
    })
}
