//! Where spans come from: the process, the library, the target. Many spans share each of them.

use std::sync::Arc;

use crate::codec::Format;
use crate::codec::sink::{ResourceRef, ScopeRef, TagRef};
use crate::{Labels, Resource, Scope, Tags};

use super::encoding::{put_tags, put_text};
use super::interner::{Interner, grow, room};

/// Of each sort; what comes then is no longer looked for.
const BYTES_MAX: usize = 16 << 20;

/// Resources, scopes and labels by number, and which of them meet. Zero is none.
#[derive(Debug)]
pub(super) struct Origins {
    resources: Numbered<Resource>,
    scopes: Numbered<Scope>,
    targets: Numbered<Labels>,
    /// How resources were written, behind their format and their schema, and which each is.
    spellings: Interner,
    spelled: Vec<u32>,
    /// Three numbers of four bytes: resource, scope, target.
    origins: Interner,
    /// What the next span has.
    now: Origin,
    /// Its number.
    now_number: u32,
    /// The target of spans that are read.
    target: u32,
    /// Of the message that is being read.
    format: Option<Format>,
    scratch: Vec<u8>,
    spelling: Vec<u8>,
}

/// Numbers of what a span comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Origin {
    resource: u32,
    scope: u32,
    target: u32,
}

/// How much there was at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    resources: usize,
    scopes: usize,
    targets: usize,
    spellings: usize,
    origins: usize,
}

impl Origins {
    pub(super) fn new() -> Self {
        Self {
            resources: Numbered::new(),
            scopes: Numbered::new(),
            targets: Numbered::new(),
            spellings: Interner::new(BYTES_MAX),
            spelled: vec![0],
            origins: Interner::new(BYTES_MAX),
            now: Origin::default(),
            now_number: 0,
            target: 0,
            format: None,
            scratch: Vec::new(),
            spelling: Vec::new(),
        }
    }

    /// A message of this format follows. Its spans have no origin until it tells one.
    pub(super) fn begin(&mut self, format: Format) {
        self.format = Some(format);
        self.set(Origin { target: self.target, ..Origin::default() });
    }

    /// The number of what the next span has.
    pub(super) fn now(&self) -> u32 {
        self.now_number
    }

    fn set(&mut self, now: Origin) {
        if now == self.now {
            return;
        }
        self.now = now;
        self.now_number = if now == Origin::default() {
            0
        } else {
            let numbers = [now.resource, now.scope, now.target].map(u32::to_le_bytes);
            self.origins.intern(numbers.as_flattened())
        };
    }

    /// The spans that are read next are this process's, and of no scope.
    pub(super) fn set_resource(&mut self, resource: Option<&ResourceRef<'_>>) {
        let resource = resource.map_or(0, |resource| self.resource(resource));
        self.set(Origin { resource, scope: 0, target: self.target });
    }

    /// They are this library's.
    pub(super) fn set_scope(&mut self, scope: Option<&ScopeRef<'_>>) {
        let scope = scope.map_or(0, |scope| {
            let scope = Scope {
                name: scope.name.read().into_owned(),
                version: scope.version.read().into_owned(),
                tags: owned(scope.tags),
                dropped_tags: scope.dropped_tags,
                schema_url: scope.schema_url.read().into_owned(),
            };
            put_scope(&mut self.scratch, &scope);
            self.scopes.put(&self.scratch, || Arc::new(scope))
        });
        self.set(Origin { scope, target: self.target, ..self.now });
    }

    fn resource(&mut self, resource: &ResourceRef<'_>) -> u32 {
        if resource.wire.is_empty() {
            return self.new_resource(resource);
        }
        // Formats say different things with the same bytes, and the schema stands elsewhere.
        self.spelling.clear();
        self.spelling.push(self.format.map_or(0, |format| format as u8 + 1));
        put_text(&mut self.spelling, &resource.schema_url.read());
        self.spelling.extend_from_slice(resource.wire);
        let hash = self.spellings.hash(&self.spelling);
        if let Some(spelling) = self.spellings.find(&self.spelling, hash) {
            return self.spelled[spelling as usize];
        }
        let number = self.new_resource(resource);
        if !self.spellings.is_full() {
            self.spellings.add(&self.spelling, hash);
            grow(&mut self.spelled, 1);
            self.spelled.push(number);
        }
        number
    }

    fn new_resource(&mut self, resource: &ResourceRef<'_>) -> u32 {
        let owned = Resource {
            tags: owned(resource.tags),
            dropped_tags: resource.dropped_tags,
            schema_url: resource.schema_url.read().into_owned(),
        };
        put_resource(&mut self.scratch, &owned);
        self.resources.put(&self.scratch, || Arc::new(owned))
    }

    pub(super) fn set_target(&mut self, target: Option<&Arc<Labels>>) {
        self.target = self.targets.shared(target, &mut self.scratch, put_labels);
        self.set(Origin { target: self.target, ..Origin::default() });
    }

    pub(super) fn set_shared(
        &mut self,
        resource: Option<&Arc<Resource>>,
        scope: Option<&Arc<Scope>>,
        target: Option<&Arc<Labels>>,
    ) {
        let scratch = &mut self.scratch;
        let now = Origin {
            resource: self.resources.shared(resource, scratch, put_resource),
            scope: self.scopes.shared(scope, scratch, put_scope),
            target: self.targets.shared(target, scratch, put_labels),
        };
        self.set(now);
    }

