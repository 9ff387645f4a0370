//! YAML as Prometheus reads it (YAML 1.1, strict), with every mistake located.
//!
//! The rest of the crate says what it expects through [`Section`] and [`Entry`]; which YAML reader
//! stands behind them is known here only.

mod directives;
mod file;
mod node;
mod scalar;
mod section;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;

use serde::de::DeserializeOwned;

pub use self::file::read_file;
pub use self::node::Node;
pub use self::section::{Entry, Fields, Section, deserialize_section, section};
pub use self::value::{Item, LabelMap, Text};

/// Where something stands in a file; both count from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl From<serde_saphyr::Location> for Place {
    fn from(location: serde_saphyr::Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

/// What is wrong with a text, and where. It prints as Prometheus' tools do, with the column after
/// it: `line 3: field bogus not found in type config.ScrapeConfig (column 5)`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message} (column {column})")]
pub struct YamlError {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong, without the place.
    pub message: String,
}

impl YamlError {
    /// Line and column in one.
    pub fn place(&self) -> Place {
        Place { line: self.line, column: self.column }
    }
}

/// Reads the first document of `text`. An empty text is `T::default()`-like: it reads as null.
///
/// Unknown fields and repeated keys are errors, `yes` and `off` are booleans, numbers read into a
/// string stay as written, and merge keys work.
///
/// ```
/// use sigyn_discovery::yaml::{self, Text};
///
/// let targets: Vec<Text> = yaml::from_yaml("[8080, 1.0, ~]").unwrap();
/// assert_eq!(targets, [Text::from("8080"), Text::from("1.0"), Text::default()]);
///
/// let error = yaml::from_yaml::<Vec<Text>>("- a\n- {b: c}").unwrap_err();
/// assert_eq!((error.line, error.column), (2, 3));
/// ```
pub fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    directives::check(text)?;
    let options = serde_saphyr::options! {
        with_snippet: false,
        // An include file for file_sd may list a hundred thousand targets: bounded, but not by
        // limits meant for untrusted uploads.
        budget: serde_saphyr::budget! {
            max_events: 50_000_000,
            max_nodes: 25_000_000,
            max_total_scalar_bytes: 1 << 30,
        },
    };
    serde_saphyr::with_deserializer_from_str_with_options(
        first_document(text),
        options,
        |deserializer| T::deserialize(deserializer),
    )
    .map_err(|error| located(&error))
}

/// Prometheus reads one document and ignores what follows. A marker at the start of a line ends a
/// document wherever it stands, even inside a quoted string, so looking at lines is exact.
fn first_document(text: &str) -> &str {
    let is_marker = |line: &str, marker: &str| {
        line.strip_prefix(marker)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
    };
    let mut begun = false;
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if begun && (is_marker(line, "...") || is_marker(line, "---")) {
            return &text[..end];
        }
        begun |= !line.trim().is_empty() && !line.starts_with(['#', '%']);
        end += line.len();
    }
    text
}

fn located(error: &serde_saphyr::Error) -> YamlError {
    let error = error.without_snippet();
    let message = wording(error);
    if let Some((place, message)) = marked(&message) {
        return YamlError { line: place.line, column: place.column, message: message.to_owned() };
    }
    let place = error.location().map(Place::from).unwrap_or(Place { line: 1, column: 1 });
    YamlError { line: place.line, column: place.column, message }
}

/// serde has no way to give an error a place, and the reader takes that of the mapping around it.
/// So a message of ours carries its own place in front, for [`located`] to take off again.
fn mark(place: Place, message: impl fmt::Display) -> String {
    format!("\u{1}{place}\u{1}{message}")
}

fn marked(message: &str) -> Option<(Place, &str)> {
    let (place, message) = message.strip_prefix('\u{1}')?.split_once('\u{1}')?;
    let (line, column) = place.split_once(':')?;
    Some((Place { line: line.parse().ok()?, column: column.parse().ok()? }, message))
}

/// Prometheus' words where there are any, else the reader's own.
fn wording(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("key \"{key}\" already set in map")
        }
        Error::SerdeUnknownField { field, .. } => format!("field {field} not found"),
        Error::AliasError { error, .. } => wording(error),
        Error::Message { msg, .. } => msg.clone(),
        Error::InvalidScalar { ty, .. } => format!("cannot unmarshal this value into {ty}"),
        Error::Unexpected { expected: "sequence start", .. } => "expected a list".to_owned(),
        Error::Unexpected { expected: "mapping start", .. } => "expected a mapping".to_owned(),
        Error::Unexpected { expected: "string scalar", .. } => "expected a string".to_owned(),
        other => {
            let text = other.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            // The place is data here, not text.
            let cut =
                text.rfind(" at line ").or_else(|| text.find(": line ")).unwrap_or(text.len());
            text[..cut].to_owned()
        }
    }
}
