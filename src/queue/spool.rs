//! Octets that wait: sealed under SPOOL and a slot of their own, and unreadable once the slot is overwritten.
//!
//! A body of at most 64 KiB lies in a record of the same commit as its entry, a larger one in a
//! blob that is durable before that commit. What an entry leaves behind is named in a *grave* by the
//! commit that removes it; [`Spool::tidy`] overwrites the slots in batches, off the way of the mail.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::QueueId;
use crate::crypto::stream::SegmentId;
use crate::crypto::{aead, derive, random, stream};
use crate::event::{Event, emit};
use crate::failpoint;
use crate::secret::Secret;
use crate::store::{BlobId, Blobs, Conflict, Fault, SealedRecords, SlotNo, Slots, Write};

/// Where the octets of an entry lie, and what opens them beside SPOOL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spooled {
    /// Of SPOOL.
    epoch: u32,
    slot: SlotNo,
    lies: Lies,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Lies {
    InRecord,
    InBlob(BlobId),
}

#[cfg(test)]
impl Spooled {
    pub fn in_record(slot: SlotNo) -> Self {
        Self { epoch: 1, slot, lies: Lies::InRecord }
    }
}

impl Spooled {
    /// The slot that the octets hang on.
    pub const fn slot(&self) -> SlotNo {
        self.slot
    }
}

/// A slot that was taken and has no entry yet.
pub(super) type FreshSlot = (SlotNo, Secret<[u8; 32]>);

/// The sealed octets of all entries.
pub(super) struct Spool {
    records: SealedRecords,
    blobs: Arc<dyn Blobs>,
    slots: Arc<dyn Slots>,
    graves: Mutex<Vec<(QueueId, Spooled)>>,
    /// Held for reading while slots are overwritten, for writing while nothing shall be.
    quiet: RwLock<()>,
}

impl Spool {
    /// Over its stores; what a crash left buried and not yet overwritten is remembered.
    pub fn open(records: SealedRecords, blobs: Arc<dyn Blobs>, slots: Arc<dyn Slots>) -> Result<Self, Fault> {
        let graves = Mutex::new(read_graves(&records)?);
        Ok(Self { records, blobs, slots, graves, quiet: RwLock::default() })
    }

    /// Fresh slots, exactly so many.
    pub fn take_slots(&self, count: usize) -> Result<Vec<FreshSlot>, Fault> {
        let slots = self.slots.allocate(count)?;
        if slots.len() == count { Ok(slots) } else { Err(Fault("the slot store gave another number of slots".into())) }
    }

    /// Slots that sealed nothing that was kept.
    pub fn give_back(&self, slots: &[SlotNo]) {
        self.slots.shred(slots).unwrap_or_else(|fault| trouble(&fault));
    }

    /// Seals the octets. A large body is on stable storage when this returns, a small one is the
    /// write that goes with the entry.
    pub fn seal(&self, id: QueueId, body: &[Bytes], slot: &FreshSlot) -> Result<(Spooled, Option<Write>), Fault> {
        let (epoch, spool_key) = self.records.ring().spool_current();
        let key = body_key(&spool_key, id, &slot.1);
        let length: usize = body.iter().map(Bytes::len).sum();
        let (lies, write) = if length <= IN_RECORD_MAX {
            let sealed = aead::seal(&key, &id.0.to_be_bytes(), &body.concat());
            (Lies::InRecord, Some(self.records.put(body_key_name(id), &sealed)))
        } else {
            (Lies::InBlob(self.seal_blob(id, body, &key)?), None)
        };
        Ok((Spooled { epoch, slot: slot.0, lies }, write))
    }

    /// The octets, opened as they are read.
    pub fn read(&self, id: QueueId, spooled: &Spooled, size: u64) -> Result<Box<dyn Read + Send>, Fault> {
        let spool_key = self.records.ring().spool(spooled.epoch).ok_or_else(|| Fault("the key ring lacks the body's epoch".into()))?;
        let key = body_key(&spool_key, id, &self.slots.read(spooled.slot)?);
        match spooled.lies {
            Lies::InRecord => {
                let record = self.records.get(&body_key_name(id))?.ok_or_else(|| lost("record"))?;
                let body = aead::open(&key, &id.0.to_be_bytes(), &record.value).map_err(|_| Fault("body does not open".into()))?;
                Ok(Box::new(std::io::Cursor::new(body)))
            }
            Lies::InBlob(blob) => {
                let sealed = self.blobs.open(blob)?.ok_or_else(|| lost("blob"))?;
                Ok(stream::open(&key, segment(blob), sealed, 0..size)?)
            }
        }
    }

