//! Parcels: sealed content that opens only with the host's key, the recipient's link and a live slot.
//!
//! `seal` makes a parcel durable, still *pending*; the commit of its entries in the queue makes it
//! *live*; the sweeper removes what stayed pending for an hour, what expired and what was shredded.
//! `admit` turns a link into knowledge without any effect; reading asks for a [`Grant`].

//! A clock that is set back revives nothing: the latest time ever seen is kept with the records.
//! A password that was told another way is part of the wrap itself ([`Vault::seal_told`]).
//!
//! Keys of records hold random ids, digests and times only; see `record`.

use std::io::Read;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::crypto::aead::{self, Key};
use crate::crypto::{Broken, LinkId, LinkSecret, derive};
use crate::mail::Mailbox;
use crate::secret::Secret;
use crate::store::{BlobId, Blobs, Check, Conflict, Fault, SealedRecords, Slots, Write};

mod clock;
mod opening;
pub mod parcel;
mod record;
mod restoring;
mod sealing;
mod sweeping;
mod wrap;

use clock::HighWater;
pub use opening::{Shelf, Spending};
pub use parcel::{Access, Contents, Factor, Item, ItemId, Kind, ParcelId, RecipientId, Role, State, Words};
use record::{Stage, StoredLink, StoredParcel, StoredRecipient, StoredState, Tombstone, Way};
pub use restoring::{Blocked, CaughtUp};

/// Where parcels are kept.
pub struct Vault {
    records: SealedRecords,
    blobs: Arc<dyn Blobs>,
    slots: Arc<dyn Slots>,
    time: HighWater,
    /// How far the search for blobs without a parcel came.
    census: Mutex<Option<BlobId>>,
}

/// What is to be sealed.
pub struct NewParcel<'a> {
    /// What the recipient gets by it.
    pub kind: Kind,
    /// The author, for the pages and for questions back.
    pub sender: Mailbox,
    /// Display name of the author, decoded.
    pub sender_name: Option<Words>,
    /// The message's own Message-ID.
    pub message_id: String,
    /// The subject as the pages show it.
    pub subject: Words,
    /// Date field of the message.
    pub date: Option<Timestamp>,
    /// To and Cc as the pages show them; never Bcc.
    pub visible: Vec<Mailbox>,
    /// Protection, limits.
    pub access: Access,
    /// Body and files, in order.
    pub items: Vec<NewItem<'a>>,
    /// Who gets a link each.
    pub recipients: Vec<Mailbox>,
}

/// One part to be sealed.
pub struct NewItem<'a> {
    /// What it is for.
    pub role: Role,
    /// The file name, decoded; made safe where it is used.
    pub name: String,
    /// Its declared type, `kind/subtype`.
    pub media_type: String,
    /// Its content, transfer encoding undone.
    pub content: Box<dyn Read + Send + 'a>,
}

/// A parcel on stable storage that nobody can open yet.
#[derive(Debug)]
pub struct Sealed {
    /// Its id.
    pub parcel: ParcelId,
    /// What it holds, in the order given.
    pub items: Vec<Item>,
    /// A link for each recipient, in their order.
    pub links: Vec<Link>,
    /// To be committed together with the queue entries that carry the links: makes the parcel live.
    pub go_live: Vec<Write>,
}

/// The way for one recipient.
#[derive(Debug, Clone)]
pub struct Link {
    /// Whose it is.
    pub recipient: Mailbox,
    /// What goes into the URL of the mail, and nowhere else.
    pub secret: LinkSecret,
    /// Until when it opens.
    pub expires: Timestamp,
}

/// What a link shows before anything is proved: no content, no effect.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// Which parcel.
    pub parcel: ParcelId,
    /// Which of its recipients.
    pub recipient: RecipientId,
    /// The recipient's address.
    pub mailbox: Mailbox,
    /// What must be proved.
    pub factor: Factor,
    /// Sender, subject, limits, state: everything that is kept as metadata.
    pub contents: Contents,
}

/// Why a link does not open. To a stranger the first two look alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// No such link, or a parcel that is not live.
    Unknown,
    /// The sender blocked it.
    Blocked,
    /// Its time is over. Said openly: the secret proves the holder.
    Expired,
    /// All downloads of this item are used up.
    UsedUp,
    /// Our own trouble.
    Fault(Fault),
}

