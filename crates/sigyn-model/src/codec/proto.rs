//! Protobuf's wire format: fields out of bytes and into them, with every length bounded by what is there.

use crate::codec::{ManyNested, OverLimit};

/// How deep groups may nest in what is skipped. Nobody writes groups any more.
const GROUP_DEPTH_MAX: usize = 32;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtoError {
    #[error("Truncated: length {length} > bytes available {available}")]
    Truncated { length: u64, available: usize },
    #[error("Malformed: a varint of more than 64 bits")]
    LongVarint,
    #[error("Malformed: field {number} of wire type {wire_type}")]
    Field { number: u64, wire_type: u64 },
    #[error("Malformed: a group without its other end")]
    Group,
    #[error("Malformed: values nested too deep")]
    Depth,
    #[error(transparent)]
    Nested(#[from] ManyNested),
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
}

/// A field's value, as the wire tells kinds apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// The fields of one message, in the order of the wire. Groups are skipped. Ends after an error.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The bytes of the next field, if it is this one, with a number below 16, and has less than 128 of
    /// them: so are those that come many times in a row. Any other is left to who asks for any.
    #[inline(always)]
    pub fn next_short(&mut self, number: u8) -> Option<&'a [u8]> {
        match self.rest {
            [key, length @ ..0x80, rest @ ..] if *key == number << 3 | 2 => {
                let (taken, rest) = rest.split_at_checked(usize::from(*length))?;
                self.rest = rest;
                Some(taken)
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn read(&mut self) -> Result<Option<(u32, Wire<'a>)>, ProtoError> {
        while !self.rest.is_empty() {
            let key = self.varint()?;
            let number = number_of(key)?;
            let wire = match key & 7 {
                0 => Wire::Varint(self.varint()?),
                1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
                2 => {
                    let length = self.varint()?;
                    Wire::Bytes(self.take(length)?)
                }
                3 => {
                    self.skip_group(number)?;
                    continue;
                }
                4 => return Err(ProtoError::Group),
                5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
                wire_type => return Err(ProtoError::Field { number: key >> 3, wire_type }),
            };
            return Ok(Some((number, wire)));
        }
        Ok(None)
    }

    /// Skips a group whose opening key was read, and what it holds.
    #[cold]
    fn skip_group(&mut self, number: u32) -> Result<(), ProtoError> {
        let mut open_groups = vec![number];
        while !open_groups.is_empty() {
            if self.rest.is_empty() {
                return Err(ProtoError::Group);
            }
            let key = self.varint()?;
            let number = number_of(key)?;
            match key & 7 {
                0 => drop(self.varint()?),
                1 => drop(self.array::<8>()?),
                2 => {
                    let length = self.varint()?;
                    self.take(length)?;
                }
                3 if open_groups.len() < GROUP_DEPTH_MAX => open_groups.push(number),
                3 => return Err(ProtoError::Depth),
                4 if open_groups.pop() == Some(number) => {}
                4 => return Err(ProtoError::Group),
                5 => drop(self.array::<4>()?),
                wire_type => return Err(ProtoError::Field { number: key >> 3, wire_type }),
            }
        }
        Ok(())
    }

    /// Most varints are keys and lengths of one byte.
    #[inline(always)]
    fn varint(&mut self) -> Result<u64, ProtoError> {
        match self.rest {
            [byte @ ..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, high @ ..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, ProtoError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(ProtoError::LongVarint)
    }

    #[inline(always)]
    fn take(&mut self, length: u64) -> Result<&'a [u8], ProtoError> {
        let split = usize::try_from(length).ok().and_then(|n| self.rest.split_at_checked(n));
        let available = self.rest.len();
        let (taken, rest) = split.ok_or(ProtoError::Truncated { length, available })?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtoError> {
        let split = self.rest.split_first_chunk();
        let available = self.rest.len();
        let (taken, rest) = split.ok_or(ProtoError::Truncated { length: N as u64, available })?;
        self.rest = rest;
        Ok(*taken)
    }
}

/// The number of the field that a key opens.
#[inline(always)]
fn number_of(key: u64) -> Result<u32, ProtoError> {
    match u32::try_from(key) {
        Ok(key @ 8..) => Ok(key >> 3),
        _ => Err(ProtoError::Field { number: key >> 3, wire_type: key & 7 }),
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), ProtoError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        field.transpose()
    }
}

/// Appends a field that is left out where it is zero.
pub fn put_varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint_field_always(out, number, value);
    }
}

/// Appends a field even if it is zero, as a `oneof` wants it.
pub fn put_varint_field_always(out: &mut Vec<u8>, number: u32, value: u64) {
    put_key(out, number, 0);
    put_varint(out, value);
}

/// Appends a field even if it is zero.
pub fn put_fixed64_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_key(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field that is left out where it is zero.
pub fn put_fixed32_field(out: &mut Vec<u8>, number: u32, value: u32) {
    if value != 0 {
        put_key(out, number, 5);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends bytes or text, even if there are none.
pub fn put_bytes_field(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_key(out, number, 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends text that is left out where it is empty.
pub fn put_text_field(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        put_bytes_field(out, number, text.as_bytes());
    }
}

/// Appends a message, even if it is empty. Its length goes before it and is known after it: one byte
/// is kept free, and a longer message is moved by the few bytes that its length takes beyond that.
pub fn put_message_field(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_key(out, number, 2);
    let at = out.len();
    out.push(0);
    write(out);
    let length = (out.len() - at - 1) as u64;
    if length < 0x80 {
        out[at] = length.to_le_bytes()[0];
        return;
    }
    let end = out.len();
    put_varint(out, length);
    let mut prefix = [0; 10];
    let longer = out.len() - end;
    prefix[..longer].copy_from_slice(&out[end..]);
    // One byte was free already.
    out.truncate(end + longer - 1);
    out.copy_within(at + 1..end, at + longer);
    out[at..at + longer].copy_from_slice(&prefix[..longer]);
}

fn put_key(out: &mut Vec<u8>, number: u32, wire_type: u64) {
    put_varint(out, u64::from(number) << 3 | wire_type);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Wire<'_>)>, String> {
        Fields::new(bytes).collect::<Result<_, _>>().map_err(|e: ProtoError| e.to_string())
    }

    #[test]
    fn fields_are_told_apart_by_their_wire_type() {
        let mut out = Vec::new();
        put_varint_field(&mut out, 1, u64::MAX);
        put_varint_field(&mut out, 2, 0);
        put_fixed64_field(&mut out, 3, 7);
        put_text_field(&mut out, 200, "héllo");
        put_message_field(&mut out, 5, |out| put_varint_field(out, 1, 300));
        out.extend_from_slice(&[6 << 3 | 5, 1, 0, 0, 0]);
        let expected = [
            (1, Wire::Varint(u64::MAX)),
            (3, Wire::Fixed64(7)),
            (200, Wire::Bytes("héllo".as_bytes())),
            (5, Wire::Bytes(&[8, 0xac, 2])),
            (6, Wire::Fixed32(1)),
        ];
        assert_eq!(fields(&out).unwrap(), expected);
        assert_eq!(fields(&[]).unwrap(), []);
    }

    #[test]
    fn a_length_takes_as_many_bytes_as_it_needs() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            let payload = vec![9; length];
            let mut out = vec![1 << 3, 1];
            put_message_field(&mut out, 2, |out| out.extend_from_slice(&payload));
            let expected = [(1, Wire::Varint(1)), (2, Wire::Bytes(&payload))];
            assert_eq!(fields(&out).unwrap(), expected, "{length}");
        }
    }

    #[test]
    fn groups_are_skipped() {
        let group = [1 << 3 | 3, 2 << 3, 5, 3 << 3 | 3, 3 << 3 | 4, 1 << 3 | 4, 4 << 3, 6];
        assert_eq!(fields(&group).unwrap(), [(4, Wire::Varint(6))]);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let check = |bytes: &[u8], expected: &str| {
            assert_eq!(fields(bytes).unwrap_err(), expected, "{bytes:?}");
        };
        check(&[0x0a, 21, 1], "Truncated: length 21 > bytes available 1");
        check(&[0x08], "Truncated: length 1 > bytes available 0");
        check(&[0x09, 1, 2], "Truncated: length 8 > bytes available 2");
        check(&[0x0d, 1], "Truncated: length 4 > bytes available 1");
        check(&[0x80], "Truncated: length 1 > bytes available 0");
        let long = [&[0x08][..], &[0xff; 9], &[2]].concat();
        check(&long, "Malformed: a varint of more than 64 bits");
        check(&[0x00, 1], "Malformed: field 0 of wire type 0");
        check(&[0x0f], "Malformed: field 1 of wire type 7");
        check(&[0x0b], "Malformed: a group without its other end");
        check(&[0x0c], "Malformed: a group without its other end");
        check(&[0x0b, 0x14], "Malformed: a group without its other end");
        check(&[0x0b; 40], "Malformed: values nested too deep");
    }
}
