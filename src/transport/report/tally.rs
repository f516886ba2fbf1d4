//! Counts by day, domain and policy: in memory since the last minute, with the records before.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{Applied, Outcome, Report, Sums};
use crate::crypto::aead::Key;
use crate::crypto::derive;
use crate::mail::Domain;
use crate::store::{Check, Conflict, Fault, SealedRecords, Write};

/// What came of TLS, until it is told.
pub struct Tally {
    records: SealedRecords,
    index: Key,
    fresh: Mutex<Counts>,
}

/// A day of UTC, from midnight to midnight. RFC 8460 §4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

type Counts = BTreeMap<(Day, Domain), Policies>;
type Policies = BTreeMap<Applied, Sums>;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u8,
    domain: String,
    policies: Vec<(Applied, Sums)>,
}

impl Day {
    /// The day of a time.
    pub fn of(now: Timestamp) -> Self {
        Self(now.to_zoned(TimeZone::UTC).date())
    }

    /// Whether nobody wants to hear of it any more.
    pub fn is_stale(self, today: Self) -> bool {
        today.bounds()[0].duration_since(self.bounds()[0]) > STALE
    }

    /// Its first second and its last, as RFC 3339 has them.
    pub(super) fn bounds(self) -> [Timestamp; 2] {
        let begin = self.0.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp()).unwrap_or_default();
        [begin, begin.saturating_add(SignedDuration::from_secs(DAY - 1)).unwrap_or(begin)]
    }

    fn key(self) -> [u8; 4] {
        let [begin, _] = self.bounds();
        u32::try_from(begin.as_second() / DAY).unwrap_or_default().to_be_bytes()
    }

    fn from_key(key: &[u8]) -> Option<Self> {
        let days = u32::from_be_bytes(*key.strip_prefix(PREFIX)?.first_chunk()?);
        Some(Self::of(Timestamp::from_second(i64::from(days) * DAY).ok()?))
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Tally {
    /// Over the records.
    pub fn new(records: SealedRecords) -> Self {
        let index = records.ring().root("index");
        Self { records, index, fresh: Mutex::default() }
    }

    /// Counts one outcome under what the domain demands.
    pub fn count(&self, (domain, applied): (&Domain, &Applied), outcome: Outcome, now: Timestamp) {
        let mut fresh = self.lock();
        let key = (Day::of(now), domain.clone());
        if fresh.len() >= DOMAINS_MAX && !fresh.contains_key(&key) {
            return;
        }
        let policies = fresh.entry(key).or_default();
        if policies.len() < POLICIES_MAX || policies.contains_key(applied) {
            policies.entry(applied.clone()).or_default().add(outcome);
        }
    }

    /// Puts what is in memory with the records. Blocks.
    pub fn flush(&self) -> Result<(), Fault> {
        let mut fresh = std::mem::take(&mut *self.lock());
        while let Some(((day, domain), policies)) = fresh.pop_first() {
            if let Err(fault) = self.add(day, &domain, policies.clone()) {
                // What was not kept is tried again with what comes meanwhile.
                fresh.insert((day, domain), policies);
                self.give_back(fresh);
                return Err(fault);
            }
        }
        Ok(())
    }

    /// The reports of days before this one. Blocks.
    pub fn before(&self, day: Day, limit: usize) -> Result<Vec<Report>, Fault> {
        self.flush()?;
        let records = self.records.scan(PREFIX, PREFIX, limit)?;
        let reports = records.into_iter().filter_map(|record| {
            let of = Day::from_key(&record.key).filter(|of| *of < day)?;
            let stored = read(&record.value)?;
            Some(Report { domain: stored.domain, day: of, policies: stored.policies })
        });
        Ok(reports.collect())
    }

    /// Forgets a report that was told, or that nobody wants. Blocks.
    pub fn forget(&self, report: &Report) -> Result<(), Fault> {
        self.records.commit_unhurried(vec![], vec![Write::Delete(self.key(report.day, &report.domain))]).map_err(fault)
    }

    fn add(&self, day: Day, domain: &Domain, fresh: Policies) -> Result<(), Fault> {
        let key = self.key(day, domain.as_str());
        loop {
            let record = self.records.get(&key)?;
            let check = record.as_ref().map_or(Check::Absent(key.clone()), |record| Check::Version(key.clone(), record.version));
            let mut policies: Policies =
                record.and_then(|record| read(&record.value)).into_iter().flat_map(|stored| stored.policies).collect();
            merge(&mut policies, fresh.clone());
            let stored = Stored { version: FORMAT, domain: domain.to_string(), policies: policies.into_iter().collect() };
            let value = postcard::to_allocvec(&stored).map_err(|error| Fault(error.to_string()))?;
            match self.records.commit_unhurried(vec![check], vec![self.records.put(key.clone(), &value)]) {
                // Another process counted in between.
                Err(Conflict::Check) => {}
                committed => return committed.map_err(fault),
            }
        }
    }

    fn give_back(&self, kept: Counts) {
        let mut fresh = self.lock();
        for (key, policies) in kept {
            merge(fresh.entry(key).or_default(), policies);
        }
    }

    /// By day first, so that the oldest are told first.
    fn key(&self, day: Day, domain: &str) -> Vec<u8> {
        [PREFIX, &day.key(), &derive::mac(&self.index, "tls report", &[domain.as_bytes()])].concat()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn merge(into: &mut Policies, from: Policies) {
    for (applied, sums) in from {
        let has_room = into.len() < POLICIES_MAX;
        match into.entry(applied) {
            Entry::Occupied(mut known) => known.get_mut().merge(sums),
            Entry::Vacant(place) if has_room => _ = place.insert(sums),
            Entry::Vacant(_) => {}
        }
    }
}

fn read(value: &[u8]) -> Option<Stored> {
    postcard::from_bytes::<Stored>(value).ok().filter(|stored| stored.version == FORMAT)
}

fn fault(conflict: Conflict) -> Fault {
    match conflict {
        Conflict::Fault(fault) => fault,
        Conflict::Check => Fault(String::from("a report was written at the same moment")),
    }
}

const PREFIX: &[u8] = b"transport/tls/";
const FORMAT: u8 = 1;
/// Seconds.
const DAY: i64 = 86_400;
/// RFC 8460 §5.5 asks for a day of tries.
const STALE: SignedDuration = SignedDuration::from_hours(72);
/// Domains between two minutes.
const DOMAINS_MAX: usize = 10_000;
/// Policies of one domain and day; each time that it changes is one more.
const POLICIES_MAX: usize = 20;
