//! The sweeper: what is over is shredded, then forgotten.
//!
//! First the parcel is doomed, so that nobody takes it back; then its slots are overwritten, then
//! its records go, then its blob. A stop in between is taken up by the next sweep: the entry that
//! says when to look goes last, with the records. What is due stands in the order of time, so a
//! sweep costs what is due and not what is there.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use jiff::{SignedDuration, Timestamp};

use super::parcel::ParcelId;
use super::record::{self, Lies, Stage, StoredParcel, StoredState, Tombstone};
use super::{PENDING_FOR, SHRED_AFTER, Swept, Vault};
use crate::crypto::LinkId;
use crate::event::{Event, emit};
use crate::store::{BlobId, Check, Conflict, Fault, SlotNo, Write};

impl Vault {
    /// Removes pending parcels older than an hour, expired ones and blocked ones past their
    /// time: slots overwritten first, then records, then blobs; blobs that no record names after a
    /// day. One call does a bounded part of a large backlog.
    pub fn sweep(&self, now: Timestamp) -> Result<Swept, Fault> {
        let now = self.time.at(&self.records, now)?;
        self.time.keep(&self.records)?;
        let mut swept = Swept::default();
        for _ in 0..BATCHES {
            let due = self.due(record::DUE, now)?;
            if due.is_empty() {
                break;
            }
            if self.sweep_batch(due, now, &mut swept)? == Progress::None {
                break;
            }
        }
        self.forget(now)?;
        swept.blobs = self.sweep_blobs(now)?;
        Ok(swept)
    }

    /// The latest time that was ever seen, here or by an earlier run; `None` in a new vault.
    pub fn latest(&self) -> Result<Option<Timestamp>, Fault> {
        let latest = self.time.latest(&self.records)?;
        Ok((latest > Timestamp::UNIX_EPOCH).then_some(latest))
    }

    /// Takes `now` for the time, even if later ones were seen. What was over by then is swept first, so
    /// that nothing comes back.
    pub fn believe(&self, now: Timestamp) -> Result<(), Fault> {
        while self.sweep(self.time.latest(&self.records)?)?.expired > 0 {}
        self.time.set(&self.records, now)
    }

    /// Every slot that a parcel names, for [`FileSlots::retain`](crate::store::slots::FileSlots::retain)
    /// after a crash, before anything is sealed. It reads every parcel, so it is for a small vault or
    /// an operator with time: what a crash loses is 8 KiB at most.
    pub fn slots_in_use(&self) -> Result<Vec<SlotNo>, Fault> {
        let mut used = Vec::new();
        let mut from = Vec::new();
        loop {
            let page = self.records.keys(record::PARCEL, &from, PAGE)?;
            for key in &page {
                if let Some((stored, _)) = record::read::<StoredParcel>(&self.records, key)? {
                    used.extend(stored.recipients.iter().map(|recipient| recipient.slot));
                }
            }
            match page.last() {
                Some(last) if page.len() >= PAGE => from = [last.as_slice(), &[0]].concat(),
                _ => return Ok(used),
            }
        }
    }

    /// A parcel whose records do not open is left where it is: it must not keep the others alive.
    fn sweep_batch(&self, due: Vec<Due>, now: Timestamp, swept: &mut Swept) -> Result<Progress, Fault> {
        let mut stale = Vec::new();
        let mut over = Vec::new();
        let mut seen = BTreeSet::new();
        for (key, id) in due {
            match self.end(ParcelId(id), now) {
                // A parcel may be due twice, for its block and for its end.
                Ok(Some(end)) if seen.insert(id) => over.push((key, ParcelId(id), end)),
                Ok(Some(_) | None) => stale.push(Write::Delete(key)),
                Err(fault) => emit(&Event::Trouble { place: "sweep", fault: &fault.0 }),
            }
        }
        let over = self.doom(over, now)?;
        let mut slots = Vec::new();
        let mut writes = stale;
        let mut blobs = Vec::new();
        for (key, id, end) in over {
            writes.push(Write::Delete(key));
            if let Some((stored, _)) = record::read::<StoredParcel>(&self.records, &record::parcel_key(id))? {
                slots.extend(stored.recipients.iter().map(|recipient| recipient.slot));
                blobs.extend((stored.content == Lies::InBlob).then_some(BlobId(id.0)));
                writes.extend(self.bury(id, (&stored, end), now)?);
            }
            match end {
                End::Orphaned => swept.orphaned += 1,
                End::Expired | End::Blocked => swept.expired += 1,
            }
        }
        if writes.is_empty() {
            return Ok(Progress::None);
        }
        self.slots.shred(&slots)?;
        self.records.commit(vec![], writes).map_err(record::fault)?;
        blobs.into_iter().try_for_each(|blob| self.blobs.delete(blob))?;
        Ok(Progress::Some)
    }

    /// Why a parcel's time is over; `None` when it is not, or when it is gone.
    fn end(&self, id: ParcelId, now: Timestamp) -> Result<Option<End>, Fault> {
        let Some((state, _)) = record::read::<StoredState>(&self.records, &record::state_key(id))? else { return Ok(None) };
        let age = now.as_second().saturating_sub(state.since);
        Ok(match state.stage {
            Stage::Pending => (age >= PENDING_FOR).then_some(End::Orphaned),
            Stage::Doomed | Stage::Live | Stage::Blocked if now >= state.expires()? => Some(End::Expired),
            Stage::Doomed => Some(End::Blocked),
            Stage::Blocked => (age >= SHRED_AFTER).then_some(End::Blocked),
            Stage::Live => None,
        })
    }

