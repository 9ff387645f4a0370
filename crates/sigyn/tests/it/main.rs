//! The program from outside: the real binary, real sockets, real signals, all on loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod asking;
mod bad_input;
mod chaos;
mod check;
mod collecting;
mod crash;
mod demo;
mod doors;
mod environment;
mod exported;
mod grpc;
mod ha;
mod http;
mod import;
mod instance;
mod jaeger_api;
mod lifecycle;
mod program;
mod prometheus_api;
mod rolling;
mod scraping;
mod service;
mod store_command;
mod tls;
mod web_config;
mod windows;
mod zipkin_api;
mod zipkin_traces;
