//! A message to be kept: an `.eml` made of what was sealed, written while it is read, its length known before its
//! first octet.
//!
//! Bodies, pictures and files go in as base64, so no octet of theirs can look like a boundary, and what is
//! long is never in memory. RFC 5322, RFC 2045, RFC 2046, RFC 2387 (related), RFC 2183 (disposition).

use std::collections::VecDeque;
use std::io::{self, Read};

use super::name;
use crate::mail::HeaderField;
use crate::mail::compose::{self, HeaderText};
use crate::vault::{Contents, Item, ItemId, Role};

/// Opens an item when its turn has come.
pub type Opener = Box<dyn FnMut(ItemId) -> io::Result<Box<dyn Read + Send>> + Send>;

/// A message as it will be written.
#[derive(Debug, Clone)]
pub struct Eml {
    pieces: VecDeque<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(Vec<u8>),
    /// The item in base64, and its octets before.
    Item(ItemId, u64),
}

impl Eml {
    /// Of these items, in order; `seed` makes boundaries that are this message's own.
    pub fn new(contents: &Contents, items: &[&Item], seed: &str) -> Self {
        let mut eml = Self { pieces: VecDeque::new() };
        eml.write(&header(contents));
        let mut writer = Writer { eml, seed, boundaries: 0 };
        writer.message(items);
        writer.eml
    }

    /// Octets in all.
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(Piece::length).sum()
    }

    /// As a stream, over items that `open` opens.
    pub fn read(self, open: Opener) -> impl Read + Send {
        Reader { pieces: self.pieces, open, pending: io::Cursor::new(Vec::new()), current: None }
    }

    fn write(&mut self, octets: &[u8]) {
        match self.pieces.back_mut() {
            Some(Piece::Text(text)) => text.extend_from_slice(octets),
            Some(Piece::Item(..)) | None => self.pieces.push_back(Piece::Text(octets.to_vec())),
        }
    }
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            // Four characters for three octets, and a line end for each line.
            Self::Item(_, octets) => octets.div_ceil(3) * 4 + octets.div_ceil(LINE as u64) * 2,
        }
    }
}

/// What a recipient may know of the envelope: never Bcc.
fn header(contents: &Contents) -> Vec<u8> {
    let name = contents.sender_name.as_deref().map(HeaderText::new);
    let to: Vec<_> = contents.visible.iter().map(|mailbox| (None, mailbox.clone())).collect();
    let mut fields = vec![compose::addresses("From", &[(name, contents.sender.clone())])];
    fields.push(match to.is_empty() {
        true => compose::structured("To", &HeaderText::new("undisclosed-recipients:;")),
        false => compose::addresses("To", &to),
    });
    fields.extend(contents.date.map(compose::date));
    fields.push(compose::unstructured("Subject", &HeaderText::new(&contents.subject)));
    if !contents.message_id.is_empty() {
        fields.push(compose::structured("Message-ID", &HeaderText::new(&contents.message_id)));
    }
    let mut octets: Vec<u8> = fields.iter().flat_map(|field| field.raw().iter().copied()).collect();
    octets.extend_from_slice(b"MIME-Version: 1.0\r\n");
    octets
}

struct Writer<'a> {
    eml: Eml,
    seed: &'a str,
    boundaries: u32,
}

