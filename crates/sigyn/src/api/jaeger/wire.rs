//! Messages of `jaeger.api_v3.QueryService`, as far as they are read and written here.
//!
//! They are small and few, so they are taken apart by hand.

use std::time::Duration;

use super::find::Search;
use crate::grpc::{Code, Status, put_bytes};

/// One field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Fixed numbers, which no message here has.
    Other,
}

/// The fields of a message, in order; `None` where it is broken.
fn fields(mut rest: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut rest)?),
            1 => taken(&mut rest, 8).map(|_| Field::Other)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                Field::Bytes(taken(&mut rest, length)?)
            }
            5 => taken(&mut rest, 4).map(|_| Field::Other)?,
            _ => return None,
        };
        found.push((key >> 3, field));
    }
    Some(found)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn taken<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(taken)
}

fn broken() -> Status {
    Status::new(Code::InvalidArgument, "the message is no such protobuf")
}

/// The text of field `number`; empty if there is none.
pub(super) fn text(message: &[u8], number: u64) -> Result<String, Status> {
    let fields = fields(message).ok_or_else(broken)?;
    let found = fields.into_iter().rev().find_map(|(n, field)| match field {
        Field::Bytes(bytes) if n == number => Some(bytes),
        _ => None,
    });
    String::from_utf8(found.unwrap_or_default().to_vec()).map_err(|_| broken())
}

/// `FindTracesRequest`.
pub(super) fn search(message: &[u8]) -> Result<Search, Status> {
    read_search(message).ok_or_else(broken)
}

fn read_search(message: &[u8]) -> Option<Search> {
    let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let mut search = Search::default();
    for (number, query) in fields(message)? {
        let (1, Field::Bytes(query)) = (number, query) else { continue };
        for (number, field) in fields(query)? {
            match (number, field) {
                (1, Field::Bytes(bytes)) => search.service = string(bytes)?,
                (2, Field::Bytes(bytes)) => search.operation = string(bytes)?,
                (3, Field::Bytes(entry)) => {
                    let (mut key, mut value) = (String::new(), String::new());
                    for (number, field) in fields(entry)? {
                        match (number, field) {
                            (1, Field::Bytes(bytes)) => key = string(bytes)?,
                            (2, Field::Bytes(bytes)) => value = string(bytes)?,
                            _ => {}
                        }
                    }
                    search.tags.insert(key, value);
                }
                (4, Field::Bytes(time)) => search.start_us = micros(time),
                (5, Field::Bytes(time)) => search.end_us = micros(time),
                (6, Field::Bytes(time)) => search.min_duration = duration(time),
                (7, Field::Bytes(time)) => search.max_duration = duration(time),
                (8, Field::Number(depth)) => search.limit = i64::try_from(depth).ok()?,
                _ => {}
            }
        }
    }
    Some(search)
}

/// `google.protobuf.Timestamp`, in microseconds.
fn micros(message: &[u8]) -> Option<i64> {
    duration(message).and_then(|since| i64::try_from(since.as_micros()).ok())
}

/// `google.protobuf.Duration`, and a timestamp as the time since 1970; `None` below zero.
fn duration(message: &[u8]) -> Option<Duration> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    for (number, field) in fields(message)? {
        match (number, field) {
            (1, Field::Number(n)) => seconds = n.cast_signed(),
            (2, Field::Number(n)) => nanos = n.cast_signed(),
            _ => {}
        }
    }
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(seconds).ok()?, nanos))
}

/// `GetServicesResponse`.
pub(super) fn services(names: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        put_bytes(&mut out, 1, name.as_bytes());
    }
    out
}

/// `GetOperationsResponse`, of operations without a kind.
pub(super) fn operations(names: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        let mut operation = Vec::new();
        put_bytes(&mut operation, 1, name.as_bytes());
        put_bytes(&mut out, 1, &operation);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_read_from_its_fields() {
        let mut query = Vec::new();
        put_bytes(&mut query, 1, b"web");
        put_bytes(&mut query, 2, b"get");
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, b"k");
        put_bytes(&mut entry, 2, b"v");
        put_bytes(&mut query, 3, &entry);
        // 1 second and 5 microseconds.
        put_bytes(&mut query, 4, &[0x08, 1, 0x10, 0x88, 0x27]);
        put_bytes(&mut query, 6, &[0x08, 2]);
        query.extend([0x40, 7]);
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &query);
        let expected = Search {
            service: "web".to_owned(),
            operation: "get".to_owned(),
            tags: [("k".to_owned(), "v".to_owned())].into(),
            start_us: Some(1_000_005),
            min_duration: Some(Duration::from_secs(2)),
            limit: 7,
            ..Search::default()
        };
        assert_eq!(search(&message), Ok(expected));
        assert!(search(&message[..message.len() - 1]).is_err());
        assert_eq!(search(&[]), Ok(Search::default()));
    }

    #[test]
    fn names_are_listed() {
        assert_eq!(services(&["a".to_owned()]), [0x0a, 1, b'a']);
        assert_eq!(operations(&["a".to_owned()]), [0x0a, 3, 0x0a, 1, b'a']);
        assert_eq!(text(&[0x0a, 1, b'a'], 1), Ok("a".to_owned()));
        assert_eq!(text(&[], 1), Ok(String::new()));
    }
}
