//! A tree as serde asks for it.

use std::collections::HashMap;

use serde::de::value::{StringDeserializer, U64Deserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::scalar::Meaning;
use super::tree::{Entry, Index, Kind, Scalar, Tree, Value, twice};
use super::{Place, YamlError};

/// Whoever asks for a tuple of this name gets line, column and the value itself.
pub(super) const PLACED: &str = "\u{1}placed";

/// Whoever asks for a tuple of this name gets line, column, the number of its tag, and the text of a
/// scalar.
pub(super) const SCALAR: &str = "\u{1}scalar";

/// Whoever asks for a tuple of this name gets a list, and wants texts in it.
pub(super) const TEXTS: &str = "\u{1}texts";

/// Whoever asks for a struct with these fields gets all entries of a mapping in the order in which they
/// count. The struct's name is the section's.
pub(super) const SECTION: &[&str] = &["\u{1}section"];

/// Where of a list an entry is.
type IndexOf = HashMap<String, usize>;

/// A value that is asked for.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a, 't> {
    tree: &'a Tree<'t>,
    at: Index,
}

impl<'a, 't> Reader<'a, 't> {
    pub(super) fn new(tree: &'a Tree<'t>, at: Index) -> Self {
        Self { tree, at }
    }

    fn place(self) -> Place {
        self.tree.at(self.at).place
    }

