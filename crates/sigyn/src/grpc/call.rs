//! One call: how it came, and its message.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;

use super::form::Form;
use super::{Code, Status, base64};
use crate::reply;
use crate::unpack::{self, Encoding, UnpackError};

/// How long a client may take to send a small message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(11);
/// A flag and a length stand before each message.
const FRAME_HEAD_BYTES: usize = 5;

/// A call whose message is not read yet.
#[derive(Debug)]
pub(crate) struct Call {
    form: Form,
    headers: HeaderMap,
    body: Body,
}

impl Call {
    /// What is no gRPC is answered as HTTP would.
    pub(super) fn new(request: Request) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let Some(form) = Form::of(&parts.headers) else {
            let message = "the content type is none of gRPC's";
            return Err(reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        };
        Ok(Self { form, headers: parts.headers, body })
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// The request's message, unpacked, for requests that are small: no larger than `bytes_max`, packed
    /// or not.
    pub(crate) async fn message(self, bytes_max: usize) -> Result<Bytes, Status> {
        let (head, mut body) = self.into_parts();
        let mut read = BytesMut::new();
        let reading = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| {
                    Status::new(Code::Internal, format!("cannot read the message: {error}"))
                })?;
                let Ok(data) = frame.into_data() else { continue };
                if read.len() + data.len() > bytes_max.saturating_add(FRAME_HEAD_BYTES) {
                    return Err(too_large(bytes_max));
                }
                read.extend_from_slice(&data);
            }
            Ok(())
        };
        tokio::time::timeout(MESSAGE_TIMEOUT, reading).await.unwrap_or_else(|_| {
            let message = "the message did not arrive within 11 s";
            Err(Status::new(Code::DeadlineExceeded, message))
        })?;
        let (encoding, packed) = head.packed_message(read.freeze())?;
        unpack::unpack(encoding, &packed, bytes_max, &mut |_| Ok(())).map_or_else(
            |error| {
                Err(match error {
                    UnpackError::TooLarge { .. } | UnpackError::NoRoom => too_large(bytes_max),
                    UnpackError::Broken { .. } => Status::new(Code::Internal, error.to_string()),
                })
            },
            |unpacked| Ok(unpacked.map_or(packed.clone(), Bytes::from)),
        )
    }

    /// For whoever reads the body himself: the body, and what [`Head::packed_message`] needs.
    pub(crate) fn into_parts(self) -> (Head, Body) {
        (Head { form: self.form, headers: self.headers }, self.body)
    }
}

/// A call without its body.
#[derive(Debug)]
pub(crate) struct Head {
    form: Form,
    headers: HeaderMap,
}

impl Head {
    /// The one message of a whole body, and how it is packed. An empty body is an empty message.
    pub(crate) fn packed_message(&self, mut body: Bytes) -> Result<(Encoding, Bytes), Status> {
        if self.form == Form::WebText {
            let decoded = base64::decode(&body)
                .ok_or_else(|| Status::new(Code::Internal, "the body is no base64"))?;
            body = decoded.into();
        }
        if body.is_empty() {
            return Ok((Encoding::Identity, body));
        }
        let wrong = |message: &str| Err(Status::new(Code::Internal, message));
        if body.len() < FRAME_HEAD_BYTES {
            return wrong("the message is cut");
        }
        let (flag, length) = (body.get_u8(), body.get_u32() as usize);
        if body.len() < length {
            return wrong("the message is cut");
        }
        // A client of gRPC-Web may end with a frame of trailers, which say nothing here.
        if body.len() > length && !(self.form != Form::Grpc && body[length] & 0x80 != 0) {
            return wrong("there is more than one message");
        }
        body.truncate(length);
        match flag {
            0 => Ok((Encoding::Identity, body)),
            1 => Ok((self.encoding()?, body)),
            _ => wrong("the first byte of the message is none of gRPC's"),
        }
    }

    /// What `grpc-encoding` says of a message that is flagged as packed.
    fn encoding(&self) -> Result<Encoding, Status> {
        let name = self.headers.get("grpc-encoding").map_or(&b"identity"[..], |v| v.as_bytes());
        match Encoding::named(&String::from_utf8_lossy(name)) {
            Some(Encoding::Identity) => {
                Err(Status::new(Code::Internal, "the message is packed, and nothing says how"))
            }
            Some(encoding) => Ok(encoding),
            None => {
                let name = String::from_utf8_lossy(name);
                let message = format!("grpc-encoding {name:.20} is not known");
                Err(Status::new(Code::Unimplemented, message))
            }
        }
    }
}

fn too_large(bytes_max: usize) -> Status {
    let message = format!("the message is larger than {bytes_max} bytes");
    Status::new(Code::ResourceExhausted, message)
}