/// The right to read one parcel: the key in memory, made by [`Vault::unlock`] or from a session.
#[derive(Clone, Debug)]
pub struct Grant {
    parcel: ParcelId,
    recipient: RecipientId,
    dek: Key,
}

impl Grant {
    /// Which parcel.
    pub const fn parcel(&self) -> ParcelId {
        self.parcel
    }

    /// Which recipient.
    pub const fn recipient(&self) -> RecipientId {
        self.recipient
    }

    /// The grant sealed under a session's secret, so that a session outlives a restart and the store
    /// alone opens nothing.
    pub fn seal(&self, session: &Key) -> Vec<u8> {
        let mut plain = Zeroizing::new(self.parcel.0.to_vec());
        plain.extend_from_slice(&self.recipient.0.to_be_bytes());
        plain.extend_from_slice(self.dek.expose());
        aead::seal(&derive::key(session, "grant", &[]), GRANT, &plain)
    }

    /// Opens what [`seal`](Self::seal) made.
    pub fn unseal(session: &Key, sealed: &[u8]) -> Result<Self, Broken> {
        let plain = Zeroizing::new(aead::open(&derive::key(session, "grant", &[]), GRANT, sealed)?);
        let (parcel, rest) = plain.split_first_chunk::<16>().ok_or(Broken)?;
        let (recipient, dek) = rest.split_first_chunk::<4>().ok_or(Broken)?;
        let dek = <[u8; 32]>::try_from(dek).map_err(|_| Broken)?;
        Ok(Self { parcel: ParcelId(*parcel), recipient: RecipientId(u32::from_be_bytes(*recipient)), dek: Secret::new(dek) })
    }
}

/// A plaintext stream of an item.
pub struct Opened {
    /// Octets of the whole item.
    pub length: u64,
    /// Strong entity tag, without quotes.
    pub etag: String,
    /// The octets of the range that was asked for; reading checks the parcel's state every MiB or
    /// 5 s, so a block ends it with an error.
    pub content: Box<dyn Read + Send>,
}

impl Vault {
    /// Over its stores. Blobs and slots are this vault's alone: it sweeps what no parcel of its own names.
    pub const fn new(records: SealedRecords, blobs: Arc<dyn Blobs>, slots: Arc<dyn Slots>) -> Self {
        Self { records, blobs, slots, time: HighWater::new(), census: Mutex::new(None) }
    }

    /// Makes parcels live apart from their entries: their mail goes out without any.
    pub fn go_live(&self, writes: Vec<Write>) -> Result<(), Fault> {
        self.records.commit(vec![], writes).map_err(record::fault)
    }

    /// What a link leads to. Pure: no counter, no record, no time measured.
    pub fn admit(&self, link: &LinkSecret, now: Timestamp) -> Result<Admitted, Denied> {
        let found: StoredLink = match record::read(&self.records, &record::link_key(link.id()))? {
            Some((found, _)) => found,
            None => return Err(self.gone(link.id().0)?),
        };
        self.contents(ParcelId(found.parcel), RecipientId(found.recipient), now)
    }

    /// What is known of a parcel now, for a session that was admitted before: state and counters fresh.
    pub fn contents(&self, parcel: ParcelId, recipient: RecipientId, now: Timestamp) -> Result<Admitted, Denied> {
        let (state, _) = self.opening(parcel, now)?;
        let stored = self.parcel(parcel)?;
        let place = usize::try_from(recipient.0).map_err(|_| Denied::Unknown)?;
        let Some(StoredRecipient { mailbox, way: Way::Open, .. }) = stored.recipients.get(place) else { return Err(Denied::Unknown) };
        let mailbox = record::mailbox(mailbox)?;
        let factor = stored.least_factor.max(state.factor);
        Ok(Admitted { parcel, recipient, mailbox, factor, contents: stored.contents(&state)? })
    }

