//! What the tracer answers over HTTP: one file an API, each a router over the one part that it asks.

pub(crate) mod admin;
mod ask;
pub(crate) mod losses;
mod params;
pub(crate) mod search;
pub(crate) mod status;
pub(crate) mod targets;
pub(crate) mod trace_view;
pub(crate) mod ui;
pub(crate) mod zipkin;

pub(crate) use params::Params;
