//! Policy tests: a small message, and what must become of it for each recipient.

use bytes::Bytes;
use jiff::Timestamp;
use toml::de::DeTable;

use crate::extract::{Extracted, Passage, Unread, Why};
use crate::mail::{Admd, BodyType, Domain, Envelope, Mailbox, Message, Recipient, RequireTls, ReversePath, Utf8};

use super::condition::Way;
use super::inspect::inspect;
use super::matching::{FACTOR, GO, PROTECTION, WAY, lifetime, spell};
use super::reader::{Page, get};
use super::{Decision, Factor, Facts, Go, PolicySet, Protection, Reason, Wish};

/// One test.
pub struct Trial {
    from: ReversePath,
    to: Vec<Mailbox>,
    message: Vec<u8>,
    expects: Vec<Expect>,
    /// What counts as the house in this test, if it says so.
    house: Vec<Domain>,
    /// The way to all recipients.
    tls: Option<Way>,
}

/// What must come out for one recipient; absent fields may be anything.
struct Expect {
    of: Mailbox,
    at: usize,
    protection: Option<Protection>,
    factor: Option<Factor>,
    expires: Option<std::time::Duration>,
    downloads: Option<u32>,
    go: Option<Go>,
    because: Option<String>,
}

/// Reads a file of tests.
pub fn read(page: &mut Page<'_>) -> Vec<Trial> {
    let root = page.root();
    page.keys(&root, "a file of policy tests", (&["test"], &[]));
    let tables = get(&root, "test").map(|value| page.tables("test", value)).unwrap_or_default();
    tables.into_iter().filter_map(|(table, span)| read_one(page, table, span.start)).collect()
}

fn read_one(page: &mut Page<'_>, table: &DeTable<'_>, at: usize) -> Option<Trial> {
    page.keys(table, "a policy test", (KEYS, &[]));
    let text = |page: &mut Page<'_>, key: &str| get(table, key).and_then(|value| page.text(key, value));
    let subject = text(page, "subject").unwrap_or_default();
    let body = text(page, "text").unwrap_or_default();
    let from = text(page, "from");
    let from_path = match from.as_deref() {
        Some("") => Some(ReversePath::Null),
        Some(address) => mailbox(page, (address, at)).map(ReversePath::Mailbox),
        None => {
            page.advise(at, "from: missing", "from = \"ann@example.org\"; \"\" is the null reverse-path");
            None
        }
    };
    let to: Vec<Mailbox> = get(table, "to")
        .map(|value| page.texts("to", value))
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(text, at)| mailbox(page, (&text, at)))
        .collect();
    if to.is_empty() {
        page.advise(at, "to: missing", "to = [\"bob@example.net\"]");
    }
    let files = get(table, "files").map(|value| read_files(page, value)).unwrap_or_default();
    let expects =
        get(table, "expect").and_then(|value| page.table("expect", value)).map(|table| read_expects(page, table)).unwrap_or_default();
    if expects.is_empty() {
        page.advise(at, "a test that expects nothing", "expect.\"bob@example.net\" = { then = \"secure-message\" }");
    }
    for expect in expects.iter().filter(|expect| !to.contains(&expect.of)) {
        page.wrong(expect.at, format!("{} is not among the recipients of this test", expect.of));
    }
    let house = get(table, "house").map(|value| read_house(page, value)).unwrap_or_default();
    let tls = get(table, "tls").and_then(|value| page.choose(&WAY, value));
    Some(Trial { house, tls, message: write(from.as_deref().unwrap_or_default(), &subject, &body, &files), from: from_path?, to, expects })
}

fn read_house(page: &mut Page<'_>, value: &super::reader::Value<'_>) -> Vec<Domain> {
    let mut house = Vec::new();
    for (text, at) in page.texts("house", value) {
        match Domain::parse(&text) {
            Ok(domain) => house.push(domain),
            Err(wrong) => page.advise(at, format!("house: {text:?}"), wrong.to_string()),
        }
    }
    house
}

fn read_files(page: &mut Page<'_>, value: &super::reader::Value<'_>) -> Vec<(String, String)> {
    let tables = page.tables("files", value);
    tables
        .into_iter()
        .filter_map(|(table, _)| {
            page.keys(table, "a file of a test", (&["name", "text"], &[]));
            let name = get(table, "name").and_then(|value| page.text("name", value))?;
            Some((name, get(table, "text").and_then(|value| page.text("text", value)).unwrap_or_default()))
        })
        .collect()
}

fn read_expects(page: &mut Page<'_>, table: &DeTable<'_>) -> Vec<Expect> {
    table
        .iter()
        .filter_map(|(address, value)| {
            let at = address.span().start;
            let of = mailbox(page, (address.get_ref(), at))?;
            let wanted = page.table("expect", value)?;
            page.keys(wanted, "expect", (EXPECT_KEYS, &[]));
            Some(Expect {
                of,
                at,
                protection: get(wanted, "then").and_then(|value| page.choose(&PROTECTION, value)),
                factor: get(wanted, "factor").and_then(|value| page.choose(&FACTOR, value)),
                expires: get(wanted, "expires").and_then(|value| read_lifetime(page, value)),
                downloads: get(wanted, "downloads").and_then(|value| page.whole("downloads", value)),
                go: get(wanted, "go").and_then(|value| page.choose(&GO, value)),
                because: get(wanted, "because").and_then(|value| page.text("because", value)),
            })
        })
        .collect()
}

fn read_lifetime(page: &mut Page<'_>, value: &super::reader::Value<'_>) -> Option<std::time::Duration> {
    let text = page.text("expires", value)?;
    let read = lifetime(&text);
    if read.is_none() {
        page.advise(value.span().start, format!("expires {text:?} is not a time"), "a number with h, d or w: \"12h\", \"7d\", \"2w\"");
    }
    read
}

