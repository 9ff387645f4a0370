//! The header of a Parquet page, in Thrift's compact protocol: what we write of it, and no more.

use super::delta::{unzigzag, zigzag};
use super::hybrid::{put_uint, take_array, take_uint};
use crate::codec::Malformed;

/// How a page's values are written, by Parquet's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Rle,
    DeltaLengths,
    DeltaBytes,
    Dictionary,
    ByteStreams,
}

const ENCODINGS: [(Encoding, i64); 6] = [
    (Encoding::Plain, 0),
    (Encoding::Rle, 3),
    (Encoding::DeltaLengths, 6),
    (Encoding::DeltaBytes, 7),
    (Encoding::Dictionary, 8),
    (Encoding::ByteStreams, 9),
];

/// What stands before a page's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub(super) is_dictionary: bool,
    /// Absent ones included.
    pub(super) values: u32,
    pub(super) encoding: Encoding,
    pub(super) raw_bytes: u32,
    pub(super) bytes: u32,
    /// Of the bytes, as in gzip.
    pub(super) crc: u32,
}

const DATA: i64 = 0;
const DICTIONARY: i64 = 2;
/// Thrift's types.
const I32: u8 = 5;
const STRUCT: u8 = 12;

impl PageHeader {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut last = 0;
        field(out, &mut last, 1, I32);
        put_int(out, if self.is_dictionary { DICTIONARY } else { DATA });
        field(out, &mut last, 2, I32);
        put_int(out, i64::from(self.raw_bytes));
        field(out, &mut last, 3, I32);
        put_int(out, i64::from(self.bytes));
        field(out, &mut last, 4, I32);
        put_int(out, i64::from(self.crc.cast_signed()));
        field(out, &mut last, if self.is_dictionary { 7 } else { 5 }, STRUCT);
        let mut last = 0;
        field(out, &mut last, 1, I32);
        put_int(out, i64::from(self.values));
        field(out, &mut last, 2, I32);
        put_int(out, number(self.encoding));
        if !self.is_dictionary {
            for id in [3, 4] {
                field(out, &mut last, id, I32);
                put_int(out, number(Encoding::Rle));
            }
        }
        out.extend_from_slice(&[0, 0]);
    }

    /// Reads a header that [`PageHeader::put`] wrote, and moves past it.
    pub(super) fn take(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        const UNKNOWN: Malformed = Malformed { what: "a page of an unknown sort" };
        let mut last = 0;
        let kind = int_field(bytes, &mut last, 1)?;
        let raw_bytes = int_field(bytes, &mut last, 2)?;
        let page_bytes = int_field(bytes, &mut last, 3)?;
        let crc = int_field(bytes, &mut last, 4)?;
        let is_dictionary = kind == DICTIONARY;
        let [begins] = take_array(bytes)?;
        if begins != (if is_dictionary { 3 } else { 1 }) << 4 | STRUCT {
            return Err(UNKNOWN);
        }
        let mut last = 0;
        let values = int_field(bytes, &mut last, 1)?;
        let encoding = int_field(bytes, &mut last, 2)?;
        if !is_dictionary {
            int_field(bytes, &mut last, 3)?;
            int_field(bytes, &mut last, 4)?;
        }
        if take_array(bytes)? != [0, 0] {
            return Err(UNKNOWN);
        }
        let encoding = ENCODINGS.iter().find(|(_, number)| *number == encoding).ok_or(UNKNOWN)?;
        let size = |number: i64| u32::try_from(number).map_err(|_| UNKNOWN);
        let crc = i32::try_from(crc).map_err(|_| UNKNOWN)?.cast_unsigned();
        Ok(Self {
            is_dictionary,
            values: size(values)?,
            encoding: encoding.0,
            raw_bytes: size(raw_bytes)?,
            bytes: size(page_bytes)?,
            crc,
        })
    }
}

fn number(encoding: Encoding) -> i64 {
    ENCODINGS.iter().find(|(known, _)| *known == encoding).map_or(0, |(_, number)| *number)
}

fn field(out: &mut Vec<u8>, last: &mut u8, id: u8, kind: u8) {
    out.push((id - *last) << 4 | kind);
    *last = id;
}

fn put_int(out: &mut Vec<u8>, value: i64) {
    put_uint(out, zigzag(value));
}

fn int_field(bytes: &mut &[u8], last: &mut u8, id: u8) -> Result<i64, Malformed> {
    let [begins] = take_array(bytes)?;
    if begins != (id - *last) << 4 | I32 {
        return Err(Malformed { what: "a page's header of another shape" });
    }
    *last = id;
    Ok(unzigzag(take_uint(bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_as_written() {
        for is_dictionary in [false, true] {
            for (encoding, _) in ENCODINGS {
                let header = PageHeader {
                    is_dictionary,
                    values: 4_096,
                    encoding,
                    raw_bytes: 1 << 30,
                    bytes: 7,
                    crc: 0xdead_beef,
                };
                let mut bytes = Vec::new();
                header.put(&mut bytes);
                bytes.push(9);
                let mut rest = bytes.as_slice();
                assert_eq!(PageHeader::take(&mut rest), Ok(header));
                assert_eq!(rest, [9]);
                assert!(PageHeader::take(&mut &bytes[1..]).is_err());
            }
        }
    }
}
