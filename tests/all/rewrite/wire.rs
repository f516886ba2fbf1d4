//! What stands on the wire to the next hop, whatever subjects, names, bodies and notices hold: no CR
//! without its LF, no LF without its CR, every line that begins with a dot stuffed. RFC 5321 §2.3.8, §4.5.2.

use bytes::Bytes;
use waxseal::mail::dsn::{Action, Fate, Report, Returned, Words};
use waxseal::mail::{Domain, EnhancedStatus, Message, dsn};
use waxseal::policy::{Decision, Form, Protection, Wish};
use waxseal::smtp::client::{Answer, Body, Connection, Hop, Protocol, Security};
use waxseal::transform::Plan;
use waxseal::transform::dkim::Signers;

use super::specimens::decision;
use super::{Frame, HeaderField, Letter, RECEIVED, admd, envelope, letter, mailbox, now};
use crate::crash::raw_sink::{RawSink, obliging};

const MAILS: usize = 10_000;

#[tokio::test]
async fn ten_thousand_mails_leave_in_whole_lines_and_with_stuffed_dots() {
    let sink = RawSink::start(obliging);
    let mut connection = open(&sink).await;
    let (mut sent, mut refused): (Vec<Vec<u8>>, usize) = (Vec::new(), 0);
    let mut number = 0;
    while sent.len() < MAILS {
        number += 1;
        for (body, is_whole) in mails(number) {
            let size = body.iter().map(|piece| piece.len() as u64).sum();
            let envelope = envelope(vec![waxseal::mail::Recipient::new(mailbox("bob@example.net"))]);
            let answers = connection.send(&envelope, Body::Memory(body.clone()), size).await.unwrap();
            match answers.as_slice() {
                [Answer::Accepted(_)] if is_whole => sent.push(body.concat()),
                [Answer::Permanent(_)] if !is_whole => {
                    refused += 1;
                    connection = open(&sink).await;
                }
                other => panic!("{other:?}: {}", String::from_utf8_lossy(&body.concat())),
            }
        }
    }
    let taken = sink.wait_for(sent.len());
    assert_eq!(taken.len(), sent.len(), "a mail was taken for two, or for none");
    let mut stuffed = 0;
    for (taken, body) in taken.iter().zip(&sent) {
        let lines: Vec<&[u8]> = taken.octets.split_inclusive(|&octet| octet == b'\n').collect();
        stuffed += lines.iter().filter(|line| line.starts_with(b".")).count();
        let plain: Vec<u8> = lines.iter().flat_map(|line| line.strip_prefix(b".").unwrap_or(line).to_vec()).collect();
        assert!(plain == *body || plain == [body.as_slice(), b"\r\n"].concat(), "{}", String::from_utf8_lossy(body));
        let dotted = body.split_inclusive(|&octet| octet == b'\n').filter(|line| line.starts_with(b".")).count();
        assert_eq!(lines.iter().filter(|line| line.starts_with(b"..")).count(), dotted);
    }
    let wire = sink.wire();
    let bare: usize = wire.iter().map(|octets| bare(octets)).sum();
    println!("{} mails and {refused} refused: {bare} bare CR or LF, {stuffed} lines stuffed", sent.len());
    assert_eq!(bare, 0);
    assert!(stuffed > MAILS && refused > MAILS / 100);
}

/// What a client could send, as it leaves under each verdict; a report about it; and now and then octets
/// that no client can get past the door.
fn mails(number: u64) -> Vec<(Vec<Bytes>, bool)> {
    let mut dice = Dice(number * 7919 + 1);
    let message = Message::parse(Bytes::from(message(&mut dice)));
    let evil = dice.some(&TEXTS, 4);
    let wish = Wish { subject: dice.next(2).eq(&0).then(|| evil.clone()), ..Wish::default() };
    let decisions: Vec<Decision> = [
        (Protection::Pass, Form::Parts),
        (Protection::PublicFiles, Form::Parts),
        (Protection::SecureFiles, Form::Parts),
        (Protection::SecureMessage, Form::Parts),
        (Protection::SecureMessage, Form::Raw),
    ]
    .map(|(protection, form)| decision(protection, form))
    .into();
    let plan = Plan::new(decisions);
    let envelope = envelope(plan.variants.iter().flat_map(|variant| variant.recipients.clone()).collect());
    let letters = plan.protected(&message, &envelope, now()).into_iter().enumerate().map(|(number, (parcel, _))| {
        let to = |to| Letter {
            text: format!("{evil}\n.\n..\r\nFor you\r.\r\n"),
            html: format!("<p>{evil}</p>\n.\r\n<p>.</p>\n"),
            subject: evil.clone(),
            ..letter(number, to, now())
        };
        parcel.recipients.iter().map(to).collect::<Vec<_>>()
    });
    let (admd, signers) = (admd(), Signers::default());
    let received = HeaderField::new(Bytes::from_static(RECEIVED.as_bytes()), 8);
    let frame = Frame { admd: &admd, received, signers: &signers, wish: &wish, seed: [7; 16], now: now() };
    let letters = letters.collect();
    let entries = plan.rewrite(&envelope, &message, letters, &frame).unwrap();
    let mut mails: Vec<(Vec<Bytes>, bool)> = entries.into_iter().map(|entry| (entry.body, true)).collect();
    mails.push((vec![report(&envelope, &evil)], true));
    if number.is_multiple_of(8) {
        let octets = [&b"Subject: x\r\n\r\nhello\r\n"[..], dice.one(&BARE).as_bytes(), b"\r\nbye\r\n"].concat();
        mails.push((vec![Bytes::from(octets)], false));
    }
    mails
}

