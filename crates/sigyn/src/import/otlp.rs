//! The little of OTLP that an import needs: a request with spans, and what of it was refused.

use sigyn_model::Span;
use sigyn_model::codec::otlp;

pub(super) fn encode(spans: &[Span]) -> Vec<u8> {
    otlp::encode(spans)
}

/// About how many bytes a span takes in a request: near enough to cut requests by.
pub(super) fn size_hint(span: &Span) -> usize {
    /// What a tag takes that is neither long nor short.
    const TAG_BYTES: usize = 64;
    let tags = span.tags.len() + span.annotations.len() + span.links.len();
    let nested: usize = span.annotations.iter().map(|annotation| annotation.tags.len()).sum();
    let texts: usize = span.tags.iter().map(|(key, value)| key.len() + value.text().len()).sum();
    128 + (tags + nested) * TAG_BYTES + texts
}

/// `ExportTraceServiceResponse.partial_success`: how many spans were refused, and why.
pub(super) fn rejected(body: &[u8]) -> (u64, String) {
    let mut refused = (0, String::new());
    let mut fields = Fields(body);
    while let Some((1, Value::Bytes(partial))) = fields.next() {
        let mut fields = Fields(partial);
        while let Some((number, value)) = fields.next() {
            match (number, value) {
                (1, Value::Varint(n)) => refused.0 = n,
                (2, Value::Bytes(text)) => refused.1 = String::from_utf8_lossy(text).into_owned(),
                _ => {}
            }
        }
    }
    if refused.1.is_empty() {
        "the tracer says no reason".clone_into(&mut refused.1);
    }
    refused
}

/// The message of a `google.rpc.Status`, which is how a whole request is refused.
pub(super) fn status_message(body: &[u8]) -> String {
    let mut fields = Fields(body);
    while let Some((number, value)) = fields.next() {
        if let (2, Value::Bytes(text)) = (number, value) {
            return String::from_utf8_lossy(text).into_owned();
        }
    }
    String::new()
}

/// The fields of a protobuf message, up to the first that makes no sense.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            _ => return None,
        };
        Some((key >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_success_tells_how_many_and_why() {
        assert_eq!(rejected(b"").0, 0);
        assert_eq!(rejected(b"\x0a\x09\x08\xac\x02\x12\x04late"), (300, "late".to_owned()));
        assert_eq!(rejected(b"\x0a\x02\x08\x01"), (1, "the tracer says no reason".to_owned()));
        assert_eq!(rejected(b"\x0a\xff\xff").0, 0);
        assert_eq!(status_message(b"\x08\x03\x12\x03bad"), "bad");
        assert_eq!(status_message(b"no status"), "");
    }
}
