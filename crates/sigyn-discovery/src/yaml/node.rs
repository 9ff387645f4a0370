//! YAML of any shape, with every scalar as it is written: what is read here can be shown again.

use std::collections::HashMap;
use std::fmt;

use super::YamlError;
use super::scalar::{Meaning, Tag, meaning};
use super::tree::{Index, Kind, Tree, twice};
use super::write::written;

/// A value of any shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Node {
    /// `~`.
    #[default]
    Null,
    /// A text: it is written in quotes if it would be something else without.
    Text(String),
    /// A number or a truth value, as it was written.
    Plain(String),
    /// A list.
    List(Vec<Node>),
    /// A list of texts on one line, as Prometheus shows some.
    Flow(Vec<String>),
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

    /// What a scalar stands for.
    fn meaning(&self) -> Option<Meaning> {
        match self {
            Self::Plain(raw) => meaning(Tag::Plain, raw).ok(),
            _ => None,
        }
    }

    /// The text of a scalar, which is how it is written if it is none.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Plain(text) => text,
            _ => "",
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn integer(&self) -> Option<u64> {
        self.meaning()?.integer()
    }

    /// A number without a fraction.
    pub(crate) fn whole(&self) -> Option<i128> {
        match self.meaning()? {
            Meaning::Int(number) => Some(number),
            _ => None,
        }
    }

    /// A number.
    pub(crate) fn float(&self) -> Option<f64> {
        self.meaning()?.float()
    }

    /// A truth value.
    pub(crate) fn boolean(&self) -> Option<bool> {
        self.meaning()?.boolean()
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The entries of a mapping.
    pub(crate) fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            Self::Plain(_) => false,
            Self::List(items) => items.is_empty(),
            Self::Flow(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(self))
    }
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
