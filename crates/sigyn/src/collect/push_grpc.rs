//! What the doors over gRPC share: one message in, on the books of its door.

use sigyn_model::codec::Format;

use super::intake::{Intake, Kept};
use super::refusal::Refusal;
use super::{Cause, Transport};
use crate::grpc::{Call, Code, FrameError, Status};

/// Takes the message of a call. `malformed` is the code for what cannot be decoded.
pub(super) async fn push(
    intake: Intake,
    transport: Transport,
    format: Format,
    malformed: Code,
    call: Call,
) -> Result<Kept, Status> {
    let taking = async {
        let (head, body) = call.into_parts();
        let mut body = intake.receive(body, head.headers(), head.extensions()).await?;
        let (encoding, message) = head.packed_message(body.bytes).map_err(refusal)?;
        body.bytes = message;
        let body = intake.unpack(encoding, body).await?;
        intake.keep(transport, body, move |body, reading| reading.read(format, body)).await
    };
    intake.message(transport, taking).await.map_err(|refusal| refusal.into_status(malformed))
}

fn refusal(error: FrameError) -> Refusal {
    let cause = match error {
        FrameError::Malformed(_) => Cause::Malformed,
        FrameError::Encoding(_) => Cause::Type,
    };
    Refusal::new(cause, error.to_string())
}