    /// The writes that remove an entry's octets and remember what is left to overwrite.
    pub fn bury(&self, id: QueueId, spooled: &Spooled) -> Result<Vec<Write>, Fault> {
        let value = postcard::to_allocvec(spooled).map_err(|error| Fault(error.to_string()))?;
        let grave = self.records.put(grave_key(id), &value);
        Ok(match spooled.lies {
            Lies::InRecord => vec![Write::Delete(body_key_name(id)), grave],
            Lies::InBlob(_) => vec![grave],
        })
    }

    /// The commit with [`bury`](Self::bury) in it is done.
    pub fn buried(&self, id: QueueId, spooled: Spooled) {
        lock(&self.graves).push((id, spooled));
    }

    /// Takes a body back whose entry was never committed.
    pub fn forget(&self, spooled: &Spooled) {
        if let Lies::InBlob(blob) = spooled.lies {
            // The sweeper finds it if this does not work.
            self.blobs.delete(blob).unwrap_or_else(|fault| trouble(&fault));
        }
    }

    /// Nothing is overwritten or removed while this is held.
    pub fn quiet(&self) -> RwLockWriteGuard<'_, ()> {
        self.quiet.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Overwrites the slots of what was settled and removes its blobs, one batch; tells how many there were.
    pub fn tidy(&self) -> Result<usize, Fault> {
        let Ok(_tidying) = self.quiet.try_read() else { return Ok(0) };
        let mut graves = lock(&self.graves);
        let rest = graves.len().saturating_sub(TIDY_BATCH);
        let batch = graves.split_off(rest);
        drop(graves);
        if batch.is_empty() {
            return Ok(0);
        }
        let result = unbroken(|| {
            failpoint::reach("queue.tidy");
            self.shred(&batch).map(|()| batch.len())
        });
        if result.is_err() {
            lock(&self.graves).extend(batch);
        }
        result
    }

    /// Removes blobs that no entry names; only those older than `before`, for a younger one may be
    /// just about to get its entry.
    pub fn sweep(&self, before: jiff::Timestamp) -> Result<usize, Fault> {
        let mut removed = 0;
        let mut from = None;
        loop {
            let page = self.blobs.list(from, PAGE)?;
            for &(blob, changed) in &page {
                if changed < before && self.is_orphan(blob)? {
                    self.blobs.delete(blob)?;
                    removed += 1;
                }
            }
            match page.last() {
                Some((last, _)) if page.len() >= PAGE => from = Some(*last),
                _ => return Ok(removed),
            }
        }
    }

    fn shred(&self, batch: &[(QueueId, Spooled)]) -> Result<(), Fault> {
        // After a crash in here they are shredded once more; the number of a slot that is somebody
        // else's by then is another one.
        let slots: Vec<SlotNo> = batch.iter().map(|(_, spooled)| spooled.slot).collect();
        self.slots.shred(&slots)?;
        for (_, spooled) in batch {
            if let Lies::InBlob(blob) = spooled.lies {
                self.blobs.delete(blob)?;
            }
        }
        let writes = batch.iter().map(|(id, _)| Write::Delete(grave_key(*id))).collect();
        self.records.commit_unhurried(vec![], writes).map_err(fault)
    }

    fn seal_blob(&self, id: QueueId, body: &[Bytes], key: &aead::Key) -> Result<BlobId, Fault> {
        let blob = blob_of(id);
        let mut writer = self.blobs.create(blob)?;
        stream::seal(key, segment(blob), &mut Pieces { rest: body.iter(), piece: &[] }, &mut *writer)?;
        writer.commit()?;
        Ok(blob)
    }

