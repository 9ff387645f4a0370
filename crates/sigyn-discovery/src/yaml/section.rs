//! Mappings with fixed keys: [`Section`], and its keys one by one as [`Entry`].

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};

use super::reader::{SCALAR, SECTION};
use super::scalar::{Meaning, Tag, meaning};
use super::tree::twice;
use super::value::{LabelMap, Placed};
use super::{Item, Place, Text, Texts, YamlError, from_yaml, keep, mark};
use crate::labels::Labels;

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
    Ok(Onto(S::default()).deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a section onto what has been read of it before.
struct Onto<S>(S);

impl<'de, S: Section> DeserializeSeed<'de> for Onto<S> {
    type Value = Option<S>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<S>, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: Section> Visitor<'de> for Onto<S> {
    type Value = Option<S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a mapping ({})", S::NAME)
    }

    fn visit_none<E>(self) -> Result<Option<S>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<S>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<S>, D::Error> {
        deserializer.deserialize_struct(S::NAME, SECTION, self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<S>, A::Error> {
        let mut section = self.0;
        while let Some((place, Text(key))) = map.next_key_seed(Placed(PhantomData::<Text>))? {
            section.field(Entry { place, key, section: S::NAME, map: &mut map })?;
        }
        Ok(Some(section))
    }
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
        Ok(self.read::<Texts>()?.0)
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

    /// Reads a nested section onto what is known of it from a mapping that is merged with this one: each
    /// key of it counts by itself, as for Prometheus. Null is `None`.
    pub fn section_onto<S: Section>(self, before: Option<S>) -> Result<Option<S>, A::Error> {
        self.map.next_value_seed(Onto(before.unwrap_or_default()))
    }

    /// Reads labels onto those that are known from a mapping that is merged with this one. None may be in
    /// both.
    pub fn labels_onto(self, labels: &mut Labels) -> Result<(), A::Error> {
        let (place, more) = (self.place, self.read::<LabelMap>()?);
        for (name, value) in more.0.iter() {
            if labels.get(name).is_some() {
                return Err(A::Error::custom(mark(place, twice(name))));
            }
            labels.set(name, value);
        }
        Ok(())
    }

    /// The same of any mapping, with what `convert` makes of its values.
    pub fn map_onto<T: Deserialize<'de>, V>(
        self,
        map: &mut BTreeMap<String, V>,
        convert: impl Fn(T) -> V,
    ) -> Result<(), A::Error> {
        let (place, more) = (self.place, self.read::<BTreeMap<Text, T>>()?);
        for (Text(key), value) in more {
            if map.contains_key(&key) {
                return Err(A::Error::custom(mark(place, twice(&key))));
            }
            map.insert(key, convert(value));
        }
        Ok(())
    }

    /// Reads a whole number that is not negative, in any spelling YAML 1.1 has. Null is 0.
    pub fn integer(self) -> Result<u64, A::Error> {
        self.integer_of("uint")
    }

    /// The same where Prometheus has another type, such as `uint64`, or `int`, which holds half as much:
    /// messages name it.
    pub fn integer_of(self, kind: &str) -> Result<u64, A::Error> {
        let fits = |number: &u64| kind != "int" || i64::try_from(*number).is_ok();
        let take = |meaning: Meaning| meaning.integer().filter(fits);
        Ok(self.plain(kind, take)?.unwrap_or_default())
    }

    /// Reads a truth value, in any spelling YAML 1.1 has. Null is false, whatever the default is: so it is
    /// in Prometheus.
    pub fn boolean(self) -> Result<Option<bool>, A::Error> {
        Ok(Some(self.plain("bool", Meaning::boolean)?.unwrap_or_default()))
    }

    /// Reads a number. Null is `None`.
    pub fn float(self) -> Result<Option<f64>, A::Error> {
        self.plain("float64", Meaning::float)
    }

    /// Reads what is something else than a text.
    fn plain<T>(
        self,
        kind: &str,
        take: impl FnOnce(Meaning) -> Option<T>,
    ) -> Result<Option<T>, A::Error> {
        let Some(Scalar { place, tag, text }) = self.map.next_value()? else { return Ok(None) };
        let refused = |message: &str| Err(A::Error::custom(mark(place, message)));
        let meaning = match meaning(tag, &text) {
            Ok(meaning) => meaning,
            Err(message) => return refused(&message),
        };
        match take(meaning) {
            Some(value) => Ok(Some(value)),
            None => {
                let name = meaning.name();
                refused(&format!("cannot unmarshal {name} `{text}` into {kind}"))
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

    /// The error for a key that the section does not have. A text is read on all the same, to tell of
    /// all such keys at once.
    pub fn unknown(self) -> Result<(), A::Error> {
        let message = format!("field {} not found in type {}", self.key, self.section);
        keep(self.place, message).map_err(A::Error::custom)?;
        self.skip()
    }

    /// The error for a key that is known but refused, unless nothing stands behind it.
    pub fn refuse_unless_null(self, why: impl fmt::Display) -> Result<(), A::Error> {
        match self.map.next_value::<Option<IgnoredAny>>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::custom(mark(self.place, why))),
        }
    }
}

/// A scalar as it is written.
struct Scalar {
    place: Place,
    tag: Tag,
    text: String,
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scalar of a YAML file")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
                let missing = || A::Error::custom("a scalar that stands nowhere");
                let line = seq.next_element()?.ok_or_else(missing)?;
                let column = seq.next_element()?.ok_or_else(missing)?;
                let tag = Tag::of_number(seq.next_element()?.ok_or_else(missing)?);
                let text = seq.next_element()?.ok_or_else(missing)?;
                Ok(Scalar { place: Place { line, column }, tag, text })
            }
        }

        deserializer.deserialize_tuple_struct(SCALAR, 4, Parts)
    }
}
