//! Delivery status notifications. RFC 3461 §6, RFC 3464; RFC 6533 where UTF-8 is needed.
//!
//! Nothing that a next hop or a client said can become a line of its own.

use bytes::Bytes;
use jiff::Timestamp;

use super::compose::{self, Content, HeaderText};
use super::{Admd, EnhancedStatus, Envelope, Header, Mailbox, Recipient, Utf8, xtext};

/// What became of one recipient. RFC 3464 §2.3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Given up.
    Failed,
    /// Late; tried again.
    Delayed,
    /// Handed to a system that makes no reports.
    Relayed,
    /// In its recipient's mailbox.
    Delivered,
}

/// One recipient's lines of the report.
#[derive(Debug, Clone)]
pub struct Fate {
    /// As it was in the envelope.
    pub recipient: Recipient,
    /// What happened.
    pub action: Action,
    /// Its code.
    pub status: EnhancedStatus,
    /// The next hop's words, as it sent them; cut and cleaned in here.
    pub diagnostic: Option<String>,
    /// Who said so.
    pub remote: Option<String>,
}

/// Everything a report needs.
#[derive(Debug)]
pub struct Report<'a> {
    /// Who reports.
    pub admd: &'a Admd,
    /// What was to be sent.
    pub envelope: &'a Envelope,
    /// When it came in.
    pub arrived: Timestamp,
    /// Recipients of this report, all with the same action.
    pub fates: &'a [Fate],
    /// For the first part.
    pub words: &'a Words,
    /// For the third part.
    pub returned: Returned<'a>,
    /// Unique to this report; Message-ID and boundaries come from it.
    pub seed: [u8; 16],
}

/// What the first part says to people, in their language.
#[derive(Debug, Clone)]
pub struct Words {
    /// The report's subject.
    pub subject: String,
    /// Who speaks.
    pub from: String,
    /// What happened to the recipients below it.
    pub lead: String,
    /// Stands before a reason of our own.
    pub reason: String,
}

