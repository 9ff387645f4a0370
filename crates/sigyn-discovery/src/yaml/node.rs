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
        write!(f, "{:indent$}{}:", "", text(key, false))?;
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
        Node::Text(content) => text(content, false),
        Node::Flow(items) => {
            let items: Vec<String> = items.iter().map(|item| text(item, true)).collect();
            format!("[{}]", items.join(", "))
        }
        Node::Plain(raw) => raw.clone(),
        Node::List(_) => "[]".to_owned(),
        Node::Map(_) => "{}".to_owned(),
    }
}

/// A text as Prometheus' writer has it: in double quotes if it would be something else without, in single
/// ones if it would not be one text, and else as it is. `flow`: among the items of a list on one line.
fn text(text: &str, flow: bool) -> String {
    if is_something_else(text) || text.contains(|c: char| c.is_control() || c == '\u{feff}') {
        quoted(text)
    } else if is_one_plain_text(text, flow) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// Whether a reader of YAML 1.1 takes it for anything but a text.
fn is_something_else(text: &str) -> bool {
    matches!(text, "" | "<<" | "=")
        || meaning(Tag::Plain, text) != Ok(Meaning::Text)
        || is_sexagesimal(text)
        || is_date(text)
}

/// `1:30`, which was a number once.
fn is_sexagesimal(text: &str) -> bool {
    let mut parts = text.trim_start_matches(['+', '-']).split(':');
    let first = parts.next().unwrap_or_default();
    let is_digits = |part: &str, other: char| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_digit() || c == other)
    };
    text.contains(':')
        && first.starts_with(|c: char| c.is_ascii_digit())
        && is_digits(first, '_')
        && parts.all(|part| {
            is_digits(part, '.')
                && part
                    .split('.')
                    .next()
                    .is_some_and(|p| p.len() <= 2 && p.parse::<u8>().is_ok_and(|n| n < 60))
        })
}

/// `2001-12-14`, and what may follow.
fn is_date(text: &str) -> bool {
    let date = text.split(['T', 't', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = date.split('-').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    parts.len() == 3 && parts[0].len() == 4 && parts.iter().all(|p| is_number(p) && p.len() <= 4)
}

fn is_one_plain_text(text: &str, flow: bool) -> bool {
    let first = text.chars().next().unwrap_or(' ');
    let second_is_space = text.chars().nth(1).is_none_or(|c| c == ' ');
    let begins_well = match first {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
        | '@' | '`' => false,
        '-' => !second_is_space,
        '?' | ':' => !second_is_space && !flow,
        _ => true,
    };
    let within = !text.ends_with(':') && !text.contains(": ") && !text.contains(" #");
    let fits_a_flow = !flow || !text.contains([',', '?', '[', ']', '{', '}', ':']);
    let is_marker = text.starts_with("---") || text.starts_with("...");
    begins_well && within && fits_a_flow && !is_marker && text.trim_matches(' ') == text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_prometheus_writes_them() {
        let check = |content: &str, expected: &str| {
            assert_eq!(Node::Text(content.to_owned()).to_string(), format!("{expected}\n"));
        };
        check("a", "a");
        check("127.0.0.1:9090", "127.0.0.1:9090");
        check("127.0.0.1:80", "127.0.0.1:80");
        check("a:80", "a:80");
        check("80:80", "80:80");
        check("80:20", "\"80:20\"");
        check("[::1]:1", "'[::1]:1'");
        check("::1", "::1");
        check("it's: so", "'it''s: so'");
        check("it's", "it's");
        check("a #b", "'a #b'");
        check("@a", "'@a'");
        check("-", "'-'");
        check("-a", "-a");
        check("+a", "+a");
        check(" a", "' a'");
        check("1a", "1a");
        for other in ["1", "0x1f", "1.5", "yes", "~", "", "null", "2001-12-14", "1_000", ".inf"] {
            check(other, &format!("\"{other}\""));
        }
        check("a\tb", "\"a\\tb\"");
    }

    #[test]
    fn a_list_on_one_line_quotes_what_would_end_an_item() {
        let items = ["a", "b,c", "d:e", "y", "[f]"].map(str::to_owned).to_vec();
        assert_eq!(Node::Flow(items).to_string(), "[a, 'b,c', 'd:e', \"y\", '[f]']\n");
    }
}
