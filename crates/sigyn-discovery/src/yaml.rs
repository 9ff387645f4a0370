//! YAML as Prometheus reads it (YAML 1.1, strict), with every mistake located.
//!
//! The rest of the crate says what it expects through [`Section`] and [`Entry`]; which YAML reader
//! stands behind them is known here only.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor,
};
use serde_saphyr::Spanned;

use crate::labels::Labels;

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
        if is_marker(line, "...") || (begun && is_marker(line, "---")) {
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

/// A string in which null reads as "".
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(pub String);

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::<String>::deserialize(deserializer)?.unwrap_or_default()))
    }
}

/// Any value, and where it stands. Null reads as `None`, so that a list can complain of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<T> {
    /// Where the value begins.
    pub place: Place,
    /// The value; `None` if null.
    pub value: Option<T>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Option<T>>::deserialize(deserializer)?;
        Ok(Self { place: spanned.referenced.into(), value: spanned.value })
    }
}

/// A mapping of label names to values. A name must not be empty, and a null value is no label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelMap(pub Labels);

impl<'de> Deserialize<'de> for LabelMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = LabelMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LabelMap, A::Error> {
                let mut labels = Labels::new();
                while let Some(name) = map.next_key::<Spanned<Text>>()? {
                    let (place, name) = (Place::from(name.referenced), name.value.0);
                    if name.is_empty() {
                        return Err(A::Error::custom(mark(
                            place,
                            "\"\" is not a valid label name",
                        )));
                    }
                    labels.set(name, map.next_value::<Text>()?.0);
                }
                Ok(LabelMap(labels))
            }
        }

        deserializer.deserialize_map(Names)
    }
}

/// A mapping with a fixed set of keys.
///
/// A program that has keys of its own beside Prometheus' implements this for its whole file and
/// hands on what it does not know:
///
/// ```
/// use sigyn_discovery::config::File;
/// use sigyn_discovery::yaml::{self, Entry, Section};
/// use serde::de::MapAccess;
///
/// #[derive(Default)]
/// struct WholeFile { retention: String, prometheus: File }
///
/// impl Section for WholeFile {
///     const NAME: &'static str = "config.Config";
///     fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
///         match entry.key() {
///             "retention" => self.retention = entry.text()?,
///             _ => self.prometheus.field(entry)?,
///         }
///         Ok(())
///     }
/// }
///
/// let file: WholeFile = yaml::section("retention: 7d\nscrape_configs: [{job_name: a}]").unwrap();
/// assert_eq!(file.retention, "7d");
/// assert_eq!(file.prometheus.scrape_configs.len(), 1);
/// ```
pub trait Section: Default {
    /// The type's name in messages: `config.ScrapeConfig`.
    const NAME: &'static str;

    /// Takes one key's value. Ends in [`Entry::unknown`] for a key it does not know.
    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error>;
}

/// Reads a whole text as one section. An empty text is the section's default.
pub fn section<S: Section>(text: &str) -> Result<S, YamlError> {
    Ok(from_yaml::<Fields<S>>(text)?.0)
}

/// Reads a [`Section`] from any deserializer; null is its default.
pub fn deserialize_section<'de, S: Section, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<S, D::Error> {
    struct Optional<S>(PhantomData<S>);

    impl<'de, S: Section> Visitor<'de> for Optional<S> {
        type Value = S;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a mapping ({})", S::NAME)
        }

        fn visit_none<E>(self) -> Result<S, E> {
            Ok(S::default())
        }

        fn visit_unit<E>(self) -> Result<S, E> {
            Ok(S::default())
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<S, D::Error> {
            deserializer.deserialize_map(self)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<S, A::Error> {
            let mut section = S::default();
            while let Some(key) = map.next_key::<Spanned<Text>>()? {
                section.field(Entry {
                    place: key.referenced.into(),
                    key: key.value.0,
                    section: S::NAME,
                    map: &mut map,
                })?;
            }
            Ok(section)
        }
    }

    deserializer.deserialize_option(Optional(PhantomData))
}

