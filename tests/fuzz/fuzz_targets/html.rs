//! Any HTML has a text.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    if let Ok(html) = std::str::from_utf8(octets) {
        let _ = waxseal::extract::html::text(html);
    }
});
