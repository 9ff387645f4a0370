//! The columns of tags: one for each of the frequent keys, which of them a row has, and the rest.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use sigyn_model::Value;

use super::dictionary::Dictionary;
use super::endpoints::{Addresses, Peer};
use super::hybrid::put_uint;
use super::json;
use super::per_source::{PerSource, at};
use super::plan::{Plan, REST, sort_of};
use super::schema::{TAG_SORTS, TagSort};
use super::source::{Source, TagValue};
use super::sparse::Sparse;

/// Those of a row group.
#[derive(Debug)]
pub(super) struct TagColumns {
    plan: Plan,
    pub(super) columns: Vec<TagValues>,
    /// By number of a tag in the source.
    places: Vec<Place>,
    /// By number of a key in the source.
    keys: PerSource<KeyPlace>,
    /// Anew for every source in every group.
    now: u32,
    /// Whether a value may have been met under another number.
    is_shared: bool,
    says_again: bool,
    pub(super) shapes: Sparse<u32>,
    pub(super) known_shapes: Dictionary,
    shape_numbers: HashMap<Vec<u8>, u32, RandomState>,
    pub(super) rest: Sparse<u32>,
    /// What small tags take of the row that is being added, which the group did not have.
    new_small_bytes: u64,
    /// Tags of the row that was added last that the source has not shown in this group before.
    new: Vec<u32>,
    /// Where a shape is put together, and which of the tags have no column.
    shape: Vec<u8>,
    of_rest: Vec<u32>,
}

/// A page of such values takes little, even if it says them once a row.
const SMALL_BYTES_MAX: u64 = 256;
/// What a tag takes in a column beside its value: a row and a number.
const PLACE_BYTES: u64 = 8;

/// Values of one column.
#[derive(Debug)]
pub(super) struct TagValues {
    pub(super) sort: TagSort,
    pub(super) numbers: Sparse<u32>,
    pub(super) words: Dictionary,
}

/// Where one tag goes.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    when: u32,
    /// Its value's number in its column.
    number: u32,
    /// Its column, or [`REST`].
    column: u16,
    /// About how many times 16 bytes it takes.
    size: u16,
    /// The address or the port that it says.
    says: Peer,
    /// Whether its key is `error`.
    says_error: bool,
}

#[derive(Clone, Copy, Debug)]
struct KeyPlace {
    columns: [u16; TAG_SORTS.len()],
    says_error: bool,
}

/// What is to be known of a row's tags.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TagsSay {
    /// About how many bytes they take, each time they are said.
    pub(super) bytes: u64,
    /// The same, but of small ones that the group has already only their places.
    pub(super) held_bytes: u64,
    /// Whether one of them has the key `error`.
    pub(super) error: bool,
    /// What of the peer need not be said again.
    pub(super) of_peer: Peer,
}

impl TagColumns {
    pub(super) fn new(plan: Plan) -> Self {
        let columns = plan.tag_columns.iter().map(|column| TagValues {
            sort: column.sort,
            numbers: Sparse::default(),
            words: match column.sort {
                TagSort::Text => Dictionary::default(),
                TagSort::Int | TagSort::Double | TagSort::Bool => Dictionary::of_numbers(),
            },
        });
        Self {
            columns: columns.collect(),
            plan,
            places: Vec::new(),
            keys: PerSource::default(),
            now: 0,
            is_shared: false,
            says_again: false,
            shapes: Sparse::default(),
            known_shapes: Dictionary::default(),
            shape_numbers: HashMap::default(),
            rest: Sparse::default(),
            new_small_bytes: 0,
            new: Vec::new(),
            shape: Vec::new(),
            of_rest: Vec::new(),
        }
    }

    /// Tags are those of another source from here on.
    pub(super) fn begin_source(&mut self, says_again: bool) {
        self.now += 1;
        self.keys.clear();
        self.says_again = says_again;
        self.is_shared = says_again || !self.shapes.rows.is_empty();
    }

    /// Those of the row that was added last that the source has not shown before, or not in this group.
    pub(super) fn new_in_last_row(&self) -> &[u32] {
        &self.new
    }

    /// Reads what is known of tags that are about to be added; the sum means nothing. What is known lies far
    /// apart, and the processor waits once for several of them if nothing else stands in between.
    pub(super) fn look_ahead(&self, tags: &[u32]) -> u64 {
        let places = tags.iter().filter_map(|tag| self.places.get(*tag as usize));
        places.map(|place| u64::from(place.when)).sum()
    }

