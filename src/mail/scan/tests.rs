//! What is ambiguous, what is not, and what no octets can do to the scanner.

use proptest::prelude::*;

use super::*;
use crate::mail::Message;

fn reasons(text: &str) -> Vec<&'static str> {
    let message = Message::parse(Bytes::copy_from_slice(text.as_bytes()));
    message.ambiguities().iter().map(|doubt| doubt.reason).collect()
}

/// A multipart/mixed with these lines as its body.
fn mixed(body: &str) -> String {
    format!("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n{body}")
}

fn part(fields: &str, body: &str) -> String {
    format!("MIME-Version: 1.0\r\n{fields}\r\n\r\n{body}")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_two_readers_could_understand_differently_is_named() {
    let long = "x".repeat(1100);
    for (text, reason) in [
        (part("Content-Type: text/plain\r\nContent-Type: text/html", ""), "two Content-Type fields"),
        (part("content-transfer-encoding: 7bit\r\nContent-Transfer-Encoding: 7bit", ""), "two Content-Transfer-Encoding fields"),
        (part("Content-Disposition: inline\r\nContent-Disposition: attachment", ""), "two Content-Disposition fields"),
        (part("MIME-Version: 1.0", ""), "two MIME-Version fields"),
        (part("From: a@b\r\nFrom: c@d", ""), "two From fields"),
        (part("Subject: a\r\nSubject: b", ""), "two Subject fields"),
        (part("Content-Type: multipart/mixed; boundary=a; boundary=b", "--a\r\n\r\nx\r\n--a--"), "two boundaries"),
        (part("Content-Type: multipart/mixed; boundary*=utf-8''a", "--a\r\n\r\nx\r\n--a--"), "a boundary in RFC 2231 form"),
        (part("Content-Type: multipart/mixed; boundary*0=a; boundary*1=b", "--ab\r\n\r\nx\r\n--ab--"), "a boundary in RFC 2231 form"),
        (part("Content-Type: multipart/mixed; boundary=\"a \"", "--a \r\n\r\nx\r\n--a --"), "a boundary with a space at its end"),
        (part(&format!("Content-Type: multipart/mixed; boundary={}", "a".repeat(71)), ""), "a boundary longer than 70 characters"),
        (part("Content-Type: multipart/mixed", "x"), "a multipart without a boundary"),
        (part("Content-Type : text/plain", ""), "white space before the colon of a field"),
        (part("Subject: a\0b", ""), "a NUL character"),
        (part("Subject: a", "x\ry"), "a carriage return or line feed on its own"),
        (part("Subject: a", "x\ny"), "a carriage return or line feed on its own"),
        (part("Subject: a", "x\r"), "a carriage return or line feed on its own"),
        (part("Content-Transfer-Encoding: x-uuencode", ""), "an unknown Content-Transfer-Encoding"),
        (part("Content-Transfer-Encoding: base64 (really)", ""), "a comment in Content-Transfer-Encoding"),
        (
            mixed("--b\r\n\r\nx\r\n--b--").replace("\r\n\r\n--b", "\r\nContent-Transfer-Encoding: base64\r\n\r\n--b"),
            "a transfer encoding on a part that holds parts",
        ),
        (
            part("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64", "eA=="),
            "a transfer encoding on a part that holds parts",
        ),
        (part("Content-Transfer-Encoding: base64", "aG*k="), "foreign characters in base64"),
        (part("Content-Transfer-Encoding: base64", "aGk=\r\naGk="), "padding inside base64"),
        (part("Content-Transfer-Encoding: base64", "aGk"), "base64 that ends within a group"),
        (part("Content-Type: text/plain; charset=\"utf-8", ""), "a quote that is never closed"),
        (mixed(&format!("{long}\r\n--b\r\n\r\nx\r\n--b--")), "more than 1 KiB before the first or after the last part"),
        (mixed(&format!("--b\r\n\r\nx\r\n--b--\r\n{long}")), "more than 1 KiB before the first or after the last part"),
        (mixed("Content-Type: text/html\r\n\r\n--b\r\n\r\nx\r\n--b--"), "something like a part before the first or after the last part"),
        (mixed("--b\r\n\r\nx\r\n--b--\r\n--c\r\n\r\nevil"), "something like a part before the first or after the last part"),
        (mixed("--b\r\n\r\nx\r\n--b--\r\n--b\r\n\r\nevil"), "a delimiter after the closing delimiter"),
        (mixed("--b\r\nContent-Type: text/plain\r\n--b--"), "a part without a blank line after its header"),
        (mixed("--b\r\n\r\nx\r\n--bc\r\n\r\ny\r\n--b--"), "a line that only begins like a delimiter"),
        (inside("abc", "ab"), "a boundary that begins like one around it"),
        (inside("ab", "abc"), "a boundary that begins like one around it"),
        (inside("ab", "ab"), "a boundary that begins like one around it"),
        (forward("ab", "abc"), "a boundary that begins like one around it"),
        (mixed("no delimiter at all"), "a multipart whose boundary never appears"),
        (mixed("--b--"), "a multipart without parts"),
        (nested(2).replacen("--.0.--", "", 1), "a multipart that is never closed"),
        (mixed("--b\r\n\r\nx"), "a multipart that is never closed"),
        (part("Content-Disposition: attachment; filename=a.txt\r\nContent-Type: text/plain; name=a.exe", ""), "two different file names"),
        (part("Content-Disposition: attachment; filename=a.txt; filename*=utf-8''a.exe", ""), "two different file names"),
        (part("Content-Disposition: attachment; filename*0=a; filename*2=b", ""), "a parameter in oddly numbered pieces"),
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--".to_owned(), "a multipart without MIME-Version"),
        (part("Content-Type: message/partial; id=a; number=1", ""), "a message in pieces (message/partial)"),
        (part("Content-Type: message/external-body; access-type=URL", ""), "content that stands elsewhere (message/external-body)"),
        (part("Content-Type: multipart/appledouble; boundary=b", "--b\r\n\r\nx\r\n--b--"), "a file in two forks (multipart/appledouble)"),
        (part("Content-Type: text/plain; charset=utf-7", ""), "an unknown character set"),
        (part("Content-Type: text/plain; charset=hz-gb-2312", ""), "an unknown character set"),
        (part("Content-Type: text/plain; charset=klingon", ""), "an unknown character set"),
        (part("Content-Type: text/plain; charset=utf-8; charset=koi8-r", ""), "two character sets"),
        (part("Content-Type: text/plain; charset=iso-2022-jp", "\x1b$Cxx\x1b(B"), "odd escapes in iso-2022-jp text"),
        (
            part("Content-Type: text/plain; charset=iso-2022-jp\r\nContent-Transfer-Encoding: quoted-printable", "=1B"),
            "odd escapes in iso-2022-jp text",
        ),
        (part("Content-Type: nonsense", ""), "a Content-Type that cannot be read"),
        (part("Subject: a\r\nnonsense", ""), "a header line that is no field"),
        (part("Subject: a\r\n \r\n b", ""), "a header line of white space only"),
        (" a\r\n\r\n".to_owned(), "a header line that continues no field"),
        (part(&format!("X: {}", "y".repeat(70_000)), ""), "a field longer than 64 KiB"),
        (part("X: y\r\n".repeat(1_001).trim_end(), ""), "more than 1,000 fields"),
        (part(format!("X: {}\r\n", "y".repeat(500)).repeat(600).trim_end(), ""), "a header longer than 256 KiB"),
        (mixed(&"--b\r\n\r\nx\r\n".repeat(1_001)), "too many parts"),
        (nested(25), "parts nested too deeply"),
        (forwarded(25), "parts nested too deeply"),
    ] {
        assert!(reasons(&text).contains(&reason), "{reason}: {:?} {text:.300}", reasons(&text));
    }
}

#[test]
fn what_ordinary_clients_write_is_not_ambiguous() {
    for text in [
        "".to_owned(),
        "Subject: only a header\r\n".to_owned(),
        "Subject: no MIME at all\r\n\r\nhello".to_owned(),
        "Content-Type: text/html\r\n\r\n<p>a script's mail".to_owned(),
        part("MIME-Version: 1.0 (Mac OS X Mail 16.0 \\(3696.80\\))", "x").replacen("MIME-Version: 1.0\r\n", "", 1),
        mixed("This is a multi-part message in MIME format.\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n\r\n"),
        mixed("--b \t\r\n\r\nx\r\n--b-- \r\n"),
        mixed("--b\r\n\r\nx\r\n--b--\r\n_____________\r\n-------------\r\nlist footer\r\n-- \r\nx"),
        mixed("--b\r\n\r\n--b--"),
        inside("abc", "abd"),
        inside("=_1", "=_2"),
        forward("a-1", "a-2"),
        mixed("--b\r\nContent-Type: multipart/mixed;\r\n\tboundary=\"a\"\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n\r\n--b--"),
        part("Content-Type: text/plain;\r\n charset=utf-8; charset=UTF-8;", ""),
        part("Content-Transfer-Encoding: base64", "aGk=\r\n\r\n"),
        part("Content-Transfer-Encoding: BASE64", "aGk="),
        part("Content-Disposition: attachment; filename=\"r_ka.pdf\"; filename*=utf-8''r%C3%A4ka.pdf", ""),
        part(
            "Content-Type: text/plain; name=\"=?utf-8?Q?r=C3=A4ka.txt?=\"\r\nContent-Disposition: attachment;\r\n filename*=utf-8''r%C3%A4ka.txt",
            "",
        ),
        part("Content-Type: application/zip; charset=binary", ""),
        part("Content-Type: text/plain; charset=iso-2022-jp", "\x1b$B$\"\x1b(B"),
        nested(9),
        forwarded(9),
    ] {
        assert_eq!(reasons(&text), Vec::<&str>::new(), "{text}");
    }
}

fn nested(depth: usize) -> String {
    let mut text = "Content-Type: text/plain\r\n\r\nx".to_owned();
    for level in 0..depth {
        text = format!("Content-Type: multipart/mixed; boundary=.{level}.\r\n\r\n--.{level}.\r\n{text}\r\n--.{level}.--\r\n");
    }
    format!("MIME-Version: 1.0\r\n{text}")
}

/// A multipart inside another.
fn inside(outer: &str, inner: &str) -> String {
    let parts = format!("--{inner}\r\n\r\nhello\r\n--{inner}--");
    let frame = format!("Content-Type: multipart/alternative; boundary=\"{inner}\"\r\n\r\n{parts}");
    let file = "Content-Type: text/plain; name=a.txt\r\n\r\nfile";
    let parts = format!("--{outer}\r\n{frame}\r\n--{outer}\r\n{file}\r\n--{outer}--\r\n");
    format!("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"{outer}\"\r\n\r\n{parts}")
}

/// The same with the inner one in a forwarded message.
fn forward(outer: &str, inner: &str) -> String {
    let head = "Content-Type: multipart/alternative";
    inside(outer, inner).replace(head, &format!("Content-Type: message/rfc822\r\n\r\nMIME-Version: 1.0\r\n{head}"))
}

fn forwarded(depth: usize) -> String {
    "Content-Type: message/rfc822\r\n\r\n".repeat(depth) + "Subject: x\r\n\r\nx"
}

#[test]
fn a_part_stands_exactly_where_it_stands() {
    let text = mixed(
        "pre\r\n--b\r\nContent-ID: <c@d>\r\n\r\none\r\n\r\n--b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner\r\n--b--\r\nepi",
    );
    let message = Message::parse(Bytes::from(text));
    assert_eq!(message.ambiguities(), []);
    let seen: Vec<_> = message.parts().iter().skip(1).map(|part| (message.raw(part), message.body(part))).collect();
    let expect: Vec<(Bytes, Bytes)> = [
        ("Content-ID: <c@d>\r\n\r\none\r\n", "one\r\n"),
        ("\r\n", ""),
        ("Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner", "Subject: in\r\n\r\ninner"),
        ("Subject: in\r\n\r\ninner", "inner"),
    ]
    .map(|(raw, body)| (Bytes::from(raw), Bytes::from(body)))
    .into();
    assert_eq!(seen, expect);
    assert_eq!(message.part(PartId(1)).and_then(|part| part.content_id.clone()).as_deref(), Some("c@d"));
}

#[test]
fn a_digest_holds_messages() {
    let text = mixed("--b\r\n\r\nSubject: a\r\n\r\nx\r\n--b--").replace("multipart/mixed", "multipart/digest");
    let message = Message::parse(Bytes::from(text));
    assert_eq!(message.ambiguities(), []);
    assert!(message.parts()[1].is_message());
    assert_eq!(message.parts()[2].header.first("Subject").map(|field| field.text()).as_deref(), Some("a"));
}

#[test]
fn hostile_mail_costs_no_more_than_its_length() {
    for text in [
        nested(3_000),
        mixed(&"\r\n--".repeat(300_000)),
        mixed(&"\r\n--b".repeat(300_000)),
        mixed(&"\r\n--bx".repeat(300_000)),
        "a:\r\n".repeat(300_000),
        part(&format!("Content-Type: text/plain; {}", "a*0=b;".repeat(10_000)), ""),
        part(&format!("Content-Type: text/plain; a=\"{}", "\\".repeat(60_000)), ""),
        part(&format!("Subject: {}", "=?".repeat(30_000)), ""),
    ] {
        let message = Message::parse(Bytes::from(text));
        assert!(message.ambiguities().len() <= 100 && message.parts().len() <= 1_000);
    }
}

/// Fragments that mean something to the scanner, in any order.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let fragments = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        "\0",
        "--",
        "--b",
        "--b--",
        "--a",
        "\r\n\r\n",
        "Content-Type: ",
        "multipart/mixed; boundary=b",
        "multipart/digest; boundary=\"a\"",
        "message/rfc822",
        "text/plain; charset=iso-2022-jp",
        "\x1b$",
        "Content-Transfer-Encoding: ",
        "base64",
        "quoted-printable",
        "Content-Disposition: attachment; ",
        "filename*0*=",
        "utf-8''%C3%A5",
        "filename=",
        "\"",
        "\\",
        "=?utf-8?B?w6U=?=",
        "(",
        ";",
        ":",
        " ",
        "=",
        "x",
    ]);
    let piece = prop_oneof![8 => fragments.prop_map(|text| text.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..8)];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn assert_nested(part: &Part, outer: &Range<usize>) {
    assert!(part.span.start >= outer.start && part.span.end <= outer.end, "{:?} in {outer:?}", part.span);
    assert!(
        part.span.start <= part.body.start && part.body.start <= part.body.end && part.body.end == part.span.end,
        "{:?} {:?}",
        part.span,
        part.body
    );
    let mut from = part.body.start;
    for child in &part.children {
        assert!(child.span.start >= from, "{:?} after {from}", child.span);
        assert_nested(child, &part.body);
        from = child.span.end;
    }
}