    fn is_orphan(&self, blob: BlobId) -> Result<bool, Fault> {
        let [a, b, c, d, e, f, g, h, ..] = blob.0;
        let id = QueueId(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        let named = !self.records.keys(&super::entry::Entry::key(id), &[], 1)?.is_empty();
        Ok(!named && self.records.keys(&grave_key(id), &[], 1)?.is_empty())
    }
}

/// The octets of an entry, opened when the first of them is asked for.
pub(super) struct Lazy {
    spool: Arc<Spool>,
    id: QueueId,
    spooled: Spooled,
    size: u64,
    opened: Option<Box<dyn Read + Send>>,
}

impl Lazy {
    pub fn new(spool: Arc<Spool>, id: QueueId, (spooled, size): (Spooled, u64)) -> Self {
        Self { spool, id, spooled, size, opened: None }
    }
}

impl Read for Lazy {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut opened = match self.opened.take() {
            Some(opened) => opened,
            None => self.spool.read(self.id, &self.spooled, self.size).map_err(|fault| std::io::Error::other(fault.0))?,
        };
        let count = opened.read(buffer)?;
        self.opened = Some(opened);
        Ok(count)
    }
}

/// A reader over the pieces of a message, in their order.
struct Pieces<'a> {
    rest: std::slice::Iter<'a, Bytes>,
    piece: &'a [u8],
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.piece.is_empty() {
            match self.rest.next() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        self.piece.read(buffer)
    }
}

fn read_graves(records: &SealedRecords) -> Result<Vec<(QueueId, Spooled)>, Fault> {
    let mut graves = Vec::new();
    let mut from = Vec::new();
    loop {
        let keys = records.keys(GRAVE, &from, PAGE)?;
        for key in &keys {
            match read_grave(records, key) {
                Ok(grave) => graves.extend(grave),
                Err(fault) => trouble(&fault),
            }
        }
        match keys.last() {
            Some(last) if keys.len() >= PAGE => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(graves),
        }
    }
}

fn read_grave(records: &SealedRecords, key: &[u8]) -> Result<Option<(QueueId, Spooled)>, Fault> {
    let Some(record) = records.get(key)? else { return Ok(None) };
    let id = key.strip_prefix(GRAVE).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
    let spooled = postcard::from_bytes(&record.value).map_err(|_| Fault("a grave is not readable".into()))?;
    Ok(id.map(|id| (QueueId(id), spooled)))
}

/// A blob's name begins with the entry's id, so the sweeper finds the entry without a search.
fn blob_of(id: QueueId) -> BlobId {
    let mut name = random::array::<16>();
    for (octet, of_id) in name.iter_mut().zip(id.0.to_be_bytes()) {
        *octet = of_id;
    }
    BlobId(name)
}

fn segment(blob: BlobId) -> SegmentId {
    SegmentId { parcel: blob.0, part: 0, segment: 0 }
}

/// Unlike every other body's key, and gone with the slot.
fn body_key(spool: &aead::Key, id: QueueId, slot: &Secret<[u8; 32]>) -> aead::Key {
    derive::key(spool, "spool body", &[slot.expose(), &id.0.to_be_bytes()])
}

fn body_key_name(id: QueueId) -> Vec<u8> {
    [BODY, &id.0.to_be_bytes()].concat()
}

fn grave_key(id: QueueId) -> Vec<u8> {
    [GRAVE, &id.0.to_be_bytes()].concat()
}

fn lost(place: &str) -> Fault {
    Fault(format!("the {place} with the body is not there"))
}

/// A conflict where no check was made can only be a fault.
pub(super) fn fault(conflict: Conflict) -> Fault {
    match conflict {
        Conflict::Check => Fault("a record changed meanwhile".into()),
        Conflict::Fault(fault) => fault,
    }
}

pub(super) fn trouble(fault: &Fault) {
    emit(&Event::Trouble { place: "queue", fault: &fault.0 });
}

/// A panic is our own trouble like any other: what it leaves behind is put right where a fault's is.
pub(super) fn unbroken<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Fault("a step of the queue panicked".into())))
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Small bodies.
const BODY: &[u8] = b"q/b/";
/// What is still to be overwritten.
const GRAVE: &[u8] = b"q/g/";
/// A body up to this size shares the fsync of its entry; a larger one would make the records big.
const IN_RECORD_MAX: usize = 64 * 1024;
/// Slots overwritten at once.
const TIDY_BATCH: usize = 1024;
/// Keys read at once.
pub(super) const PAGE: usize = 1000;
