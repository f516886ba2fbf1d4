//! Address lists. RFC 5322 §3.4.

use super::unstructured;
use crate::mail::Mailbox;

/// What an address-list field holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Well-formed ones, in order.
    pub mailboxes: Vec<(Option<String>, Mailbox)>,
    /// How many entries could not be understood.
    pub malformed: usize,
}

/// Addresses of an address-list field: decoded display name and mailbox. Groups are flattened;
/// what is not an address is left out and counted. RFC 5322 §3.4.
///
/// An encoded word is never decoded inside an address: `=?utf-8?Q?a=40b?=@c.example` is a mailbox
/// at `c.example`, whatever its local part would read as.
pub fn addresses(value: &[u8]) -> Addresses {
    let mut found = Addresses::default();
    let mut entry = Entry::default();
    for piece in (Pieces { rest: value }) {
        match piece {
            Piece::Text(b"," | b";") => std::mem::take(&mut entry).finish(&mut found),
            // What stood before is the name of a group.
            Piece::Text(b":") => entry = Entry::default(),
            other @ (Piece::Text(_) | Piece::Quoted(..) | Piece::Comment(_) | Piece::Angle(_) | Piece::Broken) => entry.take(other),
        }
    }
    entry.finish(&mut found);
    found
}

/// One address as it is being read.
#[derive(Default)]
struct Entry {
    phrase: Vec<u8>,
    /// The octets that would be the address if no angle brackets follow.
    bare: Vec<u8>,
    comment: Option<Vec<u8>>,
    angle: Option<Vec<u8>>,
    is_broken: bool,
}

impl Entry {
    fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Text(text) => {
                self.is_broken |= self.angle.is_some() && !text.trim_ascii().is_empty();
                self.phrase.extend_from_slice(text);
                self.bare.extend_from_slice(text);
            }
            Piece::Quoted(raw, content) => {
                self.is_broken |= self.angle.is_some();
                self.phrase.extend_from_slice(&content);
                self.bare.extend_from_slice(raw);
            }
            Piece::Comment(content) => self.comment = Some(content.to_vec()),
            Piece::Angle(content) => {
                self.is_broken |= self.angle.is_some();
                self.angle = Some(content.to_vec());
            }
            Piece::Broken => self.is_broken = true,
        }
    }

    fn finish(self, found: &mut Addresses) {
        let is_empty = self.bare.trim_ascii().is_empty() && self.angle.is_none() && !self.is_broken;
        if is_empty {
            return;
        }
        let (address, name) = match &self.angle {
            Some(angle) => (angle, Some(&self.phrase)),
            None => (&self.bare, self.comment.as_ref()),
        };
        let mailbox = std::str::from_utf8(address.trim_ascii()).ok().and_then(|text| Mailbox::parse(text).ok());
        match mailbox.filter(|_| !self.is_broken) {
            Some(mailbox) => {
                let name = name.map(|name| unstructured(name.trim_ascii()).trim().to_owned());
                found.mailboxes.push((name.filter(|name| !name.is_empty()), mailbox));
            }
            None => found.malformed += 1,
        }
    }
}

