//! How a call ended: `google.rpc.Status`, in the three ways it is written.

use std::time::Duration;

/// gRPC's codes, as far as this program says them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

/// The end of a call that did not go well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// When to come again with the same: `google.rpc.RetryInfo`.
    pub(crate) retry_after: Option<Duration>,
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

impl Status {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// `google.rpc.Status` in protobuf: `code = 1`, `message = 2`, `details = 3`.
    pub(crate) fn to_proto(&self) -> Vec<u8> {
        let mut status = Vec::new();
        put_varint(&mut status, 1, self.code as u64);
        put_bytes(&mut status, 2, self.message.as_bytes());
        if let Some(after) = self.retry_after {
            let mut duration = Vec::new();
            put_varint(&mut duration, 1, after.as_secs());
            put_varint(&mut duration, 2, u64::from(after.subsec_nanos()));
            let mut retry_info = Vec::new();
            put_bytes(&mut retry_info, 1, &duration);
            let mut any = Vec::new();
            put_bytes(&mut any, 1, RETRY_INFO.as_bytes());
            put_bytes(&mut any, 2, &retry_info);
            put_bytes(&mut status, 3, &any);
        }
        status
    }

    /// The same as protobuf's JSON.
    pub(crate) fn to_json(&self) -> String {
        let details: Vec<_> = self
            .retry_after
            .iter()
            .map(|after| {
                let delay = format!("{}s", after.as_secs_f64());
                serde_json::json!({"@type": RETRY_INFO, "retryDelay": delay})
            })
            .collect();
        let mut status = serde_json::json!({"code": self.code as u8, "message": self.message});
        if !details.is_empty() {
            status["details"] = details.into();
        }
        status.to_string()
    }

    /// The message for a header: what is not plain ASCII is percent-encoded.
    pub(crate) fn escaped_message(&self) -> String {
        let mut escaped = String::with_capacity(self.message.len());
        for byte in self.message.bytes() {
            match byte {
                b' '..=b'~' if byte != b'%' => escaped.push(char::from(byte)),
                _ => escaped.push_str(&format!("%{byte:02X}")),
            }
        }
        escaped
    }
}

/// A field of a protobuf message; zero is what its absence says.
pub(crate) fn put_varint(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        out.push(field << 3);
        put_raw_varint(out, value);
    }
}

/// A text, bytes, or a message within a message.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_raw_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_raw_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // The low seven bits fit a byte.
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_written_in_three_ways() {
        let mut status = Status::new(Code::ResourceExhausted, "50 % of ü\n");
        assert_eq!(status.escaped_message(), "50 %25 of %C3%BC%0A");
        assert_eq!(status.to_json(), r#"{"code":8,"message":"50 % of ü\n"}"#);
        assert_eq!(status.to_proto(), b"\x08\x08\x12\x0b50 % of \xc3\xbc\n");
        status.message = "busy".to_owned();
        status.retry_after = Some(Duration::from_secs(1));
        let json = concat!(
            r#"{"code":8,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","#,
            r#""retryDelay":"1s"}],"message":"busy"}"#
        );
        assert_eq!(status.to_json(), json);
        let proto = [
            &b"\x08\x08\x12\x04busy\x1a\x30\x0a\x28type.googleapis.com/google.rpc.RetryInfo"[..],
            b"\x12\x04\x0a\x02\x08\x01",
        ];
        assert_eq!(status.to_proto(), proto.concat());
    }
}
