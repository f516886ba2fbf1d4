//! Opening: unlock the wraps, read ranges, spend downloads.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::parcel::{Item, ItemId, ParcelId, RecipientId, Role};
use super::record::{self, Lies, StoredItem, StoredLink, StoredManifest, StoredState};
use super::wrap::{self, Opener};
use super::{Admitted, Denied, Grant, Opened, Vault, opens, sealing};
use crate::crypto::LinkSecret;
use crate::crypto::aead::Key;
use crate::crypto::stream::{ReadAt, Segment, SegmentId, Window};
use crate::secret::Secret;
use crate::store::{BlobId, Check, Fault, SealedRecords, Write};

impl Vault {
    /// Opens the nested wraps. The factor was proved by the caller (`channel`); `told` is the password
    /// that was told another way, where the wrap has one. A wrong one is [`Denied::Unknown`].
    pub fn unlock(&self, link: &LinkSecret, told: Option<&Secret<String>>, now: Timestamp) -> Result<Grant, Denied> {
        let admitted = self.admit(link, now)?;
        let stored: StoredLink = record::read(&self.records, &record::link_key(link.id()))?.ok_or(Denied::Unknown)?.0;
        let slot = self.slots.read(stored.slot)?;
        let opener = Opener { link, slot: (stored.slot, &slot), told };
        let dek = wrap::unwrap(self.records.ring(), &stored, &opener).ok_or(Denied::Unknown)?;
        Ok(Grant { parcel: admitted.parcel, recipient: admitted.recipient, dek })
    }

    /// The names, types, lengths and digests of a parcel's items (the sealed manifest).
    pub fn items(&self, grant: &Grant) -> Result<Vec<Item>, Denied> {
        let (state, _) = self.opening(grant.parcel, self.time.latest(&self.records)?)?;
        let mut items = Vec::new();
        for (id, item) in (0..).map(ItemId).zip(self.manifest(grant)?.items) {
            let left = match (&item.role, state.downloads) {
                (Role::File | Role::Raw, Some(limit)) => {
                    Some(limit.saturating_sub(self.spent(&record::counter_key(grant.parcel, grant.recipient, id))?.0))
                }
                _ => None,
            };
            items.push(item.seen(id, left));
        }
        Ok(items)
    }

    /// What is known of a parcel to who may read it: with the words that policy hides from the metadata.
    pub fn revealed(&self, grant: &Grant, mut admitted: Admitted) -> Result<Admitted, Denied> {
        let manifest = self.manifest(grant)?;
        let contents = &mut admitted.contents;
        contents.subject = manifest.subject.unwrap_or(std::mem::take(&mut contents.subject));
        contents.sender_name = manifest.sender_name.or(contents.sender_name.take());
        Ok(admitted)
    }

    /// A parcel's items, to be read one after the other.
    pub fn shelf(&self, grant: &Grant, now: Timestamp) -> Result<Shelf, Denied> {
        self.opening(grant.parcel, now)?;
        let watch = Watch { records: self.records.clone(), parcel: grant.parcel, began: (now, Instant::now()) };
        Ok(Shelf { watch, dek: grant.dek.clone(), items: self.manifest(grant)?.items, content: self.content(grant.parcel)? })
    }

    /// Spends one download of each of these items for this recipient, against their limit; items that
    /// have none left are left out. It happens with the caller's commit, exactly as often as the limit
    /// allows; when a check fails there, it is to be asked for again.
    pub fn spend(&self, grant: &Grant, items: &[ItemId], now: Timestamp) -> Result<Spending, Denied> {
        let known = self.parcel(grant.parcel)?.items;
        if items.iter().any(|item| item.0 >= known) {
            return Err(Denied::Unknown);
        }
        let (state, version) = self.opening(grant.parcel, now)?;
        // The state's version too: nothing is spent on what is blocked at the same moment.
        let mut spending = Spending { checks: vec![Check::Version(record::state_key(grant.parcel), version)], ..Spending::default() };
        for &item in items {
            let Some(limit) = state.downloads else {
                spending.items.push(item);
                continue;
            };
            let key = record::counter_key(grant.parcel, grant.recipient, item);
            let (spent, counted) = self.spent(&key)?;
            if spent < limit {
                spending.push(item, unchanged(&key, counted), record::write(&self.records, key, &(spent + 1))?);
            }
        }
        Ok(spending)
    }

    /// Gives a spent download of each of these items back, with the caller's commit as in
    /// [`spend`](Self::spend): no octet of it was served. Needs no right to read, for a visit whose
    /// secret is with a browser that never came back.
    pub fn give_back(&self, parcel: ParcelId, recipient: RecipientId, items: &[ItemId]) -> Result<Spending, Fault> {
        let mut back = Spending::default();
        for &item in items {
            let key = record::counter_key(parcel, recipient, item);
            let (spent, counted) = self.spent(&key)?;
            if let Some(before) = spent.checked_sub(1) {
                back.push(item, unchanged(&key, counted), record::write(&self.records, key, &before)?);
            }
        }
        Ok(back)
    }

