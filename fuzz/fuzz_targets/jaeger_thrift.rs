//! Jaeger thrift, binary, read by us and by others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigyn_fuzz::check;
use sigyn_model::codec::Format;

fuzz_target!(|body: &[u8]| check(Format::JaegerThrift, body));
