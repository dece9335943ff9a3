#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| websockify_fuzz::session_line(input));
