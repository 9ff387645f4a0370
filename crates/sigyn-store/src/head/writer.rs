//! The one that puts spans into a head: rows where nobody looks yet, then all of them at once.

use std::collections::HashMap;
use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use sigyn_model::{Labels, Resource, Scope, Searched, TraceId};

use super::bring::{Remap, Remaps};
use super::hint::{self, Sort};
use super::origins::{Numbered, Origin, Origins};
use super::rare::{AnnotationCodes, Extra, LinkCodes, List};
use super::row::Row;
use super::traces::RowFacts;
use super::words::{Interner, OpenSlab, Shelves, Words};
use super::{Head, HeadView};
use crate::wanted::{has_error, has_label_error};
use sigyn_model::columns::fact;

/// Names of spans and services that are kept once; of more, each takes its own place.
const NAMES_BYTES_MAX: usize = 16 << 20;
/// The same for what annotations, statuses and trace states say, for tags, and for the rest.
const TEXTS_BYTES_MAX: usize = 32 << 20;
const OTHER_BYTES_MAX: usize = 16 << 20;
/// A key with more values than this is one whose values hardly come again. They are kept, but not
/// looked for: that would cost a place in a table for each.
const VALUES_MAX: u16 = 4_096;
/// So many traces are looked for together.
const LOOK_AHEAD: u32 = 64;
/// The number of the key `error`, which is always known.
pub(super) const ERROR_KEY: u32 = 1;

/// Writes into one head. What it has staged, nobody sees before it is published; what is discarded, nobody
/// ever saw.
#[derive(Debug)]
pub(crate) struct HeadWriter {
    pub(super) head: Arc<Head>,
    pub(super) open: OpenSlab,
    pub(super) words: Interners,
    resources: Shared<Resource>,
    scopes: Shared<Scope>,
    targets: Shared<Labels>,
    origins: HashMap<Origin, u32, RandomState>,
    /// Whether the resource of each says `error`.
    origins_say_error: Vec<bool>,
    /// Rares without lists, by what else they say.
    rares: HashMap<u32, u32, RandomState>,
    /// By key.
    values: Vec<Values>,
    /// Rows that nobody sees yet, and their tags.
    staged: Vec<NewRow>,
    staged_tags: Vec<StagedTag>,
    ends: Ends,
    published: Ends,
    /// Of each trace.
    last_rows: Vec<u32>,
    named: Named,
    unlisted_names: u64,
    unique_tags: u64,
    /// Of the batch that is brought, and of those before it.
    pub(super) remap: Remap,
    pub(super) remaps: Remaps,
}

/// What finds words again.
#[derive(Debug)]
pub(super) struct Interners {
    names: Interner,
    texts: Interner,
    keys: Interner,
    tags: Interner,
    endpoints: Interner,
    extras: Interner,
}

/// How much there is of what rows consist of.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    rows: u32,
    tags: u32,
    annotations: u32,
    links: u32,
    nested_tags: u32,
    rares: u32,
    origins: u32,
}

/// The values of one key.
#[derive(Clone, Copy, Debug, Default)]
struct Values {
    /// How many have been new.
    new: u16,
    /// Of those that came since, how many were looked for in this round, and found.
    asked: u8,
    found: u8,
    /// So many more are not looked for.
    skipped: u16,
}

impl Values {
    /// Looking for what hardly ever is there costs more than keeping what is there twice.
    fn are_looked_for(&mut self) -> bool {
        let is_so = self.skipped == 0;
        self.skipped = self.skipped.saturating_sub(1);
        is_so
    }

    fn note(&mut self, is_found: bool) {
        self.asked += 1;
        self.found += u8::from(is_found);
        if self.asked == 64 {
            self.skipped = if self.found < 8 { 1_024 } else { 0 };
            (self.asked, self.found) = (0, 0);
        }
    }
}

/// A row in numbers of this head. Its tags were put before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewRow {
    pub(super) trace_id: TraceId,
    pub(super) id: u64,
    pub(super) parent_id: u64,
    pub(super) timestamp: u64,
    pub(super) duration: u64,
    pub(super) facts: u16,
    pub(super) name: u32,
    pub(super) local_endpoint: u32,
    pub(super) remote_endpoint: u32,
    pub(super) origin: u32,
    /// Zero for nothing.
    pub(super) extra: u32,
    pub(super) long_duration: Option<Duration>,
    pub(super) annotations: List,
    pub(super) links: List,
    /// Where its tags end; whoever stages it need not know.
    pub(super) tag_end: u32,
}

