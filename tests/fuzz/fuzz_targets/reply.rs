//! Any octets of a next hop are a reply or nonsense, the same however they arrive, and what is told of them is clean.
#![no_main]

use bytes::BytesMut;
use waxseal::smtp::dialogue::{Heard, Hearing, Nonsense};

/// The first reply in pieces of this size.
fn heard(octets: &[u8], size: usize) -> Result<Option<Heard>, Nonsense> {
    let (mut hearing, mut input) = (Hearing::default(), BytesMut::new());
    for piece in octets.chunks(size) {
        input.extend_from_slice(piece);
        if let Some(heard) = hearing.take(&mut input)? {
            return Ok(Some(heard));
        }
    }
    Ok(None)
}

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let whole = heard(octets, octets.len().max(1));
    assert_eq!(whole, heard(octets, 1));
    if let Ok(Some(reply)) = whole {
        let said = reply.said();
        assert!(said.words.chars().all(|c| (' '..='~').contains(&c)) && said.words.len() <= 500);
        assert_eq!(said.code.map(|code| code / 100), Some(u16::from(said.status.class)));
    }
});
