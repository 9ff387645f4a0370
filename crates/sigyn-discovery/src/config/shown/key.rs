//! What is told of a section: which keys, in which order, in which form, with which defaults.

use std::cmp::Ordering;
use std::path::Path;

use super::super::{format_duration, format_size, joined, parse_duration, parse_size};
use crate::yaml::Node;

/// A key of a section, as it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    when: When,
}

/// When a key is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// If it is not "", 0, false or without content.
    NotEmpty,
    /// If it is written, whatever it is.
    Given,
}

/// What stands behind a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    /// A text that is taken in lower case.
    Lower,
    /// A file, which is relative to that of the configuration.
    Path,
    /// Nobody may see it.
    Secret,
    /// An address, whose password nobody may see.
    Server,
    /// A URL, whose password nobody may see, and which is told if it is written.
    Url,
    Number,
    Float,
    Switch,
    Duration,
    Size,
    Texts,
    /// Texts on one line.
    Line,
    Paths,
    Secrets,
    /// Texts by names of the user's own.
    Words,
    /// Lists of texts by such names.
    Lists,
    /// Lists of secrets by such names.
    SecretLists,
    Section(&'static [Key]),
    Sections(&'static [Key]),
    /// Sections by names of the user's own.
    Named(&'static [Key]),
    /// Of any shape.
    Any,
    /// No key of its own: these keys stand in the section itself, and this makes of what is written
    /// what there would be without short forms.
    Inline(&'static [Key], fn(&Node) -> Node),
}

impl Key {
    /// One that is always told.
    pub(crate) const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, default: None, when: When::Always }
    }

    /// What it is where it is not written.
    pub(crate) const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// One that is not told if it is empty.
    pub(crate) const fn unless_empty(self) -> Self {
        Self { when: When::NotEmpty, ..self }
    }

    /// One that is told if it is written.
    pub(crate) const fn if_given(self) -> Self {
        Self { when: When::Given, ..self }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether what is told of it is empty.
    fn is_empty(&self, told: &Node) -> bool {
        match (self.kind, told) {
            (Kind::Number | Kind::Float, Node::Plain(raw)) => raw == "0",
            (Kind::Switch, Node::Plain(raw)) => raw == "false",
            (Kind::Duration, Node::Text(text)) => text == "0s",
            (Kind::Size, Node::Text(text)) => text == "0B",
            (Kind::Section(keys), told) => {
                keys.iter().all(|key| told.get(key.name).is_none_or(|told| key.is_empty(told)))
            }
            (_, told) => told.is_empty(),
        }
    }

    /// Whether a section says something of it: a switch that is off is said.
    pub(super) fn is_said_in(&self, section: &Node, dir: &Path) -> bool {
        match section.get(self.name) {
            Some(Node::Null) | None => false,
            Some(_) if matches!(self.kind, Kind::Switch) => true,
            Some(written) => !self.is_empty(&self.kind.of(written, dir)),
        }
    }

    /// What is told of it, if anything is.
    pub(super) fn told(&self, section: &Node, dir: &Path) -> Option<Node> {
        let default = || self.default.map_or(Node::Null, |text| Node::Plain(text.to_owned()));
        let told = match (section.get(self.name), self.kind) {
            (None, Kind::Url) if self.default.is_none() => return None,
            (None, _) if self.when == When::Given => return None,
            (Some(Node::Null), Kind::Url | Kind::Section(_) | Kind::Named(_))
                if self.when == When::Given =>
            {
                return None;
            }
            // Nobody can ask again after no time.
            (None, _) | (Some(Node::Null), Kind::Duration) => self.kind.of(&default(), dir),
            // A null stands for nothing at all, whatever the default is.
            (Some(written), _) => self.kind.of(written, dir),
        };
        let is_told = self.when != When::NotEmpty || !self.is_empty(&told);
        is_told.then_some(told)
    }
}

/// What is told of a section, of which `written` is in the file.
pub(super) fn told(keys: &[Key], written: &Node, dir: &Path) -> Vec<(String, Node)> {
    let mut all = Vec::with_capacity(keys.len());
    for key in keys {
        if let Kind::Inline(keys, without_short_forms) = key.kind {
            all.extend(told(keys, &without_short_forms(written), dir));
        } else if let Some(node) = key.told(written, dir) {
            all.push((key.name.to_owned(), node));
        }
    }
    all
}

impl Kind {
    /// What is told of a value. Null is what there is without a default.
    pub(super) fn of(self, written: &Node, dir: &Path) -> Node {
        let text = |node: &Node| Node::Text(node.text().to_owned());
        match self {
            Self::Text => text(written),
            Self::Lower => Node::Text(written.text().to_lowercase()),
            Self::Path => Node::Text(path(written.text(), dir)),
            Self::Secret => secret(written),
            Self::Server | Self::Url => Node::Text(without_password(written.text())),
            Self::Number => Node::Plain(written.integer().unwrap_or_default().to_string()),
            Self::Float => Node::Plain(float(written.float().unwrap_or_default())),
            Self::Switch => Node::Plain(written.boolean().unwrap_or_default().to_string()),
            Self::Duration => {
                let duration = parse_duration(written.text()).unwrap_or_default();
                Node::Text(format_duration(duration))
            }
            Self::Size => Node::Text(format_size(parse_size(written.text()).unwrap_or_default())),
            Self::Texts => list(written, text),
            Self::Line => {
                Node::Flow(written.items().iter().map(|item| item.text().to_owned()).collect())
            }
            Self::Paths => list(written, |item| Node::Text(path(item.text(), dir))),
            Self::Secrets => list(written, secret_item),
            Self::Words => named(written, text),
            Self::Lists => named(written, |items| list(items, text)),
            Self::SecretLists => named(written, |items| list(items, secret_item)),
            Self::Section(keys) => Node::Map(told(keys, written, dir)),
            Self::Sections(keys) => list(written, |item| Node::Map(told(keys, item, dir))),
            Self::Named(keys) => named(written, |section| Node::Map(told(keys, section, dir))),
            Self::Any => any(written),
            // Whoever tells of a section knows.
            Self::Inline(..) => Node::Null,
        }
    }
}

fn list(written: &Node, told: impl Fn(&Node) -> Node) -> Node {
    Node::List(written.items().iter().map(told).collect())
}

/// Whose names are the user's own, in their order.
fn named(written: &Node, told: impl Fn(&Node) -> Node) -> Node {
    let entries = written.entries().iter();
    let mut entries: Vec<_> = entries.map(|(name, value)| (name.clone(), told(value))).collect();
    entries.sort_by(|one, other| in_order(&one.0, &other.0));
    Node::Map(entries)
}

fn any(written: &Node) -> Node {
    match written {
        Node::Map(_) => named(written, any),
        Node::List(_) => list(written, any),
        Node::Plain(raw) => match (written.boolean(), written.whole(), written.float()) {
            (Some(value), _, _) => Node::Plain(value.to_string()),
            (_, Some(number), _) => Node::Plain(number.to_string()),
            (_, _, Some(number)) => Node::Plain(float(number)),
            _ => Node::Text(raw.clone()),
        },
        other => other.clone(),
    }
}

fn secret_item(written: &Node) -> Node {
    if written.text().is_empty() { Node::Null } else { secret(written) }
}

/// Instead of a secret.
fn secret(written: &Node) -> Node {
    Node::Text(if written.text().is_empty() { "" } else { "<secret>" }.to_owned())
}

fn path(text: &str, dir: &Path) -> String {
    joined(dir, text).to_string_lossy().into_owned()
}

/// A number in its shortest form.
fn float(number: f64) -> String {
    if number.is_nan() {
        return ".nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    if exponent.parse().is_ok_and(|exponent: i32| (-4..6).contains(&exponent)) {
        return number.to_string();
    }
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// A server without the password of whoever asks it, if there is one: `http://me:xxxxx@127.0.0.1`.
pub(super) fn without_password(server: &str) -> String {
    let begin = server.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = server.split_at(begin);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority
        .rsplit_once('@')
        .and_then(|(login, host)| Some((login.split_once(':')?.0, host)))
    {
        Some((user, host)) => format!("{scheme}{user}:xxxxx@{host}{path}"),
        None => server.to_owned(),
    }
}

/// The order in which names are told: numbers in them by what they count, letters behind all else.
pub(super) fn in_order(one: &str, other: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else { return a.len().cmp(&b.len()) };
    let (x, y) = (a[at], b[at]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // Zeros count only within a number that has begun.
    let begun = a[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
    let first = u64::from((x == '0' || y == '0') && begun);
    let number = |name: &[char]| {
        let digits = name[at..].iter().map_while(|c| c.to_digit(10));
        let read = |(number, count): (u64, usize), digit| {
            (number.wrapping_mul(10).wrapping_add(u64::from(digit)), count + 1)
        };
        digits.fold((first, 0_usize), read)
    };
    number(&a).cmp(&number(&b)).then(x.cmp(&y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_servers_are_crossed_out() {
        let check = |server: &str, expected: &str| assert_eq!(without_password(server), expected);
        check("http://u:HUSH@a:80/b?c=d@e", "http://u:xxxxx@a:80/b?c=d@e");
        check("http://u:@a", "http://u:xxxxx@a");
        check("http://u@a", "http://u@a");
        check("http://a/b@c:d@e", "http://a/b@c:d@e");
        check("u:HUSH@a:80", "u:xxxxx@a:80");
        check("a:80/b@c", "a:80/b@c");
        check("unix:///var/run/docker.sock", "unix:///var/run/docker.sock");
    }

    #[test]
    fn numbers_in_names_count() {
        let mut names = ["a10", "b", "a2", "A", "a", "a_", "1", "a01", "a1", "_", "a100", "ä"];
        names.sort_by(|one, other| in_order(one, other));
        let expected = ["_", "1", "A", "a", "a_", "a1", "a01", "a2", "a10", "a100", "b", "ä"];
        assert_eq!(names, expected);
    }

    #[test]
    fn floats_as_prometheus_writes_them() {
        let check = |number: f64, expected: &str| assert_eq!(float(number), expected);
        check(0.0, "0");
        check(1.1, "1.1");
        check(0.0001, "0.0001");
        check(0.000_012, "1.2e-05");
        check(123_456.7, "123456.7");
        check(1e6, "1e+06");
        check(123_456_789.125, "1.23456789125e+08");
        check(1e21, "1e+21");
        check(f64::INFINITY, ".inf");
        check(f64::NAN, ".nan");
        check(-2.5e-100, "-2.5e-100");
    }
}
