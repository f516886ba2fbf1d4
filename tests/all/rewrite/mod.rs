//! What leaves: golden messages, generated messages, signatures read by others.

mod dkim;
mod generated;
mod golden;
mod refused;
pub mod specimens;
mod wire;

use std::io::Read;

use bytes::Bytes;
use waxseal::crypto::LinkSecret;
use waxseal::mail::{Admd, BodyType, Domain, Envelope, HeaderField, Mailbox, Message, Recipient, RequireTls, ReversePath, Utf8};
use waxseal::policy::{Decision, Wish};
use waxseal::queue::NewEntry;
use waxseal::secret::Secret;
use waxseal::transform::dkim::Signers;
use waxseal::transform::{Frame, Letter, Plan, Unwritable};
use waxseal::vault::{Kind, Link, ParcelId, Role};

const RECEIVED: &str =
    "Received: from [192.0.2.1] by gw.example.org with ESMTPS id 0000000000000001;\r\n\tThu, 30 Jun 2022 08:39:00 +0000\r\n";

/// An item as it would lie in the vault.
#[derive(Debug)]
struct Sealed {
    kind: Kind,
    role: Role,
    name: String,
    media_type: String,
    content: Vec<u8>,
}

fn now() -> jiff::Timestamp {
    "2022-06-30T08:39:00Z".parse().unwrap()
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn admd() -> Admd {
    Admd {
        domains: vec![Domain::parse("example.org").unwrap()],
        hostname: Domain::parse("gw.example.org").unwrap(),
        postmaster: mailbox("postmaster@example.org"),
    }
}

fn envelope(recipients: Vec<Recipient>) -> Envelope {
    Envelope {
        reverse_path: ReversePath::Mailbox(mailbox("ann@example.org")),
        recipients,
        ret: Some(waxseal::mail::Return::Full),
        envelope_id: None,
        body: BodyType::EightBitMime,
        utf8: Utf8::No,
        require_tls: RequireTls::No,
    }
}

/// The whole way of one message through plan, vault (in memory) and rewriting.
fn sent(message: &Message, decisions: Vec<Decision>, wish: &Wish, signers: &Signers) -> (Vec<Sealed>, Result<Vec<NewEntry>, Unwritable>) {
    sent_at(message, decisions, (wish, signers), now())
}

fn sent_at(
    message: &Message,
    decisions: Vec<Decision>,
    (wish, signers): (&Wish, &Signers),
    now: jiff::Timestamp,
) -> (Vec<Sealed>, Result<Vec<NewEntry>, Unwritable>) {
    let envelope = envelope(decisions.iter().map(|decision| decision.recipient.clone()).collect());
    let plan = Plan::new(decisions);
    let mut sealed = Vec::new();
    let mut letters = Vec::new();
    for (number, (parcel, _)) in plan.protected(message, &envelope, now).into_iter().enumerate() {
        letters.push(parcel.recipients.iter().map(|recipient| letter(number, recipient, parcel.access.expires)).collect());
        for mut item in parcel.items {
            let mut content = Vec::new();
            item.content.read_to_end(&mut content).unwrap();
            sealed.push(Sealed { kind: parcel.kind, role: item.role, name: item.name, media_type: item.media_type, content });
        }
    }
    let admd = admd();
    let received = HeaderField::new(Bytes::from_static(RECEIVED.as_bytes()), 8);
    let frame = Frame { admd: &admd, received, signers, wish, seed: [7; 16], now };
    (sealed, plan.rewrite(&envelope, message, letters, &frame))
}

fn letter(parcel: usize, recipient: &Mailbox, expires: jiff::Timestamp) -> Letter {
    let url = format!("https://gw.example.org/m/{}", "a".repeat(32));
    Letter {
        parcel: ParcelId([parcel as u8; 16]),
        link: Link { recipient: recipient.clone(), secret: LinkSecret(Secret::new([0; 20])), expires },
        text: format!("\n-- Sécurité --\nFor {recipient}\n{url}\n"),
        html: format!("<p>Sécurité: for {recipient} <a href=\"{url}\">Open</a></p>\n"),
        subject: "A secure message".to_owned(),
    }
}

/// The repository keeps lines as editors do; mail ends them with CRLF.
fn with_crlf(text: &[u8]) -> Bytes {
    text.split(|&octet| octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect::<Vec<_>>().join(&b"\r\n"[..]).into()
}
