//! What is sealed for one variant: the metadata for the pages, and the items.
//!
//! Text and HTML are sealed as UTF-8, whatever the mail used, one item each: where a message has its
//! body in several parts (text, file, text), they are joined in the order in which a reader saw them.
//! Files are streamed out of the message, their transfer encoding undone.
//!
//! RFC 8621 §4.1.4 has the same idea of what is body and what is not.

use std::collections::{BTreeSet, VecDeque};
use std::io::{Cursor, Read};

use bytes::{Buf, Bytes};
use jiff::{SignedDuration, Timestamp};

use crate::mail::{Envelope, Header, Mailbox, Message, Part, decode, formal, sealed};
use crate::policy::{Shown, Wish};
use crate::vault::{Access, Kind, NewItem, NewParcel, Role, Words};

use super::anatomy::{Anatomy, Nature, Road, is_calendar};
use super::{Variant, header};

/// The parcel of a variant; none when no author can be named.
pub(super) fn parcel<'a>(anatomy: &Anatomy<'a>, variant: &Variant, envelope: &Envelope, now: Timestamp) -> Option<NewParcel<'a>> {
    let message = anatomy.message;
    let (kind, items) = match (anatomy.road(&variant.verdict), variant.verdict.protection) {
        (Road::Pass, _) => return None,
        (Road::Files, crate::policy::Protection::PublicFiles) => (Kind::PublicFiles, files(anatomy)),
        (Road::Files, _) => (Kind::SecureFiles, files(anatomy)),
        (Road::Parts, _) => (Kind::SecureMessage, parts(anatomy)),
        (Road::Raw, _) => (Kind::SecureMessage, vec![raw(message)]),
    };
    let (sender, sender_name) = author(message, envelope)?;
    let lifetime = SignedDuration::try_from(variant.verdict.expires).unwrap_or(SignedDuration::MAX);
    Some(NewParcel {
        kind,
        sender,
        sender_name: sender_name.map(|name| words(name, variant.verdict.header)),
        message_id: message.header().first("Message-ID").map(|field| field.text()).unwrap_or_default(),
        subject: words(subject(message.header()), variant.verdict.subject),
        date: message.header().first("Date").and_then(|field| formal::timestamp(&field.text())),
        visible: visible(message.header()),
        access: Access {
            factor: variant.verdict.factor,
            expires: now.checked_add(lifetime).unwrap_or(Timestamp::MAX),
            downloads: variant.verdict.downloads,
        },
        items,
        recipients: variant.recipients.iter().map(|recipient| recipient.forward_path.clone()).collect(),
    })
}

fn words(text: String, shown: Shown) -> Words {
    match shown {
        Shown::Kept => Words::Shown(text),
        Shown::Replaced => Words::Hidden(text),
    }
}

/// Whether somebody can be named as the author.
pub(super) fn author(message: &Message, envelope: &Envelope) -> Option<(Mailbox, Option<String>)> {
    let from = message.header().first("From").and_then(|field| decode::addresses(&field.value()).mailboxes.into_iter().next());
    match from {
        Some((name, mailbox)) => Some((mailbox, name)),
        None => envelope.reverse_path.mailbox().map(|mailbox| (mailbox.clone(), None)),
    }
}

/// The subject as a person reads it, without the sender's tags.
fn subject(header: &Header) -> String {
    let decoded = header.first("Subject").map(|field| decode::unstructured(&field.value())).unwrap_or_default();
    Wish::parse(&decoded).subject.unwrap_or(decoded)
}

/// To and Cc, each once, as many as a page can show. Bcc is not a header field for anybody else's eyes.
fn visible(header: &Header) -> Vec<Mailbox> {
    let fields = header.fields().iter().filter(|field| field.is("To") || field.is("Cc"));
    let mailboxes = fields.flat_map(|field| decode::addresses(&field.value()).mailboxes).map(|(_, mailbox)| mailbox);
    let mut seen = BTreeSet::new();
    mailboxes.filter(|mailbox| seen.insert(mailbox.clone())).take(VISIBLE_MAX).collect()
}

