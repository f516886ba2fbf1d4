//! The latest time that was ever seen: a clock set back must not revive a link.
//!
//! In memory it follows every call; on the disk it is as old as the last sweep.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

use super::record;
use crate::store::{Fault, SealedRecords};

/// Seconds; [`UNREAD`] until the stored one was read.
pub(super) struct HighWater(AtomicI64);

impl HighWater {
    pub(super) const fn new() -> Self {
        Self(AtomicI64::new(UNREAD))
    }

    /// The later of `now` and the latest time that was ever seen.
    pub(super) fn at(&self, records: &SealedRecords, now: Timestamp) -> Result<Timestamp, Fault> {
        if self.0.load(Ordering::Acquire) == UNREAD {
            let stored: Option<(i64, u64)> = record::read(records, KEY)?;
            self.0.fetch_max(stored.map_or(EPOCH, |(seconds, _)| seconds), Ordering::AcqRel);
        }
        let before = self.0.fetch_max(now.as_second(), Ordering::AcqRel);
        if before <= now.as_second() { Ok(now) } else { record::time(before) }
    }

    /// The latest time, without a newer one at hand.
    pub(super) fn latest(&self, records: &SealedRecords) -> Result<Timestamp, Fault> {
        self.at(records, Timestamp::UNIX_EPOCH)
    }

    /// Goes back, or ahead, to what an operator says.
    pub(super) fn set(&self, records: &SealedRecords, now: Timestamp) -> Result<(), Fault> {
        self.0.store(now.as_second(), Ordering::Release);
        self.keep(records)
    }

    /// Puts it with the records.
    pub(super) fn keep(&self, records: &SealedRecords) -> Result<(), Fault> {
        let write = record::write(records, KEY.to_vec(), &self.latest(records)?.as_second())?;
        records.commit(vec![], vec![write]).map_err(record::fault)
    }
}

const UNREAD: i64 = i64::MIN;
const EPOCH: i64 = 0;
/// One for the store.
const KEY: &[u8] = b"!/clock";
