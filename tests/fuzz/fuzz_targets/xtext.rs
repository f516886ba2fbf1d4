//! What was written is read again, what is read can be written again, and no control character gets into a header.
#![no_main]

use waxseal::mail::xtext::{decode, encode};

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let clean = (!text.chars().any(char::is_control)).then_some(text);
    assert_eq!(decode(&encode(text)).as_deref(), clean);
    if let Some(value) = decode(text) {
        assert!(!value.chars().any(char::is_control), "{value:?}");
        assert_eq!(decode(&encode(&value)), Some(value));
    }
});