/// What an address list is made of.
enum Piece<'t> {
    /// Atoms and blanks, or one of `,`, `;`, `:`.
    Text(&'t [u8]),
    /// With its quotes, and without quotes and escapes.
    Quoted(&'t [u8], Vec<u8>),
    Comment(&'t [u8]),
    Angle(&'t [u8]),
    /// An opening without its closing.
    Broken,
}

struct Pieces<'t> {
    rest: &'t [u8],
}

impl<'t> Pieces<'t> {
    /// Cuts off the first `length` octets.
    fn cut(&mut self, length: usize) -> &'t [u8] {
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        piece
    }
}

impl<'t> Iterator for Pieces<'t> {
    type Item = Piece<'t>;

    fn next(&mut self) -> Option<Piece<'t>> {
        let inner = |raw: &'t [u8]| raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        let length = match self.rest.first()? {
            b',' | b';' | b':' => return Some(Piece::Text(self.cut(1))),
            b'"' => quoted_length(self.rest),
            b'(' => comment_length(self.rest),
            b'<' => angle_length(self.rest),
            _ => {
                let length = self.rest.iter().position(|octet| b",;:\"(<".contains(octet)).unwrap_or(self.rest.len());
                return Some(Piece::Text(self.cut(length)));
            }
        };
        let Some(length) = length else {
            self.rest = &[];
            return Some(Piece::Broken);
        };
        let raw = self.cut(length);
        Some(match raw.first() {
            Some(b'"') => Piece::Quoted(raw, unescaped(inner(raw))),
            Some(b'(') => Piece::Comment(inner(raw)),
            _ => Piece::Angle(inner(raw)),
        })
    }
}

fn quoted_length(text: &[u8]) -> Option<usize> {
    let mut escaped = true;
    for (at, &octet) in text.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn comment_length(text: &[u8]) -> Option<usize> {
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, &octet) in text.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// An angle bracket closes outside of quotes only: `<"a>b"@example.org>`.
fn angle_length(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'>' => return Some(at + 1),
            b'"' => at += quoted_length(text.get(at..)?)?,
            _ => at += 1,
        }
    }
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut escaped = false;
    let mut plain = Vec::with_capacity(text.len());
    for &octet in text {
        if octet == b'\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            plain.push(octet);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_list_gives_what_can_be_mailed_and_counts_the_rest() {
        for (text, expect, malformed) in [
            ("ann@example.org", vec![("", "ann@example.org")], 0),
            ("Ann Lee <ann@example.org>, bo@example.org", vec![("Ann Lee", "ann@example.org"), ("", "bo@example.org")], 0),
            ("\"Lee, Ann\" <ann@example.org>", vec![("Lee, Ann", "ann@example.org")], 0),
            ("\"Ann \\\"A\\\" Lee\" <ann@example.org>", vec![("Ann \"A\" Lee", "ann@example.org")], 0),
            ("=?utf-8?Q?J=C3=B6rg?= <j@example.org>", vec![("Jörg", "j@example.org")], 0),
            ("\"=?utf-8?Q?J=C3=B6rg?=\" <j@example.org>", vec![("Jörg", "j@example.org")], 0),
            ("ann@example.org (Ann Lee)", vec![("Ann Lee", "ann@example.org")], 0),
            ("team: ann@example.org, Bo <bo@example.org>;", vec![("", "ann@example.org"), ("Bo", "bo@example.org")], 0),
            ("undisclosed-recipients:;", vec![], 0),
            ("jörg@exämple.org", vec![("", "jörg@xn--exmple-cua.org")], 0),
            ("=?utf-8?Q?a=40b?=@c.example", vec![("", "=?utf-8?Q?a=40b?=@c.example")], 0),
            ("<\"a>b\"@example.org>", vec![("", "\"a>b\"@example.org")], 0),
            (", ,ann@example.org,", vec![("", "ann@example.org")], 0),
            ("<aaa@bbb.example>ccc@ddd.example", vec![], 1),
            ("<a@b.example> <c@d.example>", vec![], 1),
            ("<@route.example:ann@example.org>", vec![], 1),
            ("ann lee@example.org, nobody", vec![], 2),
            ("\"open <ann@example.org>", vec![], 1),
            ("", vec![], 0),
        ] {
            let found = addresses(text.as_bytes());
            let shown: Vec<_> =
                found.mailboxes.iter().map(|(name, mailbox)| (name.clone().unwrap_or_default(), mailbox.to_string())).collect();
            let expect: Vec<_> = expect.into_iter().map(|(name, mailbox)| (name.to_owned(), mailbox.to_owned())).collect();
            assert_eq!((shown, found.malformed), (expect, malformed), "{text}");
        }
    }
}