fn files<'a>(anatomy: &Anatomy<'a>) -> Vec<NewItem<'a>> {
    anatomy.files().into_iter().enumerate().map(|(number, part)| file(anatomy.message, part, number)).collect()
}

fn file<'a>(message: &Message, part: &Part, number: usize) -> NewItem<'a> {
    NewItem { role: Role::File, name: name(part, number), media_type: part.media_type.to_string(), content: message.content(part) }
}

fn raw<'a>(message: &Message) -> NewItem<'a> {
    NewItem {
        role: Role::Raw,
        name: "message.eml".to_owned(),
        media_type: "message/rfc822".to_owned(),
        content: Box::new(Rope(header::without_bcc(message.bytes()).into())),
    }
}

/// Body, pictures, files, in this order; the original beside them where a signature stands on it.
fn parts<'a>(anatomy: &Anatomy<'a>) -> Vec<NewItem<'a>> {
    let mut view = View::default();
    view.add(anatomy, anatomy.message.root(), None);
    let mut items = Vec::new();
    if let Some(text) = view.text.filter(|_| !view.html_only) {
        items.push(body(Role::Text, "message.txt", "text/plain", text));
    }
    if let Some(html) = view.html {
        items.push(body(Role::Html, "message.html", "text/html", html));
    }
    items.append(&mut view.items);
    if anatomy.is_signed() {
        items.push(raw(anatomy.message));
    }
    items
}

fn body<'a>(role: Role, name: &str, media_type: &str, content: String) -> NewItem<'a> {
    NewItem { role, name: name.to_owned(), media_type: media_type.to_owned(), content: Box::new(Cursor::new(content)) }
}

/// What a reader of one part sees.
#[derive(Default)]
struct View<'a> {
    /// The whole body as plain text.
    text: Option<String>,
    /// The whole body as HTML, once there is any.
    html: Option<String>,
    /// Whether some of the body is there as HTML only, so that `text` is not all of it.
    html_only: bool,
    items: Vec<NewItem<'a>>,
    files: usize,
}

impl<'a> View<'a> {
    fn add(&mut self, anatomy: &Anatomy<'a>, part: &'a Part, parent: Option<&'a Part>) {
        let message = anatomy.message;
        match anatomy.nature(part) {
            Nature::Text => self.append(Some(message.text(part)), None),
            Nature::Html => self.append(None, Some(message.text(part))),
            Nature::Picture => {
                let role = part.content_id.clone().map_or(Role::File, |content_id| Role::Inline { content_id });
                let item = NewItem { role, ..file(message, part, self.files) };
                self.items.push(item);
            }
            // Kept in the original, which the reader gets whole.
            Nature::Apparatus if sealed::is_signature(message, part, parent) => {}
            Nature::Apparatus | Nature::File => {
                self.items.push(file(message, part, self.files));
                self.files += 1;
            }
            Nature::Frame if part.media_type.is("multipart", "alternative") => self.choose(anatomy, part),
            Nature::Frame => part.children.iter().for_each(|child| self.add(anatomy, child, Some(part))),
        }
    }

    /// RFC 2046 §5.1.4: the alternatives say the same, the last is the richest.
    fn choose(&mut self, anatomy: &Anatomy<'a>, part: &'a Part) {
        let (mut text, mut html) = (None, None);
        for child in &part.children {
            let mut view = View { files: self.files, ..View::default() };
            view.add(anatomy, child, Some(part));
            self.files = view.files;
            self.items.append(&mut view.items);
            if !view.html_only {
                text = text.or(view.text);
            }
            html = view.html.or(html);
        }
        self.append(text, html);
    }

    /// One more piece of the body, as text, as HTML or as both.
    fn append(&mut self, text: Option<String>, html: Option<String>) {
        if text.is_none() && html.is_none() {
            return;
        }
        self.html_only |= text.is_none();
        if html.is_some() || self.html.is_some() {
            let before = self.html.take().or_else(|| self.text.as_deref().map(as_html)).unwrap_or_default();
            let piece = html.or_else(|| text.as_deref().map(as_html)).unwrap_or_default();
            self.html = Some(before + &piece);
        }
        if let Some(text) = text {
            let all = self.text.get_or_insert_default();
            if !all.is_empty() && !all.ends_with('\n') {
                all.push('\n');
            }
            all.push_str(&text);
        }
    }
}

