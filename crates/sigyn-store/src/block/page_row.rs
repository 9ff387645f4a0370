//! Rows of a block as searches look at them: of their columns only those are read that are asked for.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use sigyn_model::{
    Endpoint, Kind, Labels, Resource, Scope, Searched, Span, StatusCode, Timestamp, TraceId, Value,
};

use super::BlockError;
use super::ext::Ext;
use super::group_reader::{PageSet, RowReader, parse_kind, parse_status, str_of};
use super::page_reader::Page;
use super::schema::place;

/// A row of a block.
pub(crate) struct PageRow<'r, 'a> {
    reader: &'r RowReader<'a>,
    set: &'r PageSet,
    /// In its page.
    row: usize,
    /// If it is known.
    trace_id: Option<TraceId>,
    /// The first thing that could not be read: what is said of any row since is worth nothing.
    failed: &'r RefCell<Option<BlockError>>,
    resource: OnceCell<Option<Arc<Resource>>>,
    scope: OnceCell<Option<Arc<Scope>>>,
    target: OnceCell<Option<Arc<Labels>>>,
}

impl<'r, 'a> PageRow<'r, 'a> {
    pub(super) fn new(
        reader: &'r RowReader<'a>,
        set: &'r PageSet,
        row: usize,
        trace_id: Option<TraceId>,
        failed: &'r RefCell<Option<BlockError>>,
    ) -> Self {
        let (resource, scope, target) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { reader, set, row, trace_id, failed, resource, scope, target }
    }

    /// Of which row group it is: numbers of others mean something else.
    pub(crate) fn group(&self) -> usize {
        self.set.group()
    }

    /// All that the row says.
    pub(super) fn span(&self) -> Result<Span, BlockError> {
        self.reader.span(self.set, self.row, self.trace_id)
    }

    pub(crate) fn id_of_trace(&self) -> Option<TraceId> {
        if self.trace_id.is_some() {
            return self.trace_id;
        }
        let id = self.column(place::TRACE_ID).and_then(|page| page.id(self.row));
        let id = id.and_then(|id| TraceId::new(u128::from_be_bytes(id)));
        self.or_fail(id.map(Some).ok_or(BlockError::Row("a span without ids")))
    }

    /// The id of its parent.
    pub(super) fn parent(&self) -> Option<u64> {
        self.or_fail(self.reader.parent(self.set, self.row))
    }

    /// Its own endpoint.
    pub(super) fn local_endpoint(&self) -> Option<Endpoint> {
        if self.has_more() {
            return self.or_fail(self.span().map(Some)).and_then(|span| span.local_endpoint);
        }
        self.or_fail(self.reader.endpoint(self.set, self.row, place::LOCAL))
    }

    pub(super) fn debug(&self) -> bool {
        self.column(place::DEBUG).and_then(|page| page.is_true(self.row)).unwrap_or(false)
    }

    /// Its target's labels, as spans share them.
    pub(super) fn shared_target(&self) -> Option<Arc<Labels>> {
        self.or_fail(self.reader.target(self.set, self.row))
    }

    pub(super) fn each_annotation_time(&self, each: &mut dyn FnMut(Timestamp)) {
        let Some(times) = self.column(place::ANNOTATION_TIME) else { return };
        for at in times.elements(self.row).flatten().filter_map(|at| times.word64_at(at)) {
            each(Timestamp::from_nanos(at));
        }
    }

    /// Whether its columns may not be all that there is of it.
    pub(super) fn has_more(&self) -> bool {
        self.column(place::EXT).is_some_and(|page| page.has(self.row))
    }

    pub(crate) fn id(&self) -> Option<u64> {
        let id = self.word64(place::SPAN_ID).ok_or(BlockError::Row("a span without ids"));
        self.or_fail(id.map(Some))
    }

    /// A number that rows of its group have in common which say the same in a column; `None` if it has none.
    pub(super) fn number(&self, column: usize) -> Option<u32> {
        match self.column(column) {
            None => Some(0),
            Some(page) if !page.has(self.row) => Some(0),
            Some(page) => page.number(self.row)?.checked_add(1),
        }
    }

    /// Whether it says anything in a column.
    pub(super) fn has(&self, column: usize) -> bool {
        self.column(column).is_some_and(|page| page.has(self.row))
    }

    /// The value of a tag that has this column, if the row has any.
    pub(super) fn tag_at(&self, at: usize) -> Option<Value> {
        let Self { reader, set, row, .. } = *self;
        if !self.has(place::TAGS + at) {
            return None;
        }
        self.or_fail(reader.tag_at(set, row, at).map(Some))
    }

