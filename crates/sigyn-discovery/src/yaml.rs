//! YAML as Prometheus reads it (YAML 1.1, strict), with every mistake located.
//!
//! The rest of the crate says what it expects through [`Section`] and [`Entry`]; which YAML reader
//! stands behind them is known here only.

mod directives;
mod file;
mod node;
mod reader;
mod scalar;
mod section;
#[cfg(test)]
mod tests;
mod time;
mod tree;
mod value;
mod write;

use std::cell::RefCell;
use std::fmt;

use serde::de::DeserializeOwned;

pub use self::file::read_file;
pub use self::node::Node;
use self::reader::Reader;
pub use self::section::{Entry, Fields, Section, deserialize_section, section};
use self::tree::Tree;
pub use self::value::{Item, LabelMap, Text, Texts};

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

impl Place {
    fn error(self, message: impl Into<String>) -> YamlError {
        YamlError {
            line: self.line,
            column: self.column,
            message: message.into(),
            further: Vec::new(),
        }
    }
}

/// What is wrong with a text, and where. It prints as Prometheus' tools do, with the column after
/// it: `line 3: field bogus not found in type config.ScrapeConfig (column 5)`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message} (column {column}){}", lines(.further))]
pub struct YamlError {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong, without the place.
    pub message: String,
    /// What else is wrong of which the reader can tell at once: keys that nobody knows.
    pub further: Vec<(Place, String)>,
}

fn lines(further: &[(Place, String)]) -> String {
    let line = |(place, message): &(Place, String)| {
        format!("\n  line {}: {message} (column {})", place.line, place.column)
    };
    further.iter().map(line).collect()
}

impl YamlError {
    /// Line and column in one.
    pub fn place(&self) -> Place {
        Place { line: self.line, column: self.column }
    }

    /// One whose place is not known yet.
    fn new(message: impl Into<String>) -> Self {
        Place::default().error(message)
    }

    /// Gives it a place unless it has one.
    fn or_at(self, place: Place) -> Self {
        if self.line > 0 { self } else { place.error(self.message) }
    }
}

impl serde::de::Error for YamlError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        match marked(&message) {
            Some((place, message)) => place.error(message),
            None => Self::new(message),
        }
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
    let tree = Tree::read(text)?;
    let before = UNKNOWN.replace(Some(Vec::new()));
    let read = T::deserialize(Reader::new(&tree, tree.root()));
    let unknown = UNKNOWN.replace(before).unwrap_or_default();
    if unknown.is_empty() {
        return read;
    }
    // All that nobody knows is told at once, and beside it what ended the reading.
    let error = read.err().map(|error| (error.place(), error.message));
    let mut further: Vec<_> = unknown.into_iter().chain(error).collect();
    further.sort();
    let (place, message) = further.remove(0);
    Err(YamlError { further, ..place.error(message) })
}

thread_local! {
    /// Keys that nobody knows, in the text that is being read: Prometheus reads on, and tells of all.
    static UNKNOWN: RefCell<Option<Vec<(Place, String)>>> = const { RefCell::new(None) };
}

/// Keeps a mistake for when the text is read to its end, or gives it back if no text is being read.
fn keep(place: Place, message: String) -> Result<(), String> {
    UNKNOWN.with_borrow_mut(|unknown| match unknown {
        Some(unknown) => {
            unknown.push((place, message));
            Ok(())
        }
        None => Err(mark(place, message)),
    })
}

/// serde has no way to give an error a place. So a message of ours carries its own in front, to be
/// taken off again where it becomes an error.
fn mark(place: Place, message: impl fmt::Display) -> String {
    format!("\u{1}{place}\u{1}{message}")
}

fn marked(message: &str) -> Option<(Place, &str)> {
    let (place, message) = message.strip_prefix('\u{1}')?.split_once('\u{1}')?;
    let (line, column) = place.split_once(':')?;
    Some((Place { line: line.parse().ok()?, column: column.parse().ok()? }, message))
}
