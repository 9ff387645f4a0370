//! The little of OTLP that an import needs: a request with spans, and what of it was refused.

use sigyn_model::Span;
use sigyn_model::codec::otlp;
use sigyn_model::codec::proto::{Fields, Wire};

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
    for partial in fields(body) {
        let (1, Wire::Bytes(partial)) = partial else { continue };
        for field in fields(partial) {
            match field {
                (1, Wire::Varint(n)) => refused.0 = n,
                (2, Wire::Bytes(text)) => refused.1 = String::from_utf8_lossy(text).into_owned(),
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
    let message = fields(body).find_map(|field| match field {
        (2, Wire::Bytes(text)) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    });
    message.unwrap_or_default()
}

/// The fields of a message, up to the first that makes no sense.
fn fields(message: &[u8]) -> impl Iterator<Item = (u32, Wire<'_>)> {
    Fields::new(message).map_while(Result::ok)
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
