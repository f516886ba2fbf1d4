//! What a part's fields say, and where they say two things. RFC 2045, RFC 2183, RFC 2046 §5.

use bytes::Bytes;
use encoding_rs::Encoding;

use super::header::{End, Fields};
use super::parameters::{self, Form, Structured};
use super::{Doubts, Open, Progress, Within};
use crate::mail::{Disposition, Header, HeaderField, MediaType, Part, PartId, TransferEncoding, compose};

/// Where a part begins.
pub(super) struct Beginning<'a> {
    pub bytes: &'a Bytes,
    pub id: PartId,
    pub start: usize,
    pub within: Within,
}

/// A part with its fields read and its end still unknown.
pub(super) fn open(beginning: Beginning<'_>, fields: Fields, doubts: &mut Doubts) -> Open {
    let Beginning { bytes, id, start, within } = beginning;
    let mut reader = Reader { id, within, header: Header::new(fields.fields), doubts };
    for oddity in fields.oddities {
        reader.doubt(oddity);
    }
    // A message may end with its header: every reader sees an empty body. In a multipart some
    // readers take the lines of such a part for its body.
    if fields.end == End::Nothing && within != Within::Nothing {
        reader.doubt("a part without a blank line after its header");
    }
    reader.repeated();
    let content_type = reader.structured("Content-Type");
    let content_disposition = reader.structured("Content-Disposition");
    let media_type = reader.media_type(&content_type);
    let encoding = reader.encoding(&media_type);
    let boundary = reader.boundary(&media_type, &content_type);
    let disposition = reader.disposition(&content_disposition);
    let file_name = reader.file_name(&content_type, &content_disposition);
    let content_id = reader.content_id();
    let header = reader.header;
    let body = fields.body..bytes.len();
    let span = start..bytes.len();
    let part = Part { id, span, header, body, media_type, encoding, disposition, file_name, content_id, children: Vec::new() };
    Open { part, boundary, progress: Progress::Preamble, outside: fields.body }
}

struct Reader<'d> {
    id: PartId,
    within: Within,
    header: Header,
    doubts: &'d mut Doubts,
}

