//! Stop at every step: nothing lost, at most one duplicate for each crash and connection.
// A script names the stages that it changes; all others are answered as usual.
#![allow(clippy::wildcard_enum_match_arm)]

mod engines;
mod holds;
mod offers;
pub mod raw_sink;
pub mod relays;
mod routes;
mod settling;
mod stops;
pub mod twins;

use std::sync::Arc;

use jiff::Timestamp;
use waxseal::clock::Moment;
use waxseal::crypto::KeyRing;
use waxseal::mail::{Admd, BodyType, Domain, Envelope, Mailbox, Recipient, RequireTls, ReversePath, Utf8};
use waxseal::queue::{Carries, Lane, Lanes, NewEntry, Options, Queue, Stores};
use waxseal::store::{Fault, SealedRecords};

use twins::Twins;

/// A house of one domain.
pub fn admd() -> Admd {
    Admd {
        domains: vec![Domain::parse("example.org").unwrap()],
        hostname: Domain::parse("mail.example.org").unwrap(),
        postmaster: mailbox("postmaster@example.org"),
    }
}

pub fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

/// Everything goes one way.
pub fn one_lane() -> Lanes {
    Arc::new(|_| Lane::default())
}

/// A queue over the twins, as after a start.
pub fn open(twins: &Twins, ring: &Arc<KeyRing>, options: Options, now: impl Into<Moment>) -> Result<Queue, Fault> {
    Queue::open(stores(twins, ring, one_lane()), admd(), options, now)
}

/// The same with these lanes.
pub fn open_with(twins: &Twins, ring: &Arc<KeyRing>, lanes: Lanes, now: Timestamp) -> Result<Queue, Fault> {
    Queue::open(stores(twins, ring, lanes), admd(), Options::default(), now)
}

fn stores(twins: &Twins, ring: &Arc<KeyRing>, lanes: Lanes) -> Stores {
    let records = SealedRecords::new(twins.records.clone(), ring.clone());
    Stores { records, blobs: twins.blobs.clone(), slots: twins.slots.clone(), lanes }
}

pub fn entry(from: &str, to: &[&str], text: &str) -> NewEntry {
    let reverse_path = if from.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(mailbox(from)) };
    NewEntry {
        envelope: Envelope {
            reverse_path,
            recipients: to.iter().map(|to| Recipient::new(mailbox(to))).collect(),
            ret: None,
            envelope_id: None,
            body: BodyType::SevenBit,
            utf8: Utf8::No,
            require_tls: RequireTls::No,
        },
        body: vec!["Subject: test\r\n\r\n".into(), format!("{text}\r\n").into()],
        carries: Carries::Nothing,
    }
}

/// Seconds after the beginning of the test's time.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}
