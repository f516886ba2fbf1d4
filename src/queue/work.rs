//! The steps below the queue's verbs: seal, commit, settle, conclude.

use std::sync::PoisonError;
use std::time::Instant;

use jiff::Timestamp;

use super::entry::{Entry, Head, Standing};
use super::index::{Millis, Place, Turn};
use super::settlement::{self, Settlement};
use super::spool::{FreshSlot, Spooled, lock, unbroken};
use super::{LEASE, Lease, NewEntry, Outcome, Queue, QueueId, Revoke, SET_ASIDE, Trouble, damaged, report, revoke};
use crate::clock::Moment;
use crate::crypto::random;
use crate::event::{Event, emit};
use crate::failpoint;
use crate::mail::Envelope;
use crate::mail::dsn::Action;
use crate::store::{Check, Conflict, Fault, SlotNo, Write};

/// A new entry whose octets are sealed: all that is missing is the commit.
pub(super) struct Prepared {
    id: QueueId,
    spooled: Spooled,
    place: Place,
    writes: Vec<Write>,
}

impl Prepared {
    /// The same in the hands of the attempt that it comes from.
    pub fn leased(self, envelope: Envelope, size: u64) -> (Self, Lease) {
        let lease = Lease { id: self.id, envelope, size, attempts: 0, spooled: self.spooled.clone() };
        let turn = Turn::Leased(Instant::now() + LEASE);
        (Self { place: Place { turn, ..self.place }, ..self }, lease)
    }
}

/// An entry as it was read, and which writing of it that was.
pub(super) struct Stored {
    id: QueueId,
    pub entry: Entry,
    version: u64,
}

impl Queue {
    /// One try at settling by what is stored now, again if that changes meanwhile.
    pub(super) fn try_settle(&self, id: QueueId, outcomes: &[Outcome], moment: Moment) -> Result<Vec<Revoke>, Trouble> {
        let now = moment.now;
        loop {
            let Some(stored) = self.read(id).map_err(Trouble::Entry)? else {
                lock(&self.index).remove(id);
                return Ok(vec![]);
            };
            let settlement = settlement::settle(stored.entry.clone(), outcomes, &self.terms.load(), moment);
            let revokes = revoke::of((id, &stored.entry), settlement.failed.iter().map(|(recipient, _)| recipient));
            let mut changes = self.changes(&stored, &settlement)?;
            for revoke in &revokes {
                changes.push(revoke::note(&self.records, revoke)?);
            }
            let mut reports = self.prepare(self.reports(&stored, &settlement, now)?, now)?;
            let check = Check::Version(Entry::key(id), stored.version);
            failpoint::reach("queue.settle");
            let _settling = self.settling.read().unwrap_or_else(PoisonError::into_inner);
            match self.write_unhurried(vec![check], &mut reports, changes) {
                Ok(()) => {
                    failpoint::reach("queue.settled");
                    self.conclude(stored, settlement, reports);
                    return Ok(revokes);
                }
                Err(Conflict::Check) => self.discard(reports),
                Err(Conflict::Fault(fault)) => return Err(Trouble::Store(fault)),
            }
        }
    }

    /// The writes that bring an entry's record to what was settled.
    fn changes(&self, Stored { id, entry, .. }: &Stored, settlement: &Settlement) -> Result<Vec<Write>, Fault> {
        match &settlement.remains {
            Some(remains) => Ok(vec![self.records.put(Entry::key(*id), &remains.write()?)]),
            None => {
                let mut writes = self.spool.bury(*id, &entry.spooled)?;
                writes.push(Write::Delete(Entry::key(*id)));
                Ok(writes)
            }
        }
    }

    /// What follows from a settlement that is on stable storage.
    fn conclude(&self, Stored { id, entry, .. }: Stored, settlement: Settlement, reports: Vec<Prepared>) {
        for (_, status) in &settlement.failed {
            emit(&Event::Failed { id: &id.to_string(), status: &status.to_string() });
        }
        let recipients = settlement.reports.iter().flatten().filter(|fate| fate.action == Action::Failed).count();
        if let (1.., Err(because)) = (recipients, report::addressee(&entry.envelope, &self.admd)) {
            emit(&Event::Unreported { id: &id.to_string(), recipients, because });
        }
        match settlement.remains {
            Some(remains) => {
                let place = self.place(&remains);
                lock(&self.index).put(id, place);
            }
            None => {
                lock(&self.index).remove(id);
                self.spool.buried(id, entry.spooled);
            }
        }
        self.admit(reports);
    }

    fn reports(&self, Stored { id, entry, .. }: &Stored, settlement: &Settlement, now: Timestamp) -> Result<Vec<NewEntry>, Fault> {
        if settlement.reports.is_empty() {
            return Ok(vec![]);
        }
        let Ok(to) = report::addressee(&entry.envelope, &self.admd) else { return Ok(vec![]) };
        // A report without the header is better than none: octets that do not open any more must
        // not keep the sender from hearing of it.
        let body = self.spool.read(*id, &entry.spooled, entry.size);
        let message = body.and_then(|body| report::Kept::of(entry, body).map_err(Fault::from)).unwrap_or_else(|fault| {
            damaged(*id, &fault);
            report::Kept::Header(Vec::new())
        });
        let language = message.language(*lock(&self.language));
        let told = settlement.reports.iter().map(|fates| report::Told { to, fates, message: &message, language });
        Ok(told.map(|told| report::compose(&self.admd, entry, &told, now)).collect())
    }

