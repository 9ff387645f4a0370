//! Messages of `jaeger.api_v3.QueryService`, as far as they are read and written here.

use std::time::Duration;

use sigyn_model::codec::proto::{Fields, Wire, put_bytes_field};

use super::find::Search;
use crate::grpc::{Code, Status};

/// The fields of a message, in order; `None` where it is broken.
fn fields(message: &[u8]) -> Option<Vec<(u32, Wire<'_>)>> {
    Fields::new(message).collect::<Result<_, _>>().ok()
}

fn broken() -> Status {
    Status::new(Code::InvalidArgument, "the message is no such protobuf")
}

/// The text of field `number`; empty if there is none.
pub(super) fn text(message: &[u8], number: u32) -> Result<String, Status> {
    let fields = fields(message).ok_or_else(broken)?;
    let found = fields.into_iter().rev().find_map(|(n, field)| match field {
        Wire::Bytes(bytes) if n == number => Some(bytes),
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
        let (1, Wire::Bytes(query)) = (number, query) else { continue };
        for (number, field) in fields(query)? {
            match (number, field) {
                (1, Wire::Bytes(bytes)) => search.service = string(bytes)?,
                (2, Wire::Bytes(bytes)) => search.operation = string(bytes)?,
                (3, Wire::Bytes(entry)) => {
                    let (mut key, mut value) = (String::new(), String::new());
                    for (number, field) in fields(entry)? {
                        match (number, field) {
                            (1, Wire::Bytes(bytes)) => key = string(bytes)?,
                            (2, Wire::Bytes(bytes)) => value = string(bytes)?,
                            _ => {}
                        }
                    }
                    search.tags.insert(key, value);
                }
                (4, Wire::Bytes(time)) => search.start_us = micros(time),
                (5, Wire::Bytes(time)) => search.end_us = micros(time),
                (6, Wire::Bytes(time)) => search.min_duration = duration(time),
                (7, Wire::Bytes(time)) => search.max_duration = duration(time),
                (8, Wire::Varint(depth)) => search.limit = depth.cast_signed(),
                _ => {}
            }
        }
    }
    Some(search)
}

/// `google.protobuf.Timestamp`, in microseconds since 1970; below zero before it, as Go's zero time is.
fn micros(message: &[u8]) -> Option<i64> {
    let (seconds, nanos) = seconds_nanos(message)?;
    Some(seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos / 1_000)))
}

/// `google.protobuf.Duration`; `None` below zero.
fn duration(message: &[u8]) -> Option<Duration> {
    let (seconds, nanos) = seconds_nanos(message)?;
    Some(Duration::new(u64::try_from(seconds).ok()?, nanos))
}

fn seconds_nanos(message: &[u8]) -> Option<(i64, u32)> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    for (number, field) in fields(message)? {
        match (number, field) {
            (1, Wire::Varint(n)) => seconds = n.cast_signed(),
            (2, Wire::Varint(n)) => nanos = n.cast_signed(),
            _ => {}
        }
    }
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some((seconds, nanos))
}

/// `GetServicesResponse`.
pub(super) fn services(names: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        put_bytes_field(&mut out, 1, name.as_bytes());
    }
    out
}

/// `GetOperationsResponse`, of operations without a kind.
pub(super) fn operations(names: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        let mut operation = Vec::new();
        put_bytes_field(&mut operation, 1, name.as_bytes());
        put_bytes_field(&mut out, 1, &operation);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_read_from_its_fields() {
        let mut query = Vec::new();
        put_bytes_field(&mut query, 1, b"web");
        put_bytes_field(&mut query, 2, b"get");
        let mut entry = Vec::new();
        put_bytes_field(&mut entry, 1, b"k");
        put_bytes_field(&mut entry, 2, b"v");
        put_bytes_field(&mut query, 3, &entry);
        // 1 second and 5 microseconds.
        put_bytes_field(&mut query, 4, &[0x08, 1, 0x10, 0x88, 0x27]);
        put_bytes_field(&mut query, 6, &[0x08, 2]);
        query.extend([0x40, 7]);
        let mut message = Vec::new();
        put_bytes_field(&mut message, 1, &query);
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
    fn what_is_below_zero_is_read_as_it_is() {
        let go_zero_time = [0x08, 0x80, 0x92, 0xb8, 0xc3, 0x98, 0xfe, 0xff, 0xff, 0xff, 1];
        let mut query = vec![0x40, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        put_bytes_field(&mut query, 1, b"web");
        put_bytes_field(&mut query, 4, &go_zero_time);
        let mut message = Vec::new();
        put_bytes_field(&mut message, 1, &query);
        let search = search(&message).unwrap();
        assert_eq!((search.start_us, search.limit), (Some(-62_135_596_800_000_000), -1));
        let refused = search.clone().query().unwrap_err();
        assert_eq!(refused.message, "'limit' is -1: it must be 1 or more");
        let query = Search { limit: 0, ..search }.query().unwrap();
        assert_eq!(query.window_us().0, 0);
    }

    #[test]
    fn names_are_listed() {
        assert_eq!(services(&["a".to_owned()]), [0x0a, 1, b'a']);
        assert_eq!(operations(&["a".to_owned()]), [0x0a, 3, 0x0a, 1, b'a']);
        assert_eq!(text(&[0x0a, 1, b'a'], 1), Ok("a".to_owned()));
        assert_eq!(text(&[], 1), Ok(String::new()));
    }
}
