//! Mail that its own author encrypted or signed: S/MIME and PGP.
//!
//! A label is not believed: what calls itself encrypted must have the shape of it, else it is
//! looked into like anything else.
//!
//! RFC 8551 (S/MIME), RFC 3156 (PGP/MIME), RFC 9580 (packets).

use std::io::Read;

use super::{Message, Part};

/// Whether a part is encrypted from end to end.
pub fn is_encrypted(message: &Message, part: &Part) -> bool {
    let kind = &part.media_type;
    if kind.is("multipart", "encrypted") {
        return is_pgp_mime(message, part);
    }
    if kind.is("application", "pkcs7-mime") || kind.is("application", "x-pkcs7-mime") {
        let start = beginning(message, part);
        return start.first() == Some(&DER_SEQUENCE) && (holds(&start, ENVELOPED) || holds(&start, AUTH_ENVELOPED));
    }
    kind.is("text", "plain") && is_armour(&whole(message, part))
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
    let said = beginning(message, version);
    version.media_type.is("application", "pgp-encrypted")
        && said.len() < VERSION_MAX
        && said.trim_ascii().starts_with(b"Version: 1")
        && is_armour(&whole(message, content))
}

/// An armoured message, and nothing around it, whose first packet carries a session key or
/// encrypted data.
pub fn is_armour(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content).replace("\r\n", "\n");
    let Some(rest) = text.trim_start().strip_prefix(ARMOUR_BEGIN).and_then(|rest| rest.strip_prefix('\n')) else { return false };
    let Some(inside) = rest.trim_end().strip_suffix(ARMOUR_END) else { return false };
    let Some((_, body)) = inside.split_once("\n\n").or_else(|| inside.split_once('\n')) else { return false };
    let packed = body.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+/=\n".contains(&octet));
    let group: String = body.chars().filter(|c| !c.is_whitespace()).take(4).collect();
    let packet = data_encoding::BASE64.decode(group.as_bytes()).ok().and_then(|octets| octets.first().copied());
    packed && packet.is_some_and(is_encrypting_packet)
}

/// RFC 9580 §4.2 and §5: tags 1, 3, 9, 18, 20.
const fn is_encrypting_packet(header: u8) -> bool {
    let tag = match header & 0b1100_0000 {
        0b1100_0000 => header & 0b0011_1111,
        0b1000_0000 => (header & 0b0011_1100) >> 2,
        _ => return false,
    };
    matches!(tag, 1 | 3 | 9 | 18 | 20)
}

fn beginning(message: &Message, part: &Part) -> Vec<u8> {
    up_to(message, part, BEGINNING)
}

/// All of it, if it begins like armour at all.
fn whole(message: &Message, part: &Part) -> Vec<u8> {
    let start = beginning(message, part);
    if start.trim_ascii_start().starts_with(ARMOUR_BEGIN.as_bytes()) { up_to(message, part, u64::MAX) } else { start }
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

/// RFC 9580 §6.2.
pub const ARMOUR_BEGIN: &str = "-----BEGIN PGP MESSAGE-----";
/// RFC 9580 §6.2.
pub const ARMOUR_END: &str = "-----END PGP MESSAGE-----";
const DER_SEQUENCE: u8 = 0x30;
/// 1.2.840.113549.1.7.3
const ENVELOPED: &[u8] = &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x03];
/// 1.2.840.113549.1.9.16.1.23
const AUTH_ENVELOPED: &[u8] = &[0x06, 0x0B, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x10, 0x01, 0x17];
/// 1.2.840.113549.1.7.2
const SIGNED: &[u8] = &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02];
/// The type stands right behind the outer length.
const OBJECT_WITHIN: usize = 32;
/// Enough to know what something is.
const BEGINNING: u64 = 4096;
const VERSION_MAX: usize = 200;
/// A signature with a chain of certificates.
const SIGNATURE_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armour_is_known_by_its_first_packet() {
        let armour = |octets: &[u8]| {
            format!("-----BEGIN PGP MESSAGE-----\r\n\r\n{}\r\n-----END PGP MESSAGE-----\r\n", data_encoding::BASE64.encode(octets))
        };
        assert!(is_armour(armour(&[0xC1, 0xC0, 0x4C]).as_bytes()));
        assert!(is_armour(armour(&[0x85, 0x01, 0x0C]).as_bytes()));
        // A literal packet is signed or plain text, not a secret.
        assert!(!is_armour(armour(&[0xCB, 0x01, 0x0C]).as_bytes()));
        assert!(!is_armour(b"-----BEGIN PGP MESSAGE-----\r\n\r\nplain words"));
        assert!(!is_armour(format!("{}pnr 850709-9805", armour(&[0xC1, 0xC0, 0x4C])).as_bytes()));
    }
}
