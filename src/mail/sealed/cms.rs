//! The frame of S/MIME: what can be known of an encrypted message without a key. RFC 5652, RFC 5083.
//!
//! Its elements are walked through in BER (X.690), of which DER is the strict half; both are mailed.

use super::is_noise;

/// Whether this is one encrypted message from the first octet to the last, its ciphertext inside.
pub fn is_enveloped(octets: &[u8]) -> bool {
    enveloped(octets).is_some()
}

/// RFC 5652 §3 ContentInfo, §6.1 EnvelopedData; RFC 5083 §2.1 AuthEnvelopedData.
fn enveloped(octets: &[u8]) -> Option<()> {
    let (kind, content) = Element::only(octets, SEQUENCE)?.split(OBJECT)?;
    if kind != ENVELOPED && kind != AUTH_ENVELOPED {
        return None;
    }
    let (_version, rest) = Element::only(Element::only(content, FIRST)?.content, SEQUENCE)?.split(INTEGER)?;
    let rest = Element::read(rest).filter(|originator| originator.tag == FIRST).map_or(rest, |originator| originator.rest);
    let (recipients, rest) = Element::read(rest)?.when(SET)?;
    let (encrypted, mut rest) = Element::read(rest)?.when(SEQUENCE)?;
    // Attributes and the tag that proves the ciphertext.
    while !rest.is_empty() {
        rest = Element::read(rest).filter(|more| matches!(more.tag, SECOND | THIRD | OCTETS))?.rest;
    }
    (!recipients.is_empty() && is_noise(&ciphertext(encrypted)?)).then_some(())
}

/// RFC 5652 §6.1 EncryptedContentInfo: what it holds, in one piece or in several.
fn ciphertext(info: &[u8]) -> Option<Vec<u8>> {
    let (_kind, rest) = Element::read(info)?.when(OBJECT)?;
    let (_algorithm, rest) = Element::read(rest)?.when(SEQUENCE)?;
    let content = Element::read(rest).filter(|content| content.rest.is_empty())?;
    match content.tag {
        FIRST_OCTETS => Some(content.content.to_vec()),
        FIRST => {
            let (mut whole, mut pieces) = (Vec::new(), content.content);
            while !pieces.is_empty() {
                let (piece, rest) = Element::read(pieces)?.when(OCTETS)?;
                whole.extend_from_slice(piece);
                pieces = rest;
            }
            Some(whole)
        }
        _ => None,
    }
}

/// One element, and what follows it. X.690 §8.1.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    fn read(octets: &'a [u8]) -> Option<Self> {
        Self::within(octets, DEPTH)
    }

    /// The element that fills the octets.
    fn only(octets: &'a [u8], tag: u8) -> Option<Self> {
        Self::read(octets).filter(|element| element.tag == tag && element.rest.is_empty())
    }

    /// What it holds and what follows, if it is of this kind.
    fn when(self, tag: u8) -> Option<(&'a [u8], &'a [u8])> {
        (self.tag == tag).then_some((self.content, self.rest))
    }

    /// The first element in it, of this kind, and what follows that.
    fn split(self, first: u8) -> Option<(&'a [u8], &'a [u8])> {
        Self::read(self.content)?.when(first)
    }

    fn within(octets: &'a [u8], depth: usize) -> Option<Self> {
        let (&[tag, length], rest) = octets.split_first_chunk::<2>()?;
        if tag & LONG_TAG == LONG_TAG {
            return None;
        }
        let (length, rest) = match length {
            ..0x80 => (usize::from(length), rest),
            // X.690 §8.1.3.6: until the end-of-contents octets.
            0x80 if tag & CONSTRUCTED != 0 => {
                let mut left = rest;
                while !left.starts_with(&END) {
                    left = Self::within(left, depth.checked_sub(1)?)?.rest;
                }
                let (content, end) = rest.split_at_checked(rest.len() - left.len())?;
                return Some(Self { tag, content, rest: end.get(END.len()..)? });
            }
            0x80 => return None,
            0x81.. => {
                let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
                let length = digits.iter().try_fold(0_usize, |length, digit| length.checked_mul(256)?.checked_add(usize::from(*digit)))?;
                (length, rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        Some(Self { tag, content, rest })
    }
}

/// 1.2.840.113549.1.7.3
const ENVELOPED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x03];
/// 1.2.840.113549.1.9.16.1.23
const AUTH_ENVELOPED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x10, 0x01, 0x17];
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]` as octets without elements, and `[0]`, `[1]`, `[2]` around elements.
const FIRST_OCTETS: u8 = 0x80;
const FIRST: u8 = 0xA0;
const SECOND: u8 = 0xA1;
const THIRD: u8 = 0xA2;
const CONSTRUCTED: u8 = 0x20;
/// A tag of several octets, of which CMS has none.
const LONG_TAG: u8 = 0x1F;
const END: [u8; 2] = [0, 0];
/// Elements of indefinite length within each other; an encrypted message has a handful.
const DEPTH: usize = 16;
