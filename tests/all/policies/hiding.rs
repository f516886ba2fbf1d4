//! Personal data in every place where a mail program shows something or a reader can open something:
//! found, or named as what cannot be read; and in no way does it leave.
//!
//! Each case is written twice, with a real number and with one that no check takes; the lines in which
//! the two differ carry the secret. None of them may stand in what leaves, nor the number in any reading of it.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use waxseal::policy::Protection;

use super::hiding_files::{as_files, inside_files};
use super::oracle::tells;
use super::pipeline::{fate, fate_in};
use super::{ReversePath, envelope};
use crate::extraction::make;

const REAL: &str = "850709-9805";
const FALSE: &str = "850709-9806";

const ENCRYPTED: &[u8] = include_bytes!("sealed/pgp-binary.pgp");

/// A name, and the mail that hides a number.
pub type Case = (&'static str, Box<dyn Fn(&str) -> Vec<u8>>);

#[test]
fn nothing_hides_and_nothing_of_it_leaves() {
    let mut missed = Vec::new();
    let cases: Vec<Case> = headers()
        .into_iter()
        .chain(texts())
        .chain(pages())
        .chain(written_in())
        .chain(as_files())
        .chain(inside_files())
        .chain(frames())
        .collect();
    assert!(cases.len() > 100, "{}", cases.len());
    for (name, write) in &cases {
        let mail = write(REAL);
        let fate = fate(&mail);
        let found: BTreeSet<&str> = fate.inspection.findings.iter().map(|finding| finding.rule.as_str()).collect();
        let named = ["se-personnummer", "uninspectable", "ambiguous"].iter().any(|rule| found.contains(rule));
        let secured = fate.decisions.iter().all(|decision| decision.verdict.protection == Protection::SecureMessage);
        let lines = secret_lines(&mail, &write(FALSE));
        assert!(mail != write(FALSE), "{name}: the case hides nothing");
        let left = lines.iter().filter(|line| fate.sent.iter().any(|sent| holds(sent, line)));
        let mut left: Vec<String> = left.map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        left.extend(fate.sent.iter().filter_map(|sent| tells(sent, REAL)));
        if !named || !secured || !left.is_empty() {
            missed.push(format!("{name}: found {found:?}, secured {secured}, left {left:?}"));
        }
    }
    assert!(missed.is_empty(), "{} of {}\n{}", missed.len(), cases.len(), missed.join("\n"));
}

/// Envelopes and fields that say that nobody wrote this.
#[test]
fn nobody_gets_out_by_saying_that_a_machine_wrote_it() {
    let report = |text: &str, returned: &str| {
        format!(
            "From: MAILER-DAEMON@house.example\r\nTo: bob@mail.example\r\nSubject: Undelivered\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n--b\r\n\r\n{text}\r\n--b\r\n\
            Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; house.example\r\n\r\nAction: failed\r\n--b\r\n\
            Content-Type: message/rfc822\r\n\r\n{returned}\r\n--b--\r\n"
        )
    };
    let answer = |text: &str| {
        format!("From: ann@house.example\r\nTo: bob@mail.example\r\nSubject: Away\r\nAuto-Submitted: auto-replied\r\n\r\n{text}\r\n")
    };
    let letter = "From: bob@mail.example\r\nTo: ann@house.example\r\nSubject: hello\r\n\r\nhello\r\n";
    let with_file = String::from(
        "From: bob@mail.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"c\"\r\n\r\n--c\r\n\r\nx\r\n--c\r\n\
        Content-Type: application/octet-stream; name=\"a.csv\"\r\n\r\na;b\r\n--c--\r\n",
    );
    let words = "Your diagnosis and your medical history are attached to the patient record.";
    let both = [ReversePath::Null, ReversePath::Mailbox(waxseal::mail::Mailbox::parse("ann@house.example").unwrap())];
    for (mail, protected) in [
        (report("No such mailbox.", letter), false),
        (report(&format!("No such mailbox, {REAL}."), letter), true),
        (report("No such mailbox.", &format!("Subject: about {REAL}\r\n\r\nhello\r\n")), true),
        (report("No such mailbox.", &format!("Subject: x\r\n\r\n{REAL}\r\n")), true),
        (report(words, letter), true),
        (report("No such mailbox.", &with_file), true),
        (answer("I am away until Monday."), false),
        (answer(words), true),
        (answer(REAL), true),
    ] {
        for from in &both {
            let fate = fate_in(mail.as_bytes(), &envelope(from.clone(), &["bob@mail.example"]));
            let secured = fate.decisions[0].verdict.protection > Protection::Pass;
            // A report that has a sender is an ordinary mail with a forwarded one.
            let report = mail.contains("multipart/report") && *from != ReversePath::Null;
            assert_eq!(secured, protected || report, "{from:?}\n{mail}");
        }
    }
}

/// What programs make up is long and full of digits, and says nothing.
#[test]
fn what_machines_write_is_no_secret() {
    let number = "4111111111111111";
    let boundary = format!("==============={number}==");
    let fields = format!(
        "Subject: x\r\nDate: Thu, 27 Nov 2025 10:00:00 +0000 (CET)\r\nMessage-ID: <{number}.1@house.example>\r\n\
         References: <{number}@x.example>\r\n <{number}.2@x.example>\r\nThread-Index: AQHbQPXYNoJp8xXhQ0ivN6wJYTzbQw==\r\n\
         Received: from a.example (a.example [192.0.2.1]) by b.example with ESMTPS id {number};\r\n\tThu, 27 Nov 2025 10:00:00 +0000\r\n\
         DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=a; t={number};\r\n\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b={number}\r\n\
         Content-Type: multipart/mixed; boundary=\"{boundary}\""
    );
    let fate = fate(&top(&fields, &multipart(&boundary, &[("", "hello"), ("Content-ID: <4111111111111111@x>", "x")])));
    assert!(fate.inspection.findings.is_empty(), "{:?}", fate.inspection.findings);
    assert!(fate.decisions.iter().all(|decision| decision.verdict.protection == Protection::Pass));
}

fn secret_lines(real: &[u8], other: &[u8]) -> Vec<Vec<u8>> {
    let lines = |mail: &[u8]| -> Vec<Vec<u8>> { mail.split(|&octet| octet == b'\n').map(|line| line.trim_ascii().to_vec()).collect() };
    let other: BTreeSet<Vec<u8>> = lines(other).into_iter().collect();
    lines(real).into_iter().filter(|line| line.len() >= 4 && !other.contains(line)).collect()
}

fn holds(octets: &[u8], what: &[u8]) -> bool {
    octets.windows(what.len()).any(|window| window == what)
}

pub fn case(name: &'static str, write: impl Fn(&str) -> Vec<u8> + 'static) -> Case {
    (name, Box::new(write))
}

pub fn top(fields: &str, body: &str) -> Vec<u8> {
    format!("From: Ann <ann@house.example>\r\nTo: Bob <bob@mail.example>\r\nMIME-Version: 1.0\r\n{fields}\r\n\r\n{body}\r\n").into_bytes()
}

fn field(name: &'static str, value: impl Fn(&str) -> String + 'static) -> Case {
    let write = move |secret: &str| top(&format!("Subject: x\r\n{name}: {}", value(secret)), "hello");
    (name, Box::new(write))
}

pub fn part(fields: &str, body: &str) -> Vec<u8> {
    mixed(&[("", "hello"), (fields, body)])
}

fn mixed(parts: &[(&str, &str)]) -> Vec<u8> {
    top("Subject: x\r\nContent-Type: multipart/mixed; boundary=\"b-1\"", &multipart("b-1", parts))
}

pub fn multipart(boundary: &str, parts: &[(&str, &str)]) -> String {
    let parts: String = parts
        .iter()
        .map(|(fields, body)| {
            let fields = if fields.is_empty() { String::new() } else { format!("{fields}\r\n") };
            format!("--{boundary}\r\n{fields}\r\n{body}\r\n")
        })
        .collect();
    format!("{parts}--{boundary}--")
}

pub fn b64(octets: impl AsRef<[u8]>) -> String {
    let packed = BASE64.encode(octets.as_ref());
    packed.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned()).collect::<Vec<_>>().join("\r\n")
}

