//! Reading: fields and elements one by one, borrowed from the bytes that they stand in.

use super::{COMPACT_FALSE, DEPTH_MAX, Protocol, ThriftError, Type};

/// A place in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    protocol: Protocol,
    /// The header of a struct, list or map that was handed out, while nobody has read on.
    unread: Option<Value<'a>>,
}

/// A value; of one that holds others, what stands before them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Bool(bool),
    Byte(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    Double(f64),
    /// Bytes or text.
    Bytes(&'a [u8]),
    Uuid([u8; 16]),
    /// To be read by [`Reader::fields`].
    Struct,
    /// To be read by [`Reader::elements`].
    List(List),
    /// The same. Nothing that we read has one.
    Set(List),
    /// A map of so many entries. Nothing that we read has one.
    Map(Type, Type, u32),
}

/// What stands before the elements of a list, or of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) element: Type,
    /// As it was sent: nobody has looked yet whether there are so many. Make no room for them.
    pub(crate) count: u32,
}

/// What stands before the arguments of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) name: &'a [u8],
    /// 1 call, 2 reply, 3 exception, 4 one-way call.
    pub(crate) kind: u8,
    pub(crate) sequence: i32,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(protocol: Protocol, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, protocol, unread: None }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads a struct: `field` is told the number and the value of each of its fields.
    pub(crate) fn fields(
        &mut self,
        mut field: impl FnMut(&mut Self, i16, Value<'a>) -> Result<(), ThriftError>,
    ) -> Result<(), ThriftError> {
        self.unread = None;
        let mut number = 0;
        while let Some(value) = self.field(&mut number)? {
            self.hand_out(value, |reader, value| field(reader, number, value))?;
        }
        Ok(())
    }

    /// Reads the elements of a list whose header was read.
    pub(crate) fn elements(
        &mut self,
        list: List,
        mut element: impl FnMut(&mut Self, Value<'a>) -> Result<(), ThriftError>,
    ) -> Result<(), ThriftError> {
        self.unread = None;
        for _ in 0..list.count {
            let value = self.value(list.element)?;
            self.hand_out(value, &mut element)?;
        }
        Ok(())
    }

    /// Reads the header of a list that stands alone, not in a field.
    pub(crate) fn list(&mut self) -> Result<List, ThriftError> {
        let (element, count) = match self.protocol {
            Protocol::Binary => {
                let number = self.byte()?;
                (Type::from_binary(number), self.binary_count()?)
            }
            Protocol::Compact => {
                let header = self.byte()?;
                let count = match header >> 4 {
                    15 => self.compact_length()?,
                    few => u32::from(few),
                };
                (Type::from_compact(header & 0x0f), count)
            }
        };
        // Some writers give a list without elements no type.
        let element = if count == 0 { element.unwrap_or(Type::Struct) } else { element? };
        Ok(List { element, count })
    }

    /// Reads what stands before the arguments of a call: in the binary protocol in its strict form
    /// or the old one.
    pub(crate) fn message(&mut self) -> Result<Message<'a>, ThriftError> {
        match self.protocol {
            Protocol::Binary => {
                let first = i32::from_be_bytes(self.array()?);
                if first >= 0 {
                    let name = self.take(u64::from(first.unsigned_abs()))?;
                    let kind = self.byte()?;
                    return Ok(Message { name, kind, sequence: i32::from_be_bytes(self.array()?) });
                }
                let [high, low, _, kind] = first.to_be_bytes();
                if (high, low) != (0x80, 1) {
                    return Err(ThriftError::Message);
                }
                let name = self.bytes()?;
                Ok(Message { name, kind, sequence: i32::from_be_bytes(self.array()?) })
            }
            Protocol::Compact => {
                let [protocol, kind_and_version] = self.array()?;
                if (protocol, kind_and_version & 0x1f) != (0x82, 1) {
                    return Err(ThriftError::Message);
                }
                // Some write the number's bits as they are, with no regard to its sign.
                let sequence = self.varint()? & u64::from(u32::MAX);
                let [a, b, c, d, ..] = sequence.to_le_bytes();
                let sequence = i32::from_le_bytes([a, b, c, d]);
                Ok(Message { name: self.bytes()?, kind: kind_and_version >> 5, sequence })
            }
        }
    }

    /// Hands out a value, and skips what nobody has read of it.
    fn hand_out(
        &mut self,
        value: Value<'a>,
        take: impl FnOnce(&mut Self, Value<'a>) -> Result<(), ThriftError>,
    ) -> Result<(), ThriftError> {
        self.unread =
            matches!(value, Value::Struct | Value::List(_) | Value::Set(_) | Value::Map(..))
                .then_some(value);
        take(self, value)?;
        match self.unread.take() {
            None => Ok(()),
            Some(value) => self.skip(value, DEPTH_MAX),
        }
    }

    fn skip(&mut self, value: Value<'a>, depth: u32) -> Result<(), ThriftError> {
        let depth = depth.checked_sub(1).ok_or(ThriftError::Depth)?;
        match value {
            Value::Struct => {
                let mut number = 0;
                while let Some(value) = self.field(&mut number)? {
                    self.skip(value, depth)?;
                }
            }
            Value::List(List { element, count }) | Value::Set(List { element, count }) => {
                for _ in 0..count {
                    let value = self.value(element)?;
                    self.skip(value, depth)?;
                }
            }
            Value::Map(keys, values, count) => {
                for _ in 0..count {
                    let key = self.value(keys)?;
                    self.skip(key, depth)?;
                    let value = self.value(values)?;
                    self.skip(value, depth)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The next field of a struct, whose number is put in place of the one before it. `None` at the
    /// struct's end.
    fn field(&mut self, number: &mut i16) -> Result<Option<Value<'a>>, ThriftError> {
        let header = self.byte()?;
        match self.protocol {
            Protocol::Binary => {
                if header == 0 {
                    return Ok(None);
                }
                *number = i16::from_be_bytes(self.array()?);
                self.value(Type::from_binary(header)?).map(Some)
            }
            Protocol::Compact => {
                let (step, kind) = (header >> 4, header & 0x0f);
                if kind == 0 {
                    return Ok(None);
                }
                *number = match step {
                    0 => self.zigzag()?,
                    step => number.wrapping_add(i16::from(step)),
                };
                match Type::from_compact(kind)? {
                    Type::Bool => Ok(Some(Value::Bool(kind != COMPACT_FALSE))),
                    kind => self.value(kind).map(Some),
                }
            }
        }
    }

    /// Reads a value, or the header of one that holds others. Takes a byte at least, or promises a
    /// struct, which has one at its end: so no count makes a loop longer than the bytes.
    fn value(&mut self, kind: Type) -> Result<Value<'a>, ThriftError> {
        let binary = self.protocol == Protocol::Binary;
        Ok(match kind {
            Type::Bool if binary => Value::Bool(self.byte()? != 0),
            Type::Bool => Value::Bool(self.byte()? == 1),
            Type::Byte => Value::Byte(i8::from_be_bytes(self.array()?)),
            Type::I16 if binary => Value::I16(i16::from_be_bytes(self.array()?)),
            Type::I16 => Value::I16(self.zigzag()?),
            Type::I32 if binary => Value::I32(i32::from_be_bytes(self.array()?)),
            Type::I32 => Value::I32(self.zigzag()?),
            Type::I64 if binary => Value::I64(i64::from_be_bytes(self.array()?)),
            Type::I64 => Value::I64(self.zigzag()?),
            Type::Double if binary => Value::Double(f64::from_be_bytes(self.array()?)),
            Type::Double => Value::Double(f64::from_le_bytes(self.array()?)),
            Type::Bytes => Value::Bytes(self.bytes()?),
            Type::Uuid => Value::Uuid(self.array()?),
            Type::Struct => Value::Struct,
            Type::List => Value::List(self.list()?),
            Type::Set => Value::Set(self.list()?),
            Type::Map if binary => {
                let [keys, values] = self.array()?;
                let count = self.binary_count()?;
                self.map(count, keys, values, Type::from_binary)?
            }
            Type::Map => match self.compact_length()? {
                // There are no types where there are no entries.
                0 => Value::Map(Type::Bool, Type::Bool, 0),
                count => {
                    let types = self.byte()?;
                    self.map(count, types >> 4, types & 0x0f, Type::from_compact)?
                }
            },
        })
    }

    /// Writers put zeros for the types of an empty map.
    fn map(
        &self,
        count: u32,
        keys: u8,
        values: u8,
        to_type: fn(u8) -> Result<Type, ThriftError>,
    ) -> Result<Value<'a>, ThriftError> {
        match count {
            0 => Ok(Value::Map(Type::Bool, Type::Bool, 0)),
            count => Ok(Value::Map(to_type(keys)?, to_type(values)?, count)),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], ThriftError> {
        let length = match self.protocol {
            Protocol::Binary => {
                let length = i32::from_be_bytes(self.array()?);
                u64::try_from(length).map_err(|_| ThriftError::NegativeLength(length))?
            }
            Protocol::Compact => self.varint()?,
        };
        self.take(length)
    }

    /// A count below zero says that there is nothing.
    fn binary_count(&mut self) -> Result<u32, ThriftError> {
        let count = i32::from_be_bytes(self.array()?);
        Ok(u32::try_from(count).unwrap_or(0))
    }

    fn compact_length(&mut self) -> Result<u32, ThriftError> {
        let length = self.varint()?;
        let too_large = |_| ThriftError::TooLarge(length.cast_signed());
        u32::try_from(length).map_err(too_large)
    }

    fn zigzag<N: TryFrom<i64>>(&mut self) -> Result<N, ThriftError> {
        let bits = self.varint()?;
        let number = (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed();
        N::try_from(number).map_err(|_| ThriftError::TooLarge(number))
    }

    fn varint(&mut self) -> Result<u64, ThriftError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(ThriftError::LongVarint)
    }

    fn byte(&mut self) -> Result<u8, ThriftError> {
        self.array().map(|[byte]| byte)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], ThriftError> {
        let split = usize::try_from(length).ok().and_then(|n| self.rest.split_at_checked(n));
        let available = self.rest.len();
        let (taken, rest) = split.ok_or(ThriftError::Truncated { length, available })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ThriftError> {
        let split = self.rest.split_first_chunk();
        let available = self.rest.len();
        let (taken, rest) = split.ok_or(ThriftError::Truncated { length: N as u64, available })?;
        self.rest = rest;
        Ok(*taken)
    }
}
