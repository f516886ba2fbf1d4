//! Mail that its own author encrypted or signed: S/MIME and PGP.
//!
//! A label is not believed, and neither is a beginning: what calls itself encrypted is walked through
//! from its first octet to its last, and the ciphertext must not read as text. Whoever goes to the
//! length of writing a false frame could as well encrypt.
//!
//! RFC 8551 (S/MIME), RFC 3156 (PGP/MIME).

use std::io::Read;

use super::{Message, Part};

mod cms;
mod openpgp;

pub use openpgp::{ARMOUR_BEGIN, ARMOUR_END, is_armour};

/// What a part says of being encrypted from end to end, and whether it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Says nothing of it, and is not.
    Open,
    /// Encrypted by its author, and nothing beside that.
    Sealed,
    /// Says that it is encrypted and is something else.
    Pretended,
}

/// Whether a part is encrypted from end to end.
pub fn secrecy(message: &Message, part: &Part) -> Secrecy {
    let kind = &part.media_type;
    if kind.is("multipart", "encrypted") {
        return if is_pgp_mime(message, part) { Secrecy::Sealed } else { Secrecy::Pretended };
    }
    if kind.is("application", "pkcs7-mime") || kind.is("application", "x-pkcs7-mime") {
        let is_other = kind.parameter("smime-type").is_some_and(|kind| UNENCRYPTED.iter().any(|other| kind.eq_ignore_ascii_case(other)));
        return match (cms::is_enveloped(&whole(message, part)), is_other) {
            (true, _) => Secrecy::Sealed,
            (false, true) => Secrecy::Open,
            (false, false) => Secrecy::Pretended,
        };
    }
    let is_armoured = kind.is("text", "plain") && beginning(message, part).trim_ascii_start().starts_with(ARMOUR_BEGIN.as_bytes());
    if is_armoured && is_armour(&whole(message, part)) { Secrecy::Sealed } else { Secrecy::Open }
}

/// Whether a part is the detached signature of its neighbour, and no more than that.
pub fn is_signature(message: &Message, part: &Part, parent: Option<&Part>) -> bool {
    let last = parent.filter(|parent| parent.media_type.is("multipart", "signed")).and_then(|parent| parent.children.get(1));
    if last.is_none_or(|last| last.id != part.id) || part.body.len() > SIGNATURE_MAX {
        return false;
    }
    let start = beginning(message, part);
    match part.media_type.subtype.as_str() {
        "pkcs7-signature" | "x-pkcs7-signature" => start.first() == Some(&DER_SEQUENCE) && holds(&start, SIGNED),
        "pgp-signature" => start.trim_ascii_start().starts_with(b"-----BEGIN PGP SIGNATURE-----"),
        _ => false,
    }
}

/// RFC 3156 §4: a version and one encrypted part, nothing else.
fn is_pgp_mime(message: &Message, part: &Part) -> bool {
    let [version, content] = part.children.as_slice() else { return false };
    version.media_type.is("application", "pgp-encrypted")
        && beginning(message, version).trim_ascii() == b"Version: 1"
        && content.children.is_empty()
        && openpgp::is_encrypted(&whole(message, content))
}

/// Whether this can be ciphertext: there is enough of it for a message, and it does not read as text.
/// Of noise, two octets in five are printable.
fn is_noise(octets: &[u8]) -> bool {
    let sample = octets.get(..NOISE_SAMPLE).unwrap_or(octets);
    let printable = sample.iter().filter(|octet| matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n')).count();
    sample.len() >= NOISE_LEAST && printable * 8 < sample.len() * 7
}

fn beginning(message: &Message, part: &Part) -> Vec<u8> {
    up_to(message, part, BEGINNING)
}

fn whole(message: &Message, part: &Part) -> Vec<u8> {
    up_to(message, part, u64::MAX)
}

fn up_to(message: &Message, part: &Part, most: u64) -> Vec<u8> {
    let mut start = Vec::new();
    match message.content(part).take(most).read_to_end(&mut start) {
        Ok(_) => start,
        // What cannot be decoded has no shape at all.
        Err(_) => Vec::new(),
    }
}

fn holds(content: &[u8], object: &[u8]) -> bool {
    content.get(..OBJECT_WITHIN.min(content.len())).unwrap_or_default().windows(object.len()).any(|window| window == object)
}

const DER_SEQUENCE: u8 = 0x30;
/// 1.2.840.113549.1.7.2
const SIGNED: &[u8] = &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02];
/// The type stands right behind the outer length.
const OBJECT_WITHIN: usize = 32;
/// Enough to know what something is.
const BEGINNING: u64 = 4096;
/// A signature with a chain of certificates.
const SIGNATURE_MAX: usize = 64 * 1024;
/// What else S/MIME carries, which is no secret. RFC 8551 §3.2.2.
const UNENCRYPTED: [&str; 3] = ["signed-data", "certs-only", "compressed-data"];
const NOISE_SAMPLE: usize = 256;
/// A header field alone is as long; so much noise is not printable by chance.
const NOISE_LEAST: usize = 32;
