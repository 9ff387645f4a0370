//! Mappings with fixed keys: [`Section`], and its keys one by one as [`Entry`].

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor,
};
use serde_saphyr::Spanned;

use super::scalar::{boolean, float, integer, tag};
use super::{Item, Place, Text, YamlError, from_yaml, mark};

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

    /// Reads a whole number that is not negative, in any spelling YAML 1.1 has. Null is 0.
    pub fn integer(self) -> Result<u64, A::Error> {
        self.integer_of("uint")
    }

    /// The same where Prometheus has another type, such as `uint64`: messages name it.
    pub fn integer_of(self, kind: &str) -> Result<u64, A::Error> {
        Ok(self.plain(kind, integer)?.unwrap_or_default())
    }

    /// Reads a truth value, in any spelling YAML 1.1 has. Null is `None`.
    pub fn boolean(self) -> Result<Option<bool>, A::Error> {
        self.plain("bool", boolean)
    }

    /// Reads a number. Null is `None`.
    pub fn float(self) -> Result<Option<f64>, A::Error> {
        self.plain("float64", float)
    }

    /// Reads what is a text if it stands in quotes, and something else if it does not.
    fn plain<T>(
        self,
        kind: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, A::Error> {
        let spanned = self.map.next_value::<Spanned<Option<String>>>()?;
        let Some(text) = spanned.value else { return Ok(None) };
        // The quotes are part of where it stands, and not of what it says.
        let is_quoted = spanned.defined.span().len() > length(&text);
        match parse(&text).filter(|_| !is_quoted) {
            Some(value) => Ok(Some(value)),
            None => {
                let tag = if is_quoted { "!!str" } else { tag(&text) };
                let message = format!("cannot unmarshal {tag} `{text}` into {kind}");
                Err(A::Error::custom(mark(spanned.referenced.into(), message)))
            }
        }
    }

    /// Reads a string through `parse`; its error gets the value's place. Null is `None`.
    pub fn parsed<T, E: fmt::Display>(
        self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, A::Error> {
        struct Parsing<P>(P);

        impl<'de, T, E: fmt::Display, P: FnOnce(&str) -> Result<T, E>> DeserializeSeed<'de> for Parsing<P> {
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

fn length(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}
