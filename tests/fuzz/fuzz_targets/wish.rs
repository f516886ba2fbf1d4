//! Any subject has a wish, perhaps none, perhaps malformed.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    if let Ok(subject) = std::str::from_utf8(octets) {
        let _ = waxseal::policy::Wish::parse(subject);
    }
});
