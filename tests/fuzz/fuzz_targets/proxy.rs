//! A PROXY header ends where it says, and what comes after it changes nothing.
#![no_main]

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};
use waxseal::net::proxy_header::{NoHeader, Spoken, read};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());

/// What is read, and how much of it.
fn header(octets: &[u8]) -> (Result<Spoken, NoHeader>, usize) {
    let mut rest = octets;
    let spoken = RUNTIME.block_on(read(&mut rest));
    (spoken, octets.len() - rest.len())
}

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let (spoken, length) = header(octets);
    if spoken.is_ok() {
        assert_eq!(header(&octets[..length]), (spoken, length));
        assert_eq!(header(&[&octets[..length], b"\r\n\r\n\0\r\nQUIT\n"].concat()), (spoken, length));
    }
});
