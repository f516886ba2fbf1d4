//! Records whose values are sealed under META, the record's key bound as associated data.
//!
//! A store knows which key ring it belongs to: one record is there only to be opened at start. A
//! store that holds anything is never taken over with other keys. The same record tells in which form the
//! values are: a newer one is refused, an older one is brought to ours by [`STEPS`].

use std::sync::Arc;

use super::records::Record;
use super::{Check, Conflict, Fault, Records, Snapshot, Write};
use crate::crypto::{KeyRing, aead};

/// What every module above uses instead of an engine.
#[derive(Clone)]
pub struct SealedRecords {
    records: Arc<dyn Records>,
    ring: Arc<KeyRing>,
}

impl SealedRecords {
    /// Over an engine.
    pub const fn new(records: Arc<dyn Records>, ring: Arc<KeyRing>) -> Self {
        Self { records, ring }
    }

    /// Makes sure that ring and store belong together; to be called once, before anything else.
    /// An empty store is marked as this ring's.
    pub fn check_or_initialise(&self) -> Result<(), Fault> {
        match self.records.get(CHECK)? {
            Some(record) => match self.opened(record) {
                Ok(mark) => self.migrate(&mark.value, STEPS),
                Err(_) => Err(Fault(NOT_OURS.to_owned())),
            },
            None if self.records.scan(b"", b"", 1)?.is_empty() => {
                let mark = self.mark(form(STEPS));
                match self.records.commit(vec![Check::Absent(CHECK.to_vec())], vec![mark]) {
                    Ok(()) => Ok(()),
                    Err(Conflict::Check) => Err(Fault("another process marked the store at the same moment".to_owned())),
                    Err(Conflict::Fault(fault)) => Err(fault),
                }
            }
            None => Err(Fault(NO_MARK.to_owned())),
        }
    }

    /// Step by step, each number written when its step is done. A stop at any moment makes the next start
    /// begin that step anew.
    fn migrate(&self, mark: &[u8], steps: &[Step]) -> Result<(), Fault> {
        let found = match mark {
            [] => FIRST,
            number => number.try_into().map(u32::from_be_bytes).map_err(|_| Fault(NO_MARK.to_owned()))?,
        };
        if found > form(steps) {
            let known = form(steps);
            return Err(Fault(format!(
                "the records have form {found}, this release knows {known}\n    run the newer release; nothing was changed"
            )));
        }
        for (number, step) in (FIRST..).zip(steps).skip_while(|(number, _)| *number < found) {
            step(self)?;
            match self.records.commit(vec![], vec![self.mark(number + 1)]) {
                Ok(()) => {}
                Err(Conflict::Check) => return Err(Fault(NO_MARK.to_owned())),
                Err(Conflict::Fault(fault)) => return Err(fault),
            }
        }
        Ok(())
    }

    /// The first form has an empty mark.
    fn mark(&self, form: u32) -> Write {
        let number = form.to_be_bytes();
        self.put(CHECK.to_vec(), if form == FIRST { &[] } else { &number })
    }

    /// The keys.
    pub const fn ring(&self) -> &Arc<KeyRing> {
        &self.ring
    }

    /// One record, opened. A value that does not open is a fault, never an absence.
    pub fn get(&self, key: &[u8]) -> Result<Option<Record>, Fault> {
        self.records.get(key)?.map(|record| self.opened(record)).transpose()
    }

    /// As [`Records::scan`], opened.
    pub fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Record>, Fault> {
        self.records.scan(prefix, from, limit)?.into_iter().map(|record| self.opened(record)).collect()
    }