    /// Blocks or unblocks a whole parcel; running downloads end. Unblocking works until it is shredded.
    /// A parcel cannot be made pending again: that is [`Denied::Unknown`].
    pub fn set_blocked(&self, parcel: ParcelId, blocked: State, now: Timestamp) -> Result<(), Denied> {
        let now = self.time.at(&self.records, now)?;
        let stage = match blocked {
            State::Live => Stage::Live,
            State::Blocked => Stage::Blocked,
            State::Pending => return Err(Denied::Unknown),
        };
        for _ in 0..TRIES {
            let (state, version) = self.state(parcel)?;
            match state.stage {
                Stage::Live | Stage::Blocked if now >= state.expires()? => return Err(Denied::Expired),
                Stage::Live | Stage::Blocked => {}
                Stage::Pending | Stage::Doomed => return Err(Denied::Unknown),
            }
            let mut writes = vec![state.with(stage, now).write(&self.records, parcel)?];
            if stage == Stage::Blocked {
                writes.push(self.records.put(record::due_key(now.as_second().saturating_add(SHRED_AFTER), parcel), &[]));
            }
            match self.records.commit(vec![Check::Version(record::state_key(parcel), version)], writes) {
                Err(Conflict::Check) => {}
                done => return done.map_err(|conflict| record::fault(conflict).into()),
            }
        }
        Err(Denied::Fault(busy()))
    }

    /// Takes back the way of one recipient for good: the mail with the link failed.
    pub fn revoke(&self, parcel: ParcelId, recipient: &Mailbox) -> Result<(), Fault> {
        let text = recipient.to_string();
        for _ in 0..TRIES {
            let key = record::parcel_key(parcel);
            let Some((mut stored, version)) = record::read::<StoredParcel>(&self.records, &key)? else { return Ok(()) };
            let mut slots = Vec::new();
            let mut writes = Vec::new();
            for found in stored.recipients.iter_mut().filter(|found| found.mailbox == text && found.way == Way::Open) {
                found.way = Way::Revoked;
                slots.push(found.slot);
                writes.push(Write::Delete(record::link_key(LinkId(found.link))));
            }
            // The slot first: a crash in between leaves a link that does not open, never one that does.
            self.slots.shred(&slots)?;
            writes.push(record::write(&self.records, key.clone(), &stored)?);
            match self.records.commit(vec![Check::Version(key, version)], writes) {
                Err(Conflict::Check) => {}
                done => return done.map_err(record::fault),
            }
        }
        Err(busy())
    }

    /// The state of a parcel that opens at this moment.
    fn opening(&self, parcel: ParcelId, now: Timestamp) -> Result<(StoredState, u64), Denied> {
        let now = self.time.at(&self.records, now)?;
        let (state, version) = self.state(parcel)?;
        opens(&state, now)?;
        Ok((state, version))
    }

    fn state(&self, parcel: ParcelId) -> Result<(StoredState, u64), Denied> {
        match record::read(&self.records, &record::state_key(parcel))? {
            Some(found) => Ok(found),
            None => Err(self.gone(parcel.0)?),
        }
    }

    fn parcel(&self, parcel: ParcelId) -> Result<StoredParcel, Denied> {
        record::read(&self.records, &record::parcel_key(parcel))?.map(|(stored, _)| stored).ok_or(Denied::Unknown)
    }

    /// What to say of a link or parcel that is not there.
    fn gone(&self, id: [u8; 16]) -> Result<Denied, Fault> {
        Ok(match record::read::<Tombstone>(&self.records, &record::tombstone_key(id))? {
            Some((Tombstone::Expired, _)) => Denied::Expired,
            Some((Tombstone::Blocked, _)) => Denied::Blocked,
            None => Denied::Unknown,
        })
    }
}

/// Whether a parcel in this state opens.
fn opens(state: &StoredState, now: Timestamp) -> Result<(), Denied> {
    match state.stage {
        Stage::Pending => Err(Denied::Unknown),
        Stage::Blocked => Err(Denied::Blocked),
        Stage::Doomed => Err(Denied::Expired),
        Stage::Live if now >= state.expires()? => Err(Denied::Expired),
        Stage::Live => Ok(()),
    }
}

fn busy() -> Fault {
    Fault("a parcel is changed by too many at once".to_owned())
}

impl From<Fault> for Denied {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

const GRANT: &[u8] = b"wx1/grant";
/// Attempts at one record; each that fails means that somebody else's succeeded.
const TRIES: usize = 10_000;
/// Seconds in which a block can be taken back.
const SHRED_AFTER: i64 = 24 * 60 * 60;
/// Seconds that a parcel may wait for its mail to be committed.
const PENDING_FOR: i64 = 60 * 60;

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Parcels whose time was over.
    pub expired: usize,
    /// Parcels whose mail was never queued.
    pub orphaned: usize,
    /// Blobs without a parcel.
    pub blobs: usize,
}
