//! Thrift's two wire protocols: structs out of bytes and into them, with every length and count
//! bounded by what is there.
//!
//! A struct is read by a function that is told each field. What it leaves unread of a struct, a list
//! or a map is skipped behind it, and so are fields that it does not know.

mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use reader::{List, Reader, Value};
pub(crate) use writer::Writer;

use super::OverLimit;

/// How deep values may nest in what is skipped.
const DEPTH_MAX: u32 = 64;

/// How values are put into bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Binary,
    Compact,
}

/// What a value is. The protocols number types differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Byte,
    I16,
    I32,
    I64,
    Double,
    /// Bytes or text: the wire does not tell them apart.
    Bytes,
    Struct,
    Map,
    Set,
    List,
    Uuid,
}

/// Why bytes are no struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ThriftError {
    #[error("Truncated: length {length} > bytes available {available}")]
    Truncated { length: u64, available: usize },
    #[error("Malformed: length {0}")]
    NegativeLength(i32),
    #[error("Malformed: a varint of more than 64 bits")]
    LongVarint,
    #[error("Malformed: {0} where a smaller number belongs")]
    TooLarge(i64),
    #[error("Malformed: no type has number {0}")]
    UnknownType(u8),
    #[error("Malformed: values nested too deep")]
    Depth,
    #[error("Malformed: no message begins like this")]
    Message,
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
}

/// In the compact protocol a field's header says whether it is true; this number says it is not.
const COMPACT_FALSE: u8 = 2;

impl Type {
    fn from_binary(number: u8) -> Result<Self, ThriftError> {
        Ok(match number {
            2 => Self::Bool,
            3 => Self::Byte,
            4 => Self::Double,
            6 => Self::I16,
            8 => Self::I32,
            10 => Self::I64,
            11 => Self::Bytes,
            12 => Self::Struct,
            13 => Self::Map,
            14 => Self::Set,
            15 => Self::List,
            16 => Self::Uuid,
            _ => return Err(ThriftError::UnknownType(number)),
        })
    }

    fn from_compact(number: u8) -> Result<Self, ThriftError> {
        Ok(match number {
            1 | COMPACT_FALSE => Self::Bool,
            3 => Self::Byte,
            4 => Self::I16,
            5 => Self::I32,
            6 => Self::I64,
            7 => Self::Double,
            8 => Self::Bytes,
            9 => Self::List,
            10 => Self::Set,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            _ => return Err(ThriftError::UnknownType(number)),
        })
    }

    fn number(self, protocol: Protocol) -> u8 {
        let (binary, compact) = match self {
            Self::Bool => (2, 1),
            Self::Byte => (3, 3),
            Self::I16 => (6, 4),
            Self::I32 => (8, 5),
            Self::I64 => (10, 6),
            Self::Double => (4, 7),
            Self::Bytes => (11, 8),
            Self::Struct => (12, 12),
            Self::Map => (13, 11),
            Self::Set => (14, 10),
            Self::List => (15, 9),
            Self::Uuid => (16, 13),
        };
        match protocol {
            Protocol::Binary => binary,
            Protocol::Compact => compact,
        }
    }
}