/// What comes back of the message. RFC 3461 §4.3.
#[derive(Debug, Clone, Copy)]
pub enum Returned<'a> {
    /// RET=HDRS, and where nobody asked.
    Header(&'a [u8]),
    /// RET=FULL: all of it. What could not be sent as it is comes back as its header.
    Whole(&'a [u8]),
}

/// The report as a message to `to`, from the gateway's postmaster, with Auto-Submitted. The caller
/// gives it a null reverse-path.
pub fn compose(report: &Report<'_>, to: &Mailbox, now: Timestamp) -> Bytes {
    let id = data_encoding::HEXLOWER.encode(&report.seed);
    let from = (Some(HeaderText::new("Mail Delivery System")), report.admd.postmaster.clone());
    let fields = vec![
        compose::addresses("From", &[from]),
        compose::addresses("To", &[(None, to.clone())]),
        compose::unstructured("Subject", &HeaderText::new(&report.words.subject)),
        compose::date(now),
        compose::structured("Message-ID", &HeaderText::new(&format!("<{id}@{}>", report.admd.hostname))),
        // RFC 3834 §5.
        compose::structured("Auto-Submitted", &HeaderText::new("auto-replied")),
    ];
    let parts = vec![
        Content::Text { subtype: "plain", text: for_people(report) },
        Content::Raw(wire("delivery-status", "global-delivery-status", status_fields(report, now).as_bytes())),
        Content::Raw(returned(report.returned)),
    ];
    let parameters = vec![("report-type", HeaderText::new("delivery-status"))];
    compose::message(fields, Content::Multipart { subtype: "report", parameters, parts }, &report.seed)
}

/// The header with nothing in it that says what the message is about: who, when and its ids. For
/// reports on messages that policy protects.
pub fn redacted(header: &Header) -> Vec<u8> {
    let kept = header.fields().iter().filter(|field| KEPT_WHEN_REDACTED.iter().any(|name| field.is(name)));
    kept.flat_map(|field| field.raw().iter().copied()).collect()
}

/// The first part. RFC 3464 §2: for people.
fn for_people(report: &Report<'_>) -> String {
    let Words { from, lead, reason, .. } = report.words;
    let mut text = format!("{from}\n\n{lead}\n");
    for fate in report.fates {
        text.push_str(&format!("\n{} ({})\n", fate.recipient.forward_path, fate.status));
        if let Some(diagnostic) = &fate.diagnostic {
            let said_by = fate.remote.as_deref().map_or_else(|| reason.clone(), |remote| clean(remote, DIAGNOSTIC_MAX));
            text.push_str(&format!("    {said_by}: {}\n", clean(diagnostic, DIAGNOSTIC_MAX)));
        }
    }
    text
}

/// The second part: fields of the message, then of each recipient. RFC 3464 §2.2, §2.3.
fn status_fields(report: &Report<'_>, now: Timestamp) -> String {
    let mut text = String::new();
    line(&mut text, "Reporting-MTA", &format!("dns; {}", report.admd.hostname));
    if let Some(id) = &report.envelope.envelope_id {
        line(&mut text, "Original-Envelope-Id", &id.0);
    }
    line(&mut text, "Arrival-Date", &compose::timestamp(report.arrived));
    for fate in report.fates {
        text.push_str("\r\n");
        if let Some(original) = &fate.recipient.original {
            // Who did not ask for SMTPUTF8 gets no report that needs it.
            let address = match report.envelope.utf8 {
                Utf8::Yes => original.address.clone(),
                Utf8::No => xtext::embed(&original.address),
            };
            line(&mut text, "Original-Recipient", &format!("{}; {address}", original.address_type));
        }
        // RFC 6533 §3.
        let address_type = if fate.recipient.forward_path.needs_utf8() { "utf-8" } else { "rfc822" };
        line(&mut text, "Final-Recipient", &format!("{address_type}; {}", fate.recipient.forward_path));
        let action = match fate.action {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Relayed => "relayed",
            Action::Delivered => "delivered",
        };
        line(&mut text, "Action", action);
        line(&mut text, "Status", &fate.status.to_string());
        if let Some(remote) = &fate.remote {
            line(&mut text, "Remote-MTA", &format!("dns; {remote}"));
        }
        if let Some(diagnostic) = &fate.diagnostic {
            // RFC 3464 §2.3.6: what no mail system said is of a type of our own.
            let kind = if fate.remote.is_some() { "smtp" } else { "x-waxseal" };
            line(&mut text, "Diagnostic-Code", &format!("{kind}; {}", in_ascii(diagnostic)));
        }
        line(&mut text, "Last-Attempt-Date", &compose::timestamp(now));
    }
    text
}

/// For machines: only addresses make a report one of the UTF-8 kind, which not every system takes.
fn in_ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

/// One field of the second part; whatever the value is, it stays one field on one line that can be sent.
fn line(text: &mut String, name: &str, value: &str) {
    let field = format!("{name}: {}", clean(value, DIAGNOSTIC_MAX + VALUE_PREFIX_MAX));
    text.push_str(field.get(..field.floor_char_boundary(LINE_MAX)).unwrap_or_default());
    text.push_str("\r\n");
}

/// At most `limit` characters on one line: controls become spaces, runs of spaces one.
fn clean(text: &str, limit: usize) -> String {
    let spaced: String = text.chars().take(limit * 4).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = spaced.split(' ').filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(limit).collect()
}

/// The third part. RFC 3462 §2, RFC 6533 §4.
fn returned(returned: Returned<'_>) -> Bytes {
    match returned {
        Returned::Header(header) => returned_header(header),
        Returned::Whole(message) => {
            let (header, body) = split(message);
            match (is_sendable(message), header.is_ascii()) {
                (false, _) => returned_header(header),
                (true, true) if body.is_ascii() => wire("rfc822", "", message),
                (true, true) => [b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", message].concat().into(),
                (true, false) => wire("", "global", message),
            }
        }
    }
}

/// Header, and the empty line with the body.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").map_or(message.len(), |at| at.saturating_add(2));
    message.split_at_checked(end).unwrap_or((message, b""))
}

/// Lines of at most 998 octets that end with CRLF, and no NUL: what cannot have come with SMTP must not go on in a report.
fn is_sendable(message: &[u8]) -> bool {
    let mut lines = message.split(|&octet| octet == b'\n');
    // What stands behind the last LF.
    let tail = lines.next_back().unwrap_or_default();
    let is_clean = |line: &[u8]| line.len() <= LINE_MAX && !line.iter().any(|octet| matches!(octet, b'\r' | b'\0'));
    is_clean(tail) && lines.all(|line| line.strip_suffix(b"\r").is_some_and(is_clean))
}

fn returned_header(header: &[u8]) -> Bytes {
    let mut text = String::new();
    for line in header.split(|&octet| octet == b'\n').map(<[u8]>::trim_ascii_end) {
        if line.is_empty() || text.len() + line.len() > HEADER_MAX {
            break;
        }
        // RFC 6533 §4 wants UTF-8, and an old client's eight-bit header is none.
        let mut room = LINE_MAX;
        for c in String::from_utf8_lossy(line).chars() {
            room = room.saturating_sub(c.len_utf8());
            if room == 0 {
                break;
            }
            text.push(if c.is_control() && c != '\t' { ' ' } else { c });
        }
        text.push_str("\r\n");
    }
    if text.is_ascii() {
        return [b"Content-Type: text/rfc822-headers\r\n\r\n", text.as_bytes()].concat().into();
    }
    wire("", "global-headers", text.as_bytes())
}

/// A part of the message family in wire form; the UTF-8 kind only where it is needed.
fn wire(ascii: &str, utf8: &str, body: &[u8]) -> Bytes {
    let head = if body.is_ascii() {
        format!("Content-Type: message/{ascii}\r\n\r\n")
    } else {
        format!("Content-Type: message/{utf8}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
    };
    [head.as_bytes(), body].concat().into()
}

const KEPT_WHEN_REDACTED: [&str; 9] = ["Received", "From", "Sender", "To", "Cc", "Date", "Message-ID", "In-Reply-To", "References"];
/// What a next hop says is shown to people: enough for a sentence and a web address.
const DIAGNOSTIC_MAX: usize = 500;
/// `smtp; ` and `utf-8; ` before the value.
const VALUE_PREFIX_MAX: usize = 20;
/// A report is short; a header with a hundred trace fields is cut.
const HEADER_MAX: usize = 64 * 1024;
/// RFC 5322 §2.1.1, in octets.
const LINE_MAX: usize = 998;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{BodyType, Domain, EnvelopeId, Message, OriginalRecipient, RequireTls, ReversePath, Utf8};

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    fn admd() -> Admd {
        let domain = |text| Domain::parse(text).unwrap();
        Admd { domains: vec![domain("a.example")], hostname: domain("gate.a.example"), postmaster: mailbox("postmaster@a.example") }
    }

    fn report(recipient: &str, diagnostic: &str, header: &[u8]) -> Message {
        returning(recipient, diagnostic, Returned::Header(header))
    }

    fn returning(recipient: &str, diagnostic: &str, returned: Returned<'_>) -> Message {
        let envelope = Envelope {
            reverse_path: ReversePath::Mailbox(mailbox("ann@a.example")),
            recipients: Vec::new(),
            ret: None,
            envelope_id: EnvelopeId::parse("QQ+2B1"),
            body: BodyType::SevenBit,
            utf8: Utf8::No,
            require_tls: RequireTls::No,
        };
        let original = OriginalRecipient::parse("rfc822;bo+2Bx@b.example");
        let fate = Fate {
            recipient: Recipient { original, ..Recipient::new(mailbox(recipient)) },
            action: Action::Failed,
            status: EnhancedStatus::new(5, 1, 1),
            diagnostic: Some(diagnostic.to_owned()),
            remote: Some("mx.b.example".to_owned()),
        };
        let words = Words { subject: "S".into(), from: "F".into(), lead: "L".into(), reason: "R".into() };
        let report = Report {
            admd: &admd(),
            envelope: &envelope,
            arrived: Timestamp::UNIX_EPOCH,
            fates: &[fate],
            words: &words,
            returned,
            seed: [1; 16],
        };
        Message::parse(compose(&report, &mailbox("ann@a.example"), Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn a_report_has_its_three_parts_and_its_fields() {
        let message = report("bo@b.example", "550 5.1.1 no such user", b"Subject: x\r\nFrom: a\r\n\r\nbody");
        assert_eq!(message.ambiguities(), []);
        let [people, status, header] = message.root().children.as_slice() else { panic!("not three parts") };
        assert_eq!(message.root().media_type.parameter("report-type"), Some("delivery-status"));
        assert!(message.text(people).contains("bo@b.example (5.1.1)"));
        assert!(status.media_type.is("message", "delivery-status") && header.media_type.is("text", "rfc822-headers"));
        assert_eq!(
            String::from_utf8_lossy(&message.body(status)),
            "Reporting-MTA: dns; gate.a.example\r\nOriginal-Envelope-Id: QQ+1\r\nArrival-Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n\r\n\
             Original-Recipient: rfc822; bo+x@b.example\r\nFinal-Recipient: rfc822; bo@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Remote-MTA: dns; mx.b.example\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
             Last-Attempt-Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"
        );
        assert_eq!(message.body(header), "Subject: x\r\nFrom: a\r\n");
    }

    #[test]
    fn what_a_next_hop_says_cannot_become_a_line() {
        let said = format!("550 no\r\n\r\nFinal-Recipient: rfc822; x\n\0{}", "y".repeat(3000));
        let message = report("bo@b.example", &said, b"Subject: a\0b\rc\r\n");
        assert_eq!(message.ambiguities(), []);
        let text = message.text(&message.root().children[1]);
        assert_eq!(text.matches("\r\nFinal-Recipient").count(), 1);
        assert!(text.lines().all(|line| line.len() < 540));
        assert_eq!(message.body(&message.root().children[2]), "Subject: a b c\r\n");
    }

    #[test]
    fn a_field_of_the_status_is_a_line_that_can_be_sent_whatever_its_letters() {
        let mut text = String::new();
        line(&mut text, "Remote-MTA", &"å€".repeat(500));
        assert!(text.len() > 980 && text.len() <= LINE_MAX + 2 && text.ends_with("\r\n"), "{} octets", text.len());
    }

    #[test]
    fn utf8_makes_a_report_of_the_utf8_kind() {
        let message = report("jörg@b.example", "550 no", "Subject: å\r\n".as_bytes());
        assert_eq!(message.ambiguities(), []);
        let [_, status, header] = message.root().children.as_slice() else { panic!("not three parts") };
        assert!(status.media_type.is("message", "global-delivery-status") && header.media_type.is("message", "global-headers"));
        assert!(message.text(status).contains("Final-Recipient: utf-8; jörg@b.example"));
    }

    #[test]
    fn a_whole_message_comes_back_octet_for_octet_unless_it_could_not_be_sent() {
        let long = format!("Subject: x\r\n\r\n{}\r\n", "y".repeat(999));
        for (message, kind, comes_back) in [
            ("Subject: x\r\n\r\n.\r\nbody\r\n", "rfc822", true),
            ("Subject: x\r\n\r\n\u{e5}\r\n", "rfc822", true),
            ("Subject: \u{e5}\r\n\r\nbody\r\n", "global", true),
            ("Subject: x\r\n\r\nbare\nbody\r\n", "rfc822-headers", false),
            ("Subject: x\r\n\r\nnul\0\r\n", "rfc822-headers", false),
            (&long, "rfc822-headers", false),
        ] {
            let report = returning("bo@b.example", "550 no", Returned::Whole(message.as_bytes()));
            let third = &report.root().children[2];
            assert_eq!(third.media_type.subtype, kind, "{message}");
            let octets = report.bytes();
            let found = octets.windows(message.len()).any(|window| window == message.as_bytes());
            assert_eq!(found, comes_back, "{message}");
        }
    }

    #[test]
    fn what_no_mail_system_said_is_not_called_smtp_and_stays_ascii() {
        let words = Words { subject: "S".into(), from: "F".into(), lead: "L".into(), reason: "Orsak".into() };
        let fate = Fate {
            recipient: Recipient {
                original: OriginalRecipient::parse("utf-8;b+C3+B6@b.example"),
                ..Recipient::new(mailbox("bo@b.example"))
            },
            action: Action::Delivered,
            status: EnhancedStatus::new(5, 7, 1),
            diagnostic: Some("st\u{e4}ngt".into()),
            remote: None,
        };
        let envelope = Envelope {
            reverse_path: ReversePath::Null,
            recipients: vec![],
            ret: None,
            envelope_id: None,
            body: BodyType::SevenBit,
            utf8: Utf8::No,
            require_tls: RequireTls::No,
        };
        let report = Report {
            admd: &admd(),
            envelope: &envelope,
            arrived: Timestamp::UNIX_EPOCH,
            fates: &[fate],
            words: &words,
            returned: Returned::Header(b""),
            seed: [1; 16],
        };
        let message = Message::parse(compose(&report, &mailbox("ann@a.example"), Timestamp::UNIX_EPOCH));
        let [people, status, _] = message.root().children.as_slice() else { panic!("not three parts") };
        assert!(message.text(people).contains("Orsak: st\u{e4}ngt"));
        assert!(status.media_type.is("message", "delivery-status"));
        let status = message.text(status);
        assert!(status.contains("Diagnostic-Code: x-waxseal; st?ngt\r\n") && status.contains("Action: delivered\r\n"), "{status}");
        assert!(status.contains("Original-Recipient: utf-8; b\\x{F6}@b.example\r\n"), "{status}");
    }

    #[test]
    fn a_redacted_header_does_not_say_what_the_message_is_about() {
        let message = Message::parse(Bytes::from_static(b"From: a@b\r\nSubject: secret\r\nX-Topic: secret\r\nMessage-ID: <1@b>\r\n\r\n"));
        assert_eq!(redacted(message.header()), b"From: a@b\r\nMessage-ID: <1@b>\r\n");
    }
}
