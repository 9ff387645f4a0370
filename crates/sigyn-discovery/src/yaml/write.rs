//! YAML as Prometheus' own writer has it: block style with two spaces a level, lists on the level of their
//! key, and texts in quotes only where they would be something else without.

use super::Node;
use super::scalar::{Meaning, Tag, meaning};

/// A line that is longer is broken at its next space.
const WIDTH: usize = 80;

/// The whole of a document.
pub(super) fn written(node: &Node) -> String {
    let mut writer = Writer::default();
    match node {
        Node::List(items) if !items.is_empty() => writer.list(items, 0),
        Node::Map(entries) if !entries.is_empty() => writer.map(entries, 0),
        scalar => {
            writer.scalar(scalar, 0);
            writer.end_line();
        }
    }
    writer.out
}

#[derive(Default)]
struct Writer {
    out: String,
    /// How many characters the line has.
    column: usize,
}

/// Where a text stands, which decides how it may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// A value, or an item on its own line. Lines that it is broken into have this indent.
    Block(usize),
    /// An item among others on one line.
    Flow(usize),
    /// A key.
    Key,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn end_line(&mut self) {
        if self.column > 0 {
            self.out.push('\n');
            self.column = 0;
        }
    }

    fn indent(&mut self, level: usize) {
        self.end_line();
        for _ in 0..level {
            self.put(" ");
        }
    }

    fn list(&mut self, items: &[Node], level: usize) {
        for item in items {
            self.indent(level);
            self.put("-");
            match item {
                Node::Map(entries) if !entries.is_empty() => {
                    self.put(" ");
                    self.map(entries, level + 2);
                }
                Node::List(items) if !items.is_empty() => {
                    self.put(" ");
                    self.list(items, level + 2);
                }
                scalar => {
                    self.put(" ");
                    self.scalar(scalar, level + 2);
                }
            }
        }
        self.end_line();
    }

    fn map(&mut self, entries: &[(String, Node)], level: usize) {
        for (key, value) in entries {
            // The first one may stand behind a `-`.
            if self.column != level {
                self.indent(level);
            }
            self.text(key, Within::Key);
            self.put(":");
            match value {
                Node::Map(entries) if !entries.is_empty() => {
                    self.indent(level + 2);
                    self.map(entries, level + 2);
                }
                Node::List(items) if !items.is_empty() => {
                    self.end_line();
                    self.list(items, level);
                }
                scalar => {
                    self.put(" ");
                    self.scalar(scalar, level + 2);
                    self.end_line();
                }
            }
        }
        self.end_line();
    }

    /// A scalar, or an empty list or mapping, without the end of its line.
    fn scalar(&mut self, node: &Node, level: usize) {
        match node {
            Node::Null => self.put("null"),
            Node::Text(content) => self.text(content, Within::Block(level)),
            Node::Plain(raw) => self.put(raw),
            Node::Flow(items) => self.flow(items, level),
            Node::List(_) => self.put("[]"),
            Node::Map(_) => self.put("{}"),
        }
    }

    fn flow(&mut self, items: &[String], level: usize) {
        self.put("[");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.put(",");
            }
            if self.column > WIDTH {
                self.indent(level);
            } else if index > 0 {
                self.put(" ");
            }
            self.text(item, Within::Flow(level));
        }
        self.put("]");
    }

    fn text(&mut self, text: &str, within: Within) {
        match Style::of(text, within) {
            Style::Plain => self.folded(text, within, |c| c.to_string()),
            Style::Single => {
                self.put("'");
                self.folded(text, within, |c| if c == '\'' { "''".into() } else { c.into() });
                self.put("'");
            }
            Style::Double => {
                self.put("\"");
                self.folded(text, within, escaped);
                self.put("\"");
            }
            Style::Literal => self.literal(text, within),
        }
    }

    /// The characters of a text, which goes on in the next line where one has become too long.
    fn folded(&mut self, text: &str, within: Within, write: impl Fn(char) -> String) {
        let may_break = match within {
            Within::Block(level) | Within::Flow(level) => Some(level),
            Within::Key => None,
        };
        let is_double = self.out.ends_with('"');
        let mut before = None;
        let mut characters = text.chars().enumerate().peekable();
        while let Some((index, c)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            let is_within = index > 0 && next.is_some();
            let fits_alone = is_double || next != Some(' ');
            let is_too_long = self.column > WIDTH;
            match may_break {
                Some(level)
                    if c == ' '
                        && before != Some(' ')
                        && is_too_long
                        && is_within
                        && fits_alone =>
                {
                    self.indent(level);
                    if next == Some(' ') {
                        self.put("\\");
                    }
                }
                _ => self.put(&write(c)),
            }
            before = Some(c);
        }
    }

    /// Line by line, with what tells how many ends of lines belong to it.
    fn literal(&mut self, text: &str, within: Within) {
        let level = match within {
            Within::Block(level) | Within::Flow(level) => level,
            Within::Key => 0,
        };
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put("2");
        }
        match text.strip_suffix('\n') {
            None => self.put("-"),
            Some(rest) if rest.is_empty() || rest.ends_with('\n') => self.put("+"),
            Some(_) => {}
        }
        let lines = text.strip_suffix('\n').unwrap_or(text);
        self.out.push('\n');
        self.column = 0;
        let mut is_first = true;
        for line in lines.split('\n') {
            if !is_first {
                self.out.push('\n');
            }
            is_first = false;
            self.column = 0;
            if !line.is_empty() {
                self.indent(level);
                self.put(line);
            }
        }
        // An empty line at the end is one, too.
        self.column = 1;
    }
}

/// How a text is written.
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

impl Style {
    fn of(text: &str, within: Within) -> Self {
        let is_special = !text.chars().all(is_printable);
        let spaces_end_a_line = text.contains(" \n");
        if text.contains('\n') {
            let is_block = matches!(within, Within::Block(_));
            let fits = !is_special && !spaces_end_a_line && !text.ends_with(' ');
            return if is_block && fits { Self::Literal } else { Self::Double };
        }
        let is_merge = within == Within::Key && text == "<<";
        if is_merge
            || is_something_else(text)
            || is_special
            || text.contains(['\u{2028}', '\u{2029}'])
        {
            Self::Double
        } else if is_one_plain_text(text, matches!(within, Within::Flow(_))) {
            Self::Plain
        } else {
            Self::Single
        }
    }
}

/// What the writer never has to escape.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{ffff}')
        && !matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A character between double quotes.
fn escaped(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c if is_printable(c) => return c.to_string(),
        c => {
            let number = u32::from(c);
            return match number {
                0..=0xff => format!("\\x{number:02X}"),
                0x100..=0xffff => format!("\\u{number:04X}"),
                _ => format!("\\U{number:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// Whether a reader of YAML 1.1 takes it for anything but a text.
fn is_something_else(text: &str) -> bool {
    meaning(Tag::Plain, text) != Ok(Meaning::Text) || is_sexagesimal(text)
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
