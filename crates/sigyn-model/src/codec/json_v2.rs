//! Zipkin v2 JSON: a strict reader with Zipkin's rules and texts, and a writer with Zipkin's order of fields.

mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub(super) use reader::{boolean, endpoint, integer, string};
pub use reader::{check_list, decode_list, decode_list_within, read};
pub use writer::{encode_links, encode_list, write_json_str, write_span};