    /// Whether ids and addresses that its kind does not tell can be read; what cannot is told.
    pub(super) fn look_at_rest(&self) {
        self.parent();
        if self.has(place::REMOTE + 1) || self.has(place::REMOTE + 2) {
            self.or_fail(self.reader.endpoint(self.set, self.row, place::REMOTE));
        }
    }

    pub(super) fn has_annotations(&self) -> bool {
        let values = self.column(place::ANNOTATION_VALUE);
        values.is_some_and(|values| values.elements(self.row).next().is_some())
    }

    pub(super) fn each_key(&self, each: &mut dyn FnMut(&str)) {
        let read = self.reader.each_tag(self.set, self.row, &mut |key, _| {
            each(key);
            Ok(true)
        });
        self.or_fail(read);
    }

    pub(super) fn each_key_and_text(&self, each: &mut dyn FnMut(&str, &str)) {
        let read = self.reader.each_tag(self.set, self.row, &mut |key, told| {
            each(key, &told.text()?);
            Ok(true)
        });
        self.or_fail(read);
    }

    fn or_fail<T: Default>(&self, read: Result<T, BlockError>) -> T {
        read.unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            T::default()
        })
    }

    fn column(&self, at: usize) -> Option<&'r Page> {
        self.or_fail(self.reader.column(self.set, at))
    }

    fn text(&self, at: usize) -> Option<&'r str> {
        let text = self.column(at)?.text(self.row)?;
        self.or_fail(str_of(text).map(Some))
    }

    fn word64(&self, at: usize) -> Option<u64> {
        self.column(at)?.word64(self.row)
    }
}

impl Searched for PageRow<'_, '_> {
    fn is_root(&self) -> bool {
        !self.has(place::PARENT_DELTA) && !self.has(place::PARENT_ID)
    }

    fn timestamp(&self) -> Option<Timestamp> {
        self.word64(place::START).map(Timestamp::from_nanos)
    }

    fn duration(&self) -> Option<Duration> {
        let nanos = self.word64(place::DURATION)?;
        if nanos < u64::MAX {
            return Some(Duration::from_nanos(nanos));
        }
        // What is longer than a column can say stands elsewhere.
        let ext = self.column(place::EXT).and_then(|page| page.text(self.row));
        let longer = ext.and_then(|ext| self.or_fail(Ext::duration(ext).map_err(BlockError::from)));
        longer.or(Some(Duration::from_nanos(nanos)))
    }

    fn name(&self) -> &str {
        self.text(place::NAME).unwrap_or_default()
    }

    fn kind(&self) -> Option<Kind> {
        let kind = self.column(place::KIND)?.text(self.row)?;
        self.or_fail(parse_kind(kind).map(Some))
    }

    fn shared(&self) -> bool {
        self.column(place::SHARED).and_then(|page| page.is_true(self.row)).unwrap_or(false)
    }

    fn service_name(&self) -> Option<&str> {
        self.text(place::LOCAL)
    }

    fn remote_service_name(&self) -> Option<&str> {
        self.text(place::REMOTE)
    }

    fn own_tag(&self, key: &str) -> Option<Cow<'_, str>> {
        let mut found = None;
        let read = self.reader.each_tag(self.set, self.row, &mut |other, told| {
            if other != key {
                return Ok(true);
            }
            found = Some(told.own()?);
            Ok(false)
        });
        self.or_fail(read);
        found.map(|value| Cow::Owned(value.text().into_owned()))
    }

    fn status_code(&self) -> StatusCode {
        let status = self.column(place::STATUS).and_then(|page| page.text(self.row));
        status.map_or(StatusCode::Unset, |status| self.or_fail(parse_status(status)))
    }

    fn status_message(&self) -> &str {
        self.text(place::STATUS_MESSAGE).unwrap_or_default()
    }

    fn scope(&self) -> Option<&Scope> {
        let read = || self.or_fail(self.reader.scope(self.set, self.row));
        self.scope.get_or_init(read).as_deref()
    }

    fn resource(&self) -> Option<&Resource> {
        let read = || self.or_fail(self.reader.resource(self.set, self.row));
        self.resource.get_or_init(read).as_deref()
    }

    fn target(&self) -> Option<&Labels> {
        let read = || self.or_fail(self.reader.target(self.set, self.row));
        self.target.get_or_init(read).as_deref()
    }

    fn any_annotation(&self, holds: &mut dyn FnMut(&str) -> bool) -> bool {
        let Some(values) = self.column(place::ANNOTATION_VALUE) else { return false };
        values.elements(self.row).flatten().any(|at| {
            let text = values.text_at(at).map_or(Ok(""), str_of);
            holds(self.or_fail(text))
        })
    }
}
