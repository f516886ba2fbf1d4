//! Encoded words, address lists and what we write of them.
#![no_main]

use waxseal::mail::{compose, decode};

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    let text = decode::unstructured(value);
    let field = compose::unstructured("Subject", &compose::HeaderText::new(&text));
    let raw = field.raw();
    assert!(raw.ends_with(b"\r\n") && !raw[..raw.len() - 2].windows(3).any(|three| three[..2] == *b"\r\n" && !matches!(three[2], b' ' | b'\t')));
    let _ = decode::addresses(value);
});