impl Writer<'_> {
    /// The body, then the files.
    fn message(&mut self, items: &[&Item]) {
        let of = |wanted: fn(&Role) -> bool| items.iter().copied().filter(|item| wanted(&item.role)).collect::<Vec<&Item>>();
        let bodies = of(|role| matches!(role, Role::Text | Role::Html));
        let has_html = bodies.iter().any(|item| item.role == Role::Html);
        let pictures = of(|role| matches!(role, Role::Inline { .. }));
        let files = of(|role| matches!(role, Role::File));
        let (related, attached) = if has_html { (pictures, files) } else { (Vec::new(), [pictures, files].concat()) };
        if attached.is_empty() {
            return self.body(&bodies, &related);
        }
        self.multipart("mixed", attached.len() + 1, |writer, number| match number.checked_sub(1).and_then(|file| attached.get(file)) {
            Some(file) => writer.file(file, "attachment"),
            None => writer.body(&bodies, &related),
        });
    }

    /// RFC 2046 §5.1.4: what is richest comes last.
    fn body(&mut self, bodies: &[&Item], related: &[&Item]) {
        match bodies {
            [] => self.eml.write(b"Content-Type: text/plain; charset=utf-8\r\n\r\n"),
            [only] => self.text(only, related),
            several => self.multipart("alternative", several.len(), |writer, number| {
                if let Some(item) = several.get(number) {
                    writer.text(item, related);
                }
            }),
        }
    }

    fn text(&mut self, item: &Item, related: &[&Item]) {
        if item.role != Role::Html {
            return self.part(&field("Content-Type: text/plain; charset=utf-8"), item);
        }
        if related.is_empty() {
            return self.part(&field("Content-Type: text/html; charset=utf-8"), item);
        }
        self.multipart("related", related.len() + 1, |writer, number| match number.checked_sub(1).and_then(|at| related.get(at)) {
            Some(picture) => writer.file(picture, "inline"),
            None => writer.part(&field("Content-Type: text/html; charset=utf-8"), item),
        });
    }

    fn file(&mut self, item: &Item, disposition: &str) {
        let name = HeaderText::new(&name::safe(&item.name));
        let mut fields = raw(&compose::parameterised("Content-Type", &HeaderText::new(kind(item)), &[("name", name.clone())]));
        fields.extend(raw(&compose::parameterised("Content-Disposition", &HeaderText::new(disposition), &[("filename", name)])));
        if let Role::Inline { content_id } = &item.role {
            fields.extend(raw(&compose::structured("Content-ID", &HeaderText::new(&format!("<{content_id}>")))));
        }
        self.part(&fields, item);
    }

    /// A leaf: its fields, then the item.
    fn part(&mut self, fields: &[u8], item: &Item) {
        self.eml.write(fields);
        self.eml.write(b"Content-Transfer-Encoding: base64\r\n\r\n");
        self.eml.pieces.push_back(Piece::Item(item.id, item.length));
    }

    /// So many parts between boundaries. `=_` stands in no base64.
    fn multipart(&mut self, subtype: &str, parts: usize, write: impl Fn(&mut Self, usize)) {
        self.boundaries += 1;
        let boundary = format!("=_{}.{}.", self.seed, self.boundaries);
        self.eml.write(format!("Content-Type: multipart/{subtype}; boundary=\"{boundary}\"\r\n").as_bytes());
        for number in 0..parts {
            self.eml.write(format!("\r\n--{boundary}\r\n").as_bytes());
            write(self, number);
        }
        self.eml.write(format!("\r\n--{boundary}--\r\n").as_bytes());
    }
}

fn field(line: &str) -> Vec<u8> {
    [line.as_bytes(), b"\r\n"].concat()
}

fn raw(field: &HeaderField) -> Vec<u8> {
    field.raw().to_vec()
}

/// The declared type where it can stand: in base64 there are no messages and no multiparts (RFC 2046 §5.2.1), and a type is two tokens.
fn kind(item: &Item) -> &str {
    let declared = item.media_type.split(';').next().unwrap_or_default().trim();
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&octet));
    match declared.split_once('/') {
        Some((top, sub)) if is_token(top) && is_token(sub) && !COMPOSITE.iter().any(|known| top.eq_ignore_ascii_case(known)) => declared,
        _ => "application/octet-stream",
    }
}

struct Reader {
    pieces: VecDeque<Piece>,
    open: Opener,
    pending: io::Cursor<Vec<u8>>,
    /// The item that is being read, and its octets left.
    current: Option<(Box<dyn Read + Send>, u64)>,
}

impl Reader {
    /// Makes more octets pending; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        if let Some((mut content, left)) = self.current.take().filter(|(_, left)| *left > 0) {
            let mut octets = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(LINE * LINES)];
            // An end before its time is an error, and no short message.
            content.read_exact(&mut octets)?;
            self.current = Some((content, left - octets.len() as u64));
            self.pending = io::Cursor::new(lines(&octets));
            return Ok(true);
        }
        match self.pieces.pop_front() {
            Some(Piece::Text(text)) => self.pending = io::Cursor::new(text),
            Some(Piece::Item(item, octets)) => self.current = Some(((self.open)(item)?, octets)),
            None => return Ok(false),
        }
        Ok(true)
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.pending.read(buffer)?;
            if read > 0 || buffer.is_empty() || !self.advance()? {
                return Ok(read);
            }
        }
    }
}

/// RFC 2045 §6.8.
fn lines(octets: &[u8]) -> Vec<u8> {
    let mut encoded = String::with_capacity(octets.len() / LINE * 78 + 80);
    for line in octets.chunks(LINE) {
        data_encoding::BASE64.encode_append(line, &mut encoded);
        encoded.push_str("\r\n");
    }
    encoded.into_bytes()
}

