//! Spans that are pushed: one file a door, and behind all of them one [`Intake`].

mod budget;
mod counters;
mod head;
mod intake;
mod jaeger_grpc;
mod jaeger_http;
mod jaeger_udp;
mod otlp_grpc;
mod otlp_http;
mod push_grpc;
mod refusal;
mod sampler;
mod zipkin_grpc;
mod zipkin_http;

use axum::Router;

pub(crate) use budget::Connection;
pub(crate) use counters::{Cause, Counters, Door, Loss, Transport};
pub(crate) use intake::Intake;
pub(crate) use jaeger_udp::run as jaeger_udp;
pub(crate) use otlp_grpc::router as otlp_grpc;
pub(crate) use otlp_http::router as otlp_http;

use crate::environment::Environment;

/// The doors over HTTP.
pub(crate) fn http_router(intake: &Intake, environment: &Environment) -> Router {
    let router = otlp_http(intake.clone()).merge(jaeger_http::router(intake.clone()));
    if environment.collector_http {
        router.merge(zipkin_http::router(intake.clone()))
    } else {
        router
    }
}

/// The doors over gRPC.
pub(crate) fn grpc_router(intake: &Intake, environment: &Environment) -> Router {
    let router = otlp_grpc(intake.clone()).merge(jaeger_grpc::router(intake.clone()));
    if environment.collector_grpc {
        router.merge(zipkin_grpc::router(intake.clone()))
    } else {
        router
    }
}

#[cfg(test)]
mod tests;
