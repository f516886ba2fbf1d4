//! Where the strict scanner calls a mail clean, a second parser sees the same parts, names and contents.

use std::io::Read;

use bytes::Bytes;
use mail_parser::{MessageParser, MimeHeaders, PartType};
use waxseal::mail::{Message, Part};

use super::mails;

/// Kind, file names, and content: text as text, the rest as octets.
#[derive(Debug)]
struct Seen {
    kind: String,
    /// Ours is one; the second parser gives all that stand there and shows an ASCII stand-in first.
    names: Vec<String>,
    content: Vec<u8>,
}

impl Seen {
    fn agrees(&self, theirs: &Self) -> bool {
        self.agrees_but_for_text(theirs) && self.content == theirs.content
    }

    /// Text without a character set, and broken quoted-printable, may be shown in two ways.
    fn agrees_but_for_text(&self, theirs: &Self) -> bool {
        let same_name = self.names.is_empty() == theirs.names.is_empty() && self.names.iter().all(|name| theirs.names.contains(name));
        self.kind == theirs.kind && same_name && (self.kind.starts_with("text/") || self.content == theirs.content)
    }
}

#[test]
fn a_second_parser_sees_the_same_in_clean_mail() {
    let parser = MessageParser::default();
    let mut compared = 0;
    for (name, bytes) in mails() {
        let message = Message::parse(Bytes::from(bytes.clone()));
        if !message.ambiguities().is_empty() {
            continue;
        }
        let Some(other) = parser.parse(&bytes) else { panic!("{name}: the second parser gives up") };
        let mut theirs = Vec::new();
        see(&other, &mut theirs);
        let ours: Vec<Seen> =
            message.parts().into_iter().filter(|part| part.children.is_empty()).map(|part| seen(&message, part)).collect();
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (our, their) in ours.iter().zip(&theirs) {
            assert!(our.agrees(their), "{name}: {our:?} {their:?}");
        }
        compared += 1;
    }
    assert!(compared >= 300, "{compared}");
}

fn seen(message: &Message, part: &Part) -> Seen {
    let mut content = Vec::new();
    if part.media_type.kind == "text" {
        content = message.text(part).into_bytes();
    } else {
        message.content(part).read_to_end(&mut content).unwrap();
    }
    Seen { kind: part.media_type.to_string(), names: part.file_name.iter().cloned().collect(), content }
}

fn see(message: &mail_parser::Message<'_>, found: &mut Vec<Seen>) {
    for part in &message.parts {
        let content = match &part.body {
            PartType::Text(text) | PartType::Html(text) => text.as_bytes().to_vec(),
            PartType::Binary(octets) | PartType::InlineBinary(octets) => octets.to_vec(),
            PartType::Message(inner) => {
                see(inner, found);
                continue;
            }
            PartType::Multipart(_) => continue,
        };
        let kind = part.content_type().map_or_else(
            || "text/plain".to_owned(),
            |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_lowercase(),
        );
        let fields = [(part.content_disposition(), "filename"), (part.content_type(), "name")];
        let named = |(field, key): (Option<&mail_parser::ContentType<'_>>, &str)| {
            let all = field.and_then(|field| field.attributes()).unwrap_or_default();
            all.iter().filter(|one| one.name == key && !one.value.is_empty()).map(|one| one.value.to_string()).collect::<Vec<_>>()
        };
        found.push(Seen { kind, names: fields.into_iter().flat_map(named).collect(), content });
    }
}

/// What an attacker does to a mail: one line doubled, dropped, moved, or changed in a character.
#[test]
fn a_second_parser_sees_the_same_parts_in_damaged_mail_that_is_still_clean() {
    let parser = MessageParser::default();
    let (mut clean, mut damaged) = (0, 0);
    for (number, (name, bytes)) in mails().into_iter().enumerate() {
        for step in 0..20_usize {
            let bytes = damage(&bytes, number * 7919 + step * 104_729);
            damaged += 1;
            let message = Message::parse(Bytes::from(bytes.clone()));
            if !message.ambiguities().is_empty() {
                continue;
            }
            clean += 1;
            let mut theirs = Vec::new();
            if let Some(other) = parser.parse(&bytes) {
                see(&other, &mut theirs);
            }
            let ours: Vec<Seen> =
                message.parts().into_iter().filter(|part| part.children.is_empty()).map(|part| seen(&message, part)).collect();
            assert_eq!(ours.len(), theirs.len(), "{name} {step}");
            for (our, their) in ours.iter().zip(&theirs) {
                assert!(our.agrees_but_for_text(their), "{name} {step}: {our:?} {their:?}");
            }
        }
    }
    assert!(clean > 100 && clean < damaged, "{clean} of {damaged}");
}

fn damage(bytes: &[u8], seed: usize) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|&octet| octet == b'\n').map(<[u8]>::to_vec).collect();
    let at = (seed / 5) % lines.len();
    let other = (seed / 11) % lines.len();
    match seed % 5 {
        0 => lines.insert(at, lines[at].clone()),
        1 => drop(lines.remove(at)),
        2 => lines.swap(at, other),
        3 => lines.insert(at, b"\r\n".to_vec()),
        _ => {
            let line = &mut lines[at];
            let place = (seed / 13) % line.len();
            if !matches!(line[place], b'\r' | b'\n') {
                line[place] = b";=\"-: x("[(seed / 17) % 8];
            }
        }
    }
    lines.concat()
}
