//! The frame of OpenPGP: what can be known of an encrypted message without a key. RFC 9580.

use super::is_noise;

/// Whether this is one encrypted message and nothing around it, in armour or as it is.
pub fn is_encrypted(content: &[u8]) -> bool {
    is_message(content) || is_armour(content)
}

/// Whether this is an armoured encrypted message and nothing around it. RFC 9580 §6.2.
pub fn is_armour(content: &[u8]) -> bool {
    unarmoured(content).is_some_and(|octets| is_message(&octets))
}

fn unarmoured(content: &[u8]) -> Option<Vec<u8>> {
    let mut lines = std::str::from_utf8(content.trim_ascii()).ok()?.lines().map(str::trim_end);
    if lines.next()? != ARMOUR_BEGIN {
        return None;
    }
    for header in lines.by_ref().take_while(|line| !line.is_empty()) {
        let (key, _) = header.split_once(':')?;
        if !key.bytes().all(|octet| octet.is_ascii_alphanumeric()) {
            return None;
        }
    }
    let mut packed = String::with_capacity(content.len());
    let mut lines = lines.peekable();
    while let Some(line) = lines.next_if(|line| !line.starts_with(['-', '='])) {
        packed.push_str(line);
    }
    // RFC 9580 §6.1: a checksum may stand there, and is not to be relied upon.
    lines.next_if(|line| line.len() == CHECKSUM && line.starts_with('='));
    let ends = lines.next() == Some(ARMOUR_END) && lines.next().is_none();
    data_encoding::BASE64.decode(packed.as_bytes()).ok().filter(|_| ends)
}

/// RFC 9580 §10.3: session keys, then encrypted data, and no more.
fn is_message(octets: &[u8]) -> bool {
    let mut rest = octets;
    while let Some(packet) = Packet::read(rest) {
        let version = packet.start.first().copied();
        match (packet.tag, version) {
            (MARKER, _) if packet.start == b"PGP" => {}
            (PUBLIC_KEY_SESSION, Some(2 | 3 | 6)) | (PASSWORD_SESSION, Some(4..=6)) => {}
            (ENCRYPTED, _) | (PROTECTED, Some(1 | 2)) | (AEAD, Some(1)) => return packet.rest.is_empty() && is_noise(packet.start),
            _ => return false,
        }
        rest = packet.rest;
    }
    false
}

/// One packet. RFC 9580 §4.2.
struct Packet<'a> {
    tag: u8,
    /// The body, or the first piece of one that comes in pieces.
    start: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Packet<'a> {
    fn read(octets: &'a [u8]) -> Option<Self> {
        let (&header, rest) = octets.split_first()?;
        match header & 0xC0 {
            0xC0 => Self::current(header & 0x3F, rest),
            0x80 => Self::legacy(header, rest),
            _ => None,
        }
    }

    /// RFC 9580 §4.2.1.
    fn current(tag: u8, octets: &'a [u8]) -> Option<Self> {
        let (mut start, mut rest) = (None, octets);
        loop {
            let (&first, after) = rest.split_first()?;
            let (length, after) = match first {
                ..192 => (usize::from(first), after),
                192..=223 => {
                    let (&second, after) = after.split_first()?;
                    ((usize::from(first) - 192) * 256 + usize::from(second) + 192, after)
                }
                224..=254 => (1 << (first & 0x1F), after),
                255 => number(after, 4)?,
            };
            let (body, after) = after.split_at_checked(length)?;
            start = start.or(Some(body));
            rest = after;
            if !matches!(first, 224..=254) {
                return Some(Self { tag, start: start?, rest });
            }
        }
    }

    /// RFC 9580 §4.2.2.
    fn legacy(header: u8, octets: &'a [u8]) -> Option<Self> {
        let (length, rest) = match header & 3 {
            0 => number(octets, 1)?,
            1 => number(octets, 2)?,
            2 => number(octets, 4)?,
            // Until the end.
            _ => (octets.len(), octets),
        };
        let (start, rest) = rest.split_at_checked(length)?;
        Some(Self { tag: (header & 0x3C) >> 2, start, rest })
    }
}

fn number(octets: &[u8], digits: usize) -> Option<(usize, &[u8])> {
    let (digits, rest) = octets.split_at_checked(digits)?;
    Some((digits.iter().fold(0, |number, digit| number << 8 | usize::from(*digit)), rest))
}

/// RFC 9580 §6.2.
pub const ARMOUR_BEGIN: &str = "-----BEGIN PGP MESSAGE-----";
/// RFC 9580 §6.2.
pub const ARMOUR_END: &str = "-----END PGP MESSAGE-----";
/// `=` and three octets.
const CHECKSUM: usize = 5;
/// RFC 9580 §5; the last one is GnuPG's.
const PUBLIC_KEY_SESSION: u8 = 1;
const PASSWORD_SESSION: u8 = 3;
const ENCRYPTED: u8 = 9;
const MARKER: u8 = 10;
const PROTECTED: u8 = 18;
const AEAD: u8 = 20;