    fn scalar<R>(
        self,
        wanted: &str,
        read: impl FnOnce(&Scalar<'t>) -> Result<R, YamlError>,
    ) -> Result<R, YamlError> {
        self.tree.visit(self.at, |value| match &value.kind {
            Kind::Scalar(scalar) => read(scalar),
            kind => Err(YamlError::custom(format_args!(
                "cannot unmarshal {} into {wanted}",
                shape(kind)
            ))),
        })
    }

    fn text<R>(self, read: impl FnOnce(&str) -> Result<R, YamlError>) -> Result<R, YamlError> {
        self.scalar("string", |scalar| read(&scalar.as_text().map_err(YamlError::custom)?))
    }

    /// What a scalar means, as somebody wants it.
    fn meaning<T, R>(
        self,
        wanted: &str,
        take: impl FnOnce(Meaning) -> Option<T>,
        read: impl FnOnce(T) -> Result<R, YamlError>,
    ) -> Result<R, YamlError> {
        self.scalar(wanted, |scalar| {
            let meaning = scalar.meaning().map_err(YamlError::custom)?;
            let refusal = || {
                let (name, text) = (meaning.name(), &scalar.text);
                YamlError::custom(format_args!("cannot unmarshal {name} `{text}` into {wanted}"))
            };
            read(take(meaning).ok_or_else(refusal)?)
        })
    }

    fn list<'de, V: Visitor<'de>>(
        self,
        items: &[Index],
        visitor: V,
    ) -> Result<V::Value, YamlError> {
        let parts = items.iter().map(|at| Part::Value(Self { at: *at, ..self }));
        visitor.visit_seq(Parts(parts))
    }

    fn map<'de, V: Visitor<'de>>(
        self,
        map: &[(Index, Index)],
        rule: Rule,
        visitor: V,
    ) -> Result<V::Value, YamlError> {
        let repeated = |name: &str| match rule {
            Rule::Section(section) => format!("field {name} already set in type {section}"),
            Rule::Map | Rule::Struct => twice(name),
        };
        let mut entries = self.tree.entries(map, &repeated)?;
        if self.tree.has_merges(map) && !matches!(rule, Rule::Section(_)) {
            let mut unique: IndexOf = IndexOf::with_capacity(entries.len());
            let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
            for entry in entries {
                match unique.get(&entry.name) {
                    Some(_) if matches!(rule, Rule::Map) => {
                        return Err(self.tree.at(entry.key).place.error(repeated(&entry.name)));
                    }
                    Some(index) => kept[*index] = entry,
                    None => {
                        unique.insert(entry.name.clone(), kept.len());
                        kept.push(entry);
                    }
                }
            }
            entries = kept;
        }
        visitor.visit_map(Entries { tree: self.tree, entries: entries.into_iter(), current: None })
    }
}

/// How entries are told apart that stand in a mapping and in another that is merged into it.
#[derive(Clone, Copy)]
enum Rule {
    /// None may be there twice.
    Map,
    /// The last counts.
    Struct,
    /// All count, one after another.
    Section(&'static str),
}

fn shape(kind: &Kind<'_>) -> &'static str {
    match kind {
        Kind::Scalar(_) => "!!str",
        Kind::List(_) => "!!seq",
        Kind::Map(_) | Kind::Alias(_) => "!!map",
    }
}

fn any<'de, V: Visitor<'de>>(scalar: &Scalar<'_>, visitor: V) -> Result<V::Value, YamlError> {
    match scalar.meaning().map_err(YamlError::custom)? {
        Meaning::Null => visitor.visit_unit(),
        Meaning::Bool(value) => visitor.visit_bool(value),
        Meaning::Int(number) => match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => visitor.visit_u64(number),
            (_, Ok(number)) => visitor.visit_i64(number),
            _ => visitor.visit_i128(number),
        },
        Meaning::Float(number) => visitor.visit_f64(number),
        Meaning::Timestamp | Meaning::Text => {
            visitor.visit_str(&scalar.as_text().map_err(YamlError::custom)?)
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
            let whole = |meaning: Meaning| match meaning {
                Meaning::Int(number) => i64::try_from(number).ok(),
                _ => None,
            };
            self.meaning("int", whole, |number| visitor.visit_i64(number))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_, '_> {
    type Error = YamlError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        self.tree.visit(self.at, |value| match &value.kind {
            Kind::Scalar(scalar) => any(scalar, visitor),
            Kind::List(items) => self.list(items, visitor),
            Kind::Map(map) => self.map(map, Rule::Struct, visitor),
            // An alias stands for no other.
            Kind::Alias(_) => visitor.visit_unit(),
        })
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        self.meaning("bool", Meaning::boolean, |value| visitor.visit_bool(value))
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        self.meaning("uint64", Meaning::integer, |number| visitor.visit_u64(number))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        self.meaning("float64", Meaning::float, |number| visitor.visit_f64(number))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        self.text(|text| visitor.visit_str(text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        match &self.tree.meant(self.at).kind {
            Kind::Scalar(scalar) if scalar.meaning() == Ok(Meaning::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, YamlError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        self.tree.visit(self.at, |value| match &value.kind {
            Kind::List(items) => self.list(items, visitor),
            _ => Err(YamlError::custom("expected a list")),
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, YamlError> {
        let Place { line, column } = self.place();
        let place = [Part::Number(line), Part::Number(column)];
        match name {
            PLACED => visitor.visit_seq(Parts(place.into_iter().chain([Part::Value(self)]))),
            SCALAR => self.scalar("a text", |scalar| {
                let parts = [Part::Number(scalar.tag as u64), Part::Text(scalar.text.to_string())];
                visitor.visit_seq(Parts(place.into_iter().chain(parts)))
            }),
            TEXTS => self.tree.visit(self.at, |value| match &value.kind {
                Kind::List(items) => self.list(items, visitor),
                Kind::Scalar(scalar) => {
                    let name = scalar.meaning().map_err(YamlError::custom)?.name();
                    let message =
                        format!("cannot unmarshal {name} `{}` into []string", scalar.text);
                    Err(YamlError::custom(message))
                }
                kind => {
                    let message = format!("cannot unmarshal {} into []string", shape(kind));
                    Err(YamlError::custom(message))
                }
            }),
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        self.tree.visit(self.at, |value| self.map(a_map(value)?, Rule::Map, visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, YamlError> {
        let rule = if fields == SECTION { Rule::Section(name) } else { Rule::Struct };
        self.tree.visit(self.at, |value| match &value.kind {
            // Of one without fields, nothing is nothing.
            Kind::Scalar(scalar) if scalar.meaning() == Ok(Meaning::Null) => {
                self.map(&[], rule, visitor)
            }
            _ => self.map(a_map(value)?, rule, visitor),
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, YamlError> {
        self.text(|text| visitor.visit_enum(IntoDeserializer::<YamlError>::into_deserializer(text)))
    }

    /// What nobody wants has to be right, too.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, YamlError> {
        self.tree.check(self.at)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple
    }
}

fn a_map<'v>(value: &'v Value<'_>) -> Result<&'v [(Index, Index)], YamlError> {
    match &value.kind {
        Kind::Map(map) => Ok(map),
        _ => Err(YamlError::custom("expected a mapping")),
    }
}

/// What a list is made of, or a tuple that says more of a value than what it is.
enum Part<'a, 't> {
    Number(u64),
    Text(String),
    Value(Reader<'a, 't>),
}

struct Parts<I>(I);

impl<'de, 'a, 't: 'a, I: Iterator<Item = Part<'a, 't>>> SeqAccess<'de> for Parts<I> {
    type Error = YamlError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, YamlError> {
        let Some(part) = self.0.next() else { return Ok(None) };
        let read = match part {
            Part::Number(number) => seed.deserialize(U64Deserializer::new(number)),
            Part::Text(text) => seed.deserialize(StringDeserializer::new(text)),
            Part::Value(reader) => {
                seed.deserialize(reader).map_err(|error| error.or_at(reader.place()))
            }
        };
        read.map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.size_hint().0)
    }
}

struct Entries<'a, 't> {
    tree: &'a Tree<'t>,
    entries: std::vec::IntoIter<Entry>,
    /// The one whose value comes next.
    current: Option<Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = YamlError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, YamlError> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        let key = Reader::new(self.tree, entry.key);
        let read = self.tree.read_entry(&entry, || seed.deserialize(key));
        self.current = Some(entry);
        read.map(Some).map_err(|error| error.or_at(key.place()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, YamlError> {
        let Some(entry) = self.current.take() else {
            return Err(YamlError::custom("a value without a key"));
        };
        let value = Reader::new(self.tree, entry.value);
        let read = self.tree.read_entry(&entry, || seed.deserialize(value));
        read.map_err(|error| error.or_at(value.place()))
    }
}
