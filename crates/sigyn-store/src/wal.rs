//! The write-ahead log: what is acknowledged is in it, durably, until a block holds it.

pub(crate) mod frame;
pub(crate) mod reader;
pub(crate) mod spare;
pub(crate) mod window;
pub(crate) mod writer;
