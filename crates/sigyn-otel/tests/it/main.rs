//! Spans of OpenTelemetry's SDK, as whoever scrapes the recorder reads them.

#![cfg(test)]

mod laws;
mod spans;
mod world;