/// A tag of a staged row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StagedTag(u32);

impl StagedTag {
    /// Memory ends before numbers reach it.
    const UNIQUE: u32 = 1 << 31;

    pub(super) fn number(self) -> u32 {
        self.0 & !Self::UNIQUE
    }

    /// Whether it was kept without being looked for.
    pub(super) fn is_unique(self) -> bool {
        self.0 & Self::UNIQUE != 0
    }
}

/// That a row says `error` in a tag or an annotation of its own. Beside the bits of [`fact`].
pub(super) const SAYS_ERROR: u16 = 1 << 15;

impl HeadWriter {
    /// The writer of a new head.
    pub(crate) fn new() -> Self {
        let mut writer = Self {
            head: Arc::new(Head::new()),
            open: OpenSlab::default(),
            words: Interners {
                names: Interner::new(NAMES_BYTES_MAX),
                texts: Interner::new(TEXTS_BYTES_MAX),
                keys: Interner::new(OTHER_BYTES_MAX),
                tags: Interner::new(TEXTS_BYTES_MAX),
                endpoints: Interner::new(OTHER_BYTES_MAX),
                extras: Interner::new(OTHER_BYTES_MAX),
            },
            resources: Shared::new(),
            scopes: Shared::new(),
            targets: Shared::new(),
            origins: HashMap::default(),
            origins_say_error: vec![false],
            rares: HashMap::default(),
            values: vec![Values::default()],
            staged: Vec::new(),
            staged_tags: Vec::new(),
            ends: Ends { rares: 1, origins: 1, ..Ends::default() },
            published: Ends::default(),
            last_rows: Vec::new(),
            named: Named::default(),
            unlisted_names: 0,
            unique_tags: 0,
            remap: Remap::default(),
            remaps: Remaps::default(),
        };
        let error = writer.key("error");
        debug_assert_eq!(error, ERROR_KEY);
        writer.settle();
        writer
    }

    pub(crate) fn head(&self) -> &Arc<Head> {
        &self.head
    }

    pub(crate) fn view(&self) -> HeadView {
        self.head.view()
    }

    /// How many names were left out of its lists since this was asked last.
    pub(crate) fn take_unlisted_names(&mut self) -> u64 {
        std::mem::take(&mut self.unlisted_names)
    }

    /// How many tags were kept without being looked for since this was asked last.
    pub(crate) fn take_unique_tags(&mut self) -> u64 {
        std::mem::take(&mut self.unique_tags)
    }

    pub(super) fn name(&mut self, text: &str) -> u32 {
        let mut shelves = shelves(&self.head.names, &self.head, &mut self.open);
        self.words.names.intern_text(&mut shelves, text)
    }

    pub(super) fn text(&mut self, text: &str) -> u32 {
        let mut shelves = shelves(&self.head.texts, &self.head, &mut self.open);
        self.words.texts.intern_text(&mut shelves, text)
    }

    pub(super) fn key(&mut self, text: &str) -> u32 {
        let mut shelves = shelves(&self.head.keys, &self.head, &mut self.open);
        let number = self.words.keys.intern_text(&mut shelves, text);
        if self.values.len() <= number as usize {
            self.values.resize(number as usize + 1, Values::default());
        }
        number
    }

    /// The number of a tag: a key's number, and a value's bytes.
    pub(super) fn tag(&mut self, key: u32, value: &[u8]) -> StagedTag {
        let mut shelves = shelves(&self.head.tags, &self.head, &mut self.open);
        let values = &mut self.values[key as usize];
        if values.new < VALUES_MAX {
            let (number, is_new) = self.words.tags.intern(&mut shelves, key, value);
            values.new += u16::from(is_new);
            return self.staged_tag(number);
        }
        if values.are_looked_for() {
            let known = self.words.tags.known(&shelves, key, value);
            values.note(known.is_some());
            if let Some(number) = known {
                return self.staged_tag(number);
            }
        }
        self.unique_tag(key, value)
    }