impl Reader<'_> {
    fn doubt(&mut self, reason: &'static str) {
        self.doubts.add(self.id, reason);
    }

    /// Of two fields some readers take the first and some the last.
    fn repeated(&mut self) {
        for (name, reason) in SINGLE_IN_PARTS.iter().chain(if self.within == Within::Nothing { SINGLE_IN_MESSAGES } else { &[] }) {
            if self.header.all(name).nth(1).is_some() {
                self.doubt(reason);
            }
        }
        let says_other = |field: &HeaderField| without_comments(&field.value()).trim_ascii() != b"1.0";
        if self.header.first("MIME-Version").is_some_and(says_other) {
            self.doubt("a MIME-Version that is not 1.0");
        }
    }

    fn structured(&mut self, name: &'static str) -> Option<Structured> {
        let field = self.header.first(name)?;
        // A field beyond the limit is already an ambiguity; nobody needs its thousand parameters.
        let read = if field.raw().len() > FIELD_READ { Structured::default() } else { parameters::parse(&field.value()) };
        for oddity in &read.oddities {
            self.doubt(oddity);
        }
        Some(read)
    }

    fn media_type(&mut self, field: &Option<Structured>) -> MediaType {
        let Some(field) = field else { return self.default_type() };
        let mut parameters: Vec<(String, String)> = Vec::new();
        for one in &field.parameters {
            let earlier = parameters.iter().find(|(name, _)| *name == one.name);
            if one.name == "charset" && earlier.is_some_and(|(_, value)| !value.eq_ignore_ascii_case(&one.value)) {
                self.doubt("two character sets");
            }
            parameters.push((one.name.clone(), one.value.clone()));
        }
        let (kind, subtype) = field.value.split_once('/').unwrap_or_default();
        if !is_token(kind) || !is_token(subtype) {
            self.doubt("a Content-Type that cannot be read");
            return MediaType { parameters, ..self.default_type() };
        }
        let media_type = MediaType { kind: kind.to_owned(), subtype: subtype.to_owned(), parameters };
        self.doubt_type(&media_type, field);
        media_type
    }

    fn doubt_type(&mut self, media_type: &MediaType, field: &Structured) {
        match (media_type.kind.as_str(), media_type.subtype.as_str()) {
            ("message", "partial") => self.doubt("a message in pieces (message/partial)"),
            ("message", "external-body") => self.doubt("content that stands elsewhere (message/external-body)"),
            ("multipart", "appledouble") => self.doubt("a file in two forks (multipart/appledouble)"),
            ("multipart", _) if self.within == Within::Nothing && self.header.first("MIME-Version").is_none() => {
                self.doubt("a multipart without MIME-Version");
            }
            ("text", _) => self.doubt_charset(media_type, field),
            _ => {}
        }
    }

    fn doubt_charset(&mut self, media_type: &MediaType, field: &Structured) {
        if field.all("charset").any(|one| one.form == Form::Extended) {
            self.doubt("a character set in RFC 2231 form");
        }
        let Some(label) = media_type.parameter("charset").filter(|label| !label.trim().is_empty()) else { return };
        // The replacement encoding stands for hz, iso-2022-kr, iso-2022-cn: never decoded by browsers.
        if Encoding::for_label(label.as_bytes()).is_none_or(|charset| charset == encoding_rs::REPLACEMENT) {
            self.doubt("an unknown character set");
        }
    }

    /// RFC 2045 §5.2, RFC 2046 §5.1.5.
    fn default_type(&self) -> MediaType {
        let (kind, subtype) = if self.within == Within::Digest { ("message", "rfc822") } else { ("text", "plain") };
        MediaType { kind: kind.to_owned(), subtype: subtype.to_owned(), parameters: Vec::new() }
    }

    fn encoding(&mut self, media_type: &MediaType) -> TransferEncoding {
        let Some(field) = self.header.first("Content-Transfer-Encoding") else { return TransferEncoding::Identity };
        let value = field.value().to_ascii_lowercase();
        if value.contains(&b'(') {
            self.doubt("a comment in Content-Transfer-Encoding");
        }
        let encoding = match without_comments(&value).trim_ascii() {
            b"7bit" | b"8bit" | b"binary" => TransferEncoding::Identity,
            b"quoted-printable" => TransferEncoding::QuotedPrintable,
            b"base64" => TransferEncoding::Base64,
            _ => {
                self.doubt("an unknown Content-Transfer-Encoding");
                TransferEncoding::Unknown
            }
        };
        let holds_parts = media_type.kind == "multipart"
            || (media_type.kind == "message" && matches!(media_type.subtype.as_str(), "rfc822" | "global" | "partial" | "external-body"));
        // RFC 2045 §6.4.
        if holds_parts && encoding != TransferEncoding::Identity {
            self.doubt("a transfer encoding on a part that holds parts");
        }
        encoding
    }

    fn boundary(&mut self, media_type: &MediaType, field: &Option<Structured>) -> Option<Vec<u8>> {
        let field = field.as_ref().filter(|_| media_type.kind == "multipart")?;
        let mut all = field.all("boundary");
        let first = all.next();
        if all.next().is_some() {
            self.doubt("two boundaries");
        }
        let Some(first) = first.filter(|boundary| !boundary.raw.is_empty()) else {
            self.doubt("a multipart without a boundary");
            return None;
        };
        if first.form == Form::Extended {
            self.doubt("a boundary in RFC 2231 form");
        }
        if first.raw.len() > BOUNDARY_MAX {
            self.doubt("a boundary longer than 70 characters");
        }
        if first.raw.last().is_some_and(u8::is_ascii_whitespace) || first.raw.first().is_some_and(u8::is_ascii_whitespace) {
            self.doubt("a boundary with a space at its end");
        }
        if !first.raw.iter().all(|octet| matches!(octet, b' '..=b'~') && !b"\"\\".contains(octet)) {
            self.doubt("a boundary with forbidden characters");
        }
        Some(first.raw.clone())
    }

    fn disposition(&mut self, field: &Option<Structured>) -> Disposition {
        match field.as_ref().map(|field| field.value.as_str()) {
            None => Disposition::Unsaid,
            Some("inline") => Disposition::Inline,
            Some("attachment") => Disposition::Attachment,
            Some(other) => {
                if !is_token(other) {
                    self.doubt("a Content-Disposition that cannot be read");
                }
                Disposition::Attachment
            }
        }
    }

    /// The name, from `filename` before `name` and the encoded form before the plain one.
    fn file_name(&mut self, content_type: &Option<Structured>, disposition: &Option<Structured>) -> Option<String> {
        let named = disposition.iter().flat_map(|field| field.all("filename"));
        let named: Vec<_> = named.chain(content_type.iter().flat_map(|field| field.all("name"))).collect();
        let best = named.iter().find(|one| one.form == Form::Extended).or(named.first())?;
        if named.iter().any(|other| !is_same_name(&best.value, &other.value)) {
            self.doubt("two different file names");
        }
        Some(best.value.clone()).filter(|name| !name.trim().is_empty())
    }

    fn content_id(&self) -> Option<String> {
        let value = self.header.first("Content-ID")?.text();
        let bare = value.trim().trim_start_matches('<').trim_end_matches('>').trim();
        (!bare.is_empty()).then(|| bare.to_owned())
    }
}

/// Whether one name is the other, or the other as a client writes it for readers that know only
/// ASCII or only short names: then at least the extension, by which people open files, is the same.
fn is_same_name(best: &str, other: &str) -> bool {
    let squeezed = |name: &str| name.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect::<String>();
    let extension = |name: &str| name.rsplit_once('.').map(|(_, extension)| extension.trim().to_ascii_lowercase());
    let is_stand_in = other.is_ascii() && (!best.is_ascii() || best.len() > compose::NAME_SHORT);
    squeezed(best) == squeezed(other) || *other == compose::ascii_name(best) || (is_stand_in && extension(best) == extension(other))
}

/// `1.0 (Apple Message framework v1085)`: comments nest and may hold escapes. RFC 5322 §3.2.2.
fn without_comments(value: &[u8]) -> Vec<u8> {
    let mut depth = 0_usize;
    let mut escaped = false;
    let mut kept = Vec::with_capacity(value.len());
    for &octet in value {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if depth > 0 => escaped = true,
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            other if depth == 0 => kept.push(other),
            _ => {}
        }
    }
    kept
}

/// RFC 2045 §5.1.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet))
}

const SINGLE_IN_PARTS: &[(&str, &str)] = &[
    ("Content-Type", "two Content-Type fields"),
    ("Content-Transfer-Encoding", "two Content-Transfer-Encoding fields"),
    ("Content-Disposition", "two Content-Disposition fields"),
    ("MIME-Version", "two MIME-Version fields"),
];
const SINGLE_IN_MESSAGES: &[(&str, &str)] = &[("From", "two From fields"), ("Subject", "two Subject fields")];
/// RFC 2046 §5.1.1.
const BOUNDARY_MAX: usize = 70;
/// The limit of a field; longer ones are not read at all.
const FIELD_READ: usize = 64 * 1024;
