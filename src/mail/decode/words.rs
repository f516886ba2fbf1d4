//! Encoded words in header text. RFC 2047.

use std::io::Read;

use bytes::Bytes;

use super::{TransferEncoding, hex_escapes, labelled, transfer, unlabelled};

/// Unstructured field text with its encoded words decoded. RFC 2047.
///
/// Words are decoded wherever they stand, as most readers do; controls become spaces.
pub fn unstructured(value: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = value;
    let mut run: Option<Word> = None;
    while !rest.is_empty() {
        let at = memchr::memmem::find(rest, b"=?").unwrap_or(rest.len());
        let (plain, from) = rest.split_at(at);
        let word = word(from);
        // RFC 2047 §6.2: white space between two encoded words is not shown.
        if !(run.is_some() && word.is_some() && plain.iter().all(u8::is_ascii_whitespace)) {
            finish(&mut run, &mut text);
            text.push_str(&unlabelled(plain));
        }
        match word {
            Some((word, after)) => {
                join(&mut run, word, &mut text);
                rest = after;
            }
            None => {
                finish(&mut run, &mut text);
                let mark = from.len().min(2);
                text.push_str(&String::from_utf8_lossy(from.get(..mark).unwrap_or_default()));
                rest = from.get(mark..).unwrap_or_default();
            }
        }
    }
    finish(&mut run, &mut text);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An encoded word, or several of one character set in a row: some clients cut inside a character.
struct Word {
    charset: Vec<u8>,
    octets: Vec<u8>,
}

fn join(run: &mut Option<Word>, word: Word, text: &mut String) {
    match run {
        Some(open) if open.charset.eq_ignore_ascii_case(&word.charset) => open.octets.extend_from_slice(&word.octets),
        _ => {
            finish(run, text);
            *run = Some(word);
        }
    }
}

fn finish(run: &mut Option<Word>, text: &mut String) {
    if let Some(word) = run.take() {
        text.push_str(&labelled(&word.octets, &word.charset).unwrap_or_else(|| unlabelled(&word.octets)));
    }
}

/// The encoded word at the beginning of `text`, and what follows it.
fn word(text: &[u8]) -> Option<(Word, &[u8])> {
    let (charset, rest) = until(text.strip_prefix(b"=?")?, b'?')?;
    let (encoding, rest) = until(rest, b'?')?;
    let end = memchr::memmem::find(rest.get(..rest.len().min(WORD_MAX))?, b"?=")?;
    let (payload, after) = (rest.get(..end)?, rest.get(end + 2..)?);
    // RFC 2231 §5: a language after an asterisk.
    let charset = charset.split(|&octet| octet == b'*').next()?;
    let octets = match encoding {
        b"B" | b"b" => {
            let mut octets = Vec::new();
            transfer(Bytes::copy_from_slice(payload), TransferEncoding::Base64).read_to_end(&mut octets).ok()?;
            octets
        }
        b"Q" | b"q" => {
            let spaced: Vec<u8> = payload.iter().map(|&octet| if octet == b'_' { b' ' } else { octet }).collect();
            let mut octets = Vec::new();
            hex_escapes(&spaced, b'=', &mut octets);
            octets
        }
        _ => return None,
    };
    Some((Word { charset: charset.to_vec(), octets }, after))
}

/// What stands before the first `mark`, which must be near, printable and not empty.
fn until(text: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().take(LABEL_MAX).position(|&octet| octet == mark)?;
    let label = text.get(..at)?;
    (!label.is_empty() && label.iter().all(u8::is_ascii_graphic)).then_some((label, text.get(at + 1..)?))
}

/// RFC 2047 §2 says 75 in all; many clients write a whole subject as one word.
const WORD_MAX: usize = 8 * 1024;
/// Longer than any label of the WHATWG list with a language tag behind it.
const LABEL_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_words_read_as_their_writer_meant_them() {
        for (text, expect) in [
            ("plain", "plain"),
            ("=?utf-8?Q?R=C3=A4ka?=", "Räka"),
            ("=?UTF-8?B?UsOka2E=?= =?utf-8?q?_och_mer?=", "Räka och mer"),
            ("=?utf-8?B?UsM=?=\t=?utf-8?B?pGth?=", "Räka"),
            ("Re: =?iso-8859-1?q?R=E4ka?= nu", "Re: Räka nu"),
            ("=?iso-8859-1*sv?q?R=E4ka?=", "Räka"),
            ("=?iso-2022-jp?B?GyRCJCIbKEI=?=", "あ"),
            ("=?nonsense?Q?R=C3=A4ka?=", "Räka"),
            ("=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
            ("=?utf-8?Q?=0D=0ABcc:_x?=", "  Bcc: x"),
            ("a =? b", "a =? b"),
            ("=?", "=?"),
            ("Räka", "Räka"),
        ] {
            assert_eq!(unstructured(text.as_bytes()), expect, "{text}");
        }
        assert_eq!(unstructured(b"R\xe4ka"), "Räka");
    }
}
