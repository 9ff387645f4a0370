//! What prost is asked beyond decoding: how often a field stands in a message.

use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

use crate::Trouble;

/// Decodes a message. A field of a wire type that it should not have is unknown to us and an error to prost.
pub(crate) fn decode<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, Trouble> {
    M::decode(bytes).map_err(|error| {
        let text = error.to_string();
        let open = ["invalid wire type", "recursion limit"].iter().any(|open| text.contains(open));
        if open { Trouble::Unclear } else { Trouble::Bad(text) }
    })
}

/// The numbers of a message's fields, in their order; fewer if it is malformed.
pub(crate) fn field_numbers(mut bytes: &[u8]) -> Vec<u32> {
    let mut numbers = Vec::new();
    while bytes.has_remaining() {
        let Ok((number, wire_type)) = decode_key(&mut bytes) else { break };
        if wire_type == WireType::EndGroup {
            break;
        }
        if skip_field(wire_type, number, &mut bytes, DecodeContext::default()).is_err() {
            break;
        }
        numbers.push(number);
    }
    numbers
}

/// Whether prost would merge what we replace: a message that stands twice where one is meant.
pub(crate) fn stands_twice(bytes: &[u8], number: u32) -> bool {
    field_numbers(bytes).iter().filter(|found| **found == number).count() > 1
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