#[test]
fn a_header_that_a_delimiter_cuts_off_ends_within_what_it_stands_in() {
    for end in ["--b--\r\n", "--b\r\n\r\nx\r\n--b--\r\n", ""] {
        let octets = mixed(&format!("--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\nA: 1\r\n{end}"));
        let message = Message::parse(Bytes::from(octets));
        assert_nested(message.root(), &(0..message.bytes().len()));
    }
}

proptest! {
    #[test]
    fn any_octets_give_a_tree_whose_spans_nest(octets in soup()) {
        let message = Message::parse(Bytes::from(octets));
        assert_nested(message.root(), &(0..message.bytes().len()));
        for (number, part) in message.parts().into_iter().enumerate() {
            prop_assert_eq!(part.id, PartId(u32::try_from(number).unwrap()));
            let _ = message.text(part);
            for field in part.header.fields() {
                let _ = (crate::mail::decode::unstructured(&field.value()), crate::mail::decode::addresses(&field.value()));
            }
        }
    }

    #[test]
    fn wholly_random_octets_never_stop_it(octets in prop::collection::vec(any::<u8>(), 0..2000)) {
        let message = Message::parse(Bytes::from(octets));
        assert_nested(message.root(), &(0..message.bytes().len()));
    }

    #[test]
    fn base64_and_quoted_printable_read_back(octets in prop::collection::vec(any::<u8>(), 0..5000), width in 1_usize..100) {
        use std::io::Read;
        let encoded = data_encoding::BASE64.encode(&octets);
        let lines: Vec<u8> = encoded.as_bytes().chunks(width).collect::<Vec<_>>().join(&b"\r\n"[..]);
        let mut back = Vec::new();
        crate::mail::decode::transfer(Bytes::from(lines), crate::mail::TransferEncoding::Base64).read_to_end(&mut back).unwrap();
        prop_assert_eq!(&back, &octets);
        let quoted: String = octets.iter().map(|octet| format!("={octet:02X}")).collect();
        let lines: Vec<u8> = quoted.as_bytes().chunks(width.div_ceil(3) * 3).collect::<Vec<_>>().join(&b"=\r\n"[..]);
        let mut back = Vec::new();
        crate::mail::decode::transfer(Bytes::from(lines), crate::mail::TransferEncoding::QuotedPrintable).read_to_end(&mut back).unwrap();
        prop_assert_eq!(&back, &octets);
    }
}
