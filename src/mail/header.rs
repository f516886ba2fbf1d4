//! Header fields as they stand in the message. RFC 5322 §2.2.

use bytes::Bytes;

use super::decode;
use super::formal::Formal;

/// One `Name: value` with its folding, exactly as received, CRLF included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderField {
    raw: Bytes,
    name_len: usize,
}

impl HeaderField {
    /// From the raw octets of one field and the length of its name; made by the scanner.
    pub const fn new(raw: Bytes, name_len: usize) -> Self {
        Self { raw, name_len }
    }

    /// The field name as written; empty when it is not ASCII.
    pub fn name(&self) -> &str {
        self.raw.get(..self.name_len).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }

    /// Whether the field has this name, without regard to case.
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    /// What follows the colon, unfolded (CRLF before white space removed), outer white space removed.
    pub fn value(&self) -> Vec<u8> {
        let after_colon = self.raw.iter().position(|&octet| octet == b':').map_or(self.raw.len(), |colon| colon + 1);
        let value: Vec<u8> =
            self.raw.get(after_colon..).unwrap_or_default().iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
        value.trim_ascii().to_vec()
    }

    /// The value as text, invalid UTF-8 replaced; encoded words are still encoded.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.value()).into_owned()
    }

    /// What a person could have written into it, decoded: of a field with a grammar of its own, what is
    /// not that grammar; and a name that has a number in it.
    pub fn words(&self) -> String {
        let mut words = Formal::of(self).map_or_else(|| decode::unstructured(&self.value()), |formal| formal.words);
        if self.name().bytes().filter(u8::is_ascii_digit).count() >= NUMBER_MIN {
            words.push('\n');
            words.push_str(self.name().trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '-'));
        }
        words
    }

    /// The field with its folding and final CRLF.
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }
}

/// All fields of a message or part, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    fields: Vec<HeaderField>,
}

impl Header {
    /// From fields in order.
    pub const fn new(fields: Vec<HeaderField>) -> Self {
        Self { fields }
    }

    /// The fields in order.
    pub fn fields(&self) -> &[HeaderField] {
        &self.fields
    }

    /// Every field of this name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a HeaderField> {
        self.fields.iter().filter(move |field| field.is(name))
    }

    /// The first field of this name.
    pub fn first(&self, name: &str) -> Option<&HeaderField> {
        self.fields.iter().find(|field| field.is(name))
    }
}

/// What is left of a text without `<…>`. What has no end is left whole.
pub fn outside_angles(text: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        left.push_str(before);
        left.push(' ');
        rest = after.split_once('>').map_or(after, |(_, behind)| behind);
    }
    left.push_str(rest);
    left
}

/// Digits in the name of a field that no program gives it.
const NUMBER_MIN: usize = 6;
