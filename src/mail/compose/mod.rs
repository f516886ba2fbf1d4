//! The one writer of header fields and of new messages. RFC 5322, RFC 2047, RFC 2231.
//!
//! Text comes in as [`HeaderText`], which cannot hold a line end, so no field can be smuggled in.
//! It does not repair: a part that is already in wire form is copied as it stands.

mod body;
mod field;

use bytes::Bytes;

use super::HeaderField;

pub(super) use field::{NAME_SHORT, ascii_name, timestamp};
pub use field::{addresses, date, parameterised, structured, unstructured};

/// Text that may stand in a header field: no CR, LF, NUL or other control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderText(String);

impl HeaderText {
    /// Takes any text; controls become spaces.
    pub fn new(text: &str) -> Self {
        Self(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A leaf of a new message.
#[derive(Debug, Clone)]
pub enum Content {
    /// Unicode text; written as UTF-8, 7bit or quoted-printable or base64, whatever is shortest and safe.
    Text {
        /// `plain`, `html`.
        subtype: &'static str,
        /// The text, any line ends.
        text: String,
    },
    /// A part that is already in wire form: its header, empty line and body.
    Raw(Bytes),
    /// A multipart with a boundary of our own.
    Multipart {
        /// `mixed`, `alternative`, `report`.
        subtype: &'static str,
        /// Further parameters of Content-Type.
        parameters: Vec<(&'static str, HeaderText)>,
        /// In order.
        parts: Vec<Content>,
    },
}

/// A whole new message: our fields, then the content's own fields, then the body. CRLF throughout,
/// no line over 998, never a bare CR, LF or NUL. `boundary_seed` makes boundaries unique; the same
/// seed gives the same octets.
///
/// MIME-Version is added where `fields` has none. Content-Type, Content-Transfer-Encoding and
/// Content-Disposition among `fields` are left out: the content brings its own.
pub fn message(fields: Vec<HeaderField>, content: Content, boundary_seed: &[u8; 16]) -> Bytes {
    let mut octets = Vec::new();
    let has_version = fields.iter().any(|field| field.is("MIME-Version"));
    let content_fields = ["Content-Type", "Content-Transfer-Encoding", "Content-Disposition"];
    for field in fields.iter().filter(|field| !content_fields.iter().any(|name| field.is(name))) {
        octets.extend_from_slice(field.raw());
    }
    if !has_version {
        octets.extend_from_slice(b"MIME-Version: 1.0\r\n");
    }
    body::Writer::new(boundary_seed).part(&content, &mut octets);
    Bytes::from(octets)
}

#[cfg(test)]
mod tests;
