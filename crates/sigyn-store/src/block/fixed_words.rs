//! Words whose numbers are always the same.

use sigyn_model::{Kind, StatusCode};

use super::chunk::Words;

pub(super) struct KindWords;

impl Words for KindWords {
    fn are_bytes(&self) -> bool {
        true
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        let kinds = [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer];
        let kind = kinds.into_iter().find(|kind| *kind as u32 == number);
        out.extend_from_slice(kind.map_or("", Kind::as_str).as_bytes());
    }
}

pub(super) struct StatusWords;

impl Words for StatusWords {
    fn are_bytes(&self) -> bool {
        true
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        let is_ok = number == StatusCode::Ok as u32;
        let code = if is_ok { StatusCode::Ok } else { StatusCode::Error };
        out.extend_from_slice(code.as_tag().unwrap_or_default().as_bytes());
    }
}

/// Ports and flags are their own numbers.
pub(super) struct PortWords;

impl Words for PortWords {
    fn are_bytes(&self) -> bool {
        false
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&number.to_le_bytes());
    }
}
