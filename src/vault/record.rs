//! Parcels as they lie in the records: keys, stored forms, and the way between both.
//!
//! | key | value |
//! |---|---|
//! | `vl/` link id | how one recipient's wrap is opened |
//! | `vp/` parcel | metadata and recipients |
//! | `vs/` parcel | state, limits |
//! | `vm/` parcel | the manifest, sealed under the parcel's own key |
//! | `vb/` parcel | content of a small parcel, sealed under its own key |
//! | `vc/` parcel, recipient, item | downloads spent |
//! | `vd/` time, parcel | when to look at it again |
//! | `vt/` link id or parcel | what became of it |
//! | `vu/` time, id | when to forget that |

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::parcel::{Contents, Factor, Item, ItemId, Kind, ParcelId, RecipientId, Role, State};
use crate::crypto::LinkId;
use crate::crypto::password::Cost;
use crate::mail::Mailbox;
use crate::store::{Conflict, Fault, SealedRecords, SlotNo, Write};

/// One recipient's wrap.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredLink {
    pub parcel: [u8; 16],
    pub recipient: u32,
    pub epoch: u32,
    pub salt: [u8; 32],
    pub told: Option<StoredTold>,
    pub slot: SlotNo,
    pub least_factor: Factor,
    pub commit: [u8; 32],
    pub outer: Vec<u8>,
}

/// How slow, and with which salt, a told password was made into a key.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct StoredTold {
    pub salt: [u8; 16],
    pub cost: Cost,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredParcel {
    pub kind: Kind,
    pub sender: String,
    pub sender_name: Option<String>,
    pub message_id: String,
    pub subject: String,
    pub date: Option<i64>,
    pub visible: Vec<String>,
    pub sealed: i64,
    pub least_factor: Factor,
    pub recipients: Vec<StoredRecipient>,
    pub items: u32,
    pub content: Lies,
}

/// Where the content lies.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Lies {
    InRecord,
    InBlob,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredRecipient {
    pub mailbox: String,
    pub link: [u8; 16],
    pub slot: SlotNo,
    pub way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    Open,
    Revoked,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredState {
    pub stage: Stage,
    pub since: i64,
    pub expires: i64,
    /// What is demanded; never less than the wrap's own.
    pub factor: Factor,
    pub downloads: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    Pending,
    Live,
    Blocked,
    /// The sweeper took it: there is no way back, even if it stops half way.
    Doomed,
}

/// What is left of a parcel that is no more.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Tombstone {
    Expired,
    Blocked,
}

/// The manifest: what opens with the link alone.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredManifest {
    /// The subject, where policy hides it.
    pub subject: Option<String>,
    /// The author's display name, where policy hides it.
    pub sender_name: Option<String>,
    pub items: Vec<StoredItem>,
}

/// Where an item lies in the content, and what it is.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredItem {
    pub role: Role,
    pub name: String,
    pub media_type: String,
    pub length: u64,
    pub sha256: [u8; 32],
    /// Where its segment begins in the content, and its sealed octets.
    pub start: u64,
    pub sealed: u64,
}

impl StoredItem {
    /// What a recipient with so many downloads left is told of it.
    pub(super) fn seen(self, id: ItemId, left: Option<u32>) -> Item {
        let Self { role, name, media_type, length, sha256, .. } = self;
        Item { id, role, name, media_type, length, sha256, left }
    }
}

impl StoredState {
    pub(super) fn expires(&self) -> Result<Timestamp, Fault> {
        time(self.expires)
    }

    pub(super) fn with(&self, stage: Stage, now: Timestamp) -> Self {
        Self { stage, since: now.as_second(), ..self.clone() }
    }

    pub(super) fn write(&self, records: &SealedRecords, parcel: ParcelId) -> Result<Write, Fault> {
        write(records, state_key(parcel), self)
    }
}

