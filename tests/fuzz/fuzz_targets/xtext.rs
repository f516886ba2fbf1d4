//! Both readers of xtext agree, take back what the writers write, and let no control character into a header.
#![no_main]

use waxseal::{mail, smtp};

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    assert_eq!(mail::xtext::decode(&mail::xtext::encode(text)).as_deref(), Some(text));
    let clean = (!text.chars().any(char::is_control)).then_some(text);
    assert_eq!(smtp::xtext::decode(&smtp::xtext::encode(text)).as_deref(), clean);
    if let Some(value) = smtp::xtext::decode(text) {
        assert!(!value.chars().any(char::is_control), "{value:?}");
        if text.is_ascii() {
            assert_eq!(mail::xtext::decode(text), Some(value));
        }
    }
});