/// Octets in a line of 76 characters.
const LINE: usize = 57;
/// Lines that are made at once.
const LINES: usize = 512;
const COMPOSITE: [&str; 2] = ["message", "multipart"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Mailbox, Message};
    use crate::vault::{Kind, State};

    fn item(id: u32, role: Role, media_type: &str, content: &[u8]) -> Item {
        let name = format!("år {id}.bin");
        Item { id: ItemId(id), role, name, media_type: media_type.to_owned(), length: content.len() as u64, sha256: [0; 32], left: None }
    }

    fn contents() -> Contents {
        let mailbox = |text: &str| Mailbox::parse(text).unwrap();
        Contents {
            kind: Kind::SecureMessage,
            sender: mailbox("eva@clinic.example"),
            sender_name: Some("Eva \"Doc\" Bérg\r\nBcc: x@y.example".into()),
            message_id: "<1@clinic.example>".into(),
            subject: "Prov\r\nBcc: all@example.net\r\n\r\nsvar".into(),
            date: Some("2026-11-20T08:00:00Z".parse().unwrap()),
            visible: vec![mailbox("ann@patient.example"), mailbox("bo@patient.example")],
            sealed: jiff::Timestamp::UNIX_EPOCH,
            expires: jiff::Timestamp::MAX,
            state: State::Live,
        }
    }

    fn written(contents: &Contents, items: &[(Item, Vec<u8>)]) -> Vec<u8> {
        let eml = Eml::new(contents, &items.iter().map(|(item, _)| item).collect::<Vec<_>>(), "seed");
        let length = eml.length();
        let by_id: std::collections::HashMap<u32, Vec<u8>> = items.iter().map(|(item, content)| (item.id.0, content.clone())).collect();
        let mut octets = Vec::new();
        eml.read(Box::new(move |id| Ok(Box::new(io::Cursor::new(by_id[&id.0].clone())) as Box<dyn Read + Send>)))
            .read_to_end(&mut octets)
            .unwrap();
        assert_eq!(octets.len() as u64, length);
        octets
    }

    #[test]
    fn what_was_sealed_is_in_it_and_its_length_was_known() {
        let html = b"<p>hej <img src=\"cid:a@b\">".to_vec();
        let all = [
            (Role::Text, "text/plain", b"hej\r\n".to_vec()),
            (Role::Html, "text/html", html),
            (Role::Inline { content_id: "a@b".into() }, "image/png", vec![7; 58]),
            (Role::File, "application/pdf", (0..100_000u32).map(|at| u8::try_from(at % 256).unwrap()).collect()),
            (Role::File, "message/rfc822", b"Subject: inner\r\n\r\nx".to_vec()),
            (Role::File, "text/html; charset=x\r\nBcc: y", Vec::new()),
        ];
        // Every choice of them.
        for choice in 0..1usize << all.len() {
            let chosen = all.iter().enumerate().filter(|(place, _)| choice & (1 << place) != 0);
            let items: Vec<(Item, Vec<u8>)> = chosen
                .map(|(place, (role, media_type, content))| {
                    (item(u32::try_from(place).unwrap(), role.clone(), media_type, content), content.clone())
                })
                .collect();
            let octets = written(&contents(), &items);
            let message = Message::parse(octets.into());
            assert!(message.ambiguities().is_empty(), "{choice:b}: {:?}", message.ambiguities());
            let read = |part: &crate::mail::Part| {
                let mut content = Vec::new();
                message.content(part).read_to_end(&mut content).unwrap();
                content
            };
            let leaves: Vec<Vec<u8>> = message.parts().into_iter().filter(|part| part.children.is_empty()).map(read).collect();
            let mut left = leaves;
            for (item, content) in &items {
                let at = left.iter().position(|leaf| leaf == content).unwrap_or_else(|| panic!("{choice:b}: {} is not there", item.name));
                left.remove(at);
            }
            assert!(left.iter().all(Vec::is_empty), "{choice:b}");
        }
    }

    #[test]
    fn the_header_has_what_the_page_has_and_no_line_more() {
        let message = Message::parse(written(&contents(), &[]).into());
        let names: Vec<String> = message.header().fields().iter().map(|field| field.name().to_owned()).collect();
        assert_eq!(names, ["From", "To", "Date", "Subject", "Message-ID", "MIME-Version", "Content-Type"]);
        let value = |name: &str| crate::mail::decode::unstructured(&message.header().first(name).unwrap().value());
        assert_eq!(value("To"), "ann@patient.example, bo@patient.example");
        assert!(value("From").ends_with("<eva@clinic.example>"));
        assert_eq!(value("Date"), "Fri, 20 Nov 2026 08:00:00 +0000");
        let blind = Contents { visible: vec![], date: None, message_id: String::new(), ..contents() };
        let message = Message::parse(written(&blind, &[]).into());
        assert_eq!(message.header().fields().len(), 5);
    }

    #[test]
    fn an_item_that_ends_too_soon_is_an_error_and_not_a_short_message() {
        let short = item(0, Role::File, "a/b", &[0; 100]);
        let eml = Eml::new(&contents(), &[&short], "seed");
        let mut octets = Vec::new();
        let open: Opener = Box::new(|_| Ok(Box::new(io::Cursor::new(vec![1u8; 99])) as Box<dyn Read + Send>));
        assert!(eml.read(open).read_to_end(&mut octets).is_err());
    }
}
