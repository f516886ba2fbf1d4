//! From what stands in the message to what a person reads. RFC 2045 §6, RFC 2047, RFC 2231.
//!
//! Lenient by intent: it shows whatever any reader could show. What is against the rules is the
//! scanner's business, and nothing in here decides about a message.

mod addresses;
mod base64;
mod quoted;
mod words;

use std::borrow::Cow;
use std::io::Read;

use bytes::{Buf, Bytes};
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::{Part, TransferEncoding};

pub use addresses::{Addresses, addresses};
pub use base64::sextet;
pub use words::unstructured;

/// A reader over the decoded content, in constant memory beside `body`.
pub fn transfer(body: Bytes, encoding: TransferEncoding) -> Box<dyn Read + Send> {
    match encoding {
        TransferEncoding::Base64 => Box::new(base64::Reader::new(body)),
        TransferEncoding::QuotedPrintable => Box::new(quoted::Reader::new(body)),
        TransferEncoding::Identity | TransferEncoding::Unknown => Box::new(body.reader()),
    }
}

/// The decoded content as a whole; a body that is encoded by nothing is its own.
pub fn whole(body: Bytes, encoding: TransferEncoding) -> Bytes {
    if matches!(encoding, TransferEncoding::Identity | TransferEncoding::Unknown) {
        return body;
    }
    let mut octets = Vec::with_capacity(body.len());
    // Readers over memory do not fail; if one did, what came before is still the content.
    let _ = transfer(body, encoding).read_to_end(&mut octets);
    Bytes::from(octets)
}

/// The content of a text as Unicode, by the character set of its part (UTF-8 or windows-1252 where it says nothing or nonsense).
pub fn text<'o>(octets: &'o [u8], part: &Part) -> Cow<'o, str> {
    let label = part.media_type.parameter("charset").unwrap_or_default();
    match Encoding::for_label(label.as_bytes()) {
        // WHATWG takes us-ascii for windows-1252; whoever says ASCII and writes eight bits said nothing.
        Some(charset) if charset != WINDOWS_1252 || !label.to_ascii_lowercase().contains("ascii") => charset.decode(octets).0,
        _ => likeliest(octets),
    }
}

/// Text of which nobody says the character set: UTF-8 if it can be, else windows-1252.
pub fn unlabelled(octets: &[u8]) -> String {
    likeliest(octets).into_owned()
}

fn likeliest(octets: &[u8]) -> Cow<'_, str> {
    let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    match std::str::from_utf8(octets) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(octets).0,
    }
}

/// Undoes `%E5`; a percent sign without two digits stays. RFC 2231 §4.
pub(super) fn percent(text: &[u8], into: &mut Vec<u8>) {
    hex_escapes(text, b'%', into);
}

/// A URL with its percent signs undone. RFC 3986 §2.1.
pub fn url(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    percent(text.as_bytes(), &mut octets);
    unlabelled(&octets)
}

/// Undoes `mark` followed by two hexadecimal digits, in either case.
fn hex_escapes(text: &[u8], mark: u8, into: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        match (octet == mark).then(|| hex_pair(after)).flatten() {
            Some(value) => {
                into.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => into.push(octet),
        }
    }
}

/// The value of two hexadecimal digits at the beginning.
fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| text.get(at).and_then(|&octet| char::from(octet).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// Decodes by a character set label, or not at all if nobody knows it.
fn labelled(octets: &[u8], label: &[u8]) -> Option<String> {
    let charset = Encoding::for_label(label)?;
    if charset == UTF_8 || label.eq_ignore_ascii_case(b"us-ascii") {
        return Some(unlabelled(octets));
    }
    Some(charset.decode_without_bom_handling(octets).0.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Message;

    fn decoded(body: &str, encoding: TransferEncoding) -> Vec<u8> {
        let mut octets = Vec::new();
        transfer(Bytes::copy_from_slice(body.as_bytes()), encoding).read_to_end(&mut octets).unwrap();
        octets
    }

    #[test]
    fn a_transfer_encoding_is_undone_as_leniently_as_any_reader_would() {
        use TransferEncoding::{Base64, Identity, QuotedPrintable, Unknown};
        for (encoding, body, expect) in [
            (Identity, "a=3D", "a=3D"),
            (Unknown, "a=3D", "a=3D"),
            (Base64, "aGVs\r\nbG8=\r\n\r\n", "hello"),
            (Base64, "aGVsbG8", "hello"),
            (Base64, "aG Vs*bG\t8=", "hello"),
            (Base64, "aGk=aGk=", "hihi"),
            (Base64, "a", ""),
            (QuotedPrintable, "a=3Db=3dc", "a=b=c"),
            (QuotedPrintable, "soft=\r\n break= \r\nend", "soft breakend"),
            (QuotedPrintable, "trailing  \t\r\nspace ", "trailing\r\nspace"),
            (QuotedPrintable, "50=% =ZZ =", "50=% =ZZ "),
            (QuotedPrintable, "a b", "a b"),
        ] {
            assert_eq!(String::from_utf8_lossy(&decoded(body, encoding)), expect, "{body}");
        }
    }

    #[test]
    fn a_text_is_read_by_its_character_set_or_else_by_the_likeliest() {
        for (header, body, expect) in [
            ("text/plain; charset=iso-8859-1", &b"\xe5"[..], "å"),
            ("text/plain; charset=utf-8", "å".as_bytes(), "å"),
            ("text/plain", "å".as_bytes(), "å"),
            ("text/plain", b"\xe5\x80", "å€"),
            ("text/plain; charset=us-ascii", "å".as_bytes(), "å"),
            ("text/plain; charset=nonsense", b"\xe5", "å"),
            ("text/plain; charset=koi8-r", b"\xf2", "Р"),
            ("text/plain; charset=iso-2022-jp", b"\x1b$B$\"\x1b(B", "あ"),
        ] {
            let mut bytes = format!("Content-Type: {header}\r\n\r\n").into_bytes();
            bytes.extend_from_slice(body);
            let message = Message::parse(Bytes::from(bytes));
            assert_eq!(message.text(message.root()), expect, "{header}");
        }
    }
}
