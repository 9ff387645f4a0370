//! Spans that are pushed: one file a protocol.

pub(crate) mod zipkin;
