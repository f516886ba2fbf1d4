//! What has ended stays ended: the list of what is blocked, which lies apart from the records with the slots,
//! and what a store that comes back from an older copy makes of it before it serves anything.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::parcel::ParcelId;
use super::record::{self, Stage, StoredParcel, StoredState, Way};
use super::{SHRED_AFTER, Vault};
use crate::crypto::LinkId;
use crate::store::{Check, Fault, SlotNo, Write};

/// A parcel that is blocked and not yet shredded: its slots live, so nothing but its state keeps it closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// Which.
    pub parcel: ParcelId,
    /// Since when; a day later it is shredded.
    pub since: Timestamp,
}

/// What became of the parcels of an older copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CaughtUp {
    /// Blocked since, and blocked again.
    pub blocked: usize,
    /// Shredded, or without a single way in.
    pub ended: usize,
    /// Ways of recipients that were taken back.
    pub revoked: usize,
}

impl Vault {
    /// Every parcel that is blocked at this moment. What is blocked is looked at again after a day at the
    /// latest, so only what is due by then has to be looked at here.
    pub fn blocked(&self, now: Timestamp) -> Result<Vec<Blocked>, Fault> {
        let horizon = self.time.at(&self.records, now)?.as_second().saturating_add(SHRED_AFTER);
        let (mut blocked, mut seen) = (Vec::new(), BTreeSet::new());
        let mut from = record::DUE.to_vec();
        loop {
            let keys = self.records.keys(record::DUE, &from, PAGE)?;
            for (seconds, id) in keys.iter().filter_map(|key| record::timed(key)) {
                if seconds > horizon {
                    return Ok(blocked);
                }
                let state = record::read::<StoredState>(&self.records, &record::state_key(ParcelId(id)))?;
                let Some((state, _)) = state.filter(|(state, _)| matches!(state.stage, Stage::Blocked | Stage::Doomed)) else { continue };
                // A parcel may be due twice, for its block and for its end.
                if seen.insert(id) {
                    blocked.push(Blocked { parcel: ParcelId(id), since: record::time(state.since)? });
                }
            }
            match keys.last() {
                Some(last) if keys.len() >= PAGE => from = [last.as_slice(), &[0]].concat(),
                _ => return Ok(blocked),
            }
        }
    }

    /// Brings records of an older time to what has become of them since: by the slots, which are newer, and
    /// by the list. `lives` tells whether a slot still holds what it was given out with.
    pub fn catch_up(&self, blocked: &[Blocked], lives: &dyn Fn(SlotNo) -> Result<bool, Fault>) -> Result<CaughtUp, Fault> {
        let mut done = CaughtUp::default();
        for Blocked { parcel, since } in blocked {
            done.blocked += usize::from(self.block_again(*parcel, *since)?);
        }
        let mut from = Vec::new();
        loop {
            let keys = self.records.keys(record::PARCEL, &from, PAGE)?;
            for key in &keys {
                self.close_dead_ways(key, lives, &mut done)?;
            }
            match keys.last() {
                Some(last) if keys.len() >= PAGE => from = [last.as_slice(), &[0]].concat(),
                _ => return Ok(done),
            }
        }
    }

    fn block_again(&self, parcel: ParcelId, since: Timestamp) -> Result<bool, Fault> {
        let key = record::state_key(parcel);
        let Some((state, version)) = record::read::<StoredState>(&self.records, &key)? else { return Ok(false) };
        if matches!(state.stage, Stage::Blocked | Stage::Doomed) {
            return Ok(false);
        }
        let writes = vec![
            state.with(Stage::Blocked, since).write(&self.records, parcel)?,
            self.records.put(record::due_key(since.as_second().saturating_add(SHRED_AFTER), parcel), &[]),
        ];
        self.records.commit(vec![Check::Version(key, version)], writes).map_err(record::fault)?;
        Ok(true)
    }

    /// A wrap whose slot was overwritten is no way in any more; a parcel without any is over.
    fn close_dead_ways(&self, key: &[u8], lives: &dyn Fn(SlotNo) -> Result<bool, Fault>, done: &mut CaughtUp) -> Result<(), Fault> {
        let Some((mut stored, version)) = record::read::<StoredParcel>(&self.records, key)? else { return Ok(()) };
        let Some(id) = key.strip_prefix(record::PARCEL).and_then(|id| id.try_into().ok()).map(ParcelId) else { return Ok(()) };
        let mut writes = Vec::new();
        let mut open = 0;
        for recipient in stored.recipients.iter_mut().filter(|recipient| recipient.way == Way::Open) {
            if lives(recipient.slot)? {
                open += 1;
            } else {
                recipient.way = Way::Revoked;
                writes.push(Write::Delete(record::link_key(LinkId(recipient.link))));
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        done.revoked += writes.len();
        writes.push(record::write(&self.records, key.to_vec(), &stored)?);
        if open == 0 {
            done.ended += 1;
            writes.extend(self.doomed_now(id)?);
        }
        self.records.commit(vec![Check::Version(key.to_vec(), version)], writes).map_err(record::fault)
    }

    /// The next sweep removes it.
    fn doomed_now(&self, id: ParcelId) -> Result<Vec<Write>, Fault> {
        let Some((state, _)) = record::read::<StoredState>(&self.records, &record::state_key(id))? else { return Ok(Vec::new()) };
        let since = record::time(state.since)?;
        Ok(vec![state.with(Stage::Doomed, since).write(&self.records, id)?, self.records.put(record::due_key(state.since, id), &[])])
    }
}

/// Keys read at once.
const PAGE: usize = 1000;
