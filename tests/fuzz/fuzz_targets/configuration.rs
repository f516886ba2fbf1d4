//! Any text is a configuration or has mistakes.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    if let Ok(text) = std::str::from_utf8(octets) {
        let _ = waxseal::config::Configuration::parse(std::path::Path::new("waxseal.toml"), text);
    }
});
