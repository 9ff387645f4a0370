//! The built web UI: the files of `dist/`, and the answer to a request for one of them.
//!
//! Plain functions over `http` types: the server decides which paths are pages.

mod asset;
mod assets;
mod index;
mod respond;

pub use asset::{Asset, file};
pub use index::Frame;
pub use respond::respond;