/// A [`Section`] as serde's derive and lists can hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields<S>(pub S);

impl<'de, S: Section> Deserialize<'de> for Fields<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_section(deserializer).map(Self)
    }
}

/// One key of a [`Section`], its value still unread. Null always reads as "nothing was written".
#[derive(Debug)]
pub struct Entry<'a, A> {
    place: Place,
    key: String,
    section: &'static str,
    map: &'a mut A,
}

impl<'de, A: MapAccess<'de>> Entry<'_, A> {
    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Where the key stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Reads the value; null is `T::default()`.
    pub fn read<T: Deserialize<'de> + Default>(self) -> Result<T, A::Error> {
        Ok(self.read_option()?.unwrap_or_default())
    }

    /// Reads the value; null is `None`.
    pub fn read_option<T: Deserialize<'de>>(self) -> Result<Option<T>, A::Error> {
        self.map.next_value()
    }

    /// Reads a string as written.
    pub fn text(self) -> Result<String, A::Error> {
        Ok(self.read::<Text>()?.0)
    }

    /// Reads a list of strings.
    pub fn texts(self) -> Result<Vec<String>, A::Error> {
        Ok(self.read::<Vec<Text>>()?.into_iter().map(|text| text.0).collect())
    }

    /// Reads a list of nested sections, each with its place; null entries are `None`.
    pub fn sections<S: Section>(self) -> Result<Vec<Item<S>>, A::Error> {
        let items = self.read::<Vec<Item<Fields<S>>>>()?;
        Ok(items
            .into_iter()
            .map(|item| Item { place: item.place, value: item.value.map(|fields| fields.0) })
            .collect())
    }

    /// Reads a nested section.
    pub fn section<S: Section>(self) -> Result<S, A::Error> {
        Ok(self.read_option::<Fields<S>>()?.map(|fields| fields.0).unwrap_or_default())
    }

    /// Reads a whole number that is not negative, in any spelling YAML 1.1 has.
    pub fn integer(self) -> Result<u64, A::Error> {
        Ok(self
            .parsed(|text| {
                integer(text).ok_or_else(|| format!("cannot unmarshal !!str `{text}` into uint64"))
            })?
            .unwrap_or_default())
    }

    /// Reads a string through `parse`; its error gets the value's place. Null is `None`.
    pub fn parsed<T, E: fmt::Display>(
        self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, A::Error> {
        struct Parsing<P>(P);

        impl<'de, T, E: fmt::Display, P: FnOnce(&str) -> Result<T, E>>
            serde::de::DeserializeSeed<'de> for Parsing<P>
        {
            type Value = Option<T>;

            fn deserialize<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Self::Value, D::Error> {
                let item = Item::<String>::deserialize(deserializer)?;
                let parsed = item.value.map(|text| (self.0)(&text)).transpose();
                parsed.map_err(|error| D::Error::custom(mark(item.place, error)))
            }
        }

        self.map.next_value_seed(Parsing(parse))
    }

    /// Reads the value and forgets it.
    pub fn skip(self) -> Result<(), A::Error> {
        self.map.next_value::<IgnoredAny>().map(|_| ())
    }

    /// The error for a key that the section does not have.
    pub fn unknown(self) -> Result<(), A::Error> {
        Err(A::Error::custom(mark(
            self.place,
            format_args!("field {} not found in type {}", self.key, self.section),
        )))
    }

    /// The error for a key that is known but refused, unless nothing stands behind it.
    pub fn refuse_unless_null(self, why: impl fmt::Display) -> Result<(), A::Error> {
        match self.map.next_value::<Option<IgnoredAny>>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::custom(mark(self.place, why))),
        }
    }
}

