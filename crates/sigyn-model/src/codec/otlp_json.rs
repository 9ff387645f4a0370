//! OTLP/JSON: `ExportTraceServiceRequest` in protobuf's JSON mapping with OTLP's exceptions, read and
//! written by hand.
//!
//! It says what OTLP's protobuf says, and means the same: whatever only Zipkin knows travels in the
//! same attributes. `docs/formats/otlp.md` lists what may be spelled how.

pub(super) mod fields;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::{read, read_lines};
pub use writer::encode;
