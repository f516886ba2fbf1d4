//! The whole way of a message in one process: inspect, decide, plan, rewrite, in the words of the real
//! notices. Links are made up.

use std::path::PathBuf;
use std::sync::LazyLock;

use bytes::Bytes;
use waxseal::crypto::LinkSecret;
use waxseal::extract::Extractor;
use waxseal::mail::{Envelope, HeaderField, Mailbox, Message, ReversePath};
use waxseal::notice::{Head, Notices, Rendered};
use waxseal::policy::{Decision, Facts, Inspection, Options, PolicySet, Wish, supplied};
use waxseal::secret::Secret;
use waxseal::transform::dkim::Signers;
use waxseal::transform::{Frame, Letter, Plan};
use waxseal::vault::{Link, ParcelId, Role};
use waxseal::words::{Brand, Language};

use super::{admd, envelope, rules};

pub static SUPPLIED: LazyLock<PolicySet> = LazyLock::new(|| {
    let policies: Vec<(PathBuf, String)> = supplied()
        .iter()
        .filter(|(file, _)| file.starts_with("policies/"))
        .map(|(file, text)| (PathBuf::from(file), (*text).to_owned()))
        .collect();
    PolicySet::from_texts(&rules(), &policies, &admd(), &Options::default()).unwrap()
});

pub static EXTRACTOR: LazyLock<Extractor> = LazyLock::new(|| Extractor::new(env!("CARGO_BIN_EXE_waxseal").into(), 2));

static NOTICES: LazyLock<Notices> = LazyLock::new(|| {
    let brand = Brand {
        name: "House".into(),
        accent: "#8f2d22".into(),
        support: "it@house.example".into(),
        language: Language::Swedish,
        zone: jiff::tz::TimeZone::UTC,
        base_url: "https://secure.house.example".into(),
    };
    Notices::new(brand, admd(), None).unwrap()
});

/// What became of a message.
pub struct Fate {
    pub inspection: Inspection,
    pub decisions: Vec<Decision>,
    /// The octets that leave, for each entry; none when the message cannot be written.
    pub sent: Vec<Vec<u8>>,
    /// The names of what was sealed.
    pub sealed: Vec<String>,
}

/// From a colleague to a stranger.
pub fn fate(octets: &[u8]) -> Fate {
    let from = ReversePath::Mailbox(Mailbox::parse("ann@house.example").unwrap());
    fate_in(octets, &envelope(from, &["bob@mail.example"]))
}

pub fn fate_in(octets: &[u8], envelope: &Envelope) -> Fate {
    let (admd, now) = (admd(), "2026-11-22T12:00:00Z".parse().unwrap());
    let message = Message::parse(Bytes::copy_from_slice(octets));
    let wish = Wish::of(&message, envelope, &admd);
    let inspection = SUPPLIED.inspect(&message, &EXTRACTOR);
    let facts = Facts { admd: &admd, envelope, message: &message, inspection: &inspection, wish: &wish, verified: &[], now };
    let decisions = SUPPLIED.decide(&facts);
    let plan = Plan::new(decisions.clone());
    let mut letters = Vec::new();
    let mut sealed = Vec::new();
    for (number, (parcel, verdict)) in plan.protected(&message, envelope, now).into_iter().enumerate() {
        let head = Head::of(&parcel, verdict);
        let files: Vec<&str> =
            parcel.items.iter().filter(|item| matches!(item.role, Role::File | Role::Raw)).map(|item| item.name.as_str()).collect();
        let files: Vec<(&str, u64)> = files.into_iter().map(|name| (name, 25_080)).collect();
        let to = |to: &Mailbox| {
            let link = Link { recipient: to.clone(), secret: LinkSecret(Secret::new([0; 20])), expires: parcel.access.expires };
            let Rendered { subject, text, html } = NOTICES.letter(&head, &files, &link);
            Letter { parcel: ParcelId([number as u8; 16]), link, text, html, subject }
        };
        letters.push(parcel.recipients.iter().map(to).collect());
        sealed.extend(parcel.items.iter().map(|item| item.name.clone()));
    }
    let received = HeaderField::new(Bytes::from_static(b"Received: from [192.0.2.1]\r\n"), 8);
    let signers = Signers::default();
    let frame = Frame { admd: &admd, received, signers: &signers, wish: &wish, seed: [7; 16], now };
    let sent = match plan.rewrite(envelope, &message, letters, &frame) {
        Ok(entries) => entries.iter().map(|entry| entry.body.concat()).collect(),
        Err(_) => Vec::new(),
    };
    Fate { inspection, decisions, sent, sealed }
}
