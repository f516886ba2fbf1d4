//! The link secret: 160 random bits that travel only in the mail to one recipient.
//!
//! In a URL it is 32 characters of base32 (`a`-`z`, `2`-`7`). Reading it back forgives what mail
//! programs do to links: case, trailing punctuation, remains of line wrapping, one level of `%25`.

use data_encoding::BASE32_NOPAD;

use super::derive;
use crate::secret::Secret;

/// T_r: opens a parcel together with the host's key.
#[derive(Clone, Debug)]
pub struct LinkSecret(pub Secret<[u8; 20]>);

/// The only stored trace of a link secret, derived from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub [u8; 16]);

impl LinkSecret {
    /// A fresh one.
    pub fn random() -> Self {
        Self(Secret::new(super::random::array()))
    }

    /// The 32 characters of the URL; a secret in itself.
    pub fn encode(&self) -> Secret<String> {
        let mut text = BASE32_NOPAD.encode(self.0.expose());
        text.make_ascii_lowercase();
        Secret::new(text)
    }

    /// Reads the last path segment of a link, as forgiving as the module says.
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > TEXT_MAX {
            return None;
        }
        // A router may or may not have undone one level; a mail program may have added another.
        let unescaped = Secret::new(unescape(Secret::new(unescape(text.as_bytes())).expose()));
        let mut letters = Vec::with_capacity(TEXT_MAX);
        for &octet in trimmed(unescaped.expose()) {
            match octet {
                // What remains of a wrapped line: the break, and the soft break of quoted-printable (RFC 2045 §6.7).
                b' ' | b'\t' | b'\r' | b'\n' | b'=' => {}
                other => letters.push(other.to_ascii_uppercase()),
            }
        }
        let letters = Secret::new(letters);
        let mut secret = [0; 20];
        if letters.expose().len() != LENGTH {
            return None;
        }
        BASE32_NOPAD.decode_mut(letters.expose(), &mut secret).ok()?;
        Some(Self(Secret::new(secret)))
    }

    /// The lookup key.
    pub fn id(&self) -> LinkId {
        // 160 random bits need no slow hash.
        LinkId(*derive::octets::<16>(self.0.expose(), None, ("link-id", &[])).expose())
    }
}

/// Without the punctuation that a mail program took for a part of the link.
fn trimmed(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let Some((last, before)) = rest.split_last() {
        if !b".,;:!?>)]}=*_'\" \t\r\n".contains(last) {
            break;
        }
        rest = before;
    }
    rest
}

/// Undoes percent-encoding once; what is no escape stays as it is. RFC 3986 §2.1.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&octet, after)) = rest.split_first() {
        let escaped = (octet == b'%').then(|| after.split_first_chunk::<2>()).flatten();
        match escaped.and_then(|(pair, after)| Some((hex(pair)?, after))) {
            Some((value, after)) => {
                plain.push(value);
                rest = after;
            }
            None => {
                plain.push(octet);
                rest = after;
            }
        }
    }
    plain
}

fn hex(&[high, low]: &[u8; 2]) -> Option<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Characters of a link secret.
const LENGTH: usize = 32;
/// Twice percent-encoded whole, a link secret has 160 octets; longer is none of ours.
const TEXT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_survives_what_mail_programs_do_to_it() {
        let secret = LinkSecret(Secret::new(*b"01234567890123456789"));
        let text = secret.encode().expose().clone();
        assert_eq!(text, "gaytemzugu3doobzgaytemzugu3doobz");
        let (left, right) = text.split_at(20);
        for mangled in [
            text.clone(),
            text.to_uppercase(),
            format!("{text}."),
            format!("{text}>,"),
            format!("{text})="),
            format!("{text}%3E"),
            format!("{text}%253E"),
            format!("{text}%0D%0A"),
            format!("{left}=\r\n{right}"),
            format!("{left}\r\n {right}"),
            format!("{left}%20{right}"),
            format!("{left}%250A{right}"),
        ] {
            let read = LinkSecret::decode(&mangled).unwrap_or_else(|| panic!("{mangled:?}"));
            assert_eq!(read.0.expose(), secret.0.expose(), "{mangled:?}");
        }
    }

    #[test]
    fn what_is_no_link_is_none() {
        let text = LinkSecret::random().encode().expose().clone();
        let cut = text.split_at(1).1;
        for other in ["", "%", "%2", cut, &format!("{text}a"), &format!("0{cut}"), &format!("ä{cut}"), &"a".repeat(10_000)] {
            assert!(LinkSecret::decode(other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn the_id_says_nothing_but_stays_the_same() {
        let secret = LinkSecret(Secret::new(*b"01234567890123456789"));
        assert_eq!(secret.id(), LinkSecret::decode(secret.encode().expose()).unwrap().id());
        assert_ne!(secret.id(), LinkSecret::random().id());
    }
}
