//! The first document of a text as a tree. Aliases stay what they are: what they repeat stands there once.

use std::borrow::Cow;
use std::cell::Cell;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span};

use super::scalar::{Meaning, Tag, meaning};
use super::{Place, YamlError, directives};

/// Where a value is in a [`Tree`].
pub(super) type Index = usize;

pub(super) struct Tree<'t> {
    values: Vec<Value<'t>>,
    work: Work,
}

pub(super) struct Value<'t> {
    pub(super) place: Place,
    pub(super) kind: Kind<'t>,
}

pub(super) enum Kind<'t> {
    Scalar(Scalar<'t>),
    List(Vec<Index>),
    Map(Vec<(Index, Index)>),
    Alias(Index),
}

pub(super) struct Scalar<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) tag: Tag,
}

impl Scalar<'_> {
    pub(super) fn meaning(&self) -> Result<Meaning, String> {
        meaning(self.tag, &self.text)
    }

    /// What is read of it as a text: nothing of null, and what a tag `!!binary` hides.
    pub(super) fn as_text(&self) -> Result<Cow<'_, str>, String> {
        match (self.tag, self.meaning()?) {
            (Tag::Binary, _) => binary(&self.text).map(Cow::Owned),
            (_, Meaning::Null) => Ok(Cow::Borrowed("")),
            _ => Ok(Cow::Borrowed(&self.text)),
        }
    }
}

fn binary(text: &str) -> Result<String, String> {
    use base64::Engine as _;
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    let bytes = bytes.map_err(|_| "!!binary value contains invalid base64 data".to_owned())?;
    String::from_utf8(bytes).map_err(|_| "!!binary value is no text".to_owned())
}

impl<'t> Tree<'t> {
    /// Reads the first document of a text; what follows is not looked at.
    pub(super) fn read(text: &'t str) -> Result<Self, YamlError> {
        directives::check(text)?;
        let options = granit_parser::options! {
            emit_comments: false,
            // As Prometheus' reader has it.
            bom_inside_document_as_content: true,
            block_scalar_eof_without_line_feed: true,
        };
        let mut tree = Self { values: Vec::new(), work: Work::default() };
        let mut building =
            Building { tree: &mut tree, text, open: Vec::new(), anchors: Vec::new() };
        let events = Parser::new_from_str_with_options(text, options);
        building.read(events)?;
        if tree.values.is_empty() {
            let nothing = Scalar { text: Cow::Borrowed(""), tag: Tag::Plain };
            let place = Place { line: 1, column: 1 };
            tree.values.push(Value { place, kind: Kind::Scalar(nothing) });
        }
        Ok(tree)
    }

    /// What all else is in.
    pub(super) fn root(&self) -> Index {
        0
    }