fn report(envelope: &waxseal::mail::Envelope, evil: &str) -> Bytes {
    let said = |recipient: &waxseal::mail::Recipient| Fate {
        recipient: recipient.clone(),
        action: Action::Failed,
        status: EnhancedStatus::new(5, 1, 1),
        diagnostic: Some(evil.to_owned()),
        remote: Some(evil.to_owned()),
    };
    let fates: Vec<Fate> = envelope.recipients.iter().map(said).collect();
    let words = Words { subject: evil.into(), from: evil.into(), lead: evil.into(), reason: evil.into() };
    let returned = Returned::Header(b"Subject: .\r\n .\r\n");
    let report = Report { admd: &admd(), envelope, arrived: now(), fates: &fates, words: &words, returned, seed: [9; 16] };
    dsn::compose(&report, &mailbox("ann@example.org"), now())
}

fn message(dice: &mut Dice) -> Vec<u8> {
    let names: String = (0..dice.next(3)).map(|_| format!("X-Case: {}\r\n", dice.some(&WORDS, 3))).collect();
    let header = format!(
        "From: {} <ann@example.org>\r\nTo: {} <bob@example.net>\r\nSubject: {}\r\n{names}MIME-Version: 1.0\r\n",
        dice.one(&WORDS),
        dice.one(&WORDS),
        dice.some(&WORDS, 4),
    );
    let (text, packed, quoted) =
        (dice.some(&LINES, 8), data_encoding::BASE64.encode(dice.some(&TEXTS, 6).as_bytes()), dice.some(&QUOTED, 6));
    let (name, page) = (dice.some(&NAMES, 3), dice.some(&LINES, 4));
    format!(
        "{header}Content-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n--=_b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--=_b\r\n\
         Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>{quoted}</p>\r\n{page}\r\n--=_b\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{packed}\r\n--=_b\r\n\
         Content-Type: text/csv\r\nContent-Disposition: attachment;\r\n filename*=utf-8''{name}.csv\r\n\r\n{text}\r\n--=_b--\r\n"
    )
    .into_bytes()
}

async fn open(sink: &RawSink) -> Connection {
    let hop = Hop { host: "127.0.0.1".into(), port: sink.address.port(), address: None, source: None, protocol: Protocol::Smtp };
    Connection::open(&hop, &Domain::parse("gate.example.org").unwrap(), &Security::None, None).await.unwrap()
}

/// CRs without an LF and LFs without a CR.
fn bare(octets: &[u8]) -> usize {
    let ends = |at: usize| octets.get(at) == Some(&b'\n');
    let begins = |at: usize| at > 0 && octets[at - 1] == b'\r';
    let alone = |(at, octet): &(usize, &u8)| (**octet == b'\r' && !ends(at + 1)) || (**octet == b'\n' && !begins(*at));
    octets.iter().enumerate().filter(alone).count()
}

struct Dice(u64);

impl Dice {
    fn next(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % sides
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.next(of.len() as u64) as usize]
    }

    fn some(&mut self, of: &[&str], most: u64) -> String {
        (0..=self.next(most)).map(|_| self.one(of)).collect()
    }
}

/// Lines of a body.
const LINES: [&str; 9] =
    ["\r\n.", "\r\n..", "\r\n.\r\n", ".", "hello", "\r\n. \r\n", "\r\nQUIT\r\n", "\r\n.\r\nMAIL FROM:<eve@x.example>\r\n", "a line"];
/// What a header can say.
const WORDS: [&str; 8] = [
    "=?utf-8?Q?=0D=0A.=0D=0AX-Evil:_1?=",
    "=?utf-8?B?DQouDQo=?=",
    ".",
    " .\r\n .",
    "=?utf-8?Q?a=0D.=0A?=",
    "hello",
    "=?utf-8?Q?=C3=A5=00?=",
    " x ",
];
/// What transfer encodings can hold.
const QUOTED: [&str; 7] = ["=0D", "=0A", "=0D=0A.=0D=0A", "=\r\n.", "=0A.=0A", "=00", "x"];
/// What names can hold.
const NAMES: [&str; 6] = ["%0D%0A.%0D%0A", "%0A", "%0D.", ".", "%00", "a"];
/// What our own words can be made of.
const TEXTS: [&str; 10] = ["\r\n.\r\n", "\n.\n", "\r", "\n", "\0", ".", "..", "\r.\r", "å", "hello "];
/// What stops no line and ends some readers' message.
const BARE: [&str; 7] = ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\r", "a\rb", "a\nb", "a\0b"];

#[test]
fn the_scan_sees_what_stands_alone() {
    for (octets, expect) in [("a\r\nb\r\n", 0), ("a\rb\r\n", 1), ("a\nb", 1), ("\n\r", 2), ("\r\r\n", 1), ("\r\n\n", 1), ("\r", 1)] {
        assert_eq!(bare(octets.as_bytes()), expect, "{octets:?}");
    }
}