    /// Dooms all at once, or one by one when somebody changed one of them; those that were changed are left.
    fn doom(&self, over: Vec<Over>, now: Timestamp) -> Result<Vec<Over>, Fault> {
        let mut checks = Vec::with_capacity(over.len());
        let mut writes = Vec::with_capacity(over.len());
        for (_, id, _) in &over {
            if let Some((state, version)) = record::read::<StoredState>(&self.records, &record::state_key(*id))? {
                checks.push(Check::Version(record::state_key(*id), version));
                writes.push(state.with(Stage::Doomed, now).write(&self.records, *id)?);
            }
        }
        match self.records.commit(checks, writes) {
            Ok(()) => Ok(over),
            Err(Conflict::Fault(fault)) => Err(fault),
            Err(Conflict::Check) if over.len() <= 1 => Ok(Vec::new()),
            Err(Conflict::Check) => {
                let mut doomed = Vec::new();
                for (key, id, end) in over {
                    // What it is now may not be what it was: a block may have been taken back.
                    if self.end(id, now)? == Some(end) {
                        doomed.extend(self.doom(vec![(key, id, end)], now)?);
                    }
                }
                Ok(doomed)
            }
        }
    }

    /// All records of a parcel go; what a link or a session may still ask is answered by tombstones.
    fn bury(&self, id: ParcelId, (stored, end): (&StoredParcel, End), now: Timestamp) -> Result<Vec<Write>, Fault> {
        let keys = [record::parcel_key(id), record::state_key(id), record::manifest_key(id), record::content_key(id)];
        let mut writes: Vec<Write> = keys.into_iter().map(Write::Delete).collect();
        writes.extend(stored.recipients.iter().map(|recipient| Write::Delete(record::link_key(LinkId(recipient.link)))));
        let counters = record::counters_key(id);
        let mut from = counters.clone();
        loop {
            let page = self.records.keys(&counters, &from, PAGE)?;
            let full = page.len() >= PAGE;
            if let Some(last) = page.last() {
                from = [last.as_slice(), &[0]].concat();
            }
            writes.extend(page.into_iter().map(Write::Delete));
            if !full {
                break;
            }
        }
        let tombstone = match end {
            End::Orphaned => return Ok(writes),
            End::Expired => Tombstone::Expired,
            End::Blocked => Tombstone::Blocked,
        };
        let forget = now.as_second().saturating_add(REMEMBERED);
        for id in stored.recipients.iter().filter(|found| found.way == record::Way::Open).map(|found| found.link).chain([id.0]) {
            writes.push(record::write(&self.records, record::tombstone_key(id), &tombstone)?);
            writes.push(self.records.put(record::forget_key(forget, id), &[]));
        }
        Ok(writes)
    }

    fn forget(&self, now: Timestamp) -> Result<(), Fault> {
        let due = self.due(record::FORGET, now)?;
        if due.is_empty() {
            return Ok(());
        }
        let writes = due.into_iter().flat_map(|(key, id)| [Write::Delete(key), Write::Delete(record::tombstone_key(id))]).collect();
        self.records.commit(vec![], writes).map_err(record::fault)
    }

    /// Up to a batch of timed entries that are due, with the ids they speak of.
    fn due(&self, prefix: &[u8], now: Timestamp) -> Result<Vec<Due>, Fault> {
        let keys = self.records.keys(prefix, prefix, BATCH)?;
        let due = keys.into_iter().map_while(|key| {
            let (seconds, id) = record::timed(&key)?;
            (seconds <= now.as_second()).then_some((key, id))
        });
        Ok(due.collect())
    }

    /// A page of blobs a call, going round.
    fn sweep_blobs(&self, now: Timestamp) -> Result<usize, Fault> {
        let mut census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        let page = self.blobs.list(*census, PAGE)?;
        *census = if page.len() < PAGE { None } else { page.last().map(|(last, _)| *last) };
        let mut removed = 0;
        for (blob, changed) in page {
            // A young one may be about to get its parcel.
            if now.duration_since(changed) < BLOB_WAITS || self.records.get(&record::parcel_key(ParcelId(blob.0)))?.is_some() {
                continue;
            }
            self.blobs.delete(blob)?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// Whether a batch took anything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Some,
    None,
}

/// A key in the order of time, and the id that it speaks of.
type Due = (Vec<u8>, [u8; 16]);
/// The key that said so, the parcel, and why it is over.
type Over = (Vec<u8>, ParcelId, End);

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Orphaned,
    Expired,
    Blocked,
}

/// Parcels in one commit, and commits in one sweep.
const BATCH: usize = 250;
const BATCHES: usize = 40;
/// Blobs, or counters, looked at in one go.
const PAGE: usize = 1000;
/// Seconds that a link is told that its time is over: 90 days.
const REMEMBERED: i64 = 90 * 24 * 60 * 60;
const BLOB_WAITS: SignedDuration = SignedDuration::from_hours(24);
