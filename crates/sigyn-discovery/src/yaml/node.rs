//! YAML of any shape, with every scalar as it is written: what is read here can be shown again.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::scalar::tag;
use super::{Text, YamlError, from_yaml};
use crate::labels::quoted;

/// A value of any shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// `~`.
    Null,
    /// A text: it is written in quotes if it would be something else without.
    Text(String),
    /// A number or a truth value, as it was written.
    Plain(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in its order, with merge keys resolved.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads the first document of `text`.
    pub fn read(text: &str) -> Result<Self, YamlError> {
        Ok(from_yaml::<Written>(text)?.node(text.strip_prefix('\u{feff}').unwrap_or(text)))
    }

    /// What stands behind a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            Self::Plain(_) => false,
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
        }
    }
}

/// As block YAML with two spaces a level, and lists on the level of their key.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(items) if !items.is_empty() => list(f, items, 0),
            Self::Map(entries) if !entries.is_empty() => map(f, entries, 0, false),
            scalar => writeln!(f, "{}", inline(scalar)),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, items: &[Node], level: usize) -> fmt::Result {
    for item in items {
        write!(f, "{:level$}- ", "")?;
        match item {
            Node::Map(entries) if !entries.is_empty() => map(f, entries, level + 2, true)?,
            // A list right in a list: rare enough to go on its own line.
            Node::List(items) if !items.is_empty() => {
                writeln!(f)?;
                list(f, items, level + 2)?;
            }
            scalar => writeln!(f, "{}", inline(scalar))?,
        }
    }
    Ok(())
}

/// `begun` says that the first key stands on a line that has its indent already.
fn map(
    f: &mut fmt::Formatter<'_>,
    entries: &[(String, Node)],
    level: usize,
    mut begun: bool,
) -> fmt::Result {
    for (key, value) in entries {
        let indent = if begun { 0 } else { level };
        begun = false;
        write!(f, "{:indent$}{}:", "", text(key))?;
        match value {
            Node::Map(entries) if !entries.is_empty() => {
                writeln!(f)?;
                map(f, entries, level + 2, false)?;
            }
            Node::List(items) if !items.is_empty() => {
                writeln!(f)?;
                list(f, items, level)?;
            }
            scalar => writeln!(f, " {}", inline(scalar))?,
        }
    }
    Ok(())
}

/// A scalar, or an empty list or mapping.
fn inline(node: &Node) -> String {
    match node {
        Node::Null => "null".to_owned(),
        Node::Text(content) => text(content),
        Node::Plain(raw) => raw.clone(),
        Node::List(_) => "[]".to_owned(),
        Node::Map(_) => "{}".to_owned(),
    }
}

/// A text, in quotes where it needs them.
fn text(text: &str) -> String {
    let special = |c: char| "!&*?{}[],#|>@`\"'%:-".contains(c);
    let is_plain = tag(text) == "!!str"
        && !text.is_empty()
        && text.trim() == text
        && !text.starts_with(special)
        && !text.ends_with(':')
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains(char::is_control)
        && !text.starts_with(['.', '+', '~', '='])
        && !looks_like_a_number(text)
        && !matches!(text, "null" | "Null" | "NULL");
    // An address begins with a digit and is nothing but a text.
    let is_address = text.contains(|c: char| c.is_ascii_alphabetic() || c == '.')
        && text.matches('.').count() > 1
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ".:-/".contains(c))
        && !text.ends_with(':');
    if is_plain || (is_address && !text.starts_with(special)) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// Whether some reader might take it for a number or a date.
fn looks_like_a_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_hexdigit() || "xXoO_.:+-TZ ".contains(c))
}

/// A value with where it stands, from which a plain scalar is taken anew.
struct Written {
    from: u64,
    bytes: u64,
    shape: Shape,
}

enum Shape {
    Null,
    Text(String),
    Plain,
    List(Vec<Written>),
    Map(Vec<(String, Written)>),
}

impl Written {
    fn node(self, source: &str) -> Node {
        match self.shape {
            Shape::Null => Node::Null,
            Shape::Text(text) => Node::Text(text),
            Shape::Plain => {
                let at = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
                let (from, to) = (at(self.from), at(self.from.saturating_add(self.bytes)));
                Node::Plain(source.get(from..to).unwrap_or_default().to_owned())
            }
            Shape::List(items) => {
                Node::List(items.into_iter().map(|item| item.node(source)).collect())
            }
            Shape::Map(entries) => {
                Node::Map(entries.into_iter().map(|(key, item)| (key, item.node(source))).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Shape>::deserialize(deserializer)?;
        let span = spanned.defined.span();
        Ok(Self {
            from: span.byte_offset().unwrap_or(0),
            bytes: span.byte_len().unwrap_or(0),
            shape: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Shape, E> {
                Ok(Shape::Null)
            }

            fn visit_none<E>(self) -> Result<Shape, E> {
                Ok(Shape::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
                Ok(Shape::Plain)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
                Ok(Shape::Plain)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
                Ok(Shape::Plain)
            }

            fn visit_u128<E>(self, _: u128) -> Result<Shape, E> {
                Ok(Shape::Plain)
            }

            fn visit_i128<E>(self, _: i128) -> Result<Shape, E> {
                Ok(Shape::Plain)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
                Ok(Shape::Plain)
            }

            fn visit_str<E>(self, text: &str) -> Result<Shape, E> {
                Ok(Shape::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Shape::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Text>()? {
                    entries.push((key.0, map.next_value()?));
                }
                Ok(Shape::Map(entries))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
