//! Servers and clients on the loopback, and the spans that whoever scrapes them reads.

#![cfg(test)]

mod axum_service;
mod clients;
mod endings;
mod grpc;
mod plain;
mod scrapes;
mod shutdown;
mod world;