    fn spent(&self, counter: &[u8]) -> Result<(u32, Option<u64>), Fault> {
        Ok(record::read(&self.records, counter)?.map_or((0, None), |(spent, version)| (spent, Some(version))))
    }

    fn manifest(&self, grant: &Grant) -> Result<StoredManifest, Denied> {
        let record = self.records.get(&record::manifest_key(grant.parcel))?.ok_or(Denied::Unknown)?;
        sealing::open_manifest(grant.parcel, &grant.dek, &record.value)
            .ok_or_else(|| Denied::Fault(Fault("a manifest does not open".to_owned())))
    }

    fn content(&self, parcel: ParcelId) -> Result<Arc<dyn ReadAt>, Denied> {
        let lost = || Denied::Fault(Fault("the content of a parcel is not there".to_owned()));
        match self.parcel(parcel)?.content {
            Lies::InBlob => Ok(self.blobs.open(BlobId(parcel.0))?.ok_or_else(lost)?.into()),
            Lies::InRecord => Ok(Arc::new(self.records.get(&record::content_key(parcel))?.ok_or_else(lost)?.value)),
        }
    }
}

/// The open manifest of a parcel, and its content: a thousand items cost no more than one to find.
pub struct Shelf {
    watch: Watch,
    dek: Key,
    items: Vec<StoredItem>,
    content: Arc<dyn ReadAt>,
}

impl Shelf {
    /// Plaintext of one item, `range` in octets, end exclusive, cut to the item's length. Checks
    /// state, not limits.
    pub fn open(&self, item: ItemId, range: Range<u64>) -> Result<Opened, Denied> {
        self.watch.check()?;
        let found = usize::try_from(item.0).ok().and_then(|place| self.items.get(place)).ok_or(Denied::Unknown)?;
        let id = SegmentId { parcel: self.watch.parcel.0, part: item.0, segment: 0 };
        let window = Window { whole: self.content.clone(), start: found.start, length: found.sealed };
        let segment = Segment::open(&self.dek, id, Box::new(window)).map_err(unreadable)?;
        if segment.length() != found.length {
            return Err(Denied::Fault(Fault("the content of a parcel has another length than its manifest says".to_owned())));
        }
        let etag = segment.etag().to_owned();
        let end = range.end.min(found.length);
        let content = segment.read(range.start.min(end)..end).map_err(unreadable)?;
        let content = Watched { content, watch: self.watch.clone(), unchecked: 0, checked: Instant::now() };
        Ok(Opened { length: found.length, etag, content: Box::new(content) })
    }
}

/// Downloads that are spent or given back by the commit that holds these checks and writes, or not at all.
#[derive(Debug, Default)]
pub struct Spending {
    /// Of which items.
    pub items: Vec<ItemId>,
    /// What must not have changed.
    pub checks: Vec<Check>,
    /// The counters.
    pub writes: Vec<Write>,
}

impl Spending {
    fn push(&mut self, item: ItemId, check: Check, write: Write) {
        self.items.push(item);
        self.checks.push(check);
        self.writes.push(write);
    }
}

fn unchanged(key: &[u8], version: Option<u64>) -> Check {
    match version {
        Some(version) => Check::Version(key.to_vec(), version),
        None => Check::Absent(key.to_vec()),
    }
}

fn unreadable(error: io::Error) -> Denied {
    Denied::Fault(Fault(format!("the content of a parcel: {error}")))
}

/// What tells whether a parcel still opens.
#[derive(Clone)]
struct Watch {
    records: SealedRecords,
    parcel: ParcelId,
    began: (Timestamp, Instant),
}

impl Watch {
    fn check(&self) -> Result<(), Denied> {
        let (time, instant) = self.began;
        let now =
            SignedDuration::try_from(instant.elapsed()).ok().and_then(|elapsed| time.checked_add(elapsed).ok()).unwrap_or(Timestamp::MAX);
        let state: Option<(StoredState, u64)> = record::read(&self.records, &record::state_key(self.parcel))?;
        state.map_or(Err(Denied::Unknown), |(state, _)| opens(&state, now))
    }
}

/// Content that ends with an error soon after its parcel was blocked or its time was over.
struct Watched<R> {
    content: R,
    watch: Watch,
    unchecked: usize,
    checked: Instant,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.unchecked >= CHECK_OCTETS || self.checked.elapsed() >= CHECK_TIME {
            self.watch.check().map_err(ended)?;
            self.unchecked = 0;
            self.checked = Instant::now();
        }
        let room = buffer.len().min(CHECK_OCTETS);
        let count = self.content.read(buffer.get_mut(..room).unwrap_or_default())?;
        self.unchecked += count;
        Ok(count)
    }
}

fn ended(denied: Denied) -> io::Error {
    match denied {
        Denied::Fault(fault) => io::Error::other(fault.0),
        Denied::Unknown | Denied::Blocked | Denied::Expired | Denied::UsedUp => {
            io::Error::new(io::ErrorKind::PermissionDenied, "the parcel does not open any more")
        }
    }
}

/// What goes out at most after a block, in octets and time.
const CHECK_OCTETS: usize = 1 << 20;
const CHECK_TIME: Duration = Duration::from_secs(5);
