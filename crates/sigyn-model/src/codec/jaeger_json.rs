//! Jaeger's JSON: traces as its query API answers them and its user interface downloads them.
//!
//! A bad span is a problem and takes no other with it; broken JSON refuses the whole message.

mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::read;
pub use writer::write_trace;
