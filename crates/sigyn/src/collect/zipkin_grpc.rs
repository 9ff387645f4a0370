//! Zipkin's collector over gRPC: `zipkin.proto3.SpanService/Report`.

use axum::Router;
use sigyn_model::codec::Format;

use super::push_grpc::push;
use super::{Intake, Transport};
use crate::grpc::{self, Code};

pub(crate) fn router(intake: Intake) -> Router {
    let report = grpc::unary(move |call| {
        let intake = intake.clone();
        async move {
            // What cannot be decoded is an internal error to Zipkin, and to its clients.
            push(intake, Transport::Grpc, Format::ZipkinProto3, Code::Internal, call).await?;
            // An empty `ReportResponse`.
            Ok(Vec::new())
        }
    });
    Router::new().route("/zipkin.proto3.SpanService/Report", report)
}
