//! The crate from outside: real traces through every codec, and what Zipkin makes of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracles;
mod speed;
mod traces;
mod vectors;
