//! Spans that are counted together, as filters and groups see them.

use std::borrow::Cow;
use std::time::Duration;

use sigyn_model::{Kind, Labels, Resource, Scope, Searched, StatusCode, Timestamp};

/// What spans have in common that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sort<'a> {
    /// Empty for none.
    pub(crate) service: &'a str,
    pub(crate) name: &'a str,
    pub(crate) kind: Option<Kind>,
    pub(crate) status: Status,
}

/// How spans ended, as questions see it: a tag `error` is an error, whatever the status is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Status {
    Unset,
    Ok,
    Error,
}

impl Status {
    pub(crate) fn of(code: StatusCode, is_error: bool) -> Self {
        match code {
            _ if is_error => Self::Error,
            StatusCode::Ok => Self::Ok,
            StatusCode::Unset | StatusCode::Error => Self::Unset,
        }
    }
}

/// Only what [`super::FIELDS`] are made of.
impl Searched for Sort<'_> {
    fn is_root(&self) -> bool {
        false
    }

    fn timestamp(&self) -> Option<Timestamp> {
        None
    }

    fn duration(&self) -> Option<Duration> {
        None
    }

    fn name(&self) -> &str {
        self.name
    }

    fn kind(&self) -> Option<Kind> {
        self.kind
    }

    fn shared(&self) -> bool {
        false
    }

    fn service_name(&self) -> Option<&str> {
        Some(self.service).filter(|name| !name.is_empty())
    }

    fn remote_service_name(&self) -> Option<&str> {
        None
    }

    fn own_tag(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn status_code(&self) -> StatusCode {
        match self.status {
            Status::Unset => StatusCode::Unset,
            Status::Ok => StatusCode::Ok,
            Status::Error => StatusCode::Error,
        }
    }

    fn status_message(&self) -> &str {
        ""
    }

    fn scope(&self) -> Option<&Scope> {
        None
    }

    fn resource(&self) -> Option<&Resource> {
        None
    }

    fn target(&self) -> Option<&Labels> {
        None
    }

    fn any_annotation(&self, _: &mut dyn FnMut(&str) -> bool) -> bool {
        false
    }
}
