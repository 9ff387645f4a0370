//! YAML of any shape, with every scalar as it is written: what is read here can be shown again.

use std::collections::HashMap;
use std::fmt;

use super::YamlError;
use super::scalar::{Meaning, Tag, meaning};
use super::tree::{Index, Kind, Tree, twice};
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
        let tree = Tree::read(text)?;
        node(&tree, tree.root())
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
    let is_plain = meaning(Tag::Plain, text) == Ok(Meaning::Text)
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

fn node(tree: &Tree<'_>, at: Index) -> Result<Node, YamlError> {
    tree.visit(at, |value| match &value.kind {
        Kind::Scalar(scalar) => match scalar.meaning().map_err(YamlError::new)? {
            Meaning::Null => Ok(Node::Null),
            Meaning::Text => Ok(Node::Text(scalar.as_text().map_err(YamlError::new)?.into_owned())),
            _ => Ok(Node::Plain(scalar.text.to_string())),
        },
        Kind::List(items) => {
            Ok(Node::List(items.iter().map(|item| node(tree, *item)).collect::<Result<_, _>>()?))
        }
        Kind::Map(map) => {
            let mut read = Vec::with_capacity(map.len());
            for entry in tree.entries(map, &twice)? {
                let node = tree.read_entry(&entry, || node(tree, entry.value))?;
                read.push((entry.name, node));
            }
            let mut all = Node::Map(Vec::new());
            if tree.has_merges(map) {
                put_onto(&mut all, Node::Map(read));
            } else {
                all = Node::Map(read);
            }
            Ok(all)
        }
        // An alias stands for no other.
        Kind::Alias(_) => Ok(Node::Null),
    })
}

/// Of what is merged, each mapping is read onto the one before, and all else instead of it.
fn put_onto(before: &mut Node, after: Node) {
    let (known, more) = match (before, after) {
        (Node::Map(known), Node::Map(more)) => (known, more),
        (before, after) => {
            *before = after;
            return;
        }
    };
    let names = known.iter().enumerate().map(|(index, (name, _))| (name.clone(), index));
    let mut index_of: HashMap<String, usize> = names.collect();
    for (name, node) in more {
        match index_of.get(&name) {
            Some(index) => put_onto(&mut known[*index].1, node),
            None => {
                index_of.insert(name.clone(), known.len());
                known.push((name, node));
            }
        }
    }
}
