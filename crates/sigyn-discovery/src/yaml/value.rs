//! Values as YAML 1.1 has them: strings that may be null, and places beside them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};

use super::reader::{PLACED, TEXTS};
use super::{Place, mark};
use crate::labels::Labels;

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

/// A list of strings. Null is an empty text in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::with_capacity(seq.size_hint().unwrap_or_default());
                while let Some(Text(text)) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_tuple_struct(TEXTS, 0, List)
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
        let (place, value) = Placed(PhantomData::<Option<T>>).deserialize(deserializer)?;
        Ok(Self { place, value })
    }
}

/// Reads a value, and where it stands.
pub(super) struct Placed<S>(pub(super) S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Placed<S> {
    type Value = (Place, S::Value);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_tuple_struct(PLACED, 3, self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Placed<S> {
    type Value = (Place, S::Value);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a YAML file")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let missing = || A::Error::custom("a value that stands nowhere");
        let line = seq.next_element()?.ok_or_else(missing)?;
        let column = seq.next_element()?.ok_or_else(missing)?;
        let value = seq.next_element_seed(self.0)?.ok_or_else(missing)?;
        Ok((Place { line, column }, value))
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
                while let Some((place, Text(name))) =
                    map.next_key_seed(Placed(PhantomData::<Text>))?
                {
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
