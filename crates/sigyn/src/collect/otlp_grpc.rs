//! OTLP over gRPC: `opentelemetry.proto.collector.trace.v1.TraceService/Export`.

use axum::Router;
use sigyn_model::codec::Format;

use super::otlp_http::response_proto;
use super::push_grpc::push;
use super::{Intake, Transport};
use crate::grpc::{self, Code};

pub(crate) fn router(intake: Intake) -> Router {
    let export = grpc::unary(move |call| {
        let intake = intake.clone();
        async move {
            let malformed = Code::InvalidArgument;
            let kept =
                push(intake, Transport::OtlpGrpc, Format::OtlpProto, malformed, call).await?;
            Ok(response_proto(&kept))
        }
    });
    Router::new().route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", export)
}
