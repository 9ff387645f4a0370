//! One call: how it came, and its message.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::{Buf as _, Bytes, BytesMut};
use http::{Extensions, HeaderMap};
use http_body_util::BodyExt as _;

use super::form::Form;
use super::{Code, Status, base64};
use crate::unpack::{self, Encoding, UnpackError};

/// How long a client may take to send a small message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(11);
/// A flag and a length stand before each message.
const FRAME_HEAD_BYTES: usize = 5;
/// What is quoted of the name of an encoding.
const ENCODING_CHARS_MAX: usize = 40;

/// A call whose message is not read yet.
#[derive(Debug)]
pub(crate) struct Call {
    head: Head,
    body: Body,
}

impl Call {
    /// `None` for what is no gRPC.
    pub(super) fn new(request: Request) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let form = Form::of(&parts.headers)?;
        let head = Head { form, headers: parts.headers, extensions: parts.extensions };
        Some(Self { head, body })
    }

    pub(super) fn form(&self) -> Form {
        self.head.form
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
        match unpack::unpack(encoding, &packed, bytes_max) {
            Ok(None) => Ok(packed),
            Ok(Some(unpacked)) => Ok(unpacked.into()),
            Err(error @ UnpackError::Broken { .. }) => {
                Err(Status::new(Code::Internal, error.to_string()))
            }
            Err(UnpackError::TooLarge { .. }) => Err(too_large(bytes_max)),
        }
    }

    /// For whoever reads the body himself: the body, and what [`Head::packed_message`] needs.
    pub(crate) fn into_parts(self) -> (Head, Body) {
        (self.head, self.body)
    }
}

/// A call without its body.
#[derive(Debug)]
pub(crate) struct Head {
    form: Form,
    headers: HeaderMap,
    extensions: Extensions,
}

impl Head {
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Of the HTTP request.
    pub(crate) fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The one message of a whole body, and how it is packed. An empty body is an empty message.
    pub(crate) fn packed_message(&self, mut body: Bytes) -> Result<(Encoding, Bytes), FrameError> {
        let wrong = |message| Err(FrameError::Malformed(message));
        if self.form == Form::WebText {
            match base64::decode(&body) {
                Some(decoded) => body = decoded.into(),
                None => return wrong("the body is no base64"),
            }
        }
        if body.is_empty() {
            return Ok((Encoding::Identity, body));
        }
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
    fn encoding(&self) -> Result<Encoding, FrameError> {
        let name = self.headers.get("grpc-encoding").map_or(&b"identity"[..], |v| v.as_bytes());
        let name = String::from_utf8_lossy(name);
        match Encoding::named(&name) {
            Some(Encoding::Identity) => {
                Err(FrameError::Malformed("the message is packed, and nothing says how"))
            }
            Some(encoding) => Ok(encoding),
            None => Err(FrameError::Encoding(name.chars().take(ENCODING_CHARS_MAX).collect())),
        }
    }
}

/// Why a body is no message of a unary call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("grpc-encoding {0} is not known")]
    Encoding(String),
}

impl From<FrameError> for Status {
    fn from(error: FrameError) -> Self {
        let code = match error {
            FrameError::Malformed(_) => Code::Internal,
            FrameError::Encoding(_) => Code::Unimplemented,
        };
        Self::new(code, error.to_string())
    }
}

fn too_large(bytes_max: usize) -> Status {
    let message = format!("the message is larger than {bytes_max} bytes");
    Status::new(Code::ResourceExhausted, message)
}
