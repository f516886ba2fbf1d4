//! One field at a time: encoded where needed, folded at 76.

use bytes::Bytes;
use jiff::Timestamp;

use super::HeaderText;
use crate::mail::{HeaderField, Mailbox};

/// An unstructured field (Subject, Comments), encoded words where needed, folded at 76.
pub fn unstructured(name: &'static str, text: &HeaderText) -> HeaderField {
    let text = text.as_str();
    let mut line = Line::new(name);
    let stands = text.bytes().all(|octet| matches!(octet, b' '..=b'~'))
        && !text.contains("=?")
        && text.split(' ').all(|word| !word.is_empty() && word.len() < WIDTH);
    if stands || text.is_empty() {
        text.split(' ').for_each(|word| line.push(word));
    } else {
        encoded_words(text).iter().for_each(|word| line.push(word));
    }
    line.finish()
}

/// An address-list field.
///
/// A mailbox that needs SMTPUTF8 is written in UTF-8 (RFC 6532): there is no other way to write it.
pub fn addresses(name: &'static str, mailboxes: &[(Option<HeaderText>, Mailbox)]) -> HeaderField {
    let mut line = Line::new(name);
    for (number, (name, mailbox)) in mailboxes.iter().enumerate() {
        let comma = if number + 1 < mailboxes.len() { "," } else { "" };
        match name.as_ref().map(|name| name.as_str().trim()).filter(|name| !name.is_empty()) {
            Some(name) => {
                phrase(name).iter().for_each(|word| line.push(word));
                line.push(&format!("<{mailbox}>{comma}"));
            }
            None => line.push(&format!("{mailbox}{comma}")),
        }
    }
    line.finish()
}

/// A structured field that is already well-formed ASCII tokens; folded where it has spaces.
///
/// What is not ASCII becomes a question mark, and a token that no line can hold is cut in two.
pub fn structured(name: &'static str, value: &HeaderText) -> HeaderField {
    let ascii: String = value.as_str().chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    let mut line = Line::new(name);
    for token in ascii.split(' ').filter(|token| !token.is_empty()) {
        for piece in token.as_bytes().chunks(TOKEN_MAX) {
            line.push(&String::from_utf8_lossy(piece));
        }
    }
    line.finish()
}

/// `Name: value; key=value; …`, RFC 2231 where a value is not ASCII, quoted where needed.
///
/// `filename` is written twice then: once for readers that know only ASCII (see [`ascii_name`]).
pub fn parameterised(name: &'static str, value: &HeaderText, parameters: &[(&'static str, HeaderText)]) -> HeaderField {
    let mut pieces = vec![value.as_str().to_owned()];
    for (key, text) in parameters {
        pieces.extend(parameter(key, text.as_str()));
    }
    let mut line = Line::new(name);
    let count = pieces.len();
    for (number, piece) in pieces.iter().enumerate() {
        let semicolon = if number + 1 < count { ";" } else { "" };
        line.push(&format!("{piece}{semicolon}"));
    }
    line.finish()
}

/// Date in RFC 5322 §3.3 form, UTC.
pub fn date(now: Timestamp) -> HeaderField {
    let mut line = Line::new("Date");
    line.push(&timestamp(now));
    line.finish()
}

/// RFC 5322 §3.3.
pub(in crate::mail) fn timestamp(now: Timestamp) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// A file name for readers that know only ASCII: what they cannot show, and what they would take
/// for a quote, as `_`; cut to [`NAME_SHORT`], its extension kept.
pub(in crate::mail) fn ascii_name(name: &str) -> String {
    let plain: String = name.chars().map(|c| if matches!(c, ' '..='~') && !matches!(c, '"' | '\\') { c } else { '_' }).collect();
    if plain.len() <= NAME_SHORT {
        return plain;
    }
    let extension =
        plain.rsplit_once('.').map(|(_, extension)| format!(".{extension}")).filter(|extension| extension.len() <= 16).unwrap_or_default();
    let stem: String = plain.chars().take(NAME_SHORT - extension.len()).collect();
    stem + &extension
}

/// One parameter as it is written: a single piece, or several where it is long or not ASCII.
fn parameter(key: &str, text: &str) -> Vec<String> {
    let is_printable = text.bytes().all(|octet| matches!(octet, b' '..=b'~') && !matches!(octet, b'"' | b'\\'));
    // Outer blanks and encoded words would be read as something else.
    let is_plain = is_printable && text.trim() == text && !text.contains("=?") && text.len() <= NAME_SHORT;
    if is_plain {
        let is_token = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._+!#$&".contains(&octet));
        return vec![if is_token { format!("{key}={text}") } else { format!("{key}=\"{text}\"") }];
    }
    let mut written = Vec::new();
    if key == "filename" {
        written.push(format!("filename=\"{}\"", ascii_name(text)));
    }
    let sections = percent_sections(text);
    if let [only] = sections.as_slice() {
        written.push(format!("{key}*=UTF-8''{only}"));
        return written;
    }
    for (number, section) in sections.iter().enumerate() {
        let charset = if number == 0 { "UTF-8''" } else { "" };
        written.push(format!("{key}*{number}*={charset}{section}"));
    }
    written
}