impl StoredParcel {
    pub(super) fn contents(&self, state: &StoredState) -> Result<Contents, Fault> {
        Ok(Contents {
            kind: self.kind,
            sender: mailbox(&self.sender)?,
            sender_name: self.sender_name.clone(),
            message_id: self.message_id.clone(),
            subject: self.subject.clone(),
            date: self.date.map(time).transpose()?,
            visible: self.visible.iter().map(|text| mailbox(text)).collect::<Result<_, _>>()?,
            sealed: time(self.sealed)?,
            expires: state.expires()?,
            state: match state.stage {
                Stage::Pending => State::Pending,
                Stage::Live => State::Live,
                Stage::Blocked | Stage::Doomed => State::Blocked,
            },
        })
    }
}

pub(super) fn link_key(LinkId(id): LinkId) -> Vec<u8> {
    [LINK, &id].concat()
}

pub(super) fn parcel_key(ParcelId(id): ParcelId) -> Vec<u8> {
    [PARCEL, &id].concat()
}

pub(super) fn state_key(ParcelId(id): ParcelId) -> Vec<u8> {
    [STATE, &id].concat()
}

pub(super) fn manifest_key(ParcelId(id): ParcelId) -> Vec<u8> {
    [MANIFEST, &id].concat()
}

pub(super) fn content_key(ParcelId(id): ParcelId) -> Vec<u8> {
    [CONTENT, &id].concat()
}

/// Before all counters of a parcel.
pub(super) fn counters_key(ParcelId(id): ParcelId) -> Vec<u8> {
    [COUNTER, &id].concat()
}

pub(super) fn counter_key(ParcelId(id): ParcelId, RecipientId(recipient): RecipientId, ItemId(item): ItemId) -> Vec<u8> {
    [COUNTER, &id, &recipient.to_be_bytes(), &item.to_be_bytes()].concat()
}

/// Sorted by time, so that a sweep sees only what is due.
pub(super) fn due_key(seconds: i64, ParcelId(id): ParcelId) -> Vec<u8> {
    [DUE, &seconds.max(0).to_be_bytes(), &id].concat()
}

pub(super) fn tombstone_key(id: [u8; 16]) -> Vec<u8> {
    [TOMBSTONE, &id].concat()
}

pub(super) fn forget_key(seconds: i64, id: [u8; 16]) -> Vec<u8> {
    [FORGET, &seconds.max(0).to_be_bytes(), &id].concat()
}

/// The time and the id of a key that [`due_key`] or [`forget_key`] made.
pub(super) fn timed(key: &[u8]) -> Option<(i64, [u8; 16])> {
    let (seconds, id) = key.get(DUE.len()..)?.split_first_chunk::<8>()?;
    Some((i64::from_be_bytes(*seconds), id.try_into().ok()?))
}

/// A stored form and its version.
pub(super) fn read<T: DeserializeOwned>(records: &SealedRecords, key: &[u8]) -> Result<Option<(T, u64)>, Fault> {
    let Some(record) = records.get(key)? else { return Ok(None) };
    let stored = postcard::from_bytes(&record.value).map_err(|error| Fault(format!("a record of the vault cannot be read: {error}")))?;
    Ok(Some((stored, record.version)))
}

pub(super) fn write<T: Serialize>(records: &SealedRecords, key: Vec<u8>, stored: &T) -> Result<Write, Fault> {
    let value = postcard::to_allocvec(stored).map_err(|error| Fault(error.to_string()))?;
    Ok(records.put(key, &value))
}

pub(super) fn mailbox(text: &str) -> Result<Mailbox, Fault> {
    Mailbox::parse(text).map_err(|bad| Fault(format!("an address in the vault: {bad}")))
}

pub(super) fn time(seconds: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_second(seconds).map_err(|error| Fault(error.to_string()))
}

/// For commits without checks, and for those whose checks were dealt with.
pub(super) fn fault(conflict: Conflict) -> Fault {
    match conflict {
        Conflict::Fault(fault) => fault,
        Conflict::Check => Fault("a record of the vault changed meanwhile".to_owned()),
    }
}

const LINK: &[u8] = b"vl/";
pub(super) const PARCEL: &[u8] = b"vp/";
const STATE: &[u8] = b"vs/";
const MANIFEST: &[u8] = b"vm/";
const CONTENT: &[u8] = b"vb/";
const COUNTER: &[u8] = b"vc/";
pub(super) const DUE: &[u8] = b"vd/";
const TOMBSTONE: &[u8] = b"vt/";
pub(super) const FORGET: &[u8] = b"vu/";
