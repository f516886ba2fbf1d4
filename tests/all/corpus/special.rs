//! Mails that one kind of program writes: reports, lists, scripts, old machines.

use super::Specimen;
use super::tree::{Content, Leaf, Purpose};

/// Name, octets, and kind and text of each leaf.
type Special = (&'static str, &'static str, Vec<(&'static str, &'static str)>);

#[expect(clippy::too_many_lines, reason = "a table")]
pub fn all() -> Vec<Specimen> {
    let mails: Vec<Special> = vec![
        (
            "cron",
            "From: root@a.example\r\nTo: root@a.example\r\nSubject: Cron <root@a> backup\r\n\r\ndone\r\n",
            vec![("text/plain", "done\r\n")],
        ),
        ("header-only", "From: root@a.example\r\nSubject: nothing\r\n", vec![("text/plain", "")]),
        ("no-subject", "From: a@a.example\r\nTo: b@b.example\r\n\r\nhi", vec![("text/plain", "hi")]),
        (
            "script-html",
            "To: b@b.example\r\nSubject: Order\r\nContent-type: text/html; charset=utf-8\r\nFrom: shop@a.example\r\n\r\n<p>Tack!",
            vec![("text/html", "<p>Tack!")],
        ),
        (
            "script-semicolon",
            "From: a@a.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"utf-8\"; charset=\"UTF-8\";\r\n\r\nhi",
            vec![("text/plain", "hi")],
        ),
        (
            "apple-version",
            "From: a@a.example\r\nMime-Version: 1.0 (Mac OS X Mail 16.0 \\(3731.600.7\\))\r\nContent-Type: text/plain;\r\n\tcharset=us-ascii\r\n\r\nhi",
            vec![("text/plain", "hi")],
        ),
        (
            "smtputf8",
            "From: Jörg <jörg@exämple.example>\r\nTo: 用户@例子.example\r\nSubject: Grüße 🦀\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n",
            vec![("text/plain", "Grüße\r\n")],
        ),
        (
            "unquoted-type",
            "From: a@a.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; type=text/html; boundary=----=_Part_1_2.3\r\n\r\n------=_Part_1_2.3\r\nContent-Type: text/html\r\n\r\n<p>x\r\n------=_Part_1_2.3--\r\n",
            vec![("text/html", "<p>x")],
        ),
        (
            "lotus",
            "From: a@a.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"=_alternative 0050B7B8C1257D6C_=\"\r\n\r\n--=_alternative 0050B7B8C1257D6C_=\r\nContent-Type: text/plain; charset=\"ISO-8859-1\"\r\n\r\nx\r\n--=_alternative 0050B7B8C1257D6C_=--\r\n",
            vec![("text/plain", "x")],
        ),
        (
            "bounce",
            "From: MAILER-DAEMON@a.example\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"4F2A1.1777/mail.a.example\"\r\n\r\nThis is a MIME-encapsulated message.\r\n\r\n--4F2A1.1777/mail.a.example\r\nContent-Description: Notification\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nThis is the mail system.\r\n\r\n--4F2A1.1777/mail.a.example\r\nContent-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mail.a.example\r\n\r\nFinal-Recipient: rfc822; x@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--4F2A1.1777/mail.a.example\r\nContent-Description: Undelivered Message\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@a.example\r\nSubject: lost\r\n\r\nhello\r\n\r\n--4F2A1.1777/mail.a.example--\r\n",
            vec![
                ("text/plain", "This is the mail system.\r\n"),
                (
                    "message/delivery-status",
                    "Reporting-MTA: dns; mail.a.example\r\n\r\nFinal-Recipient: rfc822; x@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n",
                ),
                ("text/plain", "hello\r\n"),
            ],
        ),
        (
            "bounce-headers",
            "From: postmaster@a.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; boundary=\"xyz\"; report-type=delivery-status\r\n\r\n--xyz\r\n\r\nsorry\r\n--xyz\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: a@a.example\r\nSubject: lost\r\n\r\n--xyz--\r\n",
            vec![("text/plain", "sorry"), ("text/rfc822-headers", "From: a@a.example\r\nSubject: lost\r\n")],
        ),
        (
            "read-receipt",
            "From: b@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report;\r\n report-type=disposition-notification; boundary=\"----mdn\"\r\n\r\n------mdn\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nread\r\n------mdn\r\nContent-Type: message/disposition-notification\r\n\r\nFinal-Recipient: rfc822;b@b.example\r\nDisposition: manual-action/MDN-sent-manually; displayed\r\n------mdn--\r\n",
            vec![
                ("text/plain", "read"),
                (
                    "message/disposition-notification",
                    "Final-Recipient: rfc822;b@b.example\r\nDisposition: manual-action/MDN-sent-manually; displayed",
                ),
            ],
        ),
        (
            "list",
            "From: a@a.example\r\nList-Id: <dev.lists.example>\r\nList-Unsubscribe: <mailto:dev-leave@lists.example>\r\nPrecedence: list\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"===============0123456789==\"\r\n\r\n--===============0123456789==\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n\r\nhello list\r\n\r\n--===============0123456789==\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\nContent-Disposition: inline\r\n\r\n_______________\r\ndev mailing list\r\n\r\n--===============0123456789==--\r\n",
            vec![("text/plain", "hello list\r\n"), ("text/plain", "_______________\r\ndev mailing list\r\n")],
        ),
        (
            "digest",
            "From: a@a.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=\"---- dig\"\r\n\r\n------ dig\r\n\r\nFrom: c@c.example\r\nSubject: one\r\n\r\nfirst\r\n------ dig\r\n\r\nSubject: two\r\n\r\nsecond\r\n------ dig--\r\n",
            vec![("text/plain", "first"), ("text/plain", "second")],
        ),
        (
            "old-list-footer",
            "From: a@a.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=zz\r\n\r\n--zz\r\n\r\nx\r\n--zz--\r\n-----------------\r\nTo leave the list write to leave@lists.example\r\n",
            vec![("text/plain", "x")],
        ),
        (
            "base64-trailing-blank",
            "From: a@a.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\naGVq\r\n\r\n\r\n",
            vec![("text/plain", "hej")],
        ),
        (
            "relay-padding",
            "From: a@a.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"zz\"\r\n\r\n--zz \r\nContent-Type: text/plain\r\n\r\nx\r\n--zz-- \r\n",
            vec![("text/plain", "x")],
        ),
    ];
    // The returned message of a report, and the messages of a digest.
    let forwarded = ["hello\r\n", "first", "second"];
    let purpose = |kind: &str, text: &str| match kind {
        _ if forwarded.contains(&text) => Purpose::File,
        "text/plain" | "text/html" => Purpose::Body,
        _ => Purpose::Machine,
    };
    let leaf = |(kind, text): &(&str, &str)| Leaf {
        kind: (*kind).to_owned(),
        name: None,
        content: Content::Text((*text).to_owned()),
        purpose: purpose(kind, text),
    };
    let specimen = |(name, text, leaves): &Special| Specimen {
        name: (*name).to_owned(),
        bytes: text.as_bytes().to_vec(),
        leaves: leaves.iter().map(leaf).collect(),
    };
    mails.iter().map(specimen).collect()
}