    /// Adds those of a row; `own` gets the texts of those that have no column.
    pub(super) fn push(
        &mut self,
        row: u32,
        source: &dyn Source,
        tags: &[u32],
        peer: Peer,
        (own, addresses): (&mut Dictionary, &mut Addresses),
    ) -> TagsSay {
        self.new.clear();
        let mut say = TagsSay::default();
        if tags.is_empty() {
            return say;
        }
        self.shape.clear();
        self.of_rest.clear();
        let (mut address_column, mut port_column) = (None, None);
        for tag in tags.iter().copied() {
            let place = match self.places.get(tag as usize) {
                Some(place) if place.when == self.now => *place,
                _ => self.meet(source, tag, addresses),
            };
            let bytes = match place.size {
                // It may take more than can be said there.
                u16::MAX => source.tag_bytes(tag) as u64,
                size => u64::from(size) * 16,
            };
            say.bytes += bytes;
            // A column may write it once for each row that says it.
            say.held_bytes += if bytes > SMALL_BYTES_MAX { bytes } else { PLACE_BYTES };
            say.error |= place.says_error;
            let column = self.columns.get_mut(usize::from(place.column));
            // A key that stands twice has one place in its column.
            match column.filter(|column| column.numbers.rows.last() != Some(&row)) {
                Some(column) => {
                    put_uint(&mut self.shape, u64::from(place.column) + 1);
                    column.numbers.push(row, place.number);
                    if place.says.address != 0 && place.says.address == peer.address {
                        address_column.get_or_insert(place.column);
                    }
                    if place.says.port != 0 && place.says.port == peer.port {
                        port_column.get_or_insert(place.column);
                    }
                }
                None => {
                    self.shape.push(0);
                    self.of_rest.push(tag);
                }
            }
        }
        say.held_bytes += std::mem::take(&mut self.new_small_bytes);
        let columns = self.columns.len() as u64;
        if let Some(column) = address_column {
            say.of_peer.address = peer.address;
            put_uint(&mut self.shape, columns + u64::from(column) + 1);
        }
        if let Some(column) = port_column {
            say.of_peer.port = peer.port;
            put_uint(&mut self.shape, 2 * columns + u64::from(column) + 1);
        }
        let shape = match self.shape_numbers.get(&self.shape) {
            Some(number) => *number,
            None => {
                let number = self.known_shapes.push(|out| out.extend_from_slice(&self.shape));
                self.shape_numbers.insert(self.shape.clone(), number);
                number
            }
        };
        self.shapes.push(row, shape);
        if !self.of_rest.is_empty() {
            let mut text = String::new();
            let tags = self.of_rest.iter();
            let tags: Vec<(&str, Value)> =
                tags.map(|tag| (source.key(source.tag(*tag).0), source.tag_value(*tag))).collect();
            json::put_members(&mut text, tags.iter().map(|(key, value)| (*key, value)));
            say.bytes += text.len() as u64;
            self.rest.push(row, own.push(|out| out.extend_from_slice(text.as_bytes())));
        }
        say
    }

    #[cold]
    fn meet(&mut self, source: &dyn Source, tag: u32, addresses: &mut Addresses) -> Place {
        self.new.push(tag);
        let (key, value) = source.tag(tag);
        let of_key = self.keys.get_or_insert_with(key, || {
            let key = source.key(key);
            KeyPlace { columns: self.plan.columns_of(key), says_error: key == "error" }
        });
        let column = sort_of(value).map_or(REST, |sort| of_key.columns[sort as usize]);
        let words = self.columns.get_mut(usize::from(column)).map(|column| &mut column.words);
        let number = words.map_or(0, |words| {
            let put = |out: &mut Vec<u8>| put_value(out, value);
            if self.is_shared { words.find_or_push(put) } else { words.push(put) }
        });
        let bytes = source.tag_bytes(tag);
        if bytes as u64 <= SMALL_BYTES_MAX {
            self.new_small_bytes += bytes as u64;
        }
        let size = u16::try_from(bytes.div_ceil(16)).unwrap_or(u16::MAX);
        let says_error = of_key.says_error;
        let says = match value {
            TagValue::Text(text) => Peer { address: addresses.number_of_text(text), port: 0 },
            TagValue::Int(port) => Peer { address: 0, port: u16::try_from(port).unwrap_or(0) },
            _ => Peer::default(),
        };
        let place = Place { when: self.now, number, column, size, says, says_error };
        *at(&mut self.places, tag) = place;
        place
    }

    /// Starts another group.
    pub(super) fn clear(&mut self) {
        for column in &mut self.columns {
            column.numbers.clear();
            column.words.clear();
        }
        self.shapes.clear();
        self.known_shapes.clear();
        self.shape_numbers.clear();
        self.rest.clear();
        self.now += 1;
        self.is_shared = self.says_again;
    }
}

fn put_value(out: &mut Vec<u8>, value: TagValue<'_>) {
    match value {
        TagValue::Text(text) => out.extend_from_slice(text),
        TagValue::Int(value) => out.extend_from_slice(&value.to_le_bytes()),
        TagValue::Double(value) => out.extend_from_slice(&value.to_bits().to_le_bytes()),
        TagValue::Bool(value) => out.push(u8::from(value)),
        TagValue::Other => {}
    }
}