    /// A tag that is known by this number.
    pub(super) fn staged_tag(&self, number: u32) -> StagedTag {
        let is_unique = self.head.tags.is_unique(number);
        StagedTag(number | if is_unique { StagedTag::UNIQUE } else { 0 })
    }

    /// The same for one that hardly comes again.
    pub(super) fn unique_tag(&mut self, key: u32, value: &[u8]) -> StagedTag {
        self.unique_tags += 1;
        let mut shelves = shelves(&self.head.tags, &self.head, &mut self.open);
        StagedTag(self.words.tags.push(&mut shelves, key, value) | StagedTag::UNIQUE)
    }

    /// An endpoint: its name's number, and the bytes of the rest.
    pub(super) fn endpoint(&mut self, name: u32, bytes: &[u8]) -> u32 {
        let mut shelves = shelves(&self.head.endpoints, &self.head, &mut self.open);
        self.words.endpoints.intern(&mut shelves, name, bytes).0
    }

    pub(super) fn extra(&mut self, extra: Extra) -> u32 {
        if extra == Extra::default() {
            return 0;
        }
        let mut shelves = shelves(&self.head.extras, &self.head, &mut self.open);
        self.words.extras.intern(&mut shelves, 0, extra.to_bytes().as_flattened()).0
    }

    pub(super) fn resource(&mut self, bytes: &[u8], value: impl FnOnce() -> Arc<Resource>) -> u32 {
        let shelf = &self.head.origins.resources;
        let mut shelves = shelves(&shelf.words, &self.head, &mut self.open);
        self.resources.put(&mut shelves, bytes, value)
    }

    pub(super) fn scope(&mut self, bytes: &[u8], value: impl FnOnce() -> Arc<Scope>) -> u32 {
        let shelf = &self.head.origins.scopes;
        let mut shelves = shelves(&shelf.words, &self.head, &mut self.open);
        self.scopes.put(&mut shelves, bytes, value)
    }

    pub(super) fn target(&mut self, bytes: &[u8], value: impl FnOnce() -> Arc<Labels>) -> u32 {
        let shelf = &self.head.origins.targets;
        let mut shelves = shelves(&shelf.words, &self.head, &mut self.open);
        self.targets.put(&mut shelves, bytes, value)
    }

    /// `says_error` is asked if they have not met before.
    pub(super) fn origin(&mut self, origin: Origin, says_error: impl FnOnce() -> bool) -> u32 {
        if origin == Origin::default() {
            return 0;
        }
        if let Some(number) = self.origins.get(&origin) {
            return *number;
        }
        let number = self.ends.origins;
        self.head.origins.set(number, origin);
        self.origins.insert(origin, number);
        self.origins_say_error.push(says_error());
        self.ends.origins += 1;
        number
    }

    /// The same for a resource of this head.
    pub(super) fn origin_of(&mut self, origin: Origin) -> u32 {
        let resource = self.resources.get(&self.head.origins.resources, origin.resource);
        let target = self.targets.get(&self.head.origins.targets, origin.target);
        let says_error = resource.is_some_and(|resource| has_error(resource))
            || target.is_some_and(|labels| has_label_error(labels));
        self.origin(origin, || says_error)
    }

    pub(super) fn text_is(&self, number: u32, text: &str) -> bool {
        self.bytes_of(&self.head.texts, number) == text.as_bytes()
    }

