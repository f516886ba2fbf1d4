//! Messages as mail programs write them, by what becomes of them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::language::{Dice, Language};
use crate::make;

/// What kind of message, and how many octets matter in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Plain text of this size in all, which policy leaves alone.
    Text(usize),
    /// The same as text and as HTML, in quoted-printable.
    Html(usize),
    /// A text file of this size is attached, and leaves as a link.
    File(usize),
    /// The same with a document of an office program.
    Document(usize),
}

/// One message; only its Message-ID differs from one sending to the next.
pub struct Mail {
    /// The header without its Message-ID.
    header: String,
    /// From the first octet after the empty line to the final dot.
    pub body: Bytes,
    /// CRC-32 of the body without the dot.
    pub crc: u32,
    /// Octets of the body without the dot.
    pub length: u64,
}

/// Every kind that was asked for, made once.
pub struct Mails<'l> {
    language: &'l Language,
    made: HashMap<Kind, Arc<Mail>>,
}

impl<'l> Mails<'l> {
    pub fn new(language: &'l Language) -> Self {
        Self { language, made: HashMap::new() }
    }

    pub fn of(&mut self, kind: Kind) -> Arc<Mail> {
        let language = self.language;
        self.made.entry(kind).or_insert_with(|| Arc::new(Mail::new(kind, language))).clone()
    }
}

impl Kind {
    /// For the table.
    pub fn name(self) -> String {
        match self {
            Self::Text(octets) => format!("{} text", short(octets)),
            Self::Html(octets) => format!("{} text and HTML", short(octets)),
            Self::File(octets) => format!("{} text file attached", short(octets)),
            Self::Document(octets) => format!("{} docx attached", short(octets)),
        }
    }

    /// What the sender's policies make of it.
    pub const fn is_sealed(self) -> bool {
        matches!(self, Self::File(_) | Self::Document(_))
    }
}

fn short(octets: usize) -> String {
    if octets >= 1 << 20 { format!("{} MB", octets >> 20) } else { format!("{} KB", octets >> 10) }
}

impl Mail {
    fn new(kind: Kind, language: &Language) -> Self {
        let mut dice = Dice::new(7);
        let (fields, content) = match kind {
            Kind::Text(octets) => (String::from(PLAIN), language.text(octets.saturating_sub(HEADER), &mut dice)),
            Kind::Html(octets) => alternative(&language.text(octets.saturating_sub(HEADER) * 2 / 5, &mut dice)),
            Kind::File(octets) => {
                let file = language.text(octets, &mut dice).into_bytes();
                attached(&language.text(700, &mut dice), ("notes.txt", "text/plain; charset=us-ascii"), &file)
            }
            Kind::Document(octets) => {
                let file = document(language, octets);
                attached(&language.text(700, &mut dice), ("notes.docx", DOCX), &file)
            }
        };
        let subject = language.text(50, &mut dice).replace("\r\n", " ").replace('.', "");
        let header = format!("{COMMON}Subject: {}\r\n{fields}\r\n", subject.trim());
        let (crc, length) = (crc32fast::hash(content.as_bytes()), content.len() as u64);
        Self { header, body: Bytes::from(content + ".\r\n"), crc, length }
    }

    /// The header with this Message-ID, to the empty line.
    pub fn header(&self, id: &str) -> String {
        format!("Message-ID: <{id}@example.org>\r\n{}", self.header)
    }

    /// As it is sent, without the dot.
    pub fn octets(&self, id: &str) -> Bytes {
        let body = self.body.slice(..self.body.len() - 3);
        [self.header(id).as_bytes(), &body].concat().into()
    }
}

/// A docx whose compressed size is about this.
pub fn document(language: &Language, octets: usize) -> Vec<u8> {
    // Words of this language deflate to a little less than half.
    let text = language.text(octets * 2, &mut Dice::new(11));
    make::docx(&text.split("\r\n").map(make::paragraph).collect::<String>(), &[])
}

fn alternative(text: &str) -> (String, String) {
    let paragraphs: String =
        text.split("\r\n\r\n").map(|paragraph| format!("<p style=\"margin:0 0 1em\">{}</p>\r\n", paragraph.trim_end())).collect();
    let html = format!("<html><head><meta charset=\"utf-8\"></head><body>\r\n{paragraphs}</body></html>\r\n");
    let part = |subtype: &str, content: &str| {
        let fields = format!("Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n");
        format!("--{CUT}\r\n{fields}\r\n{}", quoted(content))
    };
    let fields = format!("Content-Type: multipart/alternative; boundary=\"{CUT}\"\r\n");
    (fields, format!("{}{}--{CUT}--\r\n", part("plain", text), part("html", &html)))
}

/// Quoted-printable (RFC 2045 §6.7) with the curly signs that mail programs write.
fn quoted(text: &str) -> String {
    let octets = text.replace('=', "=3D").replace("its ", "it=E2=80=99s ");
    let mut lines = String::with_capacity(octets.len() * 11 / 10);
    for line in octets.split_inclusive("\r\n") {
        let mut rest = line;
        while rest.len() > LINE_MAX + 2 {
            // A soft break never stands inside of an escape.
            let cut = rest[..LINE_MAX - 3].rfind('=').filter(|at| at + 3 > LINE_MAX - 3).unwrap_or(LINE_MAX - 3);
            lines.push_str(&rest[..cut]);
            lines.push_str("=\r\n");
            rest = &rest[cut..];
        }
        lines.push_str(rest);
    }
    // The generator stuffs no dots: none begins a line.
    lines.replace("\r\n.", "\r\n=2E")
}

fn attached(text: &str, (name, media_type): (&str, &str), file: &[u8]) -> (String, String) {
    let lines: String = file.chunks(57).map(|line| data_encoding::BASE64.encode(line) + "\r\n").collect();
    let content = format!(
        "--{CUT}\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{text}\
         --{CUT}\r\nContent-Type: {media_type}; name=\"{name}\"\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{lines}--{CUT}--\r\n"
    );
    (format!("Content-Type: multipart/mixed; boundary=\"{CUT}\"\r\n"), content)
}

const COMMON: &str = "From: Ann Larsson <ann@example.org>\r\nTo: Bob Andersen <bob@example.net>\r\n\
    Date: Mon, 02 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\nUser-Agent: Mozilla Thunderbird\r\nContent-Language: en-GB\r\n\
    References: <5f1d8a6e-2b0c-4a51-9f3e-7c6b1f0d2a44@example.net>\r\nIn-Reply-To: <5f1d8a6e-2b0c-4a51-9f3e-7c6b1f0d2a44@example.net>\r\n";
const PLAIN: &str = "Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n";
const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const CUT: &str = "------------Sh4xK0fWqz7mE1uYb9aR3dLp";
/// Octets of the header, about.
const HEADER: usize = 600;
/// RFC 2045 §6.7 (5).
const LINE_MAX: usize = 76;
