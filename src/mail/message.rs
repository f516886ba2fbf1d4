//! A message and its tree of parts, as the strict scanner sees it. RFC 5322 §2.1, RFC 2045.
//!
//! A message is one run of octets; everything else is a slice of it, so a kept part can be
//! copied byte for byte and a large one costs nothing to look at.

use std::io::Read;
use std::ops::Range;

use bytes::Bytes;

use super::{Ambiguity, Header, decode, scan};

/// A received message: its octets, its tree, and what is ambiguous about it.
#[derive(Debug, Clone)]
pub struct Message {
    bytes: Bytes,
    root: Part,
    ambiguities: Vec<Ambiguity>,
}

impl Message {
    /// Scans the octets. Never fails: what two readers could understand differently is an [`Ambiguity`].
    pub fn parse(bytes: Bytes) -> Self {
        let (root, ambiguities) = scan::scan(&bytes);
        Self { bytes, root, ambiguities }
    }

    /// All octets, header and body.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The header of the message.
    pub const fn header(&self) -> &Header {
        &self.root.header
    }

    /// The message as the outermost part.
    pub const fn root(&self) -> &Part {
        &self.root
    }

    /// Every part, outermost first, in the order in which they stand.
    pub fn parts(&self) -> Vec<&Part> {
        let mut found = Vec::new();
        let mut waiting = vec![&self.root];
        while let Some(part) = waiting.pop() {
            found.push(part);
            waiting.extend(part.children.iter().rev());
        }
        found
    }

    /// The part with this id.
    pub fn part(&self, id: PartId) -> Option<&Part> {
        self.parts().into_iter().find(|part| part.id == id)
    }

    /// What two readers could understand differently; empty for mail of ordinary clients.
    pub fn ambiguities(&self) -> &[Ambiguity] {
        &self.ambiguities
    }

    /// The octets of a part: its header, the empty line, its body.
    pub fn raw(&self, part: &Part) -> Bytes {
        self.slice(&part.span)
    }

    /// The octets of a part's body, still in its transfer encoding.
    pub fn body(&self, part: &Part) -> Bytes {
        self.slice(&part.body)
    }

    /// What stands before the first and after the last part of a multipart, without the delimiters, whose
    /// letters are random: shown by no reader of MIME, but by every other.
    pub fn outside(&self, part: &Part) -> Vec<Vec<u8>> {
        let (Some(first), Some(last)) = (part.children.first(), part.children.last()) else { return Vec::new() };
        let boundary = format!("--{}", part.media_type.parameter("boundary").unwrap_or_default());
        let is_delimiter = |line: &[u8]| matches!(line.trim_ascii_end().strip_prefix(boundary.as_bytes()), Some(b"" | b"--"));
        let ranges = [part.body.start..first.span.start, last.span.end..part.body.end];
        let kept =
            |octets: Bytes| octets.split_inclusive(|&octet| octet == b'\n').filter(|line| !is_delimiter(line)).flatten().copied().collect();
        ranges.iter().map(|range| kept(self.slice(range))).collect()
    }

    /// A reader over the part's content with its transfer encoding undone, in constant memory.
    pub fn content(&self, part: &Part) -> Box<dyn Read + Send> {
        decode::transfer(self.body(part), part.encoding)
    }

    /// The part's content as a whole; of a part that is not encoded, the octets of the message itself.
    pub fn decoded(&self, part: &Part) -> Bytes {
        decode::whole(self.body(part), part.encoding)
    }

    /// A text part's content as Unicode, by its declared character set.
    pub fn text(&self, part: &Part) -> String {
        decode::text(&self.decoded(part), part).into_owned()
    }

    fn slice(&self, range: &Range<usize>) -> Bytes {
        if range.start <= range.end && range.end <= self.bytes.len() { self.bytes.slice(range.clone()) } else { Bytes::new() }
    }
}

/// The place of a part in its message: counted from 0, outermost first, in the order in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId(pub u32);

/// A MIME node. RFC 2045 §2.4.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its place.
    pub id: PartId,
    /// Where header and body stand in the message; the delimiter line and the CRLF before it are outside.
    pub span: Range<usize>,
    /// Its fields.
    pub header: Header,
    /// Where the body stands.
    pub body: Range<usize>,
    /// Content-Type, or the default of RFC 2045 §5.2.
    pub media_type: MediaType,
    /// Content-Transfer-Encoding.
    pub encoding: TransferEncoding,
    /// Content-Disposition.
    pub disposition: Disposition,
    /// The file name from Content-Disposition or Content-Type, decoded (RFC 2231, RFC 2047), controls removed.
    pub file_name: Option<String>,
    /// Content-ID without its angle brackets.
    pub content_id: Option<String>,
    /// The parts of a multipart, or the one message inside a message/rfc822.
    pub children: Vec<Part>,
}

impl Part {
    /// Whether it holds other parts rather than content.
    pub fn is_multipart(&self) -> bool {
        self.media_type.kind == "multipart"
    }

    /// Whether it is a message inside the message. RFC 2046 §5.2.1.
    pub fn is_message(&self) -> bool {
        self.media_type.kind == "message" && matches!(self.media_type.subtype.as_str(), "rfc822" | "global")
    }
}

/// Content-Type with its parameters, kind and subtype in lower case. RFC 2045 §5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// `text`, `multipart`, …
    pub kind: String,
    /// `plain`, `mixed`, …
    pub subtype: String,
    /// Parameters in order, names in lower case, RFC 2231 decoded.
    pub parameters: Vec<(String, String)>,
}

impl MediaType {
    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether it is this `kind/subtype`.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind == kind && self.subtype == subtype
    }
}

impl std::fmt::Display for MediaType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.subtype)
    }
}

/// Content-Transfer-Encoding. RFC 2045 §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferEncoding {
    /// 7bit, 8bit, binary: the content as it stands.
    Identity,
    /// quoted-printable.
    QuotedPrintable,
    /// base64.
    Base64,
    /// A name that nobody knows: always an [`Ambiguity`] as well.
    Unknown,
}

/// Content-Disposition. RFC 2183.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// No field.
    Unsaid,
    /// To be shown in place.
    Inline,
    /// A file. Unknown types count as this (RFC 2183 §2.8).
    Attachment,
}
