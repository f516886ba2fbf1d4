//! Messages of every shape that clients write, under every verdict: what is kept is kept byte for byte,
//! what is protected is nowhere in what leaves, and nobody reads it differently from us.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use waxseal::mail::{Message, Recipient, RequireTls};
use waxseal::policy::{Decision, Form, Go, Protection, Shown, Verdict, Wish};
use waxseal::queue::Carries;
use waxseal::transform::dkim::Signers;
use waxseal::vault::{Factor, Role};

use super::{RECEIVED, letter, mailbox, now, sent};

/// What a message is made of; small numbers, so that a failure shrinks to the smallest shape.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Which kind of body.
    pub body: u8,
    /// Which kinds of files, and texts between them.
    pub files: Vec<u8>,
    /// How many needless frames stand around it.
    pub nested: u8,
    /// Which fields stand in the header beside the necessary ones.
    pub fields: u8,
    /// Content.
    pub seed: u64,
}

/// A message and what is meant by its parts.
pub struct Mail {
    pub octets: Bytes,
    /// Leaves that stay when files go, in order, with their headers.
    pub kept: Vec<Vec<u8>>,
    /// Contents of files: name, decoded, as it stands in the message.
    pub files: Vec<(Option<String>, Vec<u8>, Vec<u8>)>,
    /// Header fields and bodies that only the reader of a secure message may see.
    pub confidential: Vec<Vec<u8>>,
}

struct Builder {
    state: u64,
    boundaries: u32,
    mail: Mail,
}

pub fn mail(shape: &Shape) -> Mail {
    let empty = Mail { octets: Bytes::new(), kept: Vec::new(), files: Vec::new(), confidential: Vec::new() };
    let mut builder = Builder { state: shape.seed | 1, boundaries: 0, mail: empty };
    let mut parts = vec![builder.body(shape.body)];
    for &kind in &shape.files {
        parts.push(builder.file(kind));
    }
    let mut root = if parts.len() == 1 { parts.remove(0) } else { builder.frame("mixed", &parts) };
    for _ in 0..shape.nested {
        root = builder.frame("mixed", &[root]);
    }
    let header = builder.header(shape.fields);
    builder.mail.octets = Bytes::from([header, root].concat());
    builder.mail
}

impl Builder {
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// Words that occur nowhere else.
    fn words(&mut self) -> String {
        (0..2 + self.next() % 4).map(|_| format!("{:016x}{:016x} {:016x}\r\n", self.next(), self.next(), self.next())).collect()
    }

    fn binary(&mut self) -> Vec<u8> {
        (0..8 + self.next() % 40).flat_map(|_| self.next().to_le_bytes()).collect()
    }

    fn frame(&mut self, subtype: &str, parts: &[Vec<u8>]) -> Vec<u8> {
        self.boundaries += 1;
        let random = self.next();
        let boundary = format!("=_next_{:02}_{random:016x}", self.boundaries);
        let mut out = format!("Content-Type: multipart/{subtype}; boundary=\"{boundary}\"\r\n\r\n").into_bytes();
        for part in parts {
            out.extend(format!("--{boundary}\r\n").as_bytes());
            out.extend(part);
            out.extend(b"\r\n");
        }
        out.extend(format!("--{boundary}--\r\n").as_bytes());
        out
    }

    fn leaf(&mut self, header: &str, body: &[u8]) -> Vec<u8> {
        let part = [header.as_bytes(), b"\r\n", body].concat();
        self.mail.kept.push(part.clone());
        self.mail.confidential.push(body.to_vec());
        part
    }

    fn text(&mut self) -> Vec<u8> {
        let words = self.words();
        match self.next() % 3 {
            0 => self.leaf("Content-Type: text/plain; charset=us-ascii\r\n", words.as_bytes()),
            1 => {
                let text = format!("Grüße {words}");
                self.leaf("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", text.as_bytes())
            }
            _ => {
                let text = format!("Gr=FC=DFe =\r\n{words}");
                self.leaf(
                    "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n",
                    text.as_bytes(),
                )
            }
        }
    }

    fn html(&mut self, inside: &str) -> Vec<u8> {
        let html = format!("<html><body><p>{}</p>{inside}</body></html>\r\n", self.words());
        self.leaf("Content-Type: text/html; charset=utf-8\r\n", html.as_bytes())
    }

    fn picture(&mut self) -> Vec<u8> {
        let body = base64(&self.binary());
        self.leaf("Content-Type: image/png; name=\"logo.png\"\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n", &body)
    }