    /// A word, whether it is published yet or not.
    #[inline]
    pub(super) fn bytes_of<'a>(&'a self, words: &Words, number: u32) -> &'a [u8] {
        self.open.word(&self.head.slabs, words, number)
    }

    /// A staged row.
    #[inline]
    pub(super) fn staged_row(&self, row: u32) -> &NewRow {
        &self.staged[(row - self.published.rows) as usize]
    }

    /// Rows that are staged, from this one on, and all tags of staged rows, behind how many others those
    /// are.
    pub(super) fn staged_from(&self, row: u32) -> (&[NewRow], &[StagedTag], u32) {
        let at = (row - self.published.rows) as usize;
        (&self.staged[at..], &self.staged_tags, self.published.tags)
    }

    /// Where the tags of a row end, be it published or not.
    pub(super) fn tag_end(&self, row: u32) -> u32 {
        match row.checked_sub(self.published.rows) {
            Some(at) => self.staged[at as usize].tag_end,
            None => self.head.rows.tag_ends.get(row),
        }
    }

    /// A tag of the row that comes next.
    #[inline]
    pub(super) fn put_tag(&mut self, tag: StagedTag) {
        self.staged_tags.push(tag);
        self.ends.tags += 1;
    }

    pub(super) fn put_nested_tags(&mut self, tags: impl Iterator<Item = u32>) -> List {
        let first = self.ends.nested_tags;
        for tag in tags {
            self.head.rares.nested_tags.set(self.ends.nested_tags, tag);
            self.ends.nested_tags += 1;
        }
        List { first, len: self.ends.nested_tags - first }
    }

    pub(super) fn put_annotation(&mut self, annotation: &AnnotationCodes) {
        self.head.rares.annotations.set(self.ends.annotations, annotation);
        self.ends.annotations += 1;
    }

    pub(super) fn put_link(&mut self, link: &LinkCodes) {
        self.head.rares.links.set(self.ends.links, link);
        self.ends.links += 1;
    }

    /// Where the next annotation and the next link go.
    pub(super) fn list_ends(&self) -> (u32, u32) {
        (self.ends.annotations, self.ends.links)
    }

    /// Stages a row. Its tags are those that were put since the last one.
    pub(super) fn stage(&mut self, mut new: NewRow) {
        new.tag_end = self.ends.tags;
        self.staged.push(new);
        self.ends.rows += 1;
    }

    fn rare(&mut self, new: &NewRow) -> u32 {
        let has_lists = new.facts & (fact::ANNOTATIONS | fact::LINKS | fact::LONG_DURATION) != 0;
        if !has_lists {
            if new.extra == 0 {
                return 0;
            }
            if let Some(number) = self.rares.get(&new.extra) {
                return *number;
            }
            self.rares.insert(new.extra, self.ends.rares);
        }
        let (number, rares) = (self.ends.rares, &self.head.rares);
        rares.extras.set(number, new.extra);
        rares.annotation_lists.set(number, new.annotations.packed());
        rares.link_lists.set(number, new.links.packed());
        let long = new.long_duration.unwrap_or_default();
        rares.long_secs.set(number, long.as_secs());
        rares.long_nanos.set(number, long.subsec_nanos());
        self.ends.rares += 1;
        number
    }

    /// Rows that are staged.
    pub(super) fn staged(&self) -> Range<u32> {
        self.published.rows..self.ends.rows
    }

    /// Forgets what is staged, and all words that came with it.
    pub(crate) fn discard(&mut self) {
        self.remaps.clear();
        let Origins { resources, scopes, targets, .. } = &self.head.origins;
        self.words.each(&self.head, |interner, words| {
            interner.forget(&shelves(words, &self.head, &mut self.open));
        });
        self.resources.forget(&shelves(&resources.words, &self.head, &mut self.open));
        self.scopes.forget(&shelves(&scopes.words, &self.head, &mut self.open));
        self.targets.forget(&shelves(&targets.words, &self.head, &mut self.open));
        self.open.forget();
        self.values.truncate(self.words.keys.len() as usize);
        self.staged.clear();
        self.staged_tags.clear();
        if self.ends.origins > self.published.origins {
            self.origins.retain(|_, number| *number < self.published.origins);
            self.origins_say_error.truncate(self.published.origins as usize);
        }
        if self.ends.rares > self.published.rares {
            self.rares.retain(|_, number| *number < self.published.rares);
        }
        self.ends = self.published;
    }

    /// The same for the first rows of a head, where the one before it has them, too.
    pub(crate) fn publish_again(&mut self, first_arrival_ms: u64, last_arrival_ms: u64) {
        // Before they are there: whoever sees them sees this.
        self.head.again_rows.store(self.ends.rows, Ordering::Relaxed);
        self.publish(first_arrival_ms, last_arrival_ms);
    }

    /// Makes what is staged visible at once: batches, the first and the last of which arrived then.
    pub(crate) fn publish(&mut self, first_arrival_ms: u64, last_arrival_ms: u64) {
        let staged = std::mem::take(&mut self.staged);
        self.put_staged(&staged);
        let first = self.published.rows;
        self.settle();
        let head = self.head.clone();
        for (row, new) in (first..).zip(&staged) {
            if row.wrapping_sub(first).is_multiple_of(LOOK_AHEAD) {
                let from = row.wrapping_sub(first) as usize;
                let soon = staged[from..].iter().take(LOOK_AHEAD as usize);
                // Or the compiler would find that nobody needs it.
                black_box(head.traces.look_ahead(soon.map(|new| new.trace_id.into())));
            }
            let (trace, is_new) = head.traces.put(new.trace_id.into(), row);
            head.rows.traces.set(row, trace);
            if is_new {
                self.last_rows.push(row);
            } else {
                let last = std::mem::replace(&mut self.last_rows[trace as usize], row);
                head.rows.next_rows.set(last, row);
            }
            let facts = self.facts_of(&head, row, new);
            head.traces.add(trace, facts);
        }
        self.staged = staged;
        self.staged.clear();
        self.staged_tags.clear();
        // One huge batch must not hold its memory for ever.
        self.staged.shrink_to(1 << 14);
        self.staged_tags.shrink_to(1 << 18);
        head.first_arrival_ms.fetch_min(first_arrival_ms, Ordering::Relaxed);
        head.last_arrival_ms.fetch_max(last_arrival_ms, Ordering::Relaxed);
        head.writer_bytes.store(self.bytes(), Ordering::Relaxed);
        head.len.store(self.ends.rows, Ordering::Release);
    }

    /// Puts rows where they will stand.
    fn put_staged(&mut self, staged: &[NewRow]) {
        let head = self.head.clone();
        let (rows, first) = (&head.rows, self.published.rows);
        rows.ids.set_all(first, staged, |new| new.id);
        rows.parent_ids.set_all(first, staged, |new| new.parent_id);
        rows.timestamps.set_all(first, staged, |new| new.timestamp);
        rows.durations.set_all(first, staged, |new| new.duration);
        rows.facts.set_all(first, staged, |new| new.facts);
        rows.names.set_all(first, staged, |new| new.name);
        rows.local_endpoints.set_all(first, staged, |new| new.local_endpoint);
        rows.remote_endpoints.set_all(first, staged, |new| new.remote_endpoint);
        rows.origins.set_all(first, staged, |new| new.origin);
        rows.tag_ends.set_all(first, staged, |new| new.tag_end);
        rows.tags.set_all(self.published.tags, &self.staged_tags, |tag| tag.number());
        for (row, new) in (first..).zip(staged) {
            let rare = self.rare(new);
            rows.rares.set(row, rare);
        }
    }

    /// Words and positions, as they are now, are there to stay.
    pub(super) fn settle(&mut self) {
        self.open.freeze(&self.head.slabs);
        self.words.each(&self.head, |interner, _| interner.publish());
        self.resources.publish(&self.head.origins.resources);
        self.scopes.publish(&self.head.origins.scopes);
        self.targets.publish(&self.head.origins.targets);
        self.published = self.ends;
    }

    /// What the trace of a row is judged by. Most rows are named as one was before.
    fn facts_of(&mut self, head: &Head, row: u32, new: &NewRow) -> RowFacts {
        let (facts, origin) = (new.facts, new.origin);
        // Addresses are many, names are few.
        let named = |endpoint: u32| head.endpoints.about(endpoint);
        let names = [new.name, named(new.local_endpoint), named(new.remote_endpoint)];
        let mut words = match self.named.find(names) {
            Some(words) => words,
            None => {
                let stands = Row::new(head, row);
                let words = hints(&stands);
                let mut listed = head.listed.write().unwrap_or_else(PoisonError::into_inner);
                self.unlisted_names += Arc::make_mut(&mut listed).add(&stands);
                self.named.put(names, words);
                words
            }
        };
        let is_error = facts >> fact::STATUS_SHIFT & 3 == 2;
        if is_error || facts & SAYS_ERROR != 0 || self.origins_say_error[origin as usize] {
            words |= hint::ERROR;
        }
        let duration_us = match facts & (fact::DURATION | fact::LONG_DURATION) {
            0 => 0,
            // As it is shown.
            fact::DURATION => (new.duration / 1_000).max(1),
            _ => Row::new(head, row).duration_us().unwrap_or(0),
        };
        RowFacts {
            is_root: facts & fact::PARENT == 0,
            timestamp: (facts & fact::TIMESTAMP != 0).then_some(new.timestamp),
            duration_us,
            words,
        }
    }

    fn bytes(&self) -> usize {
        let Interners { names, texts, keys, tags, endpoints, extras } = &self.words;
        [names, texts, keys, tags, endpoints, extras].map(Interner::bytes).iter().sum::<usize>()
            + self.resources.bytes()
            + self.scopes.bytes()
            + self.targets.bytes()
            + self.origins.capacity() * size_of::<(Origin, u32)>()
            + self.rares.capacity() * size_of::<(u32, u32)>()
            + self.values.capacity() * size_of::<Values>()
            + self.staged.capacity() * size_of::<NewRow>()
            + self.staged_tags.capacity() * size_of::<StagedTag>()
            + self.last_rows.capacity() * size_of::<u32>()
            + size_of_val(self.named.0.as_slice())
            + self.remaps.bytes()
    }
}

