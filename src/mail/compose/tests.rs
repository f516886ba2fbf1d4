//! Whatever is composed reads back as it was given.

use proptest::prelude::*;

use super::*;
use crate::mail::{Disposition, Mailbox, Message, decode};

fn shown(field: &HeaderField) -> &str {
    std::str::from_utf8(field.raw()).unwrap()
}

#[test]
fn a_field_is_written_as_clients_expect_it() {
    let text = HeaderText::new;
    let ann = Mailbox::parse("ann@example.org").unwrap();
    for (field, expect) in [
        (unstructured("Subject", &text("Hello there")), "Subject: Hello there\r\n"),
        (unstructured("Subject", &text("")), "Subject: \r\n"),
        (unstructured("Subject", &text("Räka")), "Subject: =?utf-8?Q?R=C3=A4ka?=\r\n"),
        (unstructured("Subject", &text("日本語")), "Subject: =?utf-8?B?5pel5pys6Kqe?=\r\n"),
        (unstructured("Subject", &text("a\r\nBcc: b@example.org")), "Subject: =?utf-8?Q?a__Bcc=3A_b=40example=2Eorg?=\r\n"),
        (unstructured("Subject", &text("=?utf-8?Q?a?=")), "Subject: =?utf-8?Q?=3D=3Futf-8=3FQ=3Fa=3F=3D?=\r\n"),
        (addresses("To", &[(None, ann.clone())]), "To: ann@example.org\r\n"),
        (addresses("To", &[(Some(text("Ann Lee")), ann.clone())]), "To: Ann Lee <ann@example.org>\r\n"),
        (addresses("To", &[(Some(text("Lee, \"A\"")), ann.clone())]), "To: \"Lee, \\\"A\\\"\" <ann@example.org>\r\n"),
        (addresses("To", &[(Some(text("Jörg")), ann.clone())]), "To: =?utf-8?Q?J=C3=B6rg?= <ann@example.org>\r\n"),
        (date(jiff::Timestamp::UNIX_EPOCH), "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"),
        (
            parameterised("Content-Disposition", &text("attachment"), &[("filename", text("räka 1.pdf"))]),
            "Content-Disposition: attachment; filename=\"r_ka 1.pdf\";\r\n filename*=UTF-8''r%C3%A4ka%201.pdf\r\n",
        ),
        (
            parameterised("Content-Type", &text("text/plain"), &[("charset", text("utf-8")), ("name", text("a b"))]),
            "Content-Type: text/plain; charset=utf-8; name=\"a b\"\r\n",
        ),
        (structured("Message-ID", &text("<a@b>")), "Message-ID: <a@b>\r\n"),
    ] {
        assert_eq!(shown(&field), expect);
    }
}

#[test]
fn a_composed_message_is_clean_and_reads_back() {
    let content = Content::Multipart {
        subtype: "mixed",
        parameters: Vec::new(),
        parts: vec![
            Content::Multipart {
                subtype: "alternative",
                parameters: Vec::new(),
                parts: vec![
                    Content::Text { subtype: "plain", text: "Hej\nvärld".to_owned() },
                    Content::Text { subtype: "html", text: "<p>Hej".to_owned() },
                ],
            },
            Content::Raw(Bytes::from_static(b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\naGk=\r\n")),
        ],
    };
    let fields = vec![unstructured("Subject", &HeaderText::new("x")), structured("Content-Type", &HeaderText::new("text/evil"))];
    let message = Message::parse(message(fields, content, &[7; 16]));
    assert_eq!(message.ambiguities(), []);
    let kinds: Vec<_> = message.parts().iter().map(|part| part.media_type.to_string()).collect();
    assert_eq!(kinds, ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf"]);
    assert_eq!(message.text(message.parts()[2]), "Hej\r\nvärld");
}

fn header_text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,200}", "[ -~]{0,200}", "[a-zåäö日🦀 =?_.]{0,120}"]
}

/// Every line ends with CRLF, is no longer than `limit`, and is not blank.
fn assert_lines(field: &HeaderField, limit: usize) {
    let text = shown(field);
    assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
    for (number, line) in text.trim_end_matches("\r\n").split("\r\n").enumerate() {
        assert!(line.len() <= limit, "{line:?}");
        assert!(number == 0 || (line.starts_with(' ') && !line.trim().is_empty()), "{text:?}");
    }
}

proptest! {
    #[test]
    fn unstructured_text_reads_back(text in header_text()) {
        let text = HeaderText::new(&text);
        let field = unstructured("Subject", &text);
        assert_lines(&field, 76 + 10);
        prop_assert_eq!(decode::unstructured(&field.value()), text.as_str());
    }

    #[test]
    fn display_names_read_back(name in header_text()) {
        let name = HeaderText::new(&name);
        let ann = Mailbox::parse("ann@example.org").unwrap();
        let field = addresses("From", &[(Some(name.clone()), ann.clone()), (None, ann.clone())]);
        let read = decode::addresses(&field.value());
        let expect = Some(name.as_str().trim().to_owned()).filter(|name| !name.is_empty());
        prop_assert_eq!(read.malformed, 0);
        prop_assert_eq!(read.mailboxes, vec![(expect, ann.clone()), (None, ann)]);
    }

    #[test]
    fn file_names_read_back_and_are_not_ambiguous(name in header_text()) {
        let name = HeaderText::new(&name);
        prop_assume!(!name.as_str().trim().is_empty());
        let field = parameterised("Content-Disposition", &HeaderText::new("attachment"), &[("filename", name.clone())]);
        assert_lines(&field, 98);
        let read = Message::parse(Bytes::from([field.raw(), &b"\r\n"[..]].concat()));
        prop_assert_eq!(read.ambiguities(), &[]);
        prop_assert_eq!(read.root().disposition, Disposition::Attachment);
        prop_assert_eq!(read.root().file_name.as_deref(), Some(name.as_str()));
    }

    #[test]
    fn structured_tokens_keep_their_lines_short(value in "\\PC{0,3000}") {
        assert_lines(&structured("References", &HeaderText::new(&value)), 998);
    }

    #[test]
    fn texts_read_back(texts in proptest::collection::vec("(\\PC|[\r\n\t. =F-])*", 1..4), seed: [u8; 16]) {
        let parts = texts.iter().map(|text| Content::Text { subtype: "plain", text: text.clone() }).collect();
        let octets = message(Vec::new(), Content::Multipart { subtype: "mixed", parameters: Vec::new(), parts }, &seed);
        prop_assert!(octets.split(|&octet| octet == b'\n').all(|line| line.len() <= 999));
        let read = Message::parse(octets);
        prop_assert_eq!(read.ambiguities(), &[]);
        let found: Vec<String> = read.root().children.iter().map(|part| read.text(part)).collect();
        let expect: Vec<String> = texts.iter().map(|text| text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")).collect();
        prop_assert_eq!(found, expect);
    }
}
