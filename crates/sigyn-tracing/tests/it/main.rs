//! Spans of `tracing`, as whoever scrapes them reads them.

#![cfg(test)]

mod contexts;
mod events;
mod fields;
mod laws;
mod robustness;
mod traced;
mod trees;