/// Percent encoding in pieces that fit a line. RFC 2231 §4.
fn percent_sections(text: &str) -> Vec<String> {
    let mut sections = vec![String::new()];
    for c in text.chars() {
        let mut octets = [0; 4];
        let encoded: String = match c {
            plain if plain.is_ascii_alphanumeric() || "-._".contains(plain) => plain.to_string(),
            other => other.encode_utf8(&mut octets).bytes().map(|octet| format!("%{octet:02X}")).collect(),
        };
        match sections.last_mut().filter(|section| section.len() + encoded.len() <= SECTION_MAX) {
            Some(section) => section.push_str(&encoded),
            None => sections.push(encoded),
        }
    }
    sections
}

/// A display name: atoms, a quoted string, or encoded words. RFC 5322 §3.2.5.
fn phrase(name: &str) -> Vec<String> {
    let printable = name.bytes().all(|octet| matches!(octet, b' '..=b'~'));
    if !printable || name.contains("=?") || name.contains("  ") || name.len() > NAME_SHORT {
        return encoded_words(name);
    }
    let is_atoms = name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b" !#$%&'*+-/=?^_`{|}~".contains(&octet));
    if is_atoms {
        return name.split(' ').map(str::to_owned).collect();
    }
    vec![format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))]
}

/// The text as encoded words of at most 75, each with whole characters. RFC 2047 §2, §5.
fn encoded_words(text: &str) -> Vec<String> {
    let quoted_length: usize = text.chars().map(|c| quoted(c).len()).sum();
    let is_short_quoted = quoted_length <= text.len() * 2;
    let mut words = Vec::new();
    let mut chunk = String::new();
    let mut used = 0;
    for c in text.chars() {
        let cost = if is_short_quoted { quoted(c).len() } else { c.len_utf8() };
        let room = if is_short_quoted { PAYLOAD_MAX } else { PAYLOAD_MAX / 4 * 3 };
        if used + cost > room {
            words.push(std::mem::take(&mut chunk));
            used = 0;
        }
        used += cost;
        chunk.push(c);
    }
    words.push(chunk);
    let encode = |chunk: &String| match is_short_quoted {
        true => format!("=?utf-8?Q?{}?=", chunk.chars().map(quoted).collect::<String>()),
        false => format!("=?utf-8?B?{}?=", data_encoding::BASE64.encode(chunk.as_bytes())),
    };
    words.iter().map(encode).collect()
}

/// One character in the Q encoding, with what may stand in a phrase. RFC 2047 §5 (3).
fn quoted(c: char) -> String {
    let mut octets = [0; 4];
    match c {
        ' ' => "_".to_owned(),
        plain if plain.is_ascii_alphanumeric() || "!*+-/".contains(plain) => plain.to_string(),
        other => other.encode_utf8(&mut octets).bytes().map(|octet| format!("={octet:02X}")).collect(),
    }
}

/// A field as it grows, word by word.
struct Line {
    text: String,
    name_len: usize,
    /// The width of the last line so far.
    width: usize,
    has_words: bool,
}

impl Line {
    fn new(name: &'static str) -> Self {
        Self { text: format!("{name}:"), name_len: name.len(), width: name.len() + 1, has_words: false }
    }

    /// Adds a word after a space; on a new line when it does not fit. The first word stays beside
    /// the name unless a line could not hold both: a line of white space only ends a header for some.
    fn push(&mut self, word: &str) {
        let fits = self.width + 1 + word.len() <= WIDTH;
        if self.has_words && !fits {
            self.text.push_str("\r\n");
            self.width = 0;
        }
        self.text.push(' ');
        self.text.push_str(word);
        self.width += 1 + word.len();
        self.has_words = true;
    }

    fn finish(mut self) -> HeaderField {
        self.text.push_str("\r\n");
        HeaderField::new(Bytes::from(self.text), self.name_len)
    }
}

/// RFC 5322 §2.1.1 says 78; RFC 2047 §2 says 76 for lines with encoded words.
const WIDTH: usize = 76;
/// What is left of 75 after `=?utf-8?Q?` and `?=`, and a little for a long field name.
const PAYLOAD_MAX: usize = 44;
/// Percent-encoded text in one line beside `filename*10*=UTF-8''` and a semicolon.
const SECTION_MAX: usize = 48;
/// Names up to here are written in one piece, so that the line stays short.
pub(in crate::mail) const NAME_SHORT: usize = 60;
/// RFC 5322 §2.1.1: 998 in all, with a field name of our own before it.
const TOKEN_MAX: usize = 900;
