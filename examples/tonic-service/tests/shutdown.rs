//! The service is told to end while it answers.
#![cfg(test)]
#![cfg(unix)]

#[path = "../../shutdown.rs"]
mod shutdown;

#[test]
fn its_last_spans_are_read() {
    let request =
        b"POST /cart.v1.Cart/Get HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTE: trailers\r\n\
        Content-Type: application/grpc\r\nContent-Length: 7\r\n\r\n\x00\x00\x00\x00\x02\x08\x07";
    shutdown::last_spans_are_read(env!("CARGO_BIN_EXE_tonic-service"), request, "cart.v1.cart/get");
}