fn mailbox(page: &mut Page<'_>, (text, at): (&str, usize)) -> Option<Mailbox> {
    match Mailbox::parse(text) {
        Ok(mailbox) => Some(mailbox),
        Err(wrong) => {
            page.advise(at, format!("{text:?} is not an address"), wrong.to_string());
            None
        }
    }
}

impl Trial {
    /// Runs it; what came out instead is a mistake at the expectation.
    pub fn run(&self, set: &PolicySet, admd: &Admd, page: &mut Page<'_>) {
        let domains = if self.house.is_empty() { admd.domains.clone() } else { self.house.clone() };
        let admd = &Admd { domains, ..admd.clone() };
        let message = Message::parse(Bytes::from(self.message.clone()));
        let envelope = Envelope {
            reverse_path: self.from.clone(),
            recipients: self.to.iter().cloned().map(Recipient::new).collect(),
            ret: None,
            envelope_id: None,
            body: BodyType::EightBitMime,
            utf8: Utf8::Yes,
            require_tls: RequireTls::No,
        };
        let inspection = inspect(&set.recogniser, &message, &read_plain);
        let wish = Wish::of(&message, &envelope, admd);
        let verified = if self.tls.is_some() { self.to.as_slice() } else { &[] };
        let (envelope, message, inspection, wish) = (&envelope, &message, &inspection, &wish);
        let facts = Facts { admd, envelope, message, inspection, wish, verified, now: Timestamp::UNIX_EPOCH };
        let decisions = set.decide(&facts);
        for expect in &self.expects {
            for decision in decisions.iter().filter(|decision| decision.recipient.forward_path == expect.of) {
                expect.compare(decision, page);
            }
        }
    }
}

impl Expect {
    fn compare(&self, decision: &Decision, page: &mut Page<'_>) {
        let verdict = &decision.verdict;
        let mut differences: Vec<String> = Vec::new();
        let mut differs = |key: &str, expected: Option<String>, came: String| {
            if let Some(expected) = expected.filter(|expected| *expected != came) {
                differences.push(format!("{key} is {came}, not {expected}"));
            }
        };
        differs("then", self.protection.map(|then| then.word().to_owned()), verdict.protection.word().to_owned());
        differs("factor", self.factor.map(|factor| factor_word(factor).to_owned()), factor_word(verdict.factor).to_owned());
        differs("expires", self.expires.map(spell), spell(verdict.expires));
        differs("downloads", self.downloads.map(|downloads| downloads.to_string()), verdict.downloads.unwrap_or(0).to_string());
        differs("go", self.go.map(|go| go_word(go).to_owned()), go_word(verdict.go).to_owned());
        let matched = policies_of(decision);
        if let Some(because) = self.because.as_ref().filter(|because| !matched.contains(&because.as_str())) {
            differences.push(format!("{because:?} did not match"));
        }
        if !differences.is_empty() {
            let why =
                if matched.is_empty() { "no policy matched".to_owned() } else { format!("policies that matched: {}", matched.join(", ")) };
            page.advise(self.at, format!("{}: {}", self.of, differences.join("; ")), why);
        }
    }
}

fn policies_of(decision: &Decision) -> Vec<&str> {
    decision
        .because
        .iter()
        .filter_map(|reason| match reason {
            Reason::Policy { name, .. } => Some(name.as_str()),
            Reason::RaisedFor(_) | Reason::Wished(_) | Reason::NotGranted(_) => None,
        })
        .collect()
}

/// As policies write it.
pub const fn factor_word(factor: Factor) -> &'static str {
    match factor {
        Factor::None => "none",
        Factor::Password => "password",
    }
}

/// As policies write it.
const fn go_word(go: Go) -> &'static str {
    match go {
        Go::Now => "now",
        Go::Reject => "reject",
    }
}

/// The message of a test: UTF-8 throughout, files as base64.
fn write(from: &str, subject: &str, text: &str, files: &[(String, String)]) -> Vec<u8> {
    let line = |text: &str| text.replace(['\r', '\n'], " ");
    let mut message = format!("From: {}\r\nSubject: {}\r\nMIME-Version: 1.0\r\n", line(from), line(subject));
    let body = text.replace("\r\n", "\n").replace('\n', "\r\n");
    if files.is_empty() {
        message.push_str(&format!("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n"));
        return message.into_bytes();
    }
    message.push_str(&format!("Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\r\n\r\n"));
    message
        .push_str(&format!("--{BOUNDARY}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n"));
    for (name, text) in files {
        let name = line(name).replace(['"', '\\'], "'");
        let content = data_encoding::BASE64.encode(text.as_bytes());
        let lines: Vec<&str> = content.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        message.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
            lines.join("\r\n")
        ));
    }
    message.push_str(&format!("--{BOUNDARY}--\r\n"));
    message.into_bytes()
}

/// Files of tests are text; one that begins like an archive or document stands for what cannot be read.
fn read_plain(_name: &str, _media_type: &str, content: &Bytes) -> Extracted {
    match std::str::from_utf8(content) {
        Ok(text) if !text.contains('\0') => Extracted {
            passages: vec![Passage { place: Vec::new(), text: text.to_owned() }],
            types: vec!["text/plain".to_owned()],
            ..Extracted::default()
        },
        Ok(_) | Err(_) => Extracted { unread: vec![Unread { place: Vec::new(), why: Why::Unknown }], ..Extracted::default() },
    }
}

const KEYS: &[&str] = &["house", "from", "to", "subject", "text", "files", "tls", "expect"];
const EXPECT_KEYS: &[&str] = &["then", "factor", "expires", "downloads", "go", "because"];
const BOUNDARY: &str = "=_a part of a test";
