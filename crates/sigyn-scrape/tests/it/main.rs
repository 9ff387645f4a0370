//! The whole component as the program uses it: configuration and targets in, commits and status out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authentication;
mod chaos;
mod cuts;
mod failures;
mod fake;
mod lifecycle;
mod long_poll;
mod processes;
mod protocol;
mod recorder;
mod rhythm;
#[cfg(target_os = "linux")]
mod spool;
mod too_much;
mod vectors;