fn hex(text: &str) -> String {
    text.bytes().map(|octet| format!("={octet:02X}")).collect()
}

#[expect(clippy::too_many_lines, reason = "a table: one line for each hiding place")]
fn headers() -> Vec<Case> {
    let subject = |name: &'static str, value: fn(&str) -> String| case(name, move |s| top(&format!("Subject: {}", value(s)), "hello"));
    let mut all = vec![
        subject("subject", |s| format!("about {s}")),
        subject("subject in base64", |s| format!("=?utf-8?B?{}?=", BASE64.encode(s.as_bytes()))),
        subject("subject in two words", |s| format!("=?utf-8?Q?{}?=\r\n =?utf-8?Q?{}?=", hex(&s[..5]), hex(&s[5..]))),
        subject("subject in two charsets", |s| format!("=?utf-8?Q?{}?= =?iso-8859-1?Q?{}?=", hex(&s[..5]), hex(&s[5..]))),
        subject("subject in utf-16", |s| {
            format!("=?utf-16be?B?{}?=", BASE64.encode(&s.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>()))
        }),
        subject("subject folded within", |s| format!("about {}\r\n {}", &s[..7], &s[7..])),
        subject("subject with tag characters", |s| s.chars().map(|c| format!("{c}\u{200b}")).collect()),
        case("display name of From", |s| {
            format!("From: \"Ann {s}\" <ann@house.example>\r\nTo: bob@mail.example\r\nSubject: x\r\n\r\nhello\r\n").into_bytes()
        }),
        case("display name of From, encoded", |s| {
            format!("From: =?utf-8?Q?Ann_{}?= <ann@house.example>\r\nTo: bob@mail.example\r\nSubject: x\r\n\r\nhello\r\n", hex(s))
                .into_bytes()
        }),
        case("comment that names From", |s| {
            format!("From: ann@house.example ({s})\r\nTo: bob@mail.example\r\nSubject: x\r\n\r\nhello\r\n").into_bytes()
        }),
        case("display name of To, encoded", |s| {
            format!("From: ann@house.example\r\nTo: =?utf-8?Q?{}?= <bob@mail.example>\r\nSubject: x\r\n\r\nhello\r\n", hex(s)).into_bytes()
        }),
        case("comment beside an address", |s| {
            format!("From: ann@house.example\r\nTo: Bob ({s}) <bob@mail.example>\r\nSubject: x\r\n\r\nhello\r\n").into_bytes()
        }),
        case("comment behind an address", |s| {
            format!("From: ann@house.example\r\nTo: bob@mail.example (a {s})\r\nSubject: x\r\n\r\nhello\r\n").into_bytes()
        }),
        case("address in quotes", |s| {
            format!("From: ann@house.example\r\nTo: bob@mail.example, \"{s}\"@mail.example\r\nSubject: x\r\n\r\nhello\r\n").into_bytes()
        }),
        case("address in quotes and brackets", |s| {
            format!("From: ann@house.example\r\nCc: <\"about {s}\"@mail.example>\r\nSubject: x\r\n\r\nhello\r\n").into_bytes()
        }),
        case("name of a field", |s| top(&format!("Subject: x\r\nX-{s}: yes"), "hello")),
        case("name of a field of a part", |s| part(&format!("X-{s}: yes"), "hello")),
        field("X-Note", |s| format!("see {}", BASE64.encode(format!("it is about {s}").as_bytes()))),
        subject("subject in base64 of its own", |s| format!("see {}", BASE64.encode(format!("it is about {s}").as_bytes()))),
        case("name of a group", |s| {
            format!("From: ann@house.example\r\nTo: {s}: bob@mail.example;\r\nSubject: x\r\n\r\nhello\r\n").into_bytes()
        }),
        case("quoted pairs in a name", |s| {
            let quoted: String = s.chars().map(|c| format!("\\{c}")).collect();
            format!("From: ann@house.example\r\nTo: \"{quoted}\" <bob@mail.example>\r\nSubject: x\r\n\r\nhello\r\n").into_bytes()
        }),
        field("Content-Description", |s| format!("about {s}")),
        field("Content-Type", |s| format!("text/plain; x-note=\"{s}\"")),
        field("Message-ID", |s| format!("({s}) <a@house.example>")),
        field("Date", |s| format!("Thu, 27 Nov 2025 10:00:00 +0000 ({s})")),
        field("Date", |s| format!("x {s}")),
        field("Auto-Submitted", |s| format!("no; x=\"{s}\"")),
        field("Received", |s| format!("from a.example (a.example [192.0.2.1]) by {s} with ESMTP; Thu, 27 Nov 2025 10:00:00 +0000")),
        field("Received", |s| format!("from a.example ({s}) by b.example; Thu, 27 Nov 2025 10:00:00 +0000")),
        field("Content-Type", |s| format!("text/plain; charset=utf-8 ({s})")),
        field("Content-Disposition", |s| format!("inline; x-note=\"{s}\"")),
        field("Thread-Index", |s| BASE64.encode(format!("it is about {s}").as_bytes())),
    ];
    for name in [
        "X-Custom",
        "Keywords",
        "Comments",
        "Thread-Topic",
        "Reply-To",
        "Sender",
        "Cc",
        "Organization",
        "X-Priority",
        "Importance",
        "Resent-From",
        "Disposition-Notification-To",
        "List-Id",
        "Archived-At",
        "Content-Location",
        "Content-Language",
        "In-Reply-To",
        "References",
        "Message-ID",
        "Resent-Message-ID",
        "Resent-Date",
        "Date",
        "Precedence",
        "Auto-Submitted",
        "Thread-Index",
        "Received",
        "Return-Path",
        "DKIM-Signature",
        "Content-ID",
        "List-Help",
    ] {
        all.push(field(name, |s| format!("about {s} <c@house.example>")));
        all.push(field(name, |s| format!("=?utf-8?B?{}?= <c@house.example>", BASE64.encode(format!("about {s}").as_bytes()))));
    }
    all
}

