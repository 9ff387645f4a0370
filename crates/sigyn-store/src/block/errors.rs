//! Which spans of a source failed.

use sigyn_model::StatusCode;

use super::per_source::PerSource;
use super::source::{Source, SourceRow};
use crate::wanted::has_error;

/// Numbers of what says `error`, as far as it was met.
#[derive(Debug, Default)]
pub(super) struct Errors {
    tags: PerSource<bool>,
    resources: PerSource<bool>,
}

impl Errors {
    pub(super) fn begin_source(&mut self) {
        self.tags.clear();
        self.resources.clear();
    }

    /// See [`sigyn_model::Span::is_error`].
    pub(super) fn has(&mut self, source: &dyn Source, row: &SourceRow, tags: &[u32]) -> bool {
        if row.status_code == StatusCode::Error {
            return true;
        }
        let in_resource = self.resources.get_or_insert_with(row.resource, || {
            source.resource(row.resource).is_some_and(|resource| has_error(resource))
        });
        let mut is_error = |tag: u32| {
            self.tags.get_or_insert_with(tag, || source.key(source.tag(tag).0) == "error")
        };
        in_resource || tags.iter().any(|tag| is_error(*tag))
    }
}
