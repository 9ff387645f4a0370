//! OTLP protobuf: `ExportTraceServiceRequest`, read and written by hand.
//!
//! Whatever a [`Span`](crate::Span) holds survives the way there and back, except the labels of a
//! target, which are its scraper's to say. What only Zipkin knows travels as attributes under
//! `zipkin.`, see [`facts`]; `docs/formats/zipkin-view.md` lists them, and
//! `docs/formats/otlp.md` what of OTLP is kept.

mod attribute;
pub(super) mod facts;
pub(super) mod groups;
mod reader;
pub(super) mod remote;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::{decode, decode_within, read};
pub use writer::encode;

pub(super) use reader::{as_service_name, duration};
pub(super) use writer::end_of;

/// The attribute of a resource that names the service.
pub(super) const SERVICE_NAME: &str = "service.name";

/// OTLP's numbers of a span's kind. 0 is unspecified and 1 internal; neither is a kind to us.
mod kind {
    pub(super) const INTERNAL: u64 = 1;
    pub(super) const SERVER: u64 = 2;
    pub(super) const CLIENT: u64 = 3;
    pub(super) const PRODUCER: u64 = 4;
    pub(super) const CONSUMER: u64 = 5;
}
