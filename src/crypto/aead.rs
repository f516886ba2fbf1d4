//! Authenticated sealing of one value. XChaCha20-Poly1305, the nonce drawn at random and put in front.
//!
//! No other file names the cipher: what else seals (the chunks of [`stream`](super::stream)) does it
//! through [`Sealer`]. The subkey of each nonce is HChaCha20's; under it works the ChaCha20-Poly1305
//! of the TLS library, which is several times as fast as one in portable code.
//! draft-irtf-cfrg-xchacha-03 §2; RFC 8439.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20::{R20, hchacha};

use super::{Broken, random};
use crate::secret::Secret;

/// A 256-bit key.
pub type Key = Secret<[u8; 32]>;

/// Seals a value: nonce (24) ‖ ciphertext ‖ tag (16).
pub fn seal(key: &Key, associated_data: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE] = random::array();
    let mut sealed = Vec::with_capacity(NONCE + plaintext.len() + TAG);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let (_, body) = sealed.split_at_mut(NONCE);
    let tag = Sealer::new(key).seal(&nonce, associated_data, body);
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens what [`seal`] made with the same key and associated data.
pub fn open(key: &Key, associated_data: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Broken> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(Broken)?;
    let (body, tag) = rest.split_last_chunk::<TAG>().ok_or(Broken)?;
    let mut plaintext = body.to_vec();
    Sealer::new(key).open(nonce, associated_data, (&mut plaintext, tag))?;
    Ok(plaintext)
}

/// A key made ready for many values whose nonces the caller counts.
pub(super) struct Sealer(Key);

impl Sealer {
    pub(super) fn new(key: &Key) -> Self {
        Self(key.clone())
    }

    /// Encrypts in place and gives the tag. A nonce must never come twice under one key.
    pub(super) fn seal(&self, nonce: &[u8; NONCE], associated_data: &[u8], body: &mut [u8]) -> [u8; TAG] {
        let (key, rest) = self.subkey(nonce);
        let tag = key.seal_in_place_separate_tag(rest, Aad::from(associated_data), body);
        match tag.ok().and_then(|tag| tag.as_ref().try_into().ok()) {
            Some(tag) => tag,
            // Only more than 256 GiB in one value is refused, and no value of that length exists in memory.
            None => std::process::abort(),
        }
    }

    /// Verifies the tag and decrypts in place; what is there when it does not hold is worth nothing.
    pub(super) fn open(&self, nonce: &[u8; NONCE], associated_data: &[u8], body: (&mut [u8], &[u8; TAG])) -> Result<(), Broken> {
        let (octets, tag) = body;
        let (key, rest) = self.subkey(nonce);
        key.open_in_place_separate_tag(rest, Aad::from(associated_data), tag, octets).map(|_| ()).map_err(|_| Broken)
    }

    /// The first 16 octets of the nonce make the key, the other 8 the nonce under it.
    fn subkey(&self, nonce: &[u8; NONCE]) -> (LessSafeKey, Nonce) {
        let [front @ .., a, b, c, d, e, f, g, h] = nonce;
        let octets = Secret::new(hchacha::<R20>(self.0.expose().into(), front.into()).0);
        match UnboundKey::new(&CHACHA20_POLY1305, octets.expose()) {
            Ok(key) => (LessSafeKey::new(key), Nonce::assume_unique_for_key([0, 0, 0, 0, *a, *b, *c, *d, *e, *f, *g, *h])),
            // A key of 32 octets is never refused.
            Err(_) => std::process::abort(),
        }
    }
}

/// Octets of a nonce.
pub(super) const NONCE: usize = 24;
/// Octets of a tag.
pub(super) const TAG: usize = 16;

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER_PERMISSIVE as HEX;

    use super::*;

    #[test]
    fn the_cipher_gives_the_answer_of_the_xchacha_draft() {
        // draft-irtf-cfrg-xchacha-03, appendix A.3.1.
        let key = Secret::new(std::array::from_fn(|i| 0x80 + u8::try_from(i).unwrap()));
        let nonce: [u8; 24] = std::array::from_fn(|i| 0x40 + u8::try_from(i).unwrap());
        let associated = HEX.decode(b"50515253c0c1c2c3c4c5c6c7").unwrap();
        let mut body =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.".to_vec();
        let tag = Sealer::new(&key).seal(&nonce, &associated, &mut body);
        assert_eq!(
            HEX.encode(&body),
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39\
             ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
             21f9664c97637da9768812f615c68b13b52e"
        );
        assert_eq!(HEX.encode(&tag), "c0875924c1c7987947deafd8780acf49");
    }

    #[test]
    fn a_value_opens_with_its_key_and_place_and_with_nothing_else() {
        let (key, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let sealed = seal(&key, b"place", b"value");
        assert_eq!(open(&key, b"place", &sealed), Ok(b"value".to_vec()));
        assert_eq!(open(&other, b"place", &sealed), Err(Broken));
        assert_eq!(open(&key, b"elsewhere", &sealed), Err(Broken));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&key, b"place", &changed), Err(Broken), "octet {at}");
            assert_eq!(open(&key, b"place", &sealed[..at]), Err(Broken), "cut at {at}");
        }
    }

    #[test]
    fn two_sealings_of_one_value_share_nothing() {
        let key = Secret::new([1; 32]);
        assert_ne!(seal(&key, b"", b"value"), seal(&key, b"", b"value"));
    }
}
