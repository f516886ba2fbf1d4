//! How long the gateway was away, in all. That time counts to no entry's lifetime: nothing could be tried.
//!
//! While it runs it leaves a mark every minute; what lies between the last mark and the next start was absence.

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

/// The absence up to a start at `now`.
pub(super) fn until(records: &SealedRecords, now: Millis) -> Result<Millis, Fault> {
    let Some(Mark { absent, seen }) = read(records)? else { return Ok(0) };
    Ok(absent.saturating_add(now.saturating_sub(seen).max(0)))
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