/// Plain text where it stands between HTML.
fn as_html(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<div style=\"white-space: pre-wrap\">{escaped}</div>\n")
}

/// The file's own name, or one that says what it is.
fn name(part: &Part, number: usize) -> String {
    if part.is_message() {
        return forwarded_name(part);
    }
    if let Some(name) = part.file_name.as_ref().filter(|name| !name.trim().is_empty()) {
        return name.clone();
    }
    if is_calendar(part) {
        return "invite.ics".to_owned();
    }
    let declared = part.media_type.to_string();
    let extension = EXTENSIONS.iter().find(|(media_type, _)| *media_type == declared).map_or("bin", |(_, extension)| extension);
    let stem = if part.media_type.kind == "image" { "picture" } else { "file" };
    format!("{stem}-{}.{extension}", number + 1)
}

/// A forwarded message is called by its name or subject, and always ends in `.eml`.
fn forwarded_name(part: &Part) -> String {
    let inner = part.children.first().and_then(|message| message.header.first("Subject")).map(|field| decode::unstructured(&field.value()));
    let stem = part.file_name.clone().or(inner).unwrap_or_default();
    let clean: String = stem.chars().map(|c| if c.is_control() || "/\\:".contains(c) { ' ' } else { c }).take(NAME_MAX).collect();
    let words: Vec<&str> = clean.split_whitespace().collect();
    match words.join(" ").as_str() {
        "" => "message.eml".to_owned(),
        stem if stem.to_ascii_lowercase().ends_with(".eml") => stem.to_owned(),
        stem => format!("{stem}.eml"),
    }
}

/// Reads pieces one after the other.
struct Rope(VecDeque<Bytes>);

impl Read for Rope {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while let Some(piece) = self.0.front_mut() {
            if piece.has_remaining() {
                let count = piece.remaining().min(out.len());
                piece.split_to(count).reader().read_exact(out.get_mut(..count).unwrap_or_default())?;
                return Ok(count);
            }
            self.0.pop_front();
        }
        Ok(0)
    }
}

/// As many recipients as a message may have.
const VISIBLE_MAX: usize = 1_000;
/// A name made of a subject stays a name.
const NAME_MAX: usize = 80;

/// For files without a name; what is not here is `bin`.
const EXTENSIONS: [(&str, &str); 22] = [
    ("text/plain", "txt"),
    ("text/html", "html"),
    ("text/csv", "csv"),
    ("text/xml", "xml"),
    ("text/rtf", "rtf"),
    ("text/vcard", "vcf"),
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("application/json", "json"),
    ("application/xml", "xml"),
    ("application/rtf", "rtf"),
    ("application/msword", "doc"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("application/ms-tnef", "winmail.dat"),
    ("image/png", "png"),
    ("image/jpeg", "jpg"),
    ("image/gif", "gif"),
    ("image/svg+xml", "svg"),
    ("image/tiff", "tif"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_shown_once_and_a_hundred_thousand_do_not_stop_us() {
        let many: String = (0..100_000).map(|number| format!("a{number}@example.net, ")).collect();
        let message =
            Message::parse(Bytes::from(format!("To: b@example.net, a@example.net\r\nCc: b@example.net\r\nTo: {many}x@x.example\r\n\r\n")));
        let shown = visible(message.header());
        let first: Vec<String> = shown.iter().take(3).map(ToString::to_string).collect();
        assert_eq!((first.join(" ").as_str(), shown.len()), ("b@example.net a@example.net a0@example.net", VISIBLE_MAX));
    }

    #[test]
    fn a_rope_reads_as_one() {
        let mut read = Vec::new();
        Rope([Bytes::from("ab"), Bytes::new(), Bytes::from("cd")].into()).read_to_end(&mut read).unwrap();
        assert_eq!(read, b"abcd");
    }
}
