//! Keys from keys (HKDF-SHA256, RFC 5869) and keyed digests (HMAC-SHA256, RFC 2104).
//!
//! Every label begins with `wx1/`, every id is preceded by its length, so no two purposes can
//! meet in one key.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::aead::Key;
use crate::secret::Secret;

/// `HKDF(key, no salt, "wx1/" ‖ purpose ‖ each of ids, length-prefixed)`.
pub fn key(key: &Key, purpose: &'static str, ids: &[&[u8]]) -> Key {
    octets(key.expose(), None, (purpose, ids))
}

/// As [`key`], from input of any length, with a salt, to any length.
pub fn octets<const N: usize>(input: &[u8], salt: Option<&[u8]>, (purpose, ids): (&'static str, &[&[u8]])) -> Secret<[u8; N]> {
    const { assert!(N <= HKDF_MAX) };
    let mut output = [0; N];
    if Hkdf::<Sha256>::new(salt, input).expand(&label(purpose, ids), &mut output).is_err() {
        // Only a length above HKDF_MAX is refused, and the line above refused to compile it.
        std::process::abort();
    }
    Secret::new(output)
}

/// HMAC over the purpose and each of the ids, length-prefixed.
pub fn mac(key: &Key, purpose: &'static str, ids: &[&[u8]]) -> [u8; 32] {
    let mut mac = match Hmac::<Sha256>::new_from_slice(key.expose()) {
        Ok(mac) => mac,
        // RFC 2104 §2: keys of every length are fine.
        Err(_) => std::process::abort(),
    };
    mac.update(&label(purpose, ids));
    mac.finalize().into_bytes().into()
}

fn label(purpose: &str, ids: &[&[u8]]) -> Vec<u8> {
    let mut label = Vec::from(b"wx1/");
    label.extend_from_slice(purpose.as_bytes());
    for id in ids {
        label.extend_from_slice(&(id.len() as u64).to_be_bytes());
        label.extend_from_slice(id);
    }
    label
}

/// RFC 5869 §2.3: 255 blocks.
const HKDF_MAX: usize = 255 * 32;

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER as HEX;

    use super::*;

    #[test]
    fn hkdf_gives_the_answers_of_rfc_5869() {
        for (input, salt, info, expect) in [
            // Appendix A.1 and A.3; A.2 stands below.
            (
                "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
                "000102030405060708090a0b0c",
                "f0f1f2f3f4f5f6f7f8f9",
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
            ),
            (
                "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
                "",
                "",
                "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
            ),
        ] {
            let [input, salt, info] = [input, salt, info].map(|hex| HEX.decode(hex.as_bytes()).unwrap());
            let mut output = [0; 42];
            Hkdf::<Sha256>::new(Some(&salt), &input).expand(&info, &mut output).unwrap();
            assert_eq!(HEX.encode(&output), expect);
        }
        let (input, salt, info): (Vec<u8>, Vec<u8>, Vec<u8>) = ((0..0x50).collect(), (0x60..0xb0).collect(), (0xb0..=0xff).collect());
        let mut output = [0; 82];
        Hkdf::<Sha256>::new(Some(&salt), &input).expand(&info, &mut output).unwrap();
        assert_eq!(
            HEX.encode(&output),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        );
    }

    #[test]
    fn hmac_gives_the_answer_of_rfc_4231() {
        // Test case 2.
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        assert_eq!(HEX.encode(&mac.finalize().into_bytes()), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn ids_cannot_run_into_each_other() {
        let root = Secret::new([7; 32]);
        assert_ne!(mac(&root, "x", &[b"ab", b"c"]), mac(&root, "x", &[b"a", b"bc"]));
        assert_ne!(key(&root, "x", &[b"a"]).expose(), key(&root, "x", &[b"b"]).expose());
        assert_ne!(key(&root, "x", &[]).expose(), key(&root, "y", &[]).expose());
    }

    #[test]
    fn the_labels_are_frozen() {
        // A change here would close every parcel that exists.
        let root = Secret::new([7; 32]);
        assert_eq!(label("p", &[b"ab"]), b"wx1/p\0\0\0\0\0\0\0\x02ab");
        assert_eq!(HEX.encode(key(&root, "segment", &[b"a"]).expose()), FROZEN_KEY);
    }

    const FROZEN_KEY: &str = "b58882d75a873ed20c791c98ba73a6a6a6037148442fbb1c4164d820f0e30fe0";
}