impl Interners {
    fn each(&mut self, head: &Head, mut each: impl FnMut(&mut Interner, &Words)) {
        each(&mut self.names, &head.names);
        each(&mut self.texts, &head.texts);
        each(&mut self.keys, &head.keys);
        each(&mut self.tags, &head.tags);
        each(&mut self.endpoints, &head.endpoints);
        each(&mut self.extras, &head.extras);
    }
}

fn hints(row: &Row<'_>) -> u64 {
    let bit = |sort: Sort, text: Option<&str>| text.map_or(0, |text| hint::of(sort, text));
    bit(Sort::Service, row.service_name())
        | bit(Sort::SpanName, Some(row.name()))
        | bit(Sort::RemoteService, row.remote_service_name())
}

pub(super) fn shelves<'a>(words: &'a Words, head: &'a Head, open: &'a mut OpenSlab) -> Shelves<'a> {
    Shelves { words, slabs: &head.slabs, open }
}

/// The writer's side of values that many spans share.
#[derive(Debug)]
struct Shared<T> {
    interner: Interner,
    /// Those that are not published yet.
    pending: Vec<Arc<T>>,
    /// About what all of them take.
    value_bytes: usize,
}

impl<T> Shared<T> {
    fn new() -> Self {
        Self { interner: Interner::new(OTHER_BYTES_MAX), pending: Vec::new(), value_bytes: 0 }
    }

