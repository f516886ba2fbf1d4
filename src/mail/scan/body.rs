//! What only the octets of a body tell: stray line ends, foreign characters, hidden content.

use std::io::Read;
use std::ops::Range;

use bytes::Bytes;

use super::Doubts;
use crate::mail::{Part, PartId, TransferEncoding, decode};

/// RFC 5322 §2.3: CR and LF only together, and no NUL.
pub(super) fn line_ends(bytes: &[u8], doubts: &mut Doubts) {
    let (mut bare, mut nul) = (bytes.first() == Some(&b'\n') || bytes.last() == Some(&b'\r'), bytes.last() == Some(&0));
    // Without branches, so that it runs at the speed of memory.
    for (&this, &next) in bytes.iter().zip(bytes.iter().skip(1)) {
        bare |= (this == b'\r') != (next == b'\n');
        nul |= this == 0;
    }
    if bare {
        doubts.add(PartId(0), "a carriage return or line feed on its own");
    }
    if nul {
        doubts.add(PartId(0), "a NUL character");
    }
}

/// Preamble and epilogue: shown by no reader of MIME, but by every other.
pub(super) fn outside(bytes: &Bytes, range: Range<usize>, mut doubt: impl FnMut(&'static str)) {
    let text = bytes.get(range).unwrap_or_default();
    if text.len() > OUTSIDE_MAX {
        doubt("more than 1 KiB before the first or after the last part");
    }
    for line in text.get(..text.len().min(OUTSIDE_MAX)).unwrap_or_default().split(|&octet| octet == b'\n') {
        let looks_like_field =
            FIELDS_OF_PARTS.iter().any(|name| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
        // Not the rule that footers draw, and not the `-- ` above a signature.
        let looks_like_delimiter =
            line.strip_prefix(b"--").is_some_and(|rest| !matches!(rest.trim_ascii(), rest if rest.iter().all(|&octet| octet == b'-')))
                && !line.starts_with(b"-- ");
        if looks_like_field || looks_like_delimiter {
            doubt("something like a part before the first or after the last part");
        }
    }
}

/// The body of a part without children.
pub(super) fn leaf(bytes: &Bytes, part: &Part, mut doubt: impl FnMut(&'static str)) {
    let body = bytes.get(part.body.clone()).unwrap_or_default();
    if part.encoding == TransferEncoding::Base64 {
        base64(body, &mut doubt);
    }
    let is_japanese = |label: &str| encoding_rs::Encoding::for_label(label.as_bytes()) == Some(encoding_rs::ISO_2022_JP);
    if part.media_type.kind == "text" && part.media_type.parameter("charset").is_some_and(is_japanese) {
        let body = if part.body.end <= bytes.len() { bytes.slice(part.body.clone()) } else { Bytes::new() };
        if has_odd_escapes(decode::transfer(body, part.encoding)) {
            doubt("odd escapes in iso-2022-jp text");
        }
    }
}

/// RFC 2045 §6.8: readers skip foreign characters or stop at them, and some go on after padding.
fn base64(body: &[u8], doubt: &mut impl FnMut(&'static str)) {
    let mut is_foreign = false;
    // Without branches, so that it runs at the speed of memory.
    for &octet in body {
        is_foreign |= !(is_symbol(octet) | is_space(octet) | (octet == b'='));
    }
    if is_foreign {
        doubt("foreign characters in base64");
    }
    // 255 at most, so that a count fits an octet and many are counted at once.
    let spaces = |block: &[u8]| usize::from(block.iter().fold(0_u8, |count, &octet| count.wrapping_add(u8::from(is_space(octet)))));
    let counted = body.len() - body.chunks(255).map(spaces).sum::<usize>();
    // Some readers then show nothing, or the base64 itself.
    if !counted.is_multiple_of(4) {
        doubt("base64 that ends within a group");
    }
    let padding = memchr::memchr(b'=', body).unwrap_or(body.len());
    let tail = body.get(padding..).unwrap_or_default();
    if tail.iter().any(|&octet| is_symbol(octet)) || memchr::memchr_iter(b'=', tail).count() > 2 {
        doubt("padding inside base64");
    }
}

fn is_symbol(octet: u8) -> bool {
    octet.is_ascii_uppercase() | octet.is_ascii_lowercase() | octet.is_ascii_digit() | (octet == b'+') | (octet == b'/')
}

fn is_space(octet: u8) -> bool {
    (octet == b'\r') | (octet == b'\n') | (octet == b' ') | (octet == b'\t')
}

/// Everything but the escapes of the WHATWG decoder: readers differ on what follows.
fn has_odd_escapes(mut text: impl Read) -> bool {
    let mut window = [0_u8; 4096];
    let mut kept: Vec<u8> = Vec::new();
    loop {
        let read = text.read(&mut window).unwrap_or_default();
        kept.extend_from_slice(window.get(..read).unwrap_or_default());
        let is_last = read == 0;
        let mut from = 0;
        while let Some(at) = memchr::memchr(0x1b, kept.get(from..).unwrap_or_default()) {
            let escape = kept.get(from + at + 1..).unwrap_or_default();
            let Some(escape) = escape.get(..2) else {
                if is_last {
                    return true;
                }
                break;
            };
            if !matches!(escape, b"(B" | b"(J" | b"(I" | b"$@" | b"$B") {
                return true;
            }
            from += at + 1;
        }
        if is_last {
            return false;
        }
        kept.drain(..kept.len().saturating_sub(3).max(from));
    }
}

/// `This is a multi-part message in MIME format.` in every language, and the footers of old lists.
const OUTSIDE_MAX: usize = 1024;
const FIELDS_OF_PARTS: [&[u8]; 3] = [b"content-type:", b"content-transfer-encoding:", b"content-disposition:"];
