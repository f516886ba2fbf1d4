//! What was answered, for as long as it holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::{LowerName, Name, RecordType};
use moka::Expiry;

use super::Trouble;
use super::answer::Found;

/// Answers by name and type, bounded by the octets that they take.
pub(super) struct Cache(moka::sync::Cache<Key, Known>);

type Key = (LowerName, RecordType);
type Known = Result<Arc<Found>, Trouble>;

impl Default for Cache {
    fn default() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(OCTETS_MAX).weigher(weight).expire_after(Lifetime).build())
    }
}

impl Cache {
    pub fn known(&self, name: &Name, kind: RecordType) -> Option<Known> {
        self.0.get(&(name.into(), kind))
    }

    pub fn keep(&self, name: &Name, kind: RecordType, known: Known) {
        self.0.insert((name.into(), kind), known);
    }
}

/// Each answer brings its own end.
struct Lifetime;

impl Expiry<Key, Known> for Lifetime {
    fn expire_after_create(&self, _: &Key, known: &Known, _: Instant) -> Option<Duration> {
        Some(lifetime(known))
    }

    fn expire_after_update(&self, _: &Key, known: &Known, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(lifetime(known))
    }
}

fn lifetime(known: &Known) -> Duration {
    match known {
        Ok(found) if found.records.is_empty() => Duration::from_secs(found.lifetime.into()).min(NEGATIVE_MAX),
        Ok(found) => Duration::from_secs(found.lifetime.into()).min(POSITIVE_MAX),
        Err(_) => TROUBLE,
    }
}

fn weight(_: &Key, known: &Known) -> u32 {
    let octets = known.as_ref().map_or(TROUBLE_OCTETS, |found| found.weight());
    u32::try_from(octets).unwrap_or(u32::MAX)
}

/// Some ten thousand domains.
const OCTETS_MAX: u64 = 16 * 1_024 * 1_024;
const TROUBLE_OCTETS: usize = 256;
/// RFC 2181 §8 leaves it to us; what was wrong once must not be wrong for longer.
const POSITIVE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A domain that was set up just now gets its mail with the next attempt.
const NEGATIVE_MAX: Duration = Duration::from_secs(5 * 60);
/// RFC 9520 §3.2: a domain that cannot be resolved is not asked for by each of its thousand waiting mails.
const TROUBLE: Duration = Duration::from_secs(5);
