//! Writing: fields in the order in which they are put.

use super::{COMPACT_FALSE, Protocol, Type};

/// Appends structs to bytes.
#[derive(Debug)]
pub(crate) struct Writer {
    out: Vec<u8>,
    protocol: Protocol,
    /// The number of the field before, in the struct that is open.
    number: i16,
}

impl Writer {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self { out: Vec::new(), protocol, number: 0 }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// A list that stands alone, or the inside of one that stands in a field: `elements` writes them.
    pub(crate) fn list(&mut self, element: Type, count: usize, elements: impl FnOnce(&mut Self)) {
        let kind = element.number(self.protocol);
        match (self.protocol, u8::try_from(count)) {
            (Protocol::Binary, _) => {
                self.out.push(kind);
                self.length(count);
            }
            (Protocol::Compact, Ok(few @ 0..15)) => self.out.push(few << 4 | kind),
            (Protocol::Compact, _) => {
                self.out.push(0xf0 | kind);
                self.length(count);
            }
        }
        elements(self);
    }

    /// A struct that stands alone or in a list: `fields` writes what is in it.
    pub(crate) fn structure(&mut self, fields: impl FnOnce(&mut Self)) {
        let outer = std::mem::take(&mut self.number);
        fields(self);
        self.out.push(0);
        self.number = outer;
    }

    pub(crate) fn struct_field(&mut self, number: i16, fields: impl FnOnce(&mut Self)) {
        self.header(number, Type::Struct);
        self.structure(fields);
    }

    pub(crate) fn list_field(
        &mut self,
        number: i16,
        element: Type,
        count: usize,
        elements: impl FnOnce(&mut Self),
    ) {
        self.header(number, Type::List);
        self.list(element, count, elements);
    }

    pub(crate) fn bool_field(&mut self, number: i16, value: bool) {
        match self.protocol {
            Protocol::Binary => {
                self.header(number, Type::Bool);
                self.out.push(u8::from(value));
            }
            Protocol::Compact if value => self.header(number, Type::Bool),
            Protocol::Compact => self.compact_header(number, COMPACT_FALSE),
        }
    }

    pub(crate) fn i16_field(&mut self, number: i16, value: i16) {
        self.header(number, Type::I16);
        self.number(i64::from(value), &value.to_be_bytes());
    }

    pub(crate) fn i32_field(&mut self, number: i16, value: i32) {
        self.header(number, Type::I32);
        self.number(i64::from(value), &value.to_be_bytes());
    }

    pub(crate) fn i64_field(&mut self, number: i16, value: i64) {
        self.header(number, Type::I64);
        self.number(value, &value.to_be_bytes());
    }

    pub(crate) fn bytes_field(&mut self, number: i16, bytes: &[u8]) {
        self.header(number, Type::Bytes);
        self.length(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    fn header(&mut self, number: i16, kind: Type) {
        match self.protocol {
            Protocol::Binary => {
                self.out.push(kind.number(self.protocol));
                self.out.extend_from_slice(&number.to_be_bytes());
            }
            Protocol::Compact => self.compact_header(number, kind.number(self.protocol)),
        }
    }

    fn compact_header(&mut self, number: i16, kind: u8) {
        let step = number.checked_sub(self.number).and_then(|step| u8::try_from(step).ok());
        match step {
            Some(step @ 1..=15) => self.out.push(step << 4 | kind),
            _ => {
                self.out.push(kind);
                self.varint(zigzag(i64::from(number)));
            }
        }
        self.number = number;
    }

    fn number(&mut self, value: i64, big_endian: &[u8]) {
        match self.protocol {
            Protocol::Binary => self.out.extend_from_slice(big_endian),
            Protocol::Compact => self.varint(zigzag(value)),
        }
    }

    /// Neither bytes nor lists of ours come near what 31 bits say.
    fn length(&mut self, length: usize) {
        match self.protocol {
            Protocol::Binary => {
                let length = i32::try_from(length).unwrap_or(i32::MAX);
                self.out.extend_from_slice(&length.to_be_bytes());
            }
            Protocol::Compact => self.varint(length as u64),
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.out.push(value.to_le_bytes()[0]);
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}
