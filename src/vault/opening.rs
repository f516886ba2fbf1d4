//! Opening: unlock the wraps, read ranges, spend downloads.

use std::io::{self, Read};
use std::ops::Range;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::parcel::{Item, ItemId, ParcelId, RecipientId, Role};
use super::record::{self, Lies, StoredLink, StoredManifest, StoredState};
use super::wrap::{self, Opener};
use super::{Admitted, Denied, Grant, Opened, TRIES, Vault, busy, opens, sealing};
use crate::crypto::LinkSecret;
use crate::crypto::stream::{ReadAt, Segment, SegmentId, Window};
use crate::secret::Secret;
use crate::store::{BlobId, Check, Conflict, Fault, SealedRecords, Write};

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
                (Role::File | Role::Raw, Some(limit)) => Some(limit.saturating_sub(self.spent(grant, id)?.0)),
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

    /// Plaintext of one item, `range` in octets, end exclusive, cut to the item's length. Checks
    /// state, not limits.
    #[expect(clippy::too_many_arguments, reason = "whose right, which item, which octets, when: none of them can be left out")]
    pub fn open(&self, grant: &Grant, item: ItemId, range: Range<u64>, now: Timestamp) -> Result<Opened, Denied> {
        self.opening(grant.parcel, now)?;
        let place = usize::try_from(item.0).map_err(|_| Denied::Unknown)?;
        let found = self.manifest(grant)?.items.into_iter().nth(place).ok_or(Denied::Unknown)?;
        let id = SegmentId { parcel: grant.parcel.0, part: item.0, segment: 0 };
        let window = Window { whole: self.content(grant.parcel)?, start: found.start, length: found.sealed };
        let segment = Segment::open(&grant.dek, id, Box::new(window)).map_err(unreadable)?;
        if segment.length() != found.length {
            return Err(Denied::Fault(Fault("the content of a parcel has another length than its manifest says".to_owned())));
        }
        let etag = segment.etag().to_owned();
        let end = range.end.min(found.length);
        let content = segment.read(range.start.min(end)..end).map_err(unreadable)?;
        let watch = Watch { records: self.records.clone(), parcel: grant.parcel, began: (now, Instant::now()) };
        let content = Watched { content, watch, unchecked: 0, checked: Instant::now() };
        Ok(Opened { length: found.length, etag, content: Box::new(content) })
    }

    /// Spends one download of an item for this recipient, atomically against its limit. Exactly as
    /// many calls succeed as the limit allows, however many run at once.
    pub fn spend(&self, grant: &Grant, item: ItemId, now: Timestamp) -> Result<(), Denied> {
        if item.0 >= self.parcel(grant.parcel)?.items {
            return Err(Denied::Unknown);
        }
        let key = record::counter_key(grant.parcel, grant.recipient, item);
        for _ in 0..TRIES {
            let (state, version) = self.opening(grant.parcel, now)?;
            let Some(limit) = state.downloads else { return Ok(()) };
            let (spent, counted) = self.spent(grant, item)?;
            if spent >= limit {
                return Err(Denied::UsedUp);
            }
            let write = record::write(&self.records, key.clone(), &(spent + 1))?;
            // The state's version too: nothing is spent on what is blocked at the same moment.
            let checks = vec![unchanged(&key, counted), Check::Version(record::state_key(grant.parcel), version)];
            match self.records.commit(checks, vec![write]) {
                Err(Conflict::Check) => {}
                done => return done.map_err(|conflict| record::fault(conflict).into()),
            }
        }
        Err(Denied::Fault(busy()))
    }

    /// Gives a spent download back: no octet of it was served.
    pub fn give_back(&self, grant: &Grant, item: ItemId) -> Result<(), Fault> {
        self.give_back_to(grant.parcel, (grant.recipient, item))
    }

    /// The same without the right to read: for a visit whose secret is with a browser that never came back.
    pub fn give_back_to(&self, parcel: ParcelId, (recipient, item): (RecipientId, ItemId)) -> Result<(), Fault> {
        let key = record::counter_key(parcel, recipient, item);
        for _ in 0..TRIES {
            let Some((spent, counted)) = record::read::<u32>(&self.records, &key)? else { return Ok(()) };
            let Some(before) = spent.checked_sub(1) else { return Ok(()) };
            let write: Write = record::write(&self.records, key.clone(), &before)?;
            match self.records.commit(vec![Check::Version(key.clone(), counted)], vec![write]) {
                Err(Conflict::Check) => {}
                done => return done.map_err(record::fault),
            }
        }
        Err(busy())
    }

    fn spent(&self, grant: &Grant, item: ItemId) -> Result<(u32, Option<u64>), Fault> {
        let key = record::counter_key(grant.parcel, grant.recipient, item);
        Ok(record::read(&self.records, &key)?.map_or((0, None), |(spent, version)| (spent, Some(version))))
    }

    fn manifest(&self, grant: &Grant) -> Result<StoredManifest, Denied> {
        let record = self.records.get(&record::manifest_key(grant.parcel))?.ok_or(Denied::Unknown)?;
        sealing::open_manifest(grant.parcel, &grant.dek, &record.value)
            .ok_or_else(|| Denied::Fault(Fault("a manifest does not open".to_owned())))
    }

    fn content(&self, parcel: ParcelId) -> Result<Box<dyn ReadAt>, Denied> {
        let lost = || Denied::Fault(Fault("the content of a parcel is not there".to_owned()));
        match self.parcel(parcel)?.content {
            Lies::InBlob => self.blobs.open(BlobId(parcel.0))?.ok_or_else(lost),
            Lies::InRecord => Ok(Box::new(self.records.get(&record::content_key(parcel))?.ok_or_else(lost)?.value)),
        }
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

/// What tells whether a download may go on.
struct Watch {
    records: SealedRecords,
    parcel: ParcelId,
    began: (Timestamp, Instant),
}

impl Watch {
    fn still_opens(&self) -> io::Result<()> {
        let (time, instant) = self.began;
        let now =
            SignedDuration::try_from(instant.elapsed()).ok().and_then(|elapsed| time.checked_add(elapsed).ok()).unwrap_or(Timestamp::MAX);
        let state: Option<(StoredState, u64)> =
            record::read(&self.records, &record::state_key(self.parcel)).map_err(|fault| io::Error::other(fault.0))?;
        match state {
            Some((state, _)) if opens(&state, now).is_ok() => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "the parcel does not open any more")),
        }
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
            self.watch.still_opens()?;
            self.unchecked = 0;
            self.checked = Instant::now();
        }
        let room = buffer.len().min(CHECK_OCTETS);
        let count = self.content.read(buffer.get_mut(..room).unwrap_or_default())?;
        self.unchecked += count;
        Ok(count)
    }
}

/// What goes out at most after a block, in octets and time.
const CHECK_OCTETS: usize = 1 << 20;
const CHECK_TIME: Duration = Duration::from_secs(5);