    fn body(&mut self, kind: u8) -> Vec<u8> {
        const SHOWN: &str = "<img src=\"cid:logo@x\">";
        match kind {
            0 => self.text(),
            1 => self.html(""),
            2 => {
                let parts = [self.text(), self.html("")];
                self.frame("alternative", &parts)
            }
            3 => {
                let text = self.text();
                let parts = [self.html(SHOWN), self.picture()];
                let related = self.frame("related", &parts);
                self.frame("alternative", &[text, related])
            }
            4 => {
                let parts = [self.text(), self.html(SHOWN)];
                let alternative = self.frame("alternative", &parts);
                let picture = self.picture();
                self.frame("related", &[alternative, picture])
            }
            5 => {
                let calendar = format!("BEGIN:VCALENDAR\r\nX-A:{}END:VCALENDAR\r\n", self.words());
                let parts = [
                    self.text(),
                    self.html(""),
                    self.leaf("Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\n", calendar.as_bytes()),
                ];
                self.frame("alternative", &parts)
            }
            6 => {
                let text = self.text();
                let parts = [self.html(""), self.file(1), self.html("")];
                let mixed = self.frame("mixed", &parts);
                self.frame("alternative", &[text, mixed])
            }
            _ => self.file(2),
        }
    }

    fn file(&mut self, kind: u8) -> Vec<u8> {
        if kind == 0 {
            return self.text();
        }
        let name = format!("file-{:08x}.dat", self.next() as u32);
        let (header, decoded, body) = match kind {
            1 => {
                let data = self.binary();
                let body = base64(&data);
                (
                    format!(
                        "Content-Type: application/pdf; name=\"{name}\"\r\nContent-Disposition: attachment; filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n"
                    ),
                    data,
                    body,
                )
            }
            2 => {
                let text = self.words().into_bytes();
                (
                    format!(
                        "Content-Type: text/plain; charset=utf-8; name=\"{name}\"\r\nContent-Disposition: inline; filename=\"{name}\"\r\n"
                    ),
                    text.clone(),
                    text,
                )
            }
            3 => {
                let data = self.binary();
                let body = base64(&data);
                ("Content-Type: image/png\r\nContent-Disposition: inline\r\nContent-ID: <nobody@x>\r\nContent-Transfer-Encoding: base64\r\n".to_owned(), data, body)
            }
            4 => {
                let inner = format!("From: dora@example.net\r\nSubject: {:016x}{:016x}\r\n\r\n{}", self.next(), self.next(), self.words());
                ("Content-Type: message/rfc822\r\n".to_owned(), inner.clone().into_bytes(), inner.into_bytes())
            }
            _ => {
                let text = format!("<html><body>{}</body></html>\r\n", self.words()).into_bytes();
                (
                    format!(
                        "Content-Type: text/html; charset=utf-8\r\nContent-Disposition: attachment;\r\n filename*=utf-8''r%C3%A4kning-{name}\r\n"
                    ),
                    text.clone(),
                    text,
                )
            }
        };
        let name = header.contains(&name).then_some(name);
        self.mail.files.push((name, decoded, body.clone()));
        [header.as_bytes(), b"\r\n", &body].concat()
    }

    fn header(&mut self, fields: u8) -> Vec<u8> {
        let mut header = String::from(
            "From: =?utf-8?q?Ann_Str=C3=B6m?= <ann@example.org>\r\nTo: Bob <bob@example.net>,\r\n\tCarl <carl@example.net>\r\n",
        );
        header += "Subject: a subject that is seen\r\nDate: Thu, 30 Jun 2022 10:39:00 +0200\r\nMessage-ID: <1@example.org>\r\n";
        if fields & 1 != 0 {
            header += "Bcc: Blind <blind@example.net>,\r\n hidden@example.com\r\nReferences: <0@example.net>\r\n";
        }
        if fields & 2 != 0 {
            let secret = format!("{:016x}{:016x}", self.next(), self.next());
            header += &format!("X-Case: {secret}\r\nKeywords: {secret}\r\n");
            self.mail.confidential.push(secret.into_bytes());
        }
        if fields & 4 != 0 {
            header +=
                "resent-bcc: blind@example.net\r\nDKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=a;\r\n h=From:Bcc; bh=x; b=y\r\n";
        }
        header += "MIME-Version: 1.0\r\n";
        header.into_bytes()
    }
}

fn base64(data: &[u8]) -> Vec<u8> {
    data_encoding::BASE64.encode(data).as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect()
}

fn verdict(kind: u8) -> Verdict {
    let (protection, form) = match kind {
        0 => (Protection::Pass, Form::Parts),
        1 => (Protection::PublicFiles, Form::Parts),
        2 => (Protection::SecureFiles, Form::Parts),
        3 => (Protection::SecureMessage, Form::Parts),
        4 => (Protection::SecureMessage, Form::Raw),
        _ => (Protection::SecureFiles, Form::Raw),
    };
    let subject = if kind.is_multiple_of(2) { Shown::Kept } else { Shown::Replaced };
    let expires = Duration::from_secs(14 * 24 * 3600);
    Verdict {
        protection,
        factor: Factor::Password,
        expires,
        downloads: None,
        go: Go::Now,
        subject,
        file_names: Shown::Replaced,
        header: subject,
        form,
        tls: RequireTls::No,
    }
}

fn decisions(kinds: &[u8]) -> Vec<Decision> {
    let decide = |(number, &kind): (usize, &u8)| Decision {
        recipient: Recipient::new(mailbox(&format!("to{number}@example.net"))),
        verdict: verdict(kind),
        because: Vec::new(),
    };
    kinds.iter().enumerate().map(decide).collect()
}

