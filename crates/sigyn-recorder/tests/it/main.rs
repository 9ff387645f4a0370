//! The recorder from outside: requests in, answers out, and the books of both sides.

#![cfg(test)]

mod budget;
mod cold;
mod formats;
mod http1;
mod laws;
mod legacy;
mod lookup;
mod propagation;
mod pull;
mod recording;
mod sampling;
#[cfg(target_os = "linux")]
mod spool;
mod target;
mod tracez;
mod vectors;
mod waiting;
