//! Relabelling rules, and labels to apply them to.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| sigyn_fuzz::check_relabelling(input));
