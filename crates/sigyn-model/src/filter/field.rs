//! What a filter can ask of a span by name.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::{Kind, Searched, StatusCode};

/// What means no tag if it stands without quotes.
const NAMES: [&str; 9] = [
    "service",
    "name",
    "remote",
    "kind",
    "status",
    "annotation",
    "duration",
    "resource.",
    "target.",
];

/// What begins so means no tag either.
const PREFIXES: [&str; 3] = ["resource.", "target.", "."];
/// Nor does this, and beside what is known of traces it means nothing.
const OF_TRACES: [&str; 2] = ["trace.", "root."];

/// Why a name is that of no field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("expected a key, such as service or http.method")]
    Empty,
    #[error("a duration is no text")]
    Duration,
    #[error("{0} is of a whole trace; a tag of this name is written .{0}")]
    OfTrace(String),
    #[error("what follows {0} is missing, such as {0}zone")]
    Unfinished(&'static str),
}

/// Whether a name is one of a whole trace, or would be.
pub(super) fn is_of_trace(name: &str) -> bool {
    OF_TRACES.into_iter().any(|prefix| name.starts_with(prefix))
}

/// What is missing in a name.
pub(super) fn unfinished(name: &str) -> Option<FieldError> {
    let prefix = PREFIXES.into_iter().find(|prefix| *prefix == name)?;
    Some(FieldError::Unfinished(prefix))
}

impl FromStr for Field {
    type Err = FieldError;

    /// As [`Field::read`] reads it, but for what would be something else in a filter.
    fn from_str(name: &str) -> Result<Self, FieldError> {
        match name {
            "" => Err(FieldError::Empty),
            "duration" => Err(FieldError::Duration),
            _ if is_of_trace(name) => Err(FieldError::OfTrace(name.to_owned())),
            _ => unfinished(name).map_or_else(|| Ok(Self::read(name)), Err),
        }
    }
}

/// A name that stands for some text of every span.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    Service,
    Name,
    Remote,
    Kind,
    Status,
    /// Any of the span's annotations.
    Annotation,
    /// A tag as Zipkin shows it: see [`crate::Span::zipkin_tag`].
    Tag(String),
    /// What the process said of itself.
    Resource(String),
    /// A label of the target that the span was scraped from.
    Label(String),
}

impl Field {
    /// A name as it is written without quotes: a known one, `resource.` or `target.` and a key, or a
    /// tag's key, which a dot in front says for sure.
    pub fn read(text: &str) -> Self {
        let after = |prefix: &str| {
            text.strip_prefix(prefix).filter(|key| !key.is_empty()).map(str::to_owned)
        };
        match text {
            "service" => Self::Service,
            "name" => Self::Name,
            "remote" => Self::Remote,
            "kind" => Self::Kind,
            "status" => Self::Status,
            "annotation" => Self::Annotation,
            _ => (after("resource.").map(Self::Resource))
                .or_else(|| after("target.").map(Self::Label))
                .or_else(|| after(".").map(Self::Tag))
                .unwrap_or_else(|| Self::Tag(text.to_owned())),
        }
    }

    /// A tag's key as it is written in a filter: in quotes where it would mean something else.
    pub(crate) fn write_tag(key: &str) -> Cow<'_, str> {
        let is_plain = super::lex::is_word(key)
            && !NAMES.contains(&key)
            && !is_of_trace(key)
            && !PREFIXES.into_iter().any(|prefix| key.starts_with(prefix));
        if is_plain {
            return Cow::Borrowed(key);
        }
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = super::lex::write_quoted(&mut out, key);
        Cow::Owned(out)
    }

    /// The text, if the span has one. A span may have many annotations: this is none of them.
    pub fn of<'a>(&self, span: &'a impl Searched) -> Option<Cow<'a, str>> {
        match self {
            Self::Service => span.service_name().map(Cow::Borrowed),
            Self::Name => Some(span.name()).filter(|name| !name.is_empty()).map(Cow::Borrowed),
            Self::Remote => span.remote_service_name().map(Cow::Borrowed),
            Self::Kind => span.kind().map(|kind| Cow::Borrowed(kind_word(kind))),
            Self::Status => Some(Cow::Borrowed(status_word(span))),
            Self::Annotation => None,
            Self::Tag(key) => span.zipkin_tag(key),
            Self::Resource(key) => {
                let tags = &span.resource()?.tags;
                tags.iter().find(|(k, _)| k == key).map(|(_, value)| value.text())
            }
            Self::Label(name) => {
                let labels = span.target()?;
                labels.iter().find(|(n, _)| n == name).map(|(_, v)| Cow::Borrowed(v.as_str()))
            }
        }
    }

    /// The words that it can be, where they are few.
    pub(super) fn words(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::Kind => Some(&["client", "server", "producer", "consumer"]),
            Self::Status => Some(&["unset", "ok", "error"]),
            _ => None,
        }
    }

    /// Its texts are names: lower case, and without an order.
    pub(super) fn is_name(&self) -> bool {
        match self {
            Self::Service | Self::Name | Self::Remote | Self::Kind | Self::Status => true,
            Self::Annotation | Self::Tag(_) | Self::Resource(_) | Self::Label(_) => false,
        }
    }
}

impl fmt::Display for Field {
    /// As it is written in a filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("service"),
            Self::Name => f.write_str("name"),
            Self::Remote => f.write_str("remote"),
            Self::Kind => f.write_str("kind"),
            Self::Status => f.write_str("status"),
            Self::Annotation => f.write_str("annotation"),
            Self::Tag(key) => f.write_str(&Self::write_tag(key)),
            Self::Resource(key) => write!(f, "resource.{key}"),
            Self::Label(key) => write!(f, "target.{key}"),
        }
    }
}

pub(crate) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Client => "client",
        Kind::Server => "server",
        Kind::Producer => "producer",
        Kind::Consumer => "consumer",
    }
}

/// What [`Field::Status`] is: a tag `error` is an error, whoever set it.
pub fn status_word(span: &impl Searched) -> &'static str {
    match span.status_code() {
        _ if span.is_error() => "error",
        StatusCode::Ok => "ok",
        StatusCode::Unset | StatusCode::Error => "unset",
    }
}