    /// Seals the octets of new entries. Afterwards all that is missing is one commit.
    pub(super) fn prepare(&self, entries: Vec<NewEntry>, now: Timestamp) -> Result<Vec<Prepared>, Fault> {
        let slots = self.spool.take_slots(entries.len())?;
        let numbers: Vec<SlotNo> = slots.iter().map(|(slot, _)| *slot).collect();
        let mut batch = Vec::with_capacity(entries.len());
        for (new, slot) in entries.into_iter().zip(slots) {
            match self.seal(new, &slot, now) {
                Ok(prepared) => batch.push(prepared),
                Err(fault) => {
                    batch.iter().for_each(|prepared: &Prepared| self.spool.forget(&prepared.spooled));
                    self.spool.give_back(&numbers);
                    return Err(fault);
                }
            }
        }
        Ok(batch)
    }

    fn seal(&self, new: NewEntry, slot: &FreshSlot, now: Timestamp) -> Result<Prepared, Fault> {
        let size = new.size();
        let NewEntry { envelope, body, carries } = new.fitted();
        let id = QueueId(u64::from_be_bytes(random::array()));
        let (spooled, with_entry) = self.spool.seal(id, &body, slot)?;
        failpoint::reach("queue.seal");
        let head = Head::new(now.as_millisecond(), &self.terms.load());
        let entry = Entry { head, envelope, size, attempts: 0, carries, spooled: spooled.clone(), last: None };
        let mut writes = vec![self.records.put(Entry::key(id), &entry.write()?)];
        writes.extend(with_entry);
        Ok(Prepared { id, spooled, place: self.place(&entry), writes })
    }

    /// The one commit of new entries and what goes with them.
    pub(super) fn write(&self, checks: Vec<Check>, batch: &mut [Prepared], writes: Vec<Write>) -> Result<(), Conflict> {
        let (checks, writes) = together(checks, batch, writes);
        if writes.is_empty() { Ok(()) } else { self.records.commit(checks, writes) }
    }

    /// The same where only an attempt that is over waits for it.
    fn write_unhurried(&self, checks: Vec<Check>, batch: &mut [Prepared], writes: Vec<Write>) -> Result<(), Conflict> {
        let (checks, writes) = together(checks, batch, writes);
        if writes.is_empty() { Ok(()) } else { self.records.commit_unhurried(checks, writes) }
    }

    pub(super) fn admit(&self, batch: Vec<Prepared>) -> Vec<QueueId> {
        let mut index = lock(&self.index);
        let enter = |prepared: Prepared| {
            index.put(prepared.id, prepared.place);
            prepared.id
        };
        batch.into_iter().map(enter).collect()
    }

    /// Takes back what was certainly not committed.
    pub(super) fn discard(&self, batch: Vec<Prepared>) {
        batch.iter().for_each(|prepared| self.spool.forget(&prepared.spooled));
        let slots: Vec<SlotNo> = batch.iter().map(|prepared| prepared.spooled.slot()).collect();
        self.spool.give_back(&slots);
    }

    /// The entry behind an id that was leased; a damaged one is set aside for an hour.
    pub(super) fn hand_out(&self, id: QueueId, now: Millis) -> Option<Lease> {
        let read = unbroken(|| {
            failpoint::reach("queue.lease");
            self.read(id)
        });
        match read {
            // Held while an attempt had it, which never settled it.
            Ok(Some(Stored { entry, .. })) if entry.head.standing != Standing::Scheduled => {
                let place = self.place(&entry);
                lock(&self.index).put(id, place);
                None
            }
            Ok(Some(Stored { entry: Entry { envelope, size, attempts, spooled, .. }, .. })) => {
                Some(Lease { id, envelope, size, attempts, spooled })
            }
            Ok(None) => {
                lock(&self.index).remove(id);
                None
            }
            Err(fault) => {
                damaged(id, &fault);
                lock(&self.index).postpone(id, now.saturating_add(SET_ASIDE));
                None
            }
        }
    }

    pub(super) fn read(&self, id: QueueId) -> Result<Option<Stored>, Fault> {
        let Some(record) = self.records.get(&Entry::key(id))? else { return Ok(None) };
        let entry = Entry::parse(&record.value).map_err(|damaged| Fault(damaged.0.into()))?;
        Ok(Some(Stored { id, entry, version: record.version }))
    }
}

/// The checks and writes of new entries, with those that go with them.
fn together(mut checks: Vec<Check>, batch: &mut [Prepared], mut writes: Vec<Write>) -> (Vec<Check>, Vec<Write>) {
    for prepared in batch {
        // An id that is taken by chance must not overwrite somebody's mail.
        checks.push(Check::Absent(Entry::key(prepared.id)));
        writes.append(&mut prepared.writes);
    }
    (checks, writes)
}
