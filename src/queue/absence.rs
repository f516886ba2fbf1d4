//! How long the gateway was away, in all. That time counts to no entry's lifetime: nothing could be tried.
//!
//! While it runs it leaves a mark every minute; what lies between the last mark and the next start was absence. After a
//! start by a clock that is not believed yet it is reckoned again when the clock is.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::index::Millis;
use super::spool::{fault, trouble};
use crate::store::{Fault, SealedRecords};

#[derive(Serialize, Deserialize)]
struct Mark {
    /// Absence before this run.
    absent: Millis,
    /// When the gateway ran for certain.
    seen: Millis,
}

/// A start, and what the run before it left.
pub(super) struct Start {
    mark: Option<Mark>,
    begun: Instant,
}

impl Start {
    /// At this moment.
    pub fn read(records: &SealedRecords) -> Result<Self, Fault> {
        Ok(Self { mark: read(records)?, begun: Instant::now() })
    }

    /// The absence up to the start, as far as it is `now`.
    pub fn absent(&self, now: Millis) -> Millis {
        let Some(Mark { absent, seen }) = &self.mark else { return 0 };
        let runs = Millis::try_from(self.begun.elapsed().as_millis()).unwrap_or(Millis::MAX);
        absent.saturating_add(now.saturating_sub(*seen).saturating_sub(runs).max(0))
    }
}

/// What the queue's own clock stands at while nothing runs; none where nothing ever ran.
pub(super) fn standstill(records: &SealedRecords) -> Result<Option<Millis>, Fault> {
    Ok(read(records)?.map(|Mark { absent, seen }| seen.saturating_sub(absent)))
}

/// The gateway runs at `now`.
pub(super) fn mark(records: &SealedRecords, absent: Millis, now: Millis) -> Result<(), Fault> {
    let mark = postcard::to_allocvec(&Mark { absent, seen: now }).map_err(|error| Fault(error.to_string()))?;
    records.commit_unhurried(vec![], vec![records.put(KEY.to_vec(), &mark)]).map_err(fault)
}

/// A mark that is not readable is none: every entry gets its attempts in any case.
fn read(records: &SealedRecords) -> Result<Option<Mark>, Fault> {
    let Some(record) = records.get(KEY)? else { return Ok(None) };
    let mark = postcard::from_bytes(&record.value);
    Ok(mark.map_err(|_| trouble(&Fault("the mark of the gateway's last minute is not readable".into()))).ok())
}

/// The mark.
const KEY: &[u8] = b"q/t";
/// What is reckoned again may differ by so much: clocks are corrected.
pub(super) const TOLERANCE: Millis = 60_000;