    pub(super) fn at(&self, index: Index) -> &Value<'t> {
        &self.values[index]
    }

    /// What an alias stands for, or the value itself.
    pub(super) fn meant(&self, index: Index) -> &Value<'t> {
        match self.at(index).kind {
            Kind::Alias(of) => self.at(of),
            _ => self.at(index),
        }
    }

    /// Looks at a value, or at what it stands for, and counts that. Whatever goes wrong there does so
    /// where the value stands.
    pub(super) fn visit<R>(
        &self,
        index: Index,
        look: impl FnOnce(&Value<'t>) -> Result<R, YamlError>,
    ) -> Result<R, YamlError> {
        let value = self.at(index);
        let look = || {
            self.work.step()?;
            match value.kind {
                Kind::Alias(of) => self.work.repeating(true, || {
                    self.work.step()?;
                    look(self.at(of))
                }),
                _ => look(value),
            }
        };
        self.work.deeper(look).map_err(|error| error.or_at(value.place))
    }

    /// Reads a part of an entry. What an alias has merged is as repeated as what it stands for.
    pub(super) fn read_entry<R>(&self, entry: &Entry, read: impl FnOnce() -> R) -> R {
        self.work.repeating(entry.is_repeated, read)
    }

    /// The entries of a mapping in the order in which they count, those of merged ones among them, and
    /// the text of each key. None stands twice where it was written.
    pub(super) fn entries(
        &self,
        map: &[(Index, Index)],
        repeated: &dyn Fn(&str) -> String,
    ) -> Result<Vec<Entry>, YamlError> {
        let mut entries = Vec::with_capacity(map.len());
        self.gather(map, repeated, &mut entries)?;
        Ok(entries)
    }

    /// Looks at all of a value.
    pub(super) fn check(&self, index: Index) -> Result<(), YamlError> {
        self.visit(index, |value| match &value.kind {
            Kind::Scalar(scalar) => {
                scalar.as_text().map(drop).map_err(|message| value.place.error(message))
            }
            Kind::List(items) => items.iter().try_for_each(|item| self.check(*item)),
            Kind::Map(map) => {
                let entries = self.entries(map, &twice)?;
                let check = |entry: &Entry| self.read_entry(entry, || self.check(entry.value));
                entries.iter().try_for_each(check)
            }
            Kind::Alias(_) => Ok(()),
        })
    }

    /// Whether other mappings are merged into this one.
    pub(super) fn has_merges(&self, map: &[(Index, Index)]) -> bool {
        map.iter().any(|(key, _)| is_merge(&self.meant(*key).kind))
    }

    fn gather(
        &self,
        map: &[(Index, Index)],
        repeated: &dyn Fn(&str) -> String,
        entries: &mut Vec<Entry>,
    ) -> Result<(), YamlError> {
        let mut names = std::collections::HashSet::with_capacity(map.len());
        for (key, value) in map {
            let place = self.at(*key).place;
            let name = match &self.meant(*key).kind {
                kind if is_merge(kind) => {
                    self.merge(*value, repeated, entries)?;
                    continue;
                }
                Kind::Scalar(scalar) => scalar.as_text().map_err(|message| place.error(message))?,
                Kind::List(_) => return Err(place.error("cannot unmarshal !!seq into string")),
                Kind::Map(_) | Kind::Alias(_) => {
                    return Err(place.error("cannot unmarshal !!map into string"));
                }
            };
            if !names.insert(name.clone()) {
                return Err(place.error(repeated(&name)));
            }
            let is_repeated = self.work.is_repeating();
            if is_repeated {
                self.work.step().map_err(|error| error.or_at(place))?;
            }
            let name = name.into_owned();
            entries.push(Entry { key: *key, value: *value, name, is_repeated });
        }
        Ok(())
    }

    /// What is merged comes after what stands before it, and of several the first comes last.
    fn merge(
        &self,
        index: Index,
        repeated: &dyn Fn(&str) -> String,
        entries: &mut Vec<Entry>,
    ) -> Result<(), YamlError> {
        let one = |index, entries: &mut Vec<Entry>| {
            self.visit(index, |value| match &value.kind {
                Kind::Map(map) => self.gather(map, repeated, entries),
                _ => Err(self.no_map(index)),
            })
        };
        match &self.at(index).kind {
            Kind::List(items) => items.iter().rev().try_for_each(|item| one(*item, entries)),
            _ => one(index, entries),
        }
    }

    fn no_map(&self, index: Index) -> YamlError {
        let message = "map merge requires map or sequence of maps as the value";
        self.at(index).place.error(message)
    }
}

/// What is said of a key that stands twice in one mapping.
pub(super) fn twice(key: &str) -> String {
    format!("key \"{key}\" already set in map")
}

fn is_merge(key: &Kind<'_>) -> bool {
    matches!(key, Kind::Scalar(Scalar { text, tag: Tag::Plain | Tag::Merge | Tag::Exclaimed }) if text == "<<")
}

/// An entry of a mapping.
pub(super) struct Entry {
    pub(super) key: Index,
    pub(super) value: Index,
    pub(super) name: String,
    is_repeated: bool,
}

/// How much was looked at, and how much of that only because aliases repeat it: a short text can say a
/// lot with them. The bounds are Prometheus'.
#[derive(Default)]
struct Work {
    looked: Cell<u64>,
    repeated: Cell<u64>,
    aliases_around: Cell<u32>,
    values_around: Cell<u32>,
}

impl Work {
    /// From here on, fewer and fewer may be repeated, down to a tenth.
    const FREE: u64 = 400_000;
    const STRICT: u64 = 4_000_000;
    /// Nothing that is configured is nested half as deep, and each level takes some of the stack.
    const DEPTH_MAX: u32 = 100;

    fn step(&self) -> Result<(), YamlError> {
        let looked = self.looked.get() + 1;
        let repeated = self.repeated.get() + u64::from(self.is_repeating());
        self.looked.set(looked);
        self.repeated.set(repeated);
        // In thousandths.
        let allowed = match looked {
            ..=Self::FREE => 990,
            Self::STRICT.. => 100,
            _ => 990 - 890 * (looked - Self::FREE) / (Self::STRICT - Self::FREE),
        };
        if repeated > 100 && looked > 1000 && repeated * 1000 > looked * allowed {
            return Err(YamlError::new("document contains excessive aliasing"));
        }
        Ok(())
    }

    fn is_repeating(&self) -> bool {
        self.aliases_around.get() > 0
    }

    fn repeating<R>(&self, repeats: bool, look: impl FnOnce() -> R) -> R {
        let before = self.aliases_around.get();
        self.aliases_around.set(before + u32::from(repeats));
        let looked = look();
        self.aliases_around.set(before);
        looked
    }

    fn deeper<R>(&self, look: impl FnOnce() -> Result<R, YamlError>) -> Result<R, YamlError> {
        let before = self.values_around.get();
        if before >= Self::DEPTH_MAX {
            return Err(YamlError::new("values are nested too deeply"));
        }
        self.values_around.set(before + 1);
        let looked = look();
        self.values_around.set(before);
        looked
    }
}

