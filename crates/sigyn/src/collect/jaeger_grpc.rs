//! Jaeger's collector over gRPC: `jaeger.api_v2.CollectorService/PostSpans`.

use axum::Router;
use sigyn_model::codec::Format;

use super::push_grpc::push;
use super::{Intake, Transport};
use crate::grpc::{self, Code};

pub(crate) fn router(intake: Intake) -> Router {
    let post_spans = grpc::unary(move |call| {
        let intake = intake.clone();
        async move {
            let malformed = Code::InvalidArgument;
            // The protocol has no words for spans that are refused one by one: they are counted.
            push(intake, Transport::JaegerGrpc, Format::JaegerProto, malformed, call).await?;
            // An empty `PostSpansResponse`.
            Ok(Vec::new())
        }
    });
    Router::new().route("/jaeger.api_v2.CollectorService/PostSpans", post_spans)
}
