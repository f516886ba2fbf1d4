//! From octets to fields: where a header ends and what in it is no field. RFC 5322 §2.2, §3.5.

use bytes::Bytes;

use crate::mail::HeaderField;

/// The fields of one part, and where its body begins.
pub(super) struct Fields {
    pub fields: Vec<HeaderField>,
    pub body: usize,
    pub end: End,
    pub oddities: Vec<&'static str>,
}

/// What ended the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    BlankLine,
    /// A delimiter line, or the end of the message.
    Nothing,
}

/// Reads the fields from `start` up to the blank line, or up to a line that `is_delimiter`.
pub(super) fn read(bytes: &Bytes, start: usize, is_delimiter: impl Fn(&[u8]) -> bool) -> Fields {
    let mut reader = Reader { bytes, fields: Vec::new(), field: None, oddities: Vec::new() };
    let mut at = start;
    let end = loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let length = line_end(rest);
        let line = rest.get(..length).unwrap_or_default();
        if line.is_empty() || (line.starts_with(b"--") && is_delimiter(line)) {
            break End::Nothing;
        }
        if matches!(line, b"\r\n" | b"\n") {
            break End::BlankLine;
        }
        reader.line(at, line);
        at += length;
    };
    reader.finish_field(at);
    if at - start > HEADER_MAX {
        reader.odd("a header longer than 256 KiB");
    }
    let body = if end == End::BlankLine { at + line_end(bytes.get(at..).unwrap_or_default()) } else { at };
    Fields { fields: reader.fields, body, end, oddities: reader.oddities }
}

/// The length of the first line with its line end.
pub(super) fn line_end(text: &[u8]) -> usize {
    memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1)
}

struct Reader<'a> {
    bytes: &'a Bytes,
    fields: Vec<HeaderField>,
    /// Where the field that is being read begins, and the length of its name.
    field: Option<(usize, usize)>,
    oddities: Vec<&'static str>,
}

impl Reader<'_> {
    fn line(&mut self, at: usize, line: &[u8]) {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if line.trim_ascii().is_empty() {
                // RFC 5322 §4.2: obsolete folding. Some readers end the header here.
                self.odd("a header line of white space only");
            }
            if self.field.is_none() {
                self.odd("a header line that continues no field");
            }
            return;
        }
        self.finish_field(at);
        self.field = self.name(line).map(|length| (at, length));
    }

    /// The length of the field name, if the line begins a field.
    fn name(&mut self, line: &[u8]) -> Option<usize> {
        let Some(colon) = memchr::memchr(b':', line) else {
            self.odd("a header line that is no field");
            return None;
        };
        let before = line.get(..colon).unwrap_or_default();
        let name = before.trim_ascii_end();
        if name.len() < before.len() {
            self.odd("white space before the colon of a field");
        }
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            self.odd("a header line that is no field");
            return None;
        }
        Some(name.len())
    }

    fn finish_field(&mut self, end: usize) {
        let Some((start, name)) = self.field.take() else { return };
        if end - start > FIELD_MAX {
            self.odd("a field longer than 64 KiB");
        }
        if self.fields.len() >= FIELDS_MAX {
            self.odd("more than 1,000 fields");
            return;
        }
        self.fields.push(HeaderField::new(self.bytes.slice(start..end), name));
    }

    fn odd(&mut self, reason: &'static str) {
        if !self.oddities.contains(&reason) {
            self.oddities.push(reason);
        }
    }
}

/// What large sites accept; long Received chains stay far below.
const HEADER_MAX: usize = 256 * 1024;
/// The same for one field: some hundred To addresses.
const FIELD_MAX: usize = 64 * 1024;
/// Each costs memory of its own, however short it is.
const FIELDS_MAX: usize = 1_000;
