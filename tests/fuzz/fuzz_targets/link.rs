//! Any path segment is a link secret or not; one that is encodes to itself.
#![no_main]

use waxseal::crypto::LinkSecret;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    if let Ok(text) = std::str::from_utf8(octets)
        && let Some(secret) = LinkSecret::decode(text)
    {
        let again = LinkSecret::decode(secret.encode().expose()).expect("what we write we read");
        assert_eq!(secret.id(), again.id());
    }
});