/// A YAML 1.1 integer: decimal, `0x1f`, `0o17`, `017`, `0b11`, with `_` between digits. A float
/// counts by its whole part, as it does for Prometheus.
fn integer(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text).replace('_', "");
    let radix = |prefix: &str, radix| {
        digits.strip_prefix(prefix).and_then(|rest| u64::from_str_radix(rest, radix).ok())
    };
    if let Some(number) = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2))
        .or_else(|| radix("0", 8))
    {
        return Some(number);
    }
    if let Ok(number) = digits.parse() {
        return Some(number);
    }
    let number: f64 = digits.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; saturates above 2^64"
    )]
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_in_every_spelling() {
        for (text, expected) in [
            ("0", Some(0)),
            ("5", Some(5)),
            ("+5", Some(5)),
            ("010", Some(8)),
            ("08", Some(8)),
            ("0o10", Some(8)),
            ("0x10", Some(16)),
            ("0b11", Some(3)),
            ("1_000", Some(1000)),
            ("1.5", Some(1)),
            ("1e3", Some(1000)),
            ("18446744073709551616", Some(u64::MAX)),
            ("-1", None),
            ("", None),
            ("x", None),
            ("nan", None),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[derive(Debug, Default, PartialEq)]
    struct Probe {
        place: Place,
        name: String,
        on: bool,
        list: Vec<String>,
        number: u64,
    }

    impl Section for Probe {
        const NAME: &'static str = "config.Probe";
        fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
            match entry.key() {
                "name" => {
                    self.place = entry.place();
                    self.name = entry.text()?;
                }
                "on" => self.on = entry.read()?,
                "list" => self.list = entry.texts()?,
                "number" => self.number = entry.integer()?,
                _ => return entry.unknown(),
            }
            Ok(())
        }
    }

    #[test]
    fn scalars_stay_as_written_and_null_is_nothing() {
        let probe: Probe =
            section("on: yes\nlist: [8080, 012, 1.0, off, 2020-01-01, ~, '']\n  \nname: 0x10\n")
                .unwrap();
        assert_eq!(probe.list, ["8080", "012", "1.0", "off", "2020-01-01", "", ""]);
        assert_eq!(probe.place, Place { line: 4, column: 1 });
        assert!(probe.on);
        assert_eq!(probe.name, "0x10");
        for empty in ["", "# only a comment\n", "---\n", "~", "name:\non:\nlist:\nnumber:\n"] {
            let probe: Probe = section(empty).unwrap();
            assert_eq!(Probe { place: Place::default(), ..probe }, Probe::default(), "{empty:?}");
        }
    }

    #[test]
    fn merge_keys_aliases_and_what_follows_the_first_document() {
        let probe: Probe = section("<<: {name: a, number: 3}\nname: b\n---\nbogus: 1\n").unwrap();
        assert_eq!((probe.name.as_str(), probe.number), ("b", 3));
        assert_eq!(section::<Probe>("name: &x a\nlist: [*x]\n...\n} rubbish").unwrap().list, ["a"]);
    }

    #[test]
    fn every_mistake_has_a_place() {
        for (text, expected) in [
            (
                "name: a\nbogus: 1\n",
                "line 2: field bogus not found in type config.Probe (column 1)",
            ),
            ("name: a\nname: b\n", "line 2: key \"name\" already set in map (column 1)"),
            ("number: many\n", "line 1: cannot unmarshal !!str `many` into uint64 (column 9)"),
            ("on: maybe\n", "line 1: cannot unmarshal this value into boolean (column 5)"),
            ("name: [a]\n", "line 1: expected a string (column 7)"),
            ("list: a\n", "line 1: expected a list (column 7)"),
            ("name: 'a\n", "line 1: unclosed quote (column 7)"),
            ("- a\n", "line 1: expected a mapping (column 1)"),
            ("name: *x\n", "line 1: reference to unknown value (column 7)"),
            (
                "name: a\n  b: c\n",
                "line 2: mapping values are not allowed in this context (column 4)",
            ),
        ] {
            assert_eq!(section::<Probe>(text).unwrap_err().to_string(), expected, "{text:?}");
        }
    }
}
