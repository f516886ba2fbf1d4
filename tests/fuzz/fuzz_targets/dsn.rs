//! Whatever a next hop, a client or an author wrote, a report is a message of three parts that can be sent, and no line of it is theirs.
#![no_main]

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use waxseal::mail::dsn::{Action, Fate, Report, Returned, Words, compose};
use waxseal::mail::{Admd, BodyType, Domain, EnhancedStatus, Envelope, EnvelopeId, Mailbox, Message, OriginalRecipient, Recipient, RequireTls, ReversePath, Utf8};
use waxseal::smtp::framing::CrlfWriter;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let mut fields = octets.splitn(6, |&octet| octet == 0xff);
    let mut text = || String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
    let (diagnostic, remote, address_type, address, id) = (text(), text(), text(), text(), text());
    let header = fields.next().unwrap_or_default();
    let mailbox = |text: &str| Mailbox::parse(text).expect("an address");
    let domain = |text: &str| Domain::parse(text).expect("a domain");
    let admd = Admd { domains: vec![domain("example.org")], hostname: domain("gate.example.org"), postmaster: mailbox("postmaster@example.org") };
    let original = Some(OriginalRecipient { address_type, address });
    let recipient = Recipient { original, ..Recipient::new(mailbox("bob@example.net")) };
    let status = EnhancedStatus::new(5, 1, 1);
    let fates = [Fate { recipient, action: Action::Failed, status, diagnostic: Some(diagnostic), remote: Some(remote) }];
    let envelope = Envelope {
        reverse_path: ReversePath::Mailbox(mailbox("ann@example.org")),
        recipients: vec![],
        ret: None,
        envelope_id: Some(EnvelopeId(id)),
        body: BodyType::SevenBit,
        utf8: Utf8::No,
        require_tls: RequireTls::No,
    };
    let words = Words { subject: String::from("subject"), from: String::from("from"), lead: String::from("lead"), reason: String::from("reason") };
    let returned = if octets.len() % 2 == 0 { Returned::Header(header) } else { Returned::Whole(header) };
    let report = Report { admd: &admd, envelope: &envelope, arrived: Timestamp::UNIX_EPOCH, fates: &fates, words: &words, returned, seed: seed(octets) };
    let octets = compose(&report, &mailbox("ann@example.org"), Timestamp::UNIX_EPOCH);
    let (mut writer, mut wire) = (CrlfWriter::default(), Vec::new());
    writer.write(&octets, &mut wire).and_then(|()| writer.finish(&mut wire)).expect("it can be sent");
    let message = Message::parse(octets.clone());
    assert_eq!(message.root().children.len(), 3, "{}", String::from_utf8_lossy(&octets));
    let status = &message.root().children[1];
    let lines = String::from_utf8_lossy(&octets[status.body.start..status.body.end]).into_owned();
    assert!(lines.lines().all(|line| line.is_empty() || FIELDS.iter().any(|name| line.starts_with(name))), "{lines}");
});

/// Another one for each input, as it is random in earnest: what is written must not be able to name it.
fn seed(octets: &[u8]) -> [u8; 16] {
    let mut hasher = DefaultHasher::new();
    octets.hash(&mut hasher);
    let half = hasher.finish().to_be_bytes();
    std::array::from_fn(|at| half[at % half.len()])
}

/// RFC 3464 §2.2, §2.3.
const FIELDS: [&str; 10] = [
    "Reporting-MTA: ",
    "Original-Envelope-Id: ",
    "Arrival-Date: ",
    "Original-Recipient: ",
    "Final-Recipient: ",
    "Action: ",
    "Status: ",
    "Remote-MTA: ",
    "Diagnostic-Code: ",
    "Last-Attempt-Date: ",
];
