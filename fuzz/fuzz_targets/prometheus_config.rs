//! Configurations: read, told, and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| sigyn_fuzz::check_config(text));