pub fn shapes() -> impl Strategy<Value = Shape> {
    (0..8_u8, prop::collection::vec(0..6_u8, 0..4), 0..3_u8, 0..8_u8, any::<u64>()).prop_map(|(body, files, nested, fields, seed)| Shape {
        body,
        files,
        nested,
        fields,
        seed,
    })
}

fn windows(octets: &[u8]) -> HashSet<&[u8]> {
    octets.windows(RUN).collect()
}

/// No run of a secret is in the output, unless the output has a right to the same run.
fn assert_absent(secret: &[u8], output: &HashSet<&[u8]>, allowed: &HashSet<&[u8]>) {
    for run in secret.windows(RUN) {
        assert!(!output.contains(run) || allowed.contains(run), "{:?} leaves", String::from_utf8_lossy(run));
    }
}

fn assert_well_formed(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    for line in text.split("\r\n") {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n', '\0']), "{line:?}");
    }
    assert!(octets.ends_with(b"\r\n"));
    assert_eq!(Message::parse(Bytes::copy_from_slice(octets)).ambiguities(), [], "{text}");
    let lower = text.to_lowercase();
    assert!(!lower.contains("blind@example") && !lower.contains("hidden@example"), "a Bcc address leaves: {text}");
}

/// The leaves of a message as they stand in it, header included.
fn leaves(message: &Message) -> Vec<Vec<u8>> {
    message.parts().into_iter().filter(|part| !part.is_multipart() && !part.is_message()).map(|part| message.raw(part).to_vec()).collect()
}

fn check(shape: &Shape, kinds: &[u8]) {
    let mail = mail(shape);
    let message = Message::parse(mail.octets.clone());
    assert_eq!(message.ambiguities(), [], "{}", String::from_utf8_lossy(&mail.octets));
    let (sealed, entries) = sent(&message, decisions(kinds), &Wish::default(), &Signers::default());
    let entries = entries.unwrap();
    let recipients: usize = entries.iter().map(|entry| entry.envelope.recipients.len()).sum();
    assert_eq!(recipients, kinds.len(), "everybody gets one copy");
    for entry in &entries {
        let octets = entry.body.concat();
        assert!(octets.starts_with(RECEIVED.as_bytes()));
        let number: usize = entry.envelope.recipients[0].forward_path.local_part()[2..].parse().unwrap();
        if entry.carries == Carries::Nothing {
            let untouched = shape.fields & 5 == 0;
            assert_eq!(octets.strip_prefix(RECEIVED.as_bytes()).unwrap() == mail.octets, untouched);
            let reread = Message::parse(octets.into());
            assert_eq!(reread.body(reread.root()), message.body(message.root()), "only the header may be touched");
            continue;
        }
        assert_eq!(entry.envelope.recipients.len(), 1, "one mail for each link");
        assert_eq!(entry.envelope.ret, Some(waxseal::mail::Return::Headers));
        assert_well_formed(&octets);
        check_linked(&mail, &octets, &verdict(kinds[number]));
    }
    for (_, decoded, _) in mail.files.iter().filter(|_| kinds.iter().any(|kind| (1..=3).contains(kind))) {
        assert!(sealed.iter().any(|item| item.role == Role::File && item.content == *decoded), "a file is nowhere");
    }
    for item in sealed.iter().filter(|item| item.role == Role::Raw) {
        let lower = String::from_utf8_lossy(&item.content).to_lowercase();
        assert!(!lower.contains("blind@example") && !lower.contains("hidden@example"), "{lower}");
    }
}

fn check_linked(mail: &Mail, octets: &[u8], verdict: &Verdict) {
    let files_only = verdict.protection < Protection::SecureMessage && verdict.form == Form::Parts;
    let output = windows(octets);
    let ours = letter(0, &mailbox("x@example.net"), now());
    let kept = mail.kept.concat();
    let mut allowed = windows(&kept);
    if !files_only {
        allowed.clear();
    }
    let text = [ours.text, ours.html].concat();
    allowed.extend(windows(text.as_bytes()));
    for (name, decoded, raw) in &mail.files {
        assert_absent(decoded, &output, &allowed);
        assert_absent(raw, &output, &allowed);
        assert!(name.as_ref().is_none_or(|name| !String::from_utf8_lossy(octets).contains(name)), "{name:?} leaves");
    }
    if files_only {
        let found = leaves(&Message::parse(Bytes::copy_from_slice(octets)));
        let mut places = mail.kept.iter().map(|leaf| found.iter().position(|other| other == leaf));
        assert!(places.all(|place| place.is_some()), "a kept leaf is changed:\n{}", String::from_utf8_lossy(octets));
    } else {
        for secret in &mail.confidential {
            assert_absent(secret, &output, &allowed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn kept_parts_stay_protected_parts_go_and_everybody_reads_the_same(
        shape in shapes(),
        kinds in prop::collection::vec(0..6_u8, 1..4),
    ) {
        check(&shape, &kinds);
    }
}

/// Each takes two milliseconds without optimisation.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000)
}

/// Shorter runs occur by chance; longer ones could be cut by a line end.
const RUN: usize = 24;