    fn put(
        &mut self,
        shelves: &mut Shelves<'_>,
        bytes: &[u8],
        value: impl FnOnce() -> Arc<T>,
    ) -> u32 {
        let (number, is_new) = self.interner.intern(shelves, 0, bytes);
        if is_new {
            self.pending.push(value());
            // Names, texts, and their places.
            self.value_bytes += 4 * bytes.len();
        }
        number
    }

    fn get<'a>(&'a self, numbered: &'a Numbered<T>, number: u32) -> Option<&'a Arc<T>> {
        let first = self.interner.len() as usize - self.pending.len();
        match (number as usize).checked_sub(first) {
            Some(at) => self.pending.get(at),
            None => numbered.get(number),
        }
    }

    fn publish(&mut self, numbered: &Numbered<T>) {
        for (number, value) in (1..self.interner.len()).rev().zip(self.pending.drain(..).rev()) {
            numbered.values.put(number, value);
        }
        self.interner.publish();
    }

    fn forget(&mut self, shelves: &Shelves<'_>) {
        self.pending.clear();
        self.interner.forget(shelves);
    }

    fn bytes(&self) -> usize {
        self.interner.bytes() + self.value_bytes
    }
}

/// Remembers what rows were named last, as far as it has room, and the bits of it. A few thousand of them
/// are most.
#[derive(Debug)]
struct Named(Vec<([u32; 3], u64)>);

impl Default for Named {
    fn default() -> Self {
        // No row has this for its names.
        Self(vec![([u32::MAX; 3], 0); 2_048])
    }
}

impl Named {
    fn place(&self, names: [u32; 3]) -> usize {
        let mixed = names
            .iter()
            .fold(0u32, |mixed, number| (mixed.rotate_left(11) ^ number).wrapping_mul(0x9e37_79b1));
        (mixed >> 20) as usize % self.0.len()
    }

    fn find(&self, names: [u32; 3]) -> Option<u64> {
        let (known, words) = self.0[self.place(names)];
        (known == names).then_some(words)
    }

    fn put(&mut self, names: [u32; 3], words: u64) {
        let place = self.place(names);
        self.0[place] = (names, words);
    }
}