/// A tree on its way. Values whose ends have not been seen are open.
struct Building<'b, 't> {
    tree: &'b mut Tree<'t>,
    text: &'t str,
    open: Vec<Open>,
    /// By their numbers, from 1.
    anchors: Vec<(usize, Index)>,
}

struct Open {
    at: Index,
    is_map: bool,
    items: Vec<Index>,
}

impl<'t> Building<'_, 't> {
    fn read(
        &mut self,
        events: impl Iterator<Item = Result<(Event<'t>, Span), ScanError>>,
    ) -> Result<(), YamlError> {
        for event in events {
            let (event, span) = match event {
                // What stands further left, or begins with a percent sign, is not of the document.
                Err(error) if self.is_done() && is_end(error.kind()) => {
                    return directives::check_end(self.text, place(*error.marker()).line);
                }
                event => event.map_err(|error| self.refusal(&error))?,
            };
            match event {
                Event::Scalar(text, style, anchor, tag) => {
                    let tag = tag_of(tag.as_deref(), style);
                    self.add(span, anchor, Kind::Scalar(Scalar { text, tag }));
                }
                Event::SequenceStart(_, anchor, _) => {
                    let at = self.add(span, anchor, Kind::List(Vec::new()));
                    self.open.push(Open { at, is_map: false, items: Vec::new() });
                }
                Event::MappingStart(_, anchor, _) => {
                    let at = self.add(span, anchor, Kind::Map(Vec::new()));
                    self.open.push(Open { at, is_map: true, items: Vec::new() });
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(),
                Event::Alias(anchor) => {
                    // A later anchor of the same name has another number.
                    let found = self.anchors.iter().rev().find(|(number, _)| *number == anchor);
                    let of = found.map(|(_, index)| *index);
                    let of = of.ok_or_else(|| place(span.start).error(self.unknown(span.start)))?;
                    if self.open.iter().any(|open| open.at == of) {
                        let name = self.name(span.start);
                        let message = format!("anchor '{name}' value contains itself");
                        return Err(place(span.start).error(message));
                    }
                    self.add(span, 0, Kind::Alias(of));
                }
                Event::DocumentEnd => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether there is a value, and all of it.
    fn is_done(&self) -> bool {
        self.open.is_empty() && !self.tree.values.is_empty()
    }

    fn add(&mut self, span: Span, anchor: usize, kind: Kind<'t>) -> Index {
        let index = self.tree.values.len();
        self.tree.values.push(Value { place: place(span.start), kind });
        if anchor != 0 {
            self.anchors.push((anchor, index));
        }
        if let Some(open) = self.open.last_mut() {
            open.items.push(index);
        }
        index
    }

    fn close(&mut self) {
        let Some(open) = self.open.pop() else { return };
        self.tree.values[open.at].kind = if open.is_map {
            let (pairs, _) = open.items.as_chunks::<2>();
            Kind::Map(pairs.iter().map(|[key, value]| (*key, *value)).collect())
        } else {
            Kind::List(open.items)
        };
    }

    fn refusal(&self, error: &ScanError) -> YamlError {
        let message = match error.kind() {
            ErrorKind::UnknownAnchor => self.unknown(*error.marker()),
            kind => kind.to_string(),
        };
        place(*error.marker()).error(message)
    }

    fn unknown(&self, alias: Marker) -> String {
        format!("unknown anchor '{}' referenced", self.name(alias))
    }

    /// The name of an alias.
    fn name(&self, alias: Marker) -> &'t str {
        let rest = alias.byte_offset().and_then(|start| self.text.get(start..)).unwrap_or_default();
        let name = rest.strip_prefix('*').unwrap_or(rest);
        let end = name.find(|c: char| c.is_whitespace() || ",[]{}".contains(c));
        &name[..end.unwrap_or(name.len())]
    }
}

fn is_end(kind: &ErrorKind) -> bool {
    use ErrorKind::{ExpectedDocumentStart, MissingDocumentEndBeforeDirective};
    matches!(kind, ExpectedDocumentStart | MissingDocumentEndBeforeDirective)
}

fn tag_of(tag: Option<&granit_parser::Tag>, style: ScalarStyle) -> Tag {
    match tag {
        None if style == ScalarStyle::Plain => Tag::Plain,
        None => Tag::Str,
        Some(tag) if tag.handle().is_empty() && tag.suffix() == "!" => Tag::Exclaimed,
        Some(tag) => match tag.suffix_in_namespace("tag:yaml.org,2002:") {
            Some(name) => Tag::named(&name),
            None => Tag::Other,
        },
    }
}

fn place(marker: Marker) -> Place {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Place { line: number(marker.line()), column: number(marker.col()).saturating_add(1) }
}
