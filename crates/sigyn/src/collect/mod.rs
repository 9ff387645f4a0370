//! Spans that are pushed: one file a door, and behind all of them one [`Intake`].

mod body;
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
mod reading;
mod refusal;
mod sampler;
mod workbench;
mod zipkin_grpc;
mod zipkin_http;

use axum::Router;

pub(crate) use body::discard;
pub(crate) use budget::Connection;
pub(crate) use counters::{Cause, Counters, Door, Loss, Transport};
pub(crate) use intake::Intake;
pub(crate) use jaeger_udp::run as jaeger_udp;
pub(crate) use otlp_grpc::router as otlp_grpc;
pub(crate) use otlp_http::router as otlp_http;

use crate::environment::Environment;

/// The doors over HTTP, unless they are shut.
pub(crate) fn http_router(intake: &Intake, environment: &Environment) -> Router {
    if !environment.collector_http {
        return Router::new();
    }
    zipkin_http::router(intake.clone())
        .merge(otlp_http(intake.clone()))
        .merge(jaeger_http::router(intake.clone()))
}

/// The doors over gRPC, unless they are shut.
pub(crate) fn grpc_router(intake: &Intake, environment: &Environment) -> Router {
    if !environment.collector_grpc {
        return Router::new();
    }
    zipkin_grpc::router(intake.clone())
        .merge(otlp_grpc(intake.clone()))
        .merge(jaeger_grpc::router(intake.clone()))
}

#[cfg(test)]
mod tests;