    fn get(&self, number: u32) -> Origin {
        let (numbers, _) = self.origins.get(number).as_chunks::<4>();
        let [resource, scope, target] = numbers else { return Origin::default() };
        let [resource, scope, target] = [resource, scope, target].map(|n| u32::from_le_bytes(*n));
        Origin { resource, scope, target }
    }

    pub(super) fn numbers_of(&self, number: u32) -> [u32; 3] {
        let Origin { resource, scope, target } = self.get(number);
        [resource, scope, target]
    }

    pub(super) fn new_resources(&self) -> impl Iterator<Item = &Resource> {
        self.resources.new_ones()
    }

    pub(super) fn new_scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.new_ones()
    }

    pub(super) fn new_targets(&self) -> impl Iterator<Item = &Labels> {
        self.targets.new_ones()
    }

    pub(super) fn resource_of(&self, number: u32) -> Option<&Arc<Resource>> {
        self.resources.get(self.get(number).resource)
    }

    pub(super) fn scope_of(&self, number: u32) -> Option<&Arc<Scope>> {
        self.scopes.get(self.get(number).scope)
    }

    pub(super) fn target_of(&self, number: u32) -> Option<&Arc<Labels>> {
        self.targets.get(self.get(number).target)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            resources: self.resources.known.len(),
            scopes: self.scopes.known.len(),
            targets: self.targets.known.len(),
            spellings: self.spellings.len(),
            origins: self.origins.len(),
        }
    }

    /// The next span has no origin then until it is told, and a target only if that was known before.
    pub(super) fn truncate(&mut self, mark: Mark) {
        self.resources.truncate(mark.resources);
        self.scopes.truncate(mark.scopes);
        self.targets.truncate(mark.targets);
        self.spellings.truncate(mark.spellings);
        self.spelled.truncate(mark.spellings);
        self.origins.truncate(mark.origins);
        if self.target as usize >= mark.targets {
            self.target = 0;
        }
        (self.now, self.now_number) = (Origin::default(), 0);
        self.set(Origin { target: self.target, ..Origin::default() });
    }

    /// The next span has no origin, nor a target, until it is told.
    pub(super) fn clear(&mut self) {
        self.resources.kept = self.resources.values.len();
        self.scopes.kept = self.scopes.values.len();
        self.targets.kept = self.targets.values.len();
        (self.target, self.format) = (0, None);
        self.set(Origin::default());
    }

    pub(super) fn is_full(&self) -> bool {
        self.resources.known.is_full()
            || self.scopes.known.is_full()
            || self.targets.known.is_full()
            || self.spellings.is_full()
            || self.origins.is_full()
    }

    pub(super) fn bytes(&self) -> usize {
        self.resources.bytes()
            + self.scopes.bytes()
            + self.targets.bytes()
            + self.spellings.bytes()
            + room(&self.spelled)
            + self.origins.bytes()
            + self.scratch.capacity()
            + self.spelling.capacity()
    }
}

fn owned(tags: &[TagRef<'_>]) -> Tags {
    tags.iter().map(TagRef::to_owned).collect()
}

fn put_resource(out: &mut Vec<u8>, resource: &Resource) {
    out.clear();
    out.extend_from_slice(&resource.dropped_tags.to_le_bytes());
    put_text(out, &resource.schema_url);
    put_tags(out, &resource.tags);
}

fn put_scope(out: &mut Vec<u8>, scope: &Scope) {
    out.clear();
    out.extend_from_slice(&scope.dropped_tags.to_le_bytes());
    put_text(out, &scope.schema_url);
    put_text(out, &scope.name);
    put_text(out, &scope.version);
    put_tags(out, &scope.tags);
}

fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.clear();
    // Else no labels would be nothing.
    out.push(0);
    for (name, value) in labels {
        put_text(out, name);
        put_text(out, value);
    }
}

/// Shared values by number.
#[derive(Debug)]
struct Numbered<T> {
    known: Interner,
    /// The first stands for none and is never read.
    values: Vec<Option<Arc<T>>>,
    /// The value that came last, as it was given: most come again at once.
    last: Option<(Arc<T>, u32)>,
    /// How many there were already when the columns were cleared.
    kept: usize,
}

impl<T> Numbered<T> {
    fn new() -> Self {
        Self { known: Interner::new(BYTES_MAX), values: vec![None], last: None, kept: 0 }
    }

    fn put(&mut self, bytes: &[u8], value: impl FnOnce() -> Arc<T>) -> u32 {
        let number = self.known.intern(bytes);
        if self.values.len() < self.known.len() {
            grow(&mut self.values, 1);
            self.values.push(Some(value()));
        }
        number
    }

    fn shared(
        &mut self,
        value: Option<&Arc<T>>,
        scratch: &mut Vec<u8>,
        put: impl FnOnce(&mut Vec<u8>, &T),
    ) -> u32 {
        let Some(value) = value else { return 0 };
        if let Some((last, number)) = &self.last
            && Arc::ptr_eq(last, value)
        {
            return *number;
        }
        put(scratch, value);
        let number = self.put(scratch, || value.clone());
        self.last = Some((value.clone(), number));
        number
    }

    fn new_ones(&self) -> impl Iterator<Item = &T> {
        self.values.iter().skip(self.kept).flatten().map(Arc::as_ref)
    }

    fn get(&self, number: u32) -> Option<&Arc<T>> {
        self.values.get(number as usize)?.as_ref()
    }

    fn truncate(&mut self, len: usize) {
        self.known.truncate(len);
        self.values.truncate(len);
        self.last = None;
    }

    /// A value takes about twice the bytes that tell it from others: names, texts, and their places.
    fn bytes(&self) -> usize {
        3 * self.known.bytes() + room(&self.values)
    }
}
