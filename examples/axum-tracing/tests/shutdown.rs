//! The service is told to end while it answers.
#![cfg(test)]
#![cfg(unix)]

#[path = "../../shutdown.rs"]
mod shutdown;

#[test]
fn its_last_spans_are_read() {
    let request = b"GET /cart/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    shutdown::last_spans_are_read(env!("CARGO_BIN_EXE_axum-tracing"), request, "request");
}