    /// As [`Records::scan`], only the keys, so that nothing has to be opened.
    pub fn keys(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, Fault> {
        Ok(self.records.scan(prefix, from, limit)?.into_iter().map(|record| record.key).collect())
    }

    /// A [`Write::Put`] with the value sealed for its key.
    pub fn put(&self, key: Vec<u8>, value: &[u8]) -> Write {
        let (epoch, meta) = self.ring.meta_current();
        let mut sealed = epoch.to_be_bytes().to_vec();
        sealed.extend_from_slice(&aead::seal(&meta, &place(&key), value));
        Write::Put(key, sealed)
    }

    /// As [`Records::commit`]; every `Put` was made by [`put`](Self::put).
    pub fn commit(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<(), Conflict> {
        self.records.commit(checks, writes)
    }

    /// As [`Records::commit_unhurried`].
    pub fn commit_unhurried(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<(), Conflict> {
        self.records.commit_unhurried(checks, writes)
    }

    /// As [`Records::snapshot`]: what is sealed stays sealed.
    pub fn snapshot(&self) -> Result<Snapshot, Fault> {
        self.records.snapshot()
    }

    fn opened(&self, record: Record) -> Result<Record, Fault> {
        let Record { key, value, version } = record;
        let plain = value.split_first_chunk::<4>().and_then(|(epoch, sealed)| {
            let meta = self.ring.meta(u32::from_be_bytes(*epoch))?;
            aead::open(&meta, &place(&key), sealed).ok()
        });
        match plain {
            Some(value) => Ok(Record { key, value, version }),
            None => Err(Fault("a record does not open: it was changed, moved, or sealed with other keys".to_owned())),
        }
    }
}

fn place(key: &[u8]) -> Vec<u8> {
    [b"wx1/record/", key].concat()
}

/// What brings records of one form to the next. A step may be stopped and begun anew, so what it writes must be
/// right to write twice, and what it removes must not be needed to begin: new records first, old ones last.
type Step = fn(&SealedRecords) -> Result<(), Fault>;

fn form(steps: &[Step]) -> u32 {
    FIRST.saturating_add(u32::try_from(steps.len()).unwrap_or(u32::MAX))
}

/// From the first form to ours; the n-th step makes form n + 1 of form n, and none is ever removed.
const STEPS: &[Step] = &[];
const FIRST: u32 = 1;
/// The record that tells whose store this is; `!` sorts before all others.
const CHECK: &[u8] = b"!/check";
const NOT_OURS: &str =
    "the store was made with another key ring\n    restore the key ring and the key that belong to it; nothing was changed";
const NO_MARK: &str = "the store holds records but no mark of its key ring: it is damaged, or no store of ours\n    restore it from the backup; nothing was changed";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redb::RedbRecords;

    fn engine() -> Arc<dyn Records> {
        Arc::new(RedbRecords::over(redb::backends::InMemoryBackend::new()).unwrap())
    }

    fn sealed(engine: &Arc<dyn Records>) -> SealedRecords {
        SealedRecords::new(engine.clone(), Arc::new(KeyRing::generate()))
    }

    #[test]
    fn a_value_is_not_seen_below_and_opens_above() {
        let engine = engine();
        let records = sealed(&engine);
        records.commit(vec![], vec![records.put(b"a/1".to_vec(), b"canary")]).unwrap();
        let below = engine.get(b"a/1").unwrap().unwrap().value;
        assert!(!below.windows(6).any(|part| part == b"canary"));
        assert_eq!(records.get(b"a/1").unwrap().unwrap().value, b"canary");
        assert_eq!(records.scan(b"a/", b"", 9).unwrap().len(), 1);
    }

    #[test]
    fn a_value_moved_to_another_key_is_a_fault_and_never_an_absence() {
        let engine = engine();
        let records = sealed(&engine);
        records.commit(vec![], vec![records.put(b"a/1".to_vec(), b"of one")]).unwrap();
        let value = engine.get(b"a/1").unwrap().unwrap().value;
        engine.commit(vec![], vec![Write::Put(b"a/2".to_vec(), value), Write::Put(b"a/3".to_vec(), vec![1, 2])]).unwrap();
        assert!(records.get(b"a/2").is_err());
        assert!(records.get(b"a/3").is_err());
        assert_eq!(records.get(b"a/4").unwrap(), None);
    }

    #[test]
    fn a_store_is_taken_over_by_no_other_ring() {
        let engine = engine();
        let ours = sealed(&engine);
        ours.check_or_initialise().unwrap();
        ours.check_or_initialise().unwrap();
        assert!(sealed(&engine).check_or_initialise().unwrap_err().0.contains("another key ring"));
        ours.check_or_initialise().unwrap();
    }

    fn rename(records: &SealedRecords, (from, to): (&[u8], &[u8])) -> Result<(), Fault> {
        for record in records.scan(from, from, 9)? {
            let key = [to, record.key.strip_prefix(from).unwrap()].concat();
            records.commit(vec![], vec![records.put(key, &record.value)]).map_err(|_| Fault(String::from("not written")))?;
        }
        Ok(())
    }

    #[test]
    fn an_older_form_is_brought_to_ours_and_a_stopped_step_is_begun_anew() {
        let engine = engine();
        let records = sealed(&engine);
        records.check_or_initialise().unwrap();
        records.commit(vec![], vec![records.put(b"a/1".to_vec(), b"kept")]).unwrap();
        let first: Step = |records| rename(records, (b"a/", b"b/"));
        let stopped: Step = |records| rename(records, (b"b/", b"c/")).and(Err(Fault(String::from("stopped"))));
        let second: Step = |records| rename(records, (b"b/", b"c/"));
        let mark = || records.get(CHECK).unwrap().unwrap().value;
        assert_eq!(records.migrate(&mark(), &[first, stopped]), Err(Fault(String::from("stopped"))));
        assert_eq!(mark(), 2_u32.to_be_bytes(), "the first step is done for good");
        records.migrate(&mark(), &[first, second]).unwrap();
        assert_eq!((mark().as_slice(), records.get(b"c/1").unwrap().unwrap().value.as_slice()), (&3_u32.to_be_bytes()[..], &b"kept"[..]));
        let never: Step = |_| Err(Fault(String::from("begun twice")));
        records.migrate(&mark(), &[never, never]).unwrap();
        assert!(records.check_or_initialise().unwrap_err().0.contains("newer release"), "this release has no second form");
    }

    #[test]
    fn records_without_a_mark_are_no_empty_store() {
        let engine = engine();
        engine.commit(vec![], vec![Write::Put(b"x".to_vec(), b"y".to_vec())]).unwrap();
        assert!(sealed(&engine).check_or_initialise().unwrap_err().0.contains("no mark"));
    }
}
