//! Canonical forms of header fields and bodies, `relaxed` only. RFC 6376 §3.4.
//!
//! The body is hashed piece by piece, so a rope of any length costs no copy. Lines of nothing but
//! white space are empty lines here, as §3.4.4 says, wherever they stand.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A header field in `relaxed` form, with its CRLF. RFC 6376 §3.4.2.
pub(super) fn field(raw: &[u8]) -> Vec<u8> {
    let colon = raw.iter().position(|&octet| octet == b':').unwrap_or(raw.len());
    let (name, value) = raw.split_at(colon);
    let mut out = name.trim_ascii().to_ascii_lowercase();
    out.push(b':');
    let words = value.get(1..).unwrap_or_default().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for (position, word) in words.enumerate() {
        if position > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// SHA-256 of the body in `relaxed` form. RFC 6376 §3.4.4.
pub(super) fn body_hash<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut body = Body::default();
    for piece in pieces {
        body.write(piece);
    }
    body.finish()
}

/// Cuts a message into its header, with the last field's CRLF, and the pieces of its body.
pub(super) fn split(message: &[Bytes]) -> (Vec<u8>, Vec<&[u8]>) {
    let mut header = Vec::new();
    let mut pieces = message.iter();
    for piece in pieces.by_ref() {
        let mut rest = piece.as_ref();
        while let Some(end) = rest.iter().position(|&octet| octet == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            header.extend_from_slice(line);
            rest = after;
            if header == b"\r\n" || header.ends_with(b"\r\n\r\n") {
                header.truncate(header.len() - 2);
                return (header, std::iter::once(rest).chain(pieces.map(AsRef::as_ref)).collect());
            }
        }
        header.extend_from_slice(rest);
    }
    (header, Vec::new())
}

/// What has been read of a body and not yet been decided.
#[derive(Default)]
struct Body {
    hash: Sha256,
    /// Canonical octets on their way to the hash.
    ready: Vec<u8>,
    /// Line ends that count only if something follows them.
    line_ends: usize,
    /// White space that counts only if the line goes on.
    space: Space,
    /// A CR whose LF has not been seen.
    carriage_return: Space,
    /// Whether there was anything but empty lines.
    content: Space,
}

/// Whether something waits.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Space {
    #[default]
    None,
    Some,
}

impl Body {
    fn write(&mut self, piece: &[u8]) {
        for &octet in piece {
            match octet {
                b'\n' if self.carriage_return == Space::Some => {
                    self.carriage_return = Space::None;
                    self.space = Space::None;
                    self.line_ends += 1;
                }
                b'\r' => {
                    self.settle_carriage_return();
                    self.carriage_return = Space::Some;
                }
                b' ' | b'\t' => {
                    self.settle_carriage_return();
                    self.space = Space::Some;
                }
                other => {
                    self.settle_carriage_return();
                    self.push(other);
                }
            }
        }
    }

    /// A CR that no LF followed is content like any other.
    fn settle_carriage_return(&mut self) {
        if std::mem::take(&mut self.carriage_return) == Space::Some {
            self.push(b'\r');
        }
    }

    fn push(&mut self, octet: u8) {
        self.content = Space::Some;
        for _ in 0..std::mem::take(&mut self.line_ends) {
            self.ready.extend_from_slice(b"\r\n");
        }
        if std::mem::take(&mut self.space) == Space::Some {
            self.ready.push(b' ');
        }
        self.ready.push(octet);
        if self.ready.len() >= READY_MAX {
            self.hash.update(&self.ready);
            self.ready.clear();
        }
    }

    fn finish(mut self) -> [u8; 32] {
        self.settle_carriage_return();
        // §3.4.4: a body that is not empty ends with CRLF; an empty one stays empty.
        if self.content == Space::Some {
            self.ready.extend_from_slice(b"\r\n");
        }
        self.hash.update(&self.ready);
        self.hash.finalize().into()
    }
}

/// Few calls of the hash, little memory.
const READY_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(canonical: &[u8]) -> [u8; 32] {
        Sha256::digest(canonical).into()
    }

    #[test]
    fn a_relaxed_body_is_what_the_rfc_says_however_it_is_cut() {
        for (body, canonical) in [
            (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
            ("", ""),
            ("\r\n\r\n", ""),
            ("\r\n\r\nx", "\r\n\r\nx\r\n"),
            ("no end", "no end\r\n"),
            ("ends in white space only\r\n  \t\r\n", "ends in white space only\r\n"),
            (" \r\n", ""),
            ("a\r\n \r\nb\r\n", "a\r\n\r\nb\r\n"),
            ("bare\rreturn \r\n", "bare\rreturn\r\n"),
        ] {
            assert_eq!(body_hash(std::iter::once(body.as_bytes())), hash_of(canonical.as_bytes()), "{body:?} whole");
            assert_eq!(body_hash(body.as_bytes().chunks(1)), hash_of(canonical.as_bytes()), "{body:?} octet by octet");
        }
    }

    #[test]
    fn a_relaxed_field_is_what_the_rfc_says() {
        for (raw, canonical) in [
            ("A: X\r\n", "a:X\r\n"),
            ("B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"),
            ("Subject:\r\n", "subject:\r\n"),
            ("Subject: a:  b\r\n", "subject:a: b\r\n"),
        ] {
            assert_eq!(field(raw.as_bytes()), canonical.as_bytes(), "{raw:?}");
        }
    }

    #[test]
    fn a_message_is_cut_at_its_empty_line_wherever_the_pieces_end() {
        let text = b"A: 1\r\nB: 2\r\n\r\nbody\r\n\r\nmore\r\n";
        for size in 1..text.len() {
            let rope: Vec<Bytes> = text.chunks(size).map(Bytes::copy_from_slice).collect();
            let (header, body) = split(&rope);
            assert_eq!((header.as_slice(), body.concat().as_slice()), (&text[..12], &text[14..]), "pieces of {size}");
        }
    }
}
