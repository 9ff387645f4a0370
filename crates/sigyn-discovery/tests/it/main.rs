//! Discovery as a program uses it: a configuration in, target groups out, against servers that
//! misbehave.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "client")]
mod client;
mod fake;
mod rig;
mod troubles;
