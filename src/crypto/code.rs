//! Passwords that we make for a single use: 10 characters of Crockford base32, 50 bits.
//!
//! The alphabet leaves out what people misread; what they write instead is read back as what was meant.

use data_encoding::BASE32HEX_NOPAD;
use subtle::ConstantTimeEq;

use super::aead::Key;
use super::{derive, random};
use crate::secret::Secret;

/// A fresh code, written `XXXXX-XXXXX`.
pub fn fresh() -> Secret<String> {
    // 7 octets make 12 characters; each is uniform by itself, so 10 of them are 50 even bits.
    let octets: [u8; 7] = random::array();
    let letters = Secret::new(crockford(&octets));
    let mut code = String::with_capacity(11);
    for (place, letter) in letters.expose().chars().take(LENGTH).enumerate() {
        if place == LENGTH / 2 {
            code.push('-');
        }
        code.push(letter);
    }
    Secret::new(code)
}

/// What is stored of a code: HMAC over its purpose, its challenge and the code without case,
/// hyphens, spaces, and with the look-alikes of Crockford's alphabet unified.
pub fn mac(key: &Key, challenge: &[u8], code: &Secret<String>) -> [u8; 32] {
    let plain = Secret::new(unified(code.expose()));
    derive::mac(key, "code", &[challenge, plain.expose().as_bytes()])
}

/// Comparison in constant time.
pub fn matches(stored: &[u8; 32], given: &[u8; 32]) -> bool {
    stored.ct_eq(given).into()
}

/// Octets in Crockford's base32, without padding.
pub(super) fn crockford(octets: &[u8]) -> String {
    let translate = |c: char| HEX_ALPHABET.find(c).and_then(|at| CROCKFORD.chars().nth(at)).unwrap_or(c);
    BASE32HEX_NOPAD.encode(octets).chars().map(translate).collect()
}

/// The octets that [`crockford`] wrote, as forgiving as a person's hand needs.
pub(super) fn from_crockford(text: &str) -> Option<Vec<u8>> {
    let translate = |c: char| CROCKFORD.find(c).and_then(|at| HEX_ALPHABET.chars().nth(at));
    let hex: Option<String> = unified(text).chars().map(translate).collect();
    BASE32HEX_NOPAD.decode(Secret::new(hex?).expose().as_bytes()).ok()
}

fn unified(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}'))
        .take(TEXT_MAX)
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect()
}

const CROCKFORD: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const HEX_ALPHABET: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUV";
const LENGTH: usize = 10;
/// A stranger types this; more than twice a recovery sheet is no code of ours.
const TEXT_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_code_has_ten_characters_that_nobody_misreads() {
        for _ in 0..200 {
            let code = fresh();
            let (left, right) = code.expose().split_once('-').unwrap();
            assert_eq!((left.len(), right.len()), (5, 5));
            assert!(code.expose().chars().all(|c| c == '-' || CROCKFORD.contains(c)));
        }
    }

    #[test]
    fn a_code_is_the_same_however_a_person_writes_it() {
        let key = Secret::new([3; 32]);
        let mac = |text: &str| mac(&key, b"challenge", &Secret::new(text.to_owned()));
        let meant = mac("01AB2-CDE3F");
        for written in ["01ab2-cde3f", "O1AB2CDE3F", " 0IAB2 CDE3F ", "olab2\u{2013}cde3f"] {
            assert!(matches(&meant, &mac(written)), "{written}");
        }
        for other in ["01AB2-CDE3G", "01AB2-CDE3", "01AB2-CDE3F0", ""] {
            assert!(!matches(&meant, &mac(other)), "{other}");
        }
    }

    #[test]
    fn a_code_belongs_to_its_challenge() {
        let (key, code) = (Secret::new([3; 32]), fresh());
        assert!(!matches(&mac(&key, b"one", &code), &mac(&key, b"two", &code)));
    }

    #[test]
    fn crockford_reads_back_what_it_wrote() {
        for octets in [&b""[..], b"a", b"waxse", &[0xff; 35]] {
            assert_eq!(from_crockford(&crockford(octets)).as_deref(), Some(octets));
        }
        assert_eq!(from_crockford("UUUU"), None);
    }
}