#[expect(clippy::too_many_lines, reason = "a table: one line for each hiding place")]
fn texts() -> Vec<Case> {
    let typed = |name: &'static str, fields: &'static str, body: fn(&str) -> String| case(name, move |s| part(fields, &body(s)));
    let utf16 = |s: &str, big: bool| -> Vec<u8> {
        format!("hello, it is {s} indeed")
            .encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    };
    vec![
        case("text alone", |s| top("Subject: x", s)),
        typed("quoted-printable", "Content-Transfer-Encoding: quoted-printable", hex),
        typed("quoted-printable, soft breaks", "Content-Transfer-Encoding: quoted-printable", |s| {
            format!("{}=\r\n{}=\r\n{}=\r\n", &s[..4], &s[4..7], &s[7..])
        }),
        typed("quoted-printable with control characters", "Content-Transfer-Encoding: quoted-printable", |s| {
            s.chars().map(|c| format!("{c}=01=7F")).collect()
        }),
        typed("quoted-printable in lower case", "Content-Transfer-Encoding: Quoted-Printable", |s| hex(s).to_lowercase()),
        typed("base64", "Content-Transfer-Encoding: base64", |s| b64(format!("it is {s}"))),
        typed("base64 in tiny lines", "Content-Transfer-Encoding: BASE64", |s| {
            BASE64.encode(s.as_bytes()).as_bytes().chunks(4).map(|four| String::from_utf8_lossy(four) + "\r\n").collect()
        }),
        case("utf-16 with its label", move |s| {
            part("Content-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64", &b64(utf16(s, false)))
        }),
        case("utf-16 the other way round", move |s| {
            part("Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64", &b64(utf16(s, true)))
        }),
        case("utf-16 called latin", move |s| {
            part("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64", &b64(utf16(s, false)))
        }),
        case("utf-16 called nothing", move |s| part("Content-Transfer-Encoding: base64", &b64(utf16(s, true)))),
        typed("ascii called utf-16", "Content-Type: text/plain; charset=utf-16", |s| format!("it is {s} so")),
        typed("utf-7", "Content-Type: text/plain; charset=utf-7", |s| s.replace('-', "+AC0-")),
        typed("hz", "Content-Type: text/plain; charset=hz-gb-2312", |s| s.to_owned()),
        typed("iso-2022-jp, digits of two octets", "Content-Type: text/plain; charset=iso-2022-jp", |s| {
            let wide: String = s.chars().map(|c| if c == '-' { "!]".to_owned() } else { format!("#{c}") }).collect();
            format!("\x1b$B{wide}\x1b(B")
        }),
        typed("iso-2022-jp called ascii", "Content-Type: text/plain; charset=us-ascii", |s| {
            let wide: String = s.chars().map(|c| if c == '-' { "!]".to_owned() } else { format!("#{c}") }).collect();
            format!("\x1b$B{wide}\x1b(B")
        }),
        typed("utf-8 called latin", "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit", |s| {
            s.chars().map(|c| if c.is_ascii_digit() { char::from_u32(c as u32 + 0xFEE0).unwrap() } else { c }).collect()
        }),
        typed("ebcdic", "Content-Type: text/plain; charset=cp037", |s| s.to_owned()),
        typed("flowed with DelSp", "Content-Type: text/plain; format=flowed; delsp=yes", |s| format!("{} \r\n{}", &s[..4], &s[4..])),
        typed("flowed and quoted", "Content-Type: text/plain; format=flowed", |s| format!("> {} \r\n> {}", &s[..7], &s[7..])),
        typed("letter-spaced", "Content-Type: text/plain", |s| s.chars().map(|c| format!("{c} ")).collect()),
        typed("one below the other", "Content-Type: text/plain", |s| s.chars().map(|c| format!("{c}\r\n")).collect()),
        typed("blanks around the hyphen", "Content-Type: text/plain", |s| s.replace('-', " - ")),
        typed("text/csv", "Content-Type: text/csv", |s| format!("name;number\r\nAnn;{s}")),
        typed("text/calendar", "Content-Type: text/calendar; method=REQUEST", |s| {
            format!("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDESCRIPTION:about {}\r\n {}\r\nEND:VEVENT\r\nEND:VCALENDAR", &s[..7], &s[7..])
        }),
        typed("file in a calendar", "Content-Type: text/calendar; name=invite.ics", |s| {
            let packed = b64(format!("it is about {s} and nobody else in this house"));
            format!("BEGIN:VCALENDAR\r\nATTACH;ENCODING=BASE64;VALUE=BINARY:{}\r\nEND:VCALENDAR", packed.replace("\r\n", "\r\n "))
        }),
        typed("text/vcard", "Content-Type: text/vcard; name=\"a.vcf\"", |s| format!("BEGIN:VCARD\r\nNOTE:{s}\r\nEND:VCARD")),
        typed("text/enriched", "Content-Type: text/enriched", |s| format!("{}<bold>{}</bold>", &s[..4], &s[4..])),
        typed("text of an unknown kind", "Content-Type: text/x-amp-html", |s| format!("<p>{}<b>{}</b>", &s[..4], &s[4..])),
        typed("page called plain", "Content-Type: text/plain", |s| format!("<html><p>{}<b>{}</b>", &s[..4], &s[4..])),
        typed("rtf called plain", "Content-Type: text/plain", |s| format!("{{\\rtf1 {}}}", s.replace('-', "\\'2d"))),
        typed("Content-Description of a part", "Content-Type: text/plain", |s| format!("x\r\n--b-1\r\nContent-Description: {s}\r\n\r\nx")),
        typed("field of a part", "Content-Type: text/plain", |s| format!("x\r\n--b-1\r\nX-Note: {s}\r\n\r\nx")),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table: one line for each hiding place")]
fn pages() -> Vec<Case> {
    let page = |name: &'static str, body: fn(&str) -> String| {
        case(name, move |s| part("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit", &body(s)))
    };
    vec![
        page("html", |s| format!("<p>{s}</p>")),
        page("entities", |s| s.chars().map(|c| format!("&#{};", c as u32)).collect()),
        page("split tags", |s| s.chars().map(|c| format!("<i>{c}</i>")).collect()),
        page("comments between", |s| s.chars().map(|c| format!("{c}<!-- x -->")).collect()),
        page("in a comment", |s| format!("<!-- {s} -->")),
        page("in a conditional comment", |s| format!("<!--[if mso]><p>{s}</p><![endif]-->")),
        page("alt", |s| format!("<img alt=\"{s}\">")),
        page("title", |s| format!("<title>{s}</title>")),
        page("link", |s| format!("<a href=\"https://x.example/{s}\">x</a>")),
        page("attribute of one's own", |s| format!("<p data-who=\"{s}\">x</p>")),
        page("value of a field", |s| format!("<input type=hidden value=\"{s}\">")),
        page("meta", |s| format!("<meta name=\"description\" content=\"{s}\">")),
        page("hidden", |s| format!("<div style=\"display:none\">{s}</div>")),
        page("script", |s| format!("<script>var a = '{s}'</script>")),
        page("template", |s| format!("<template>{s}</template>")),
        page("cells", |s| format!("<table><tr><td>{}</td><td>-</td><td>{}</td></tr></table>", &s[..6], &s[7..])),
        page("a cell for each digit", |s| {
            format!("<table><tr>{}</tr></table>", s.chars().map(|c| format!("<td>{c}</td>")).collect::<String>())
        }),
        page("rows", |s| format!("<table><tr><td>{}</td></tr><tr><td>{}</td></tr></table>", &s[..7], &s[7..])),
        page("file in a link", |s| {
            format!("<a download href=\"data:text/plain;base64,{}\">x</a>", BASE64.encode(format!("it is about {s}").as_bytes()))
        }),
        page("file in a link, by its type alone", |s| format!("<a href=\"data:text/html,<p>{}<b>{}</b>\">x</a>", &s[..4], &s[4..])),
        page("file in a link, its letters written as entities", |s| {
            let packed = BASE64.encode(format!("it is about {s}").as_bytes());
            let spelled: String = packed.chars().map(|c| format!("&#{};", c as u32)).collect();
            format!("<a href=\"&#100;ata:text/plain;base64,{spelled}\">x</a>")
        }),
        page("document in a link", |s| {
            let file = BASE64.encode(&make::docx(&make::paragraph(s), &[]));
            format!("<a download=\"a.docx\" href=\"data:application/octet-stream;base64,{file}\">x</a>")
        }),
        page("something unknown in a link", |s| {
            let file = BASE64.encode(&[&[0, 1, 2, 3, 0xff, 0xfe, 0, 7, 9][..], s.as_bytes()].concat());
            format!("<a download=\"a.bin\" href=\"data:application/octet-stream;base64,{file}\">x</a>")
        }),
        page("file in a style sheet", |s| {
            format!(
                "<style>p {{ background: url(data:text/plain;base64,{}) }}</style>",
                BASE64.encode(format!("it is about {s}").as_bytes())
            )
        }),
        page("beside a file in a link", |s| format!("<a href=\"data:text/plain;base64,aGVsbG8=?pnr={s}\">x</a>")),
        page("type of a file in a link", |s| format!("<a href=\"data:text/plain;name={s};base64,aGVsbG8=\">x</a>")),
        page("address of a picture", |s| format!("<img src=\"https://x.example/?pnr={s}\">")),
        page("address with percent signs", |s| format!("<img src=\"https://x.example/?pnr={}\">", s.replace('-', "%2D"))),
        page("class", |s| format!("<p class=\"pnr-{s}\">x</p>")),
        page("style", |s| format!("<p style=\"background:url(/pnr/{s})\">x</p>")),
        page("second of two attributes", |s| format!("<p title=\"x\" title=\"{s}\">x</p>")),
        page("end tag", |s| format!("<p>x</p title=\"{s}\">")),
        page("name of an attribute", |s| format!("<p {s}>x</p>")),
        page("name of a tag", |s| format!("<x{s}>x</x{s}>")),
        page("tag without an end", |s| format!("<p>x</p><p title=\"{s}\"")),
        page("document type", |s| format!("<!DOCTYPE html SYSTEM \"{s}\"><p>x")),
        page("processing instruction", |s| format!("<?x {s}?><p>x")),
        page("page in a page", |s| format!("<iframe srcdoc=\"&lt;p&gt;{}&lt;b&gt;{}&lt;/b&gt;\"></iframe>", &s[..4], &s[4..])),
        page("from right to left", |s| format!("<bdo dir=rtl>{}</bdo>", s.chars().rev().collect::<String>())),
        page("from right to left by a character", |s| format!("<p>&#8238;{}&#8236;</p>", s.chars().rev().collect::<String>())),
        page("numbers of characters in a script", |s| {
            format!("<script>say('{}')</script>", s.bytes().map(|octet| format!("\\x{octet:02x}")).collect::<String>())
        }),
        page("numbers of characters in a style sheet", |s| {
            format!("<style>p::after {{ content: '{}' }}</style>", s.bytes().map(|octet| format!("\\{octet:x} ")).collect::<String>())
        }),
        page("svg", |s| format!("<svg><text>{s}</text></svg>")),
        page("word joiners", |s| s.chars().map(|c| format!("{c}&#8288;&shy;")).collect()),
    ]
}

fn written_in() -> Vec<Case> {
    let text = |name: &'static str, body: fn(&str) -> String| case(name, move |s| part("Content-Type: text/plain", &body(s)));
    vec![
        text("base64 in a text", |s| {
            format!("see\r\n{}\r\nbye", b64(format!("the number of the patient is {s}, keep it to yourself, please do")))
        }),
        text("base64 in a line", |s| format!("see {} there", BASE64.encode(s.as_bytes()))),
        text("link with percent signs", |s| format!("see https://x.example/?pnr={}", s.replace('-', "%2D"))),
        text("card in quoted-printable", |s| {
            format!("BEGIN:VCARD\r\nNOTE;ENCODING=QUOTED-PRINTABLE:{}=\r\n{}\r\nEND:VCARD", hex(&s[..5]), hex(&s[5..]))
        }),
        text("uuencode", |s| {
            let packed: String = s.as_bytes().chunks(3).map(uu).collect();
            format!("begin 644 a.txt\r\n{}{packed}\r\n`\r\nend", (b' ' + s.len() as u8) as char)
        }),
        text("yEnc", |s| {
            let shifted: String = s.bytes().map(|octet| char::from(octet + 42)).collect();
            format!("=ybegin line=128 size=11 name=a.txt\r\n{shifted}\r\n=yend size=11")
        }),
        text("inline armour that is none", |s| {
            format!("hello\r\n-----BEGIN PGP MESSAGE-----\r\n\r\n{}\r\n-----END PGP MESSAGE-----", BASE64.encode(s.as_bytes()))
        }),
        text("header of armour", |s| {
            let packed = BASE64.encode(ENCRYPTED);
            format!("-----BEGIN PGP MESSAGE-----\r\nComment: {s}\r\n\r\n{packed}\r\n-----END PGP MESSAGE-----")
        }),
        text("base64 in base64", |s| {
            let inner = BASE64.encode(format!("the number is {s}, keep it to yourself").as_bytes());
            format!("see {} there", BASE64.encode(format!("look: {inner} yes").as_bytes()))
        }),
        text("page in base64 with a file in a link", |s| {
            let inner = BASE64.encode(&make::zip(&[("a.txt", format!("number {s}, again and again, {s}"))]));
            b64(format!("<html><a href=\"data:application/zip;base64,{inner}\">x</a></html>"))
        }),
        text("archive that nobody opens, in base64", |s| {
            let archive = [&b"7z\xbc\xaf\x27\x1c\x00\x04"[..], &[0xA5, 0x3C, 0x99, 0x07].repeat(20), s.as_bytes()].concat();
            b64(archive)
        }),
        text("zip in base64 in a text", |s| b64(make::zip(&[("a.txt", format!("number {s}, again and again, {s}"))]))),
    ]
}

fn uu(group: &[u8]) -> String {
    let at = |place: usize| u32::from(group.get(place).copied().unwrap_or_default());
    let packed = at(0) << 16 | at(1) << 8 | at(2);
    [18, 12, 6, 0].iter().map(|shift| (packed >> shift & 63) as u8).map(|six| if six == 0 { '`' } else { (six + 32) as char }).collect()
}

#[expect(clippy::too_many_lines, reason = "a table: one line for each hiding place")]
fn frames() -> Vec<Case> {
    let forwarded = |name: &'static str, inner: fn(&str) -> String| case(name, move |s| part("Content-Type: message/rfc822", &inner(s)));
    let framed = |name: &'static str, kind: &'static str, parts: fn(&str) -> String| {
        case(name, move |s| top(&format!("Subject: x\r\nContent-Type: {kind}; boundary=\"b-1\""), &parts(s)))
    };
    vec![
        forwarded("forwarded text", |s| format!("From: a@x.example\r\nSubject: x\r\n\r\n{s}")),
        forwarded("forwarded subject", |s| format!("From: a@x.example\r\nSubject: about {s}\r\n\r\nx")),
        forwarded("forwarded name", |s| format!("From: \"{s}\" <a@x.example>\r\nSubject: x\r\n\r\nx")),
        forwarded("forwarded field of one's own", |s| format!("From: a@x.example\r\nX-Note: {s}\r\nSubject: x\r\n\r\nx")),
        forwarded("forwarded file", |s| {
            let file = b64(make::docx(&make::paragraph(s), &[]));
            let parts = multipart(
                "i-1",
                &[("", "x"), ("Content-Type: application/octet-stream; name=a.docx\r\nContent-Transfer-Encoding: base64", &file)],
            );
            format!("From: a@x.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"i-1\"\r\n\r\n{parts}")
        }),
        forwarded("forwarded in a forwarded", |s| {
            format!(
                "From: a@x.example\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\nFrom: b@x.example\r\nSubject: {s}\r\n\r\nx"
            )
        }),
        forwarded("preamble of a forwarded", |s| {
            format!(
                "From: a@x.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"i-1\"\r\n\r\n{s}\r\n{}",
                multipart("i-1", &[("", "x")])
            )
        }),
        framed("preamble", "multipart/mixed", |s| format!("{s}\r\n{}", multipart("b-1", &[("", "x"), ("", "y")]))),
        framed("epilogue", "multipart/mixed", |s| format!("{}\r\n{s}", multipart("b-1", &[("", "x"), ("", "y")]))),
        framed("one of the alternatives", "multipart/alternative", |s| {
            multipart("b-1", &[("", s), ("Content-Type: text/html", "<p>x</p>")])
        }),
        framed("calendar among alternatives", "multipart/alternative", |s| {
            multipart(
                "b-1",
                &[("", "x"), ("Content-Type: text/calendar; method=REQUEST", &format!("BEGIN:VCALENDAR\r\nSUMMARY:{s}\r\nEND:VCALENDAR"))],
            )
        }),
        framed("second text of a mixed", "multipart/mixed", |s| multipart("b-1", &[("", "x"), ("Content-Disposition: inline", s)])),
        framed("ten frames deep", "multipart/mixed", |s| {
            let mut inner = multipart("d-0", &[("", s)]);
            for depth in 1..10 {
                inner =
                    multipart(&format!("d-{depth}"), &[(&format!("Content-Type: multipart/mixed; boundary=\"d-{}\"", depth - 1), &inner)]);
            }
            multipart("b-1", &[("Content-Type: multipart/mixed; boundary=\"d-9\"", &inner)])
        }),
        framed("thousand parts", "multipart/mixed", |s| {
            let mut parts = vec![("", "x"); 1_200];
            parts.push(("", s));
            multipart("b-1", &parts)
        }),
        framed("signed text", "multipart/signed; protocol=\"application/pgp-signature\"; micalg=pgp-sha256", |s| {
            multipart(
                "b-1",
                &[
                    ("", s),
                    ("Content-Type: application/pgp-signature", "-----BEGIN PGP SIGNATURE-----\r\n\r\nAAAA\r\n-----END PGP SIGNATURE-----"),
                ],
            )
        }),
        framed("signature that is a file", "multipart/signed; protocol=\"application/pgp-signature\"; micalg=pgp-sha256", |s| {
            let file = b64(make::docx(&make::paragraph(s), &[]));
            multipart("b-1", &[("", "x"), ("Content-Type: application/pgp-signature\r\nContent-Transfer-Encoding: base64", &file)])
        }),
        framed("remark on a signature", "multipart/signed; protocol=\"application/pgp-signature\"; micalg=pgp-sha256", |s| {
            let armour = format!("-----BEGIN PGP SIGNATURE-----\r\nComment: {s}\r\n\r\nAAAA\r\n-----END PGP SIGNATURE-----");
            multipart("b-1", &[("", "x"), ("Content-Type: application/pgp-signature", &armour)])
        }),
        case("what has only the first octets of something encrypted", |s| {
            let head = [0x30, 0x80, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x03, 0xA0, 0x80];
            let content = b64([&head[..], format!("it is about {s}").as_bytes()].concat());
            let fields = "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m";
            top(&format!("Subject: x\r\n{fields}\r\nContent-Transfer-Encoding: base64"), &content)
        }),
        framed("what only calls itself encrypted", "multipart/encrypted; protocol=\"application/pgp-encrypted\"", |s| {
            multipart("b-1", &[("Content-Type: application/pgp-encrypted", "Version: 1"), ("Content-Type: application/octet-stream", s)])
        }),
        framed("beside something encrypted", "multipart/encrypted; protocol=\"application/pgp-encrypted\"", |s| {
            let armour =
                format!("-----BEGIN PGP MESSAGE-----\r\nComment: {s}\r\n\r\n{}\r\n-----END PGP MESSAGE-----", BASE64.encode(ENCRYPTED));
            multipart(
                "b-1",
                &[("Content-Type: application/pgp-encrypted", "Version: 1"), ("Content-Type: application/octet-stream", &armour)],
            )
        }),
        framed("preamble of something encrypted", "multipart/encrypted; protocol=\"application/pgp-encrypted\"", |s| {
            let armour = format!("-----BEGIN PGP MESSAGE-----\r\n\r\n{}\r\n-----END PGP MESSAGE-----", BASE64.encode(ENCRYPTED));
            let parts =
                [("Content-Type: application/pgp-encrypted", "Version: 1"), ("Content-Type: application/octet-stream", armour.as_str())];
            format!("{s}\r\n{}", multipart("b-1", &parts))
        }),
        framed("appledouble", "multipart/appledouble", |s| multipart("b-1", &[("Content-Type: application/applefile", "x"), ("", s)])),
        case("message/partial", |s| {
            top("Subject: x\r\nContent-Type: message/partial; number=1; total=2; id=\"a@b\"", &format!("Subject: y\r\n\r\n{s}"))
        }),
        case("message/external-body", |s| {
            top(
                "Subject: x\r\nContent-Type: message/external-body; access-type=URL; URL=\"https://x.example/\"",
                &format!("Content-Type: text/plain\r\n\r\n{s}"),
            )
        }),
        case("report that somebody wrote", |s| {
            let parts = [("", s), ("Content-Type: message/delivery-status", "Action: failed")];
            top("Subject: x\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"b-1\"", &multipart("b-1", &parts))
        }),
        case("delivery status", |s| {
            let status = format!("Diagnostic-Code: smtp; {s}");
            let parts = [("", "x"), ("Content-Type: message/delivery-status", status.as_str())];
            top("Subject: x\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"b-1\"", &multipart("b-1", &parts))
        }),
        case("Bcc", |s| top(&format!("Bcc: \"{s}\" <carol@house.example>"), "hello")),
    ]
}
