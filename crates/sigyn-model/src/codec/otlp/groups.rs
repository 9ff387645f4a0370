//! Spans by what they share, while they are written: OTLP says a resource once for all its spans.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::reader;
use crate::{Scope, Span};

/// Spans in their encoded form, in the order in which resource and scope of each first appeared.
/// Resources and scopes are compared as they are written: equal ones become one, whoever holds them.
#[derive(Debug)]
pub(in crate::codec) struct Groups<'a, K, T> {
    pub(in crate::codec) groups: Vec<Group<K, T>>,
    by_resource: HashMap<K, usize>,
    /// Where the last span went. Most often the next one goes there too.
    last: Option<(&'a Span, usize, usize)>,
    write_resource: fn(&Span) -> K,
    write_scope: fn(&Scope) -> K,
}

/// The spans of one resource.
#[derive(Debug)]
pub(in crate::codec) struct Group<K, T> {
    /// The fields of the encoded resource; none if there is none.
    pub(in crate::codec) resource: K,
    /// What a reader will take from it.
    service_name: String,
    pub(in crate::codec) scopes: Vec<ScopeGroup<K, T>>,
    by_scope: HashMap<K, usize>,
}

/// The spans of one scope of it.
#[derive(Debug)]
pub(in crate::codec) struct ScopeGroup<K, T> {
    /// The fields of the encoded scope; none if there is none.
    pub(in crate::codec) scope: K,
    pub(in crate::codec) spans: T,
}

impl<'a, K: Clone + Default + Eq + Hash, T: Default> Groups<'a, K, T> {
    pub(in crate::codec) fn new(
        write_resource: fn(&Span) -> K,
        write_scope: fn(&Scope) -> K,
    ) -> Self {
        Self {
            groups: Vec::new(),
            by_resource: HashMap::new(),
            last: None,
            write_resource,
            write_scope,
        }
    }

    /// Where a span goes, and the service's name that its resource says.
    pub(in crate::codec) fn of(&mut self, span: &'a Span) -> (&str, &mut T) {
        let (group, scope) = match self.last {
            Some((last, group, scope)) if share_origin(last, span) => (group, scope),
            _ => self.find(span),
        };
        self.last = Some((span, group, scope));
        let group = &mut self.groups[group];
        (&group.service_name, &mut group.scopes[scope].spans)
    }

    fn find(&mut self, span: &Span) -> (usize, usize) {
        let resource = (self.write_resource)(span);
        let group = *self.by_resource.entry(resource).or_insert_with_key(|resource| {
            let service_name = match &span.resource {
                Some(resource) => reader::service_name(&resource.tags),
                None => reader::as_service_name(span.service_name().unwrap_or("")),
            };
            self.groups.push(Group {
                resource: resource.clone(),
                service_name,
                scopes: Vec::new(),
                by_scope: HashMap::new(),
            });
            self.groups.len() - 1
        });
        let Group { scopes, by_scope, .. } = &mut self.groups[group];
        let scope = span.scope.as_deref().map_or_else(K::default, self.write_scope);
        let scope = *by_scope.entry(scope).or_insert_with_key(|scope| {
            scopes.push(ScopeGroup { scope: scope.clone(), spans: T::default() });
            scopes.len() - 1
        });
        (group, scope)
    }
}

/// Whether two spans go to the same place, seen without comparing what they hold.
fn share_origin(a: &Span, b: &Span) -> bool {
    let same_scope = match (&a.scope, &b.scope) {
        (None, None) => true,
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        _ => false,
    };
    same_scope
        && match (&a.resource, &b.resource) {
            (None, None) => a.service_name() == b.service_name(),
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
}
