//! Ids of traces and spans: their widths, their hexadecimal spelling, and Zipkin's rules for reading them.

use std::fmt;

use crate::codec::scan::lower_hex16;

/// The id that all spans of a trace share. 64-bit ids are those whose high half is zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(u128);

/// The id of one span; never zero, except where Zipkin reads a short zero (`"0"`) as one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(u64);

/// Why a text is no id. The messages are Zipkin's own: clients and operators grep for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("{field} is empty")]
    Empty { field: &'static str },
    #[error("{field}.length > {max}")]
    TooLong { field: &'static str, max: usize },
    #[error("{field} is all zeros")]
    AllZeros { field: &'static str },
    #[error("{text} should be lower-hex encoded with no prefix")]
    NotLowerHex { text: String },
}

impl TraceId {
    /// `None` for zero, which is no id.
    pub fn new(id: u128) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }

    /// Reads 1 to 32 lower-case hexadecimal digits; shorter ids are padded with zeros on the left.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let field = "traceId";
        if text.is_empty() {
            return Err(IdError::Empty { field });
        }
        if text.len() > 32 {
            return Err(IdError::TooLong { field, max: 32 });
        }
        let id = lower_hex(text).ok_or_else(|| IdError::NotLowerHex { text: text.to_owned() })?;
        Self::new(id).ok_or(IdError::AllZeros { field })
    }

    pub fn as_u128(self) -> u128 {
        self.0
    }

    /// The right half. Traces are grouped by it where 64-bit and 128-bit spellings meet.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
    pub fn low(self) -> u64 {
        self.0 as u64
    }

    /// The left half; zero for a 64-bit id.
    pub fn high(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

impl SpanId {
    /// `None` for zero, which is no id.
    pub fn new(id: u64) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }

    /// Reads a span's own id: 1 to 16 lower-case hexadecimal digits. Sixteen zeros are refused, a
    /// shorter run of zeros is read as zero: Zipkin does so, and stored data depends on it.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let field = "id";
        let id = parse_u64(text, field)?;
        if id == 0 && text.len() == 16 {
            return Err(IdError::AllZeros { field });
        }
        Ok(Self(id))
    }

    /// Reads a parent's id. Zero in any width means that there is none.
    pub fn parse_parent(text: &str) -> Result<Option<Self>, IdError> {
        parse_u64(text, "parentId").map(Self::new)
    }

    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// A span id from storage, zero included (see [`SpanId::parse`]).
    pub fn from_raw(id: u64) -> Self {
        Self(id)
    }
}

fn parse_u64(text: &str, field: &'static str) -> Result<u64, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { field });
    }
    if text.len() > 16 {
        return Err(IdError::TooLong { field, max: 16 });
    }
    let id = lower_hex(text).ok_or_else(|| IdError::NotLowerHex { text: text.to_owned() })?;
    Ok(u64::try_from(id).unwrap_or(u64::MAX))
}

/// `None` if a character is not in `[0-9a-f]`. The caller bounds the length to 32.
pub(crate) fn lower_hex(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if let Ok(digits) = bytes.try_into() {
        return lower_hex16(digits).map(u128::from);
    }
    if let Some((high, low)) = bytes.split_first_chunk()
        && let Ok(low) = low.try_into()
    {
        return Some(u128::from(lower_hex16(high)?) << 64 | u128::from(lower_hex16(low)?));
    }
    text.bytes().try_fold(0u128, |id, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(id << 4 | u128::from(digit))
    })
}

impl fmt::Display for TraceId {
    /// 16 digits if the high half is zero, else 32: Zipkin's normal form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.high() == 0 { write!(f, "{:016x}", self.0) } else { write!(f, "{:032x}", self.0) }
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trace(text: &str) -> Result<String, String> {
        TraceId::parse(text).map(|id| id.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn trace_ids_are_padded_to_16_or_32_digits_and_cut_where_the_high_half_is_zero() {
        assert_eq!(trace("1").unwrap(), "0000000000000001");
        assert_eq!(trace("10000000000000001").unwrap(), "00000000000000010000000000000001");
        assert_eq!(trace("00000000000000000000000000000001").unwrap(), "0000000000000001");
    }

    #[test]
    fn bad_trace_ids_are_refused_in_zipkins_words() {
        assert_eq!(trace("").unwrap_err(), "traceId is empty");
        assert_eq!(trace("0").unwrap_err(), "traceId is all zeros");
        assert_eq!(trace(&"1".repeat(33)).unwrap_err(), "traceId.length > 32");
        let text = "0e8b46e1-81b";
        assert_eq!(
            trace(text).unwrap_err(),
            "0e8b46e1-81b should be lower-hex encoded with no prefix"
        );
        assert!(trace("ABC").is_err());
    }

    #[test]
    fn a_short_zero_is_a_span_id_and_a_long_one_is_not() {
        assert_eq!(SpanId::parse("0").unwrap().to_string(), "0000000000000000");
        assert_eq!(SpanId::parse("0000000000000000").unwrap_err().to_string(), "id is all zeros");
        assert_eq!(SpanId::parse_parent("0000000000000000").unwrap(), None);
        assert_eq!(SpanId::parse_parent("").unwrap_err().to_string(), "parentId is empty");
        assert_eq!(SpanId::parse(&"1".repeat(17)).unwrap_err().to_string(), "id.length > 16");
    }

    proptest! {
        #[test]
        fn ids_read_back_as_written(id in any::<u128>(), text in any::<String>()) {
            if let Some(id) = TraceId::new(id) {
                prop_assert_eq!(TraceId::parse(&id.to_string()), Ok(id));
                if let Some(id) = SpanId::new(id.low()) {
                    prop_assert_eq!(SpanId::parse(&id.to_string()), Ok(id));
                    prop_assert_eq!(SpanId::parse_parent(&id.to_string()), Ok(Some(id)));
                }
            }
            let _ = (TraceId::parse(&text), SpanId::parse(&text), SpanId::parse_parent(&text));
        }
    }
}
